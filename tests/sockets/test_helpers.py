"""One probe, one reply, over the simulated network and over loopback."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import anyio
import pytest

from traceprobe.config import AddressFamily, Mode, TracerouteConfig
from traceprobe.errors import BusyError, ClosedError, SendError
from traceprobe.loops import SystemClock
from traceprobe.model import Probe, ProbeId, Reply, ReplyKind, SentProbe, TimestampSource, make_probe_id
from traceprobe.sockets import ProbeSocketFactory, SendAndReceive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceprobe.loops import Clock

HERE = IPv4Address("127.0.0.1")
PROBE = Probe(make_probe_id(1, 0), HERE, 64, 1)
OTHER = make_probe_id(2, 0)


def reply_to(probe: ProbeId, received_ns: int) -> Reply:
    return Reply(probe, ReplyKind.ECHO_REPLY, HERE, 1000, received_ns, TimestampSource.USER)


class ScriptedSocket(SendAndReceive):
    """Hands out batches of replies as the test puts them in."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.batches: list[Sequence[Reply] | Exception] = []
        self.late: Sequence[Reply] = ()
        self.returned: list[Reply] = []
        self.released: list[ProbeId] = []
        self.sent: list[Probe] = []
        self.error: SendError | None = None
        self.busy = False

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def receiving(self) -> bool:
        return self.busy

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        self.sent += probes
        return [SentProbe(probe.id, 0, 0, error=self.error) for probe in probes]

    async def receive(self) -> Sequence[Reply]:
        if not self.batches:
            await anyio.Event().wait()
        batch = self.batches.pop(0)
        await anyio.lowlevel.checkpoint()
        if isinstance(batch, Exception):
            raise batch
        return batch

    def receive_nowait(self) -> Sequence[Reply]:
        return self.late

    def release(self, probes: Sequence[ProbeId]) -> None:
        self.released += probes

    def put_back(self, replies: Iterable[Reply]) -> None:
        self.returned += replies


def soon(socket: ScriptedSocket) -> int:
    return socket.clock.monotonic_ns() + 60 * 10**9


async def test_the_reply_is_returned_and_others_are_put_back() -> None:
    socket = ScriptedSocket()
    now = socket.clock.monotonic_ns()
    wanted, other = reply_to(PROBE.id, now), reply_to(OTHER, now)
    again = reply_to(PROBE.id, now)
    socket.batches = [[other], [other, wanted, again, other]]
    assert await socket.send_probe_and_recv(PROBE, soon(socket)) is wanted
    assert socket.returned == [other, other, other]
    assert socket.released == [PROBE.id]


async def test_silence_ends_at_the_deadline() -> None:
    socket = ScriptedSocket()
    deadline = socket.clock.monotonic_ns() + 1_000_000
    assert await socket.send_probe_and_recv(PROBE, deadline) is None
    assert socket.clock.monotonic_ns() >= deadline
    assert socket.released == [PROBE.id]


@pytest.mark.parametrize(("arrival", "counts"), [(-1, True), (0, True), (1, False)])
async def test_a_reply_counts_by_when_it_arrived(arrival: int, counts: bool) -> None:
    socket = ScriptedSocket()
    deadline = socket.clock.monotonic_ns()
    reply, other = reply_to(PROBE.id, deadline + arrival), reply_to(OTHER, deadline)
    socket.late = [other, reply]
    assert await socket.send_probe_and_recv(PROBE, deadline) is (reply if counts else None)
    assert socket.returned == [other]


async def test_it_is_refused_while_another_task_receives() -> None:
    socket = ScriptedSocket()
    socket.busy = True
    with pytest.raises(BusyError):
        await socket.send_probe_and_recv(PROBE, soon(socket))
    assert not socket.sent


async def test_a_refused_probe_is_an_error() -> None:
    socket = ScriptedSocket()
    socket.error = SendError(101)
    with pytest.raises(SendError):
        await socket.send_probe_and_recv(PROBE, soon(socket))
    assert socket.released == [PROBE.id]


async def test_errors_come_out_as_themselves() -> None:
    socket = ScriptedSocket()
    socket.batches = [ClosedError("the socket has been closed")]
    with pytest.raises(ClosedError):
        await socket.send_probe_and_recv(PROBE, soon(socket))
    assert socket.released == [PROBE.id]


async def test_cancelling_gives_the_probe_up() -> None:
    socket = ScriptedSocket()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.send_probe_and_recv, PROBE, soon(socket))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert socket.released == [PROBE.id]


@pytest.mark.skipif(sys.platform != "linux", reason="a socket of Linux")
async def test_over_loopback() -> None:
    config = TracerouteConfig(mode=Mode.LINUX_UDP)
    opened = await ProbeSocketFactory().open(config, AddressFamily.IPV4)
    assert isinstance(opened, SendAndReceive)
    reply = await opened.send_probe_and_recv(PROBE, opened.clock.monotonic_ns() + 60 * 10**9)
    await opened.aclose()
    assert reply is not None
    assert reply.kind is ReplyKind.PORT_UNREACHABLE
    assert reply.address == HERE
