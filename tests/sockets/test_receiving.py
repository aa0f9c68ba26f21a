"""What all probe sockets have in common hands out replies, and waits for nothing once it is closed."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel
import pytest

from traceprobe.errors import ClosedError
from traceprobe.loops import SystemClock
from traceprobe.model import Reply, ReplyKind, TimestampSource, make_probe_id
from traceprobe.sockets._receiving import ReceivingSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.model import Probe, ProbeId, SentProbe


class Waiter:
    """A descriptor that must not be waited for once it is closed: its number may be another's by then."""

    def __init__(self) -> None:
        self.closed = False

    async def wait_readable(self) -> None:
        assert not self.closed, "waits for what is closed"

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Socket(ReceivingSocket):
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        return ()

    def release(self, probes: Sequence[ProbeId]) -> None:
        pass

    def _drain(self) -> None:
        pass

    def _stop_sending(self) -> None:
        pass

    def _close_descriptors(self) -> None:
        pass


async def test_a_socket_that_is_closed_while_it_hands_out_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket = Socket(cast("Any", None), SystemClock(), Waiter())
    address = IPv4Address("192.0.2.1")
    socket.put_back([Reply(make_probe_id(1, 0), ReplyKind.ECHO_REPLY, address, 1, 2, TimestampSource.USER)])
    turn = anyio.lowlevel.checkpoint

    async def closed_meanwhile() -> None:
        await turn()
        await socket.aclose()

    monkeypatch.setattr(anyio.lowlevel, "checkpoint", closed_meanwhile)
    with pytest.raises(ClosedError):
        await socket.receive()
