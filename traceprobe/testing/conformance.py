"""The contract of probe sockets, checked point by point: run your own socket through it.

Says nothing of how good a socket is at its job, only that traces can rely on it. It sends a few dozen
probes to one destination, which has to answer all of them.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.errors import BusyError, ClosedError
from traceprobe.model import Probe, Reply, ReplyKind, SentProbe, TimestampSource, make_probe_id
from traceprobe.testing import _checks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from traceprobe.model import ProbeId
    from traceprobe.sockets.protocol import AsyncProbeSocket
    from traceprobe.testing._checks import AddressLike

__all__ = ["check_probe_socket"]

_BATCH = 4
"""Probes at a time; few, because kernels answer UDP only so often."""

_MOST_TURNS = 16
"""Turns of the event loop until replies may have come that take no time at all."""

_FEW_TURNS = 5
"""Turns of the event loop that a receiver may need to get hold of what is there."""

_FINAL = frozenset({
    ReplyKind.ECHO_REPLY,
    ReplyKind.PORT_UNREACHABLE,
    ReplyKind.UDP_DATA,
    ReplyKind.SYN_ACK,
    ReplyKind.RST,
})
"""What a destination that is there answers."""


async def check_probe_socket(
    open_socket: Callable[[], Awaitable[AsyncProbeSocket]],
    destination: AddressLike,
    *,
    ttl: int = 64,
    unroutable: AddressLike | None = None,
    patience: float = 10.0,
    count_descriptors: Callable[[], int] | None = None,
) -> None:
    """Check that a probe socket keeps to the contract of :mod:`traceprobe.sockets.protocol`.

    Args:
        open_socket: Opens a fresh socket; called once for each point.
        destination: Address that answers every probe within ``patience``, such as the loopback address.
        ttl: TTL or hop limit that suffices to get there.
        unroutable: Address that the operating system refuses to send to; None leaves that point out.
        patience: Seconds of real time after which a call that does not return has failed.
        count_descriptors: Counts what the process has open; None counts its file descriptors, where the
            operating system lists them.

    Raises:
        AssertionError: The socket breaks the contract; the message says where.
    """
    check = _Conformance(open_socket, destination, ttl, patience)
    count = count_descriptors or _count_descriptors
    await _plainly(check.reports_sane_capabilities)  # also opens once whatever stays open for all sockets
    before = count()
    for point in (
        check.reports_every_probe_in_order,
        check.hands_out_each_reply_once,
        check.refuses_a_second_receiver,
        check.takes_what_has_come_while_another_task_waits,
        check.loses_nothing_when_receiving_is_cancelled,
        check.forgets_released_probes,
        check.wakes_the_receiver_when_closed,
        check.refuses_everything_once_closed,
    ):
        await _plainly(point)
    if unroutable is not None:
        await _plainly(partial(check.reports_a_refused_probe_and_sends_the_others, unroutable))
    after = count()
    _require(after == before, f"{after - before} descriptors are left open after aclose()")


async def _plainly(point: Callable[[], Awaitable[None]]) -> None:
    """Check a point; what fails is raised as itself, not in the group that a task group makes of it."""
    try:
        await point()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


def _count_descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))
        except OSError:
            continue
    return 0


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


async def _turns(count: int = 10) -> None:
    """Let other tasks get as far as they can without input."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


