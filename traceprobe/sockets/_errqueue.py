"""Probe sockets whose ICMP errors come through the error queue (``IP_RECVERR``, ip(7)).

One descriptor sends, receives data, and holds in its error queue what the network said about its probes:
the destination, the error, who sent it, and what was quoted behind the headers that the kernel keeps to
itself.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from traceprobe.model import ReplyKind
from traceprobe.sockets._linux_socket import CodecT, LinuxProbeSocket
from traceprobe.sockets._sockaddr import unpack_name
from traceprobe.sockets.codec import Refusal, error_kind

if TYPE_CHECKING:
    import socket
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import ProbeId
    from traceprobe.sockets._control import Control, ExtendedError
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.protocol import SocketCapabilities


class ErrorQueueSocket(LinuxProbeSocket[CodecT]):
    """Base of the modes that need no privileges.

    Args:
        config: The configuration, checked and applied already.
        codec: Makes and matches packets.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by.
        opened: The socket.
    """

    def __init__(
        self,
        config: TracerouteConfig,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        opened: socket.socket,
    ) -> None:
        super().__init__(config, codec, capabilities, clock, opened.fileno())
        self._opened = opened
        self._sender = self._make_sender(opened, self._drain_error_queue)

    @abstractmethod
    def _resolve_error(
        self, destination: IPv4Address | IPv6Address, port: int, quote: memoryview
    ) -> ProbeId | Refusal:
        """Find the probe by what the error queue shows of it."""

    @abstractmethod
    def _data_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        """Handle what came as data."""

    def _drain_error_queue(self) -> int:
        return self._receiver.drain_errors(
            self._opened.fileno(), self._round_trips.stamp_came, self._error_came
        )

    def _drain_data(self) -> None:
        self._receiver.drain(self._opened.fileno(), self._data_came)

    def _close_descriptors(self) -> None:
        self._opened.close()

    def _error_came(
        self, message: ReceivedMessage, control: Control, error: ExtendedError, now: ClockReading
    ) -> None:
        target = unpack_name(message.name)
        if target is None or error.offender is None:
            self._refuse(Refusal.MALFORMED)
            return
        kind = error_kind(self._family, error.type, error.code)
        self._answered(
            self._resolve_error(*target, message.data),
            kind,
            error.offender,
            control.stamp_ns,
            now,
            icmp_type=error.type,
            icmp_code=error.code,
            reply_ttl=control.ttl,
            mtu=error.info or None if kind is ReplyKind.PACKET_TOO_BIG else None,
        )
