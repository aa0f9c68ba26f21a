"""Echo requests that are on their way out, or out: who asked for them, and what became of them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import anyio

from traceprobe.sockets.windows._requests import TOKEN_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Probe, SentProbe
    from traceprobe.sockets.windows._echo import EchoHandle, EchoRequest


class Outstanding:
    """A probe that was sent, or is about to be."""

    __slots__ = ("handle", "probe", "report", "request", "sent_ns", "source", "told")

    def __init__(
        self,
        probe: Probe,
        request: EchoRequest,
        handle: EchoHandle,
        source: IPv4Address | IPv6Address | None,
    ) -> None:
        self.probe: Probe = probe
        self.request: EchoRequest = request
        self.handle: EchoHandle = handle
        self.source: IPv4Address | IPv6Address | None = source
        self.sent_ns: int = 0
        self.report: SentProbe | None = None
        self.told: bool = False
        """Whether whoever sent it has been given the report."""


class Lease:
    """What a trace has of this socket: a handle, and the probes that it has not given up."""

    __slots__ = ("handle", "probes", "token")

    def __init__(self, handle: EchoHandle) -> None:
        self.handle = handle
        self.token = secrets.token_bytes(TOKEN_SIZE)
        self.probes = 0


class Batch:
    """Probes on their way out: each is sent by a call of its own, which asks for the next.

    Args:
        probes: The probes.
        call: Has the reactor's thread call something.
        transmit: Sends one of them; called on the reactor's thread.
        tell: Told when all have been sent; called on the reactor's thread.
    """

    def __init__(
        self,
        probes: list[Outstanding],
        call: Callable[[Callable[[], None]], None],
        transmit: Callable[[Outstanding], None],
        tell: Callable[[Batch], None],
    ) -> None:
        self.probes = probes
        self.done: anyio.Event = anyio.Event()
        self.given_up = False
        self._call = call
        self._transmit = transmit
        self._tell = tell
        self._next = 0

    def step(self) -> None:
        """Send one probe; on the reactor's thread."""
        if self.given_up:
            return
        if self._next < len(self.probes):
            self._transmit(self.probes[self._next])
            self._next += 1
            # What completes meanwhile comes between.
            self._call(self.step)
        else:
            self._tell(self)

    def reports(self) -> list[SentProbe]:
        """What became of the probes."""
        return [sent.report for sent in self.probes if sent.report is not None]