class _Conformance:
    """The points of the contract, each with a socket of its own."""

    def __init__(
        self,
        open_socket: Callable[[], Awaitable[AsyncProbeSocket]],
        destination: AddressLike,
        ttl: int,
        patience: float,
    ) -> None:
        self._open_socket = open_socket
        self._destination = _checks.to_address(destination, "destination")
        self._ttl = ttl
        self._patience = patience
        self._traces = itertools.count(1)

    # --- the points -------------------------------------------------------------------------------------

    async def reports_sane_capabilities(self) -> None:
        async with self._socket() as socket:
            has = socket.capabilities
            _require(isinstance(has.family, AddressFamily), f"capabilities.family is {has.family!r}")
            _require(
                has.family == self._destination.version,
                f"capabilities.family is {has.family}, but {self._destination} is to be probed",
            )
            _require(isinstance(has.protocol, Protocol), f"capabilities.protocol is {has.protocol!r}")
            _require(bool(has.mode), f"capabilities.mode is {has.mode!r}")
            _require(
                all(isinstance(flow, FlowStrategy) for flow in has.flows),
                f"capabilities.flows is {has.flows!r}",
            )
            _require(has.flow in has.flows, f"capabilities.flow {has.flow!r} is none of {has.flows!r}")
            _require(
                has.descriptors in {"shared", "per_flow", "per_probe"},
                f"capabilities.descriptors is {has.descriptors!r}",
            )
            _require(
                isinstance(has.timestamps, TimestampSource), f"capabilities.timestamps is {has.timestamps!r}"
            )
            _require(has.max_in_flight >= 1, f"capabilities.max_in_flight is {has.max_in_flight}")
            if has.protocol is Protocol.ICMP:
                _require(has.default_port is None, f"ICMP has no ports, but default_port={has.default_port}")
            else:
                _require(has.default_port in range(1, 65536), f"default_port is {has.default_port}")
            _require(socket.capabilities == has, "capabilities change while the socket is open")
            _require(isinstance(socket.discarded, Mapping), f"discarded is {socket.discarded!r}")
            await self._exchange(socket)
            _require(socket.capabilities == has, "capabilities change with use")

    async def reports_every_probe_in_order(self) -> None:
        async with self._socket() as socket:
            _require(len(await socket.send_probes([])) == 0, "send_probes([]) reports a probe")
            probes = self._probes()
            reports = await self._send(socket, probes)
            times = [report.sent_ns for report in reports]
            _require(times == sorted(times), f"probes are reported as sent in another order: {times}")
            for report in reports:
                _require(report.error is None, f"{report.probe_id} was not sent: {report.error}")
            await self._receive(socket, probes)

    async def hands_out_each_reply_once(self) -> None:
        async with self._socket() as socket:
            for _ in range(2):
                await self._exchange(socket)
            left = socket.receive_nowait()
            _require(not left, f"receive_nowait() hands out again what receive() has: {left}")

    async def refuses_a_second_receiver(self) -> None:
        async with self._socket() as socket, anyio.create_task_group() as tasks:
            first = _Receiver(socket)
            tasks.start_soon(first.run)
            await _turns()
            with self._in_time("receive() by a second task does not raise BusyError"):
                try:
                    await socket.receive()
                except BusyError:
                    pass
                else:
                    raise AssertionError("receive() by a second task returns instead of raising BusyError")
            probes = self._probes()
            await self._send(socket, probes)
            with self._in_time("the first receiver gets no reply after a second one was refused"):
                await first.done.wait()
            _require(first.error is None, f"the first receiver failed with {first.error!r}")
            await self._receive(socket, probes, first.replies)

    async def takes_what_has_come_while_another_task_waits(self) -> None:
        async with self._socket() as socket, anyio.create_task_group() as tasks:
            receiver = _Receiver(socket)
            tasks.start_soon(receiver.run)
            await _turns()
            nothing = socket.receive_nowait()
            _require(not nothing, f"receive_nowait() invents replies: {nothing}")
            _require(not receiver.done.is_set(), "receive() returns before a reply has come")
            probes = self._probes()
            await self._send(socket, probes)
            with self._in_time("receive() does not return though probes were answered"):
                await receiver.done.wait()
            _require(receiver.error is None, f"receive() failed with {receiver.error!r}")
            _require(len(receiver.replies) > 0, "receive() returns without a reply")
            taken = [*receiver.replies, *socket.receive_nowait()]
            await self._receive(socket, probes, taken)

    async def loses_nothing_when_receiving_is_cancelled(self) -> None:
        async with self._socket() as socket:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(socket.receive)
                await _turns()
                tasks.cancel_scope.cancel()
            probes = self._probes()
            await self._send(socket, probes)
            receiver = _Receiver(socket)
            # Cancelled after ever more turns of the event loop, and each time again after few: one of these
            # cancellations meets a socket that has replies in hand at the wrong moment.
            for turns in [few for most in range(_MOST_TURNS) for few in (most, *range(_FEW_TURNS))]:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(receiver.run)
                    await _turns(turns)
                    tasks.cancel_scope.cancel()
                if receiver.done.is_set():
                    break
            _require(receiver.error is None, f"receive() failed with {receiver.error!r}")
            await self._receive(socket, probes, receiver.replies)

    async def forgets_released_probes(self) -> None:
        async with self._socket() as socket:
            given_up = self._probes()
            await self._send(socket, given_up)
            identities = [probe.id for probe in given_up]
            socket.release(identities)
            socket.release(identities)
            socket.release([make_probe_id(next(self._traces), 0)])
            socket.release([])
            # Had one of these got the identifier of a probe that was just given up, the reply to that one
            # would count for it, and its own would be one too many.
            await self._exchange(socket)
            await self._exchange(socket)

    async def wakes_the_receiver_when_closed(self) -> None:
        async with self._socket() as socket, anyio.create_task_group() as tasks:
            receiver = _Receiver(socket)
            tasks.start_soon(receiver.run)
            await _turns()
            with self._in_time("aclose() does not return while a task receives"):
                await socket.aclose()
            with self._in_time("aclose() does not wake the task that receives"):
                await receiver.done.wait()
            _require(
                isinstance(receiver.error, ClosedError),
                f"closing wakes receive() with {receiver.error!r} instead of ClosedError",
            )

    async def refuses_everything_once_closed(self) -> None:
        async with self._socket() as socket:
            probes = self._probes()
            await self._send(socket, probes)
            with self._in_time("aclose() does not return a second time"):
                await socket.aclose()
                await socket.aclose()
            socket.release([probe.id for probe in probes])
            with self._refused("send_probes"):
                await socket.send_probes(self._probes())
            with self._refused("receive"):
                await socket.receive()
            with self._refused("receive_nowait"):
                socket.receive_nowait()

    async def reports_a_refused_probe_and_sends_the_others(self, unroutable: AddressLike) -> None:
        async with self._socket() as socket:
            probes = self._probes()
            address = _checks.to_address(unroutable, "unroutable")
            refused = Probe(probes[1].id, address, self._ttl, probes[1].attempt)
            reports = await self._send(socket, [probes[0], refused, *probes[2:]])
            _require(reports[1].error is not None, f"a probe to {address} is reported as sent")
            for report in (reports[0], *reports[2:]):
                _require(report.error is None, f"a refused probe keeps another one back: {report.error}")
            await self._receive(socket, [probes[0], *probes[2:]])

    # --- what they are made of --------------------------------------------------------------------------

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[AsyncProbeSocket]:
        socket = await self._open_socket()
        try:
            yield socket
        finally:
            with anyio.CancelScope(shield=True):
                await socket.aclose()

    def _probes(self) -> list[Probe]:
        trace = next(self._traces)
        return [
            Probe(
                make_probe_id(trace, index),
                self._destination,
                self._ttl,
                attempt=index + 1,
                timeout=self._patience,
            )
            for index in range(_BATCH)
        ]

    async def _send(self, socket: AsyncProbeSocket, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        with self._in_time("send_probes() does not return"):
            reports = await socket.send_probes(probes)
        reported = [report.probe_id for report in reports]
        _require(
            reported == [probe.id for probe in probes],
            f"send_probes() reports {reported}, not one report for each probe in order",
        )
        return reports

    async def _exchange(self, socket: AsyncProbeSocket) -> None:
        probes = self._probes()
        await self._send(socket, probes)
        await self._receive(socket, probes)

    async def _receive(
        self, socket: AsyncProbeSocket, probes: Sequence[Probe], already: Sequence[Reply] = ()
    ) -> None:
        """Receive until each probe has its reply, and no more."""
        counts: Counter[ProbeId] = Counter()
        wanted = {probe.id for probe in probes}
        self._check_replies(already, wanted, counts)
        with self._in_time(f"of {len(wanted)} probes to {self._destination} not all are answered"):
            while wanted - set(counts):
                replies = await socket.receive()
                _require(len(replies) > 0, "receive() returns without a reply")
                self._check_replies(replies, wanted, counts)
            await _turns()
        self._check_replies(socket.receive_nowait(), wanted, counts)
        twice = [identity for identity, count in counts.items() if count > 1]
        _require(not twice, f"more than one reply is handed out for {twice}")
        socket.release([probe.id for probe in probes])

    def _check_replies(
        self, replies: Sequence[Reply], wanted: set[ProbeId], counts: Counter[ProbeId]
    ) -> None:
        for reply in replies:
            _require(reply.probe_id in wanted, f"a reply for a probe that was not sent or given up: {reply}")
            _require(reply.kind in _FINAL, f"{self._destination} does not answer as a destination: {reply}")
            _require(reply.address == self._destination, f"a reply from another address: {reply}")
            _require(reply.rtt_ns >= 0, f"a negative round-trip time: {reply}")
            _require(
                isinstance(reply.timestamp_source, TimestampSource), f"no source of time stamps: {reply}"
            )
            counts[reply.probe_id] += 1

    @contextmanager
    def _in_time(self, otherwise: str) -> Iterator[None]:
        with anyio.move_on_after(self._patience) as scope:
            yield
        _require(not scope.cancelled_caught, f"{otherwise}, within {self._patience:g} seconds")

    @contextmanager
    def _refused(self, method: str) -> Iterator[None]:
        with self._in_time(f"{method}() of a closed socket waits"):
            try:
                yield
            except ClosedError:
                return
        raise AssertionError(f"{method}() of a closed socket does not raise ClosedError")


class _Receiver:
    """A task that calls ``receive`` once and keeps what came of it."""

    def __init__(self, socket: AsyncProbeSocket) -> None:
        self._socket = socket
        self.replies: Sequence[Reply] = ()
        self.error: Exception | None = None
        self.done = anyio.Event()

    async def run(self) -> None:
        try:
            self.replies = await self._socket.receive()
        except Exception as error:
            self.error = error
        self.done.set()
