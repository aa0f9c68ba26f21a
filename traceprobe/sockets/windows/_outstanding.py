"""Echo requests that are on their way out, or out: which trace they are of, and what became of them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from traceprobe.sockets.windows._requests import TOKEN_SIZE

if TYPE_CHECKING:
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
