"""Probe sockets whose ICMP errors come through the error queue (``IP_RECVERR``, ip(7)).

One descriptor sends, receives data, and holds in its error queue what the network said about its probes:
the destination, the error, who sent it, and what was quoted behind the headers that the kernel keeps to
itself.
"""

from __future__ import annotations

from abc import abstractmethod
from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Final

from traceprobe.config import AddressFamily
from traceprobe.model import ReplyKind
from traceprobe.model._reply import build_reply
from traceprobe.packets import find_extension
from traceprobe.sockets._addresses import ipv4_address, ipv6_address
from traceprobe.sockets.codec import NO_EXTENSION, Refusal, error_kind, read_extension
from traceprobe.sockets.linux._control import read_expiry
from traceprobe.sockets.linux._sockaddr import unpack_name
from traceprobe.sockets.linux._socket import CodecT, LinuxProbeSocket

if TYPE_CHECKING:
    import socket
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceiveArena, ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import Change, ProbeId
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.linux._control import Control, ExtendedError
    from traceprobe.sockets.protocol import SocketCapabilities


_WORD: Final = Struct("=I")
_RFC4884: Final = Struct("=HBx")
"""``struct sock_ee_data_rfc4884`` (linux/errqueue.h): offset of the extension in the data, flags."""
IP_HEADER: Final = {4: 20, 6: 40}
_EXPIRED: Final = {AddressFamily.IPV4: 11, AddressFamily.IPV6: 3}
_TARGETS: Final = {AddressFamily.IPV4: Struct("!2xH4s"), AddressFamily.IPV6: Struct("!2xH4x16s")}
"""Port and address where they stand in the socket address of a destination."""


def split_quote(
    family: AddressFamily, data: memoryview, hidden: int, error: ExtendedError
) -> tuple[memoryview, memoryview]:
    """Tell the quote in an entry of an error queue from the extension structure behind it.

    The kernel names the place where it has checked a compliant message (``IP_RECVERR_RFC4884``); the old
    kind, and that of older kernels, is found at its fixed place.

    Args:
        family: Address family.
        data: The entry's data: the quoted datagram without its first headers, and what follows it.
        hidden: How many bytes of headers that is.
        error: What the kernel says about it.

    Returns:
        Quote and structure; either may be empty.
    """
    if not len(data):
        return data, data
    place, flags = _RFC4884.unpack(_WORD.pack(error.data))
    quoted_length = 0 if flags or not place else place + hidden
    structure = find_extension(int(family), data, hidden, quoted_length=quoted_length)
    return data[: len(data) - len(structure)], structure


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
        super().__init__(config, codec, capabilities, clock, opened.fileno(), (opened,))
        self._opened = opened
        self._unpack_target = _TARGETS[codec.family].unpack_from
        self._expired_type = _EXPIRED[codec.family]
        self._sender = self._make_sender(opened, self._drain_some_errors)

    _hidden_transport: ClassVar[int]
    """Bytes of the quoted transport header that the error queue does not show."""

    @abstractmethod
    def _resolve_error(
        self,
        destination: IPv4Address | IPv6Address,
        port: int,
        quote: memoryview,
        sender: IPv4Address | IPv6Address,
        now: ClockReading,
    ) -> ProbeId | Refusal:
        """Find the probe by what the error queue shows of it."""

    def _take_note(self, probe: ProbeId, quote: memoryview, sender: IPv4Address | IPv6Address) -> None:
        """Note that a probe has been answered."""

    @abstractmethod
    def _changes(self, probe: ProbeId, quote: memoryview) -> tuple[Change, ...]:
        """What the quote shows of what the path did to the probe."""

    @abstractmethod
    def _data_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        """Handle what came as data."""

    @abstractmethod
    def _recognise(self, destination: bytes, port: int, quote: bytes) -> ProbeId | None:
        """Find the probe that went to a place and that is quoted just as it was sent; None to look closer."""

    def _drain_error_queue(self, most_rounds: int | None = None) -> int:
        return self._receiver.drain_errors(
            self._opened.fileno(),
            self._round_trips.stamps_came,
            self._error_came,
            most_rounds,
            self._expiry_came,
        )

    def _drain_some_errors(self) -> int:
        # Enough to see whether there are any: who floods us with errors must not keep us from sending.
        return self._drain_error_queue(1)

    def _drain_data(self) -> int:
        return self._receiver.drain(self._opened.fileno(), self._data_came)

    def _close_descriptors(self) -> None:
        self._opened.close()

    def _expiry_came(
        self, arena: ReceiveArena, slot: int, control_length: int, length: int, now: ClockReading
    ) -> bool:
        """Take in a time-exceeded without any peculiarity; whether it was one."""
        found = read_expiry(arena.controls, slot * arena.control_size, control_length)
        if found is None:
            return False
        stamp_ns, reply_ttl, offender, index = found
        port, destination = self._unpack_target(arena.names, slot * arena.name_size)
        start = slot * arena.data_size
        probe = self._recognise(destination, port, bytes(arena.data[start : start + length]))
        trip = None if probe is None else self._round_trips.measured(probe, stamp_ns, now)
        if probe is None or trip is None:
            return False
        rtt_ns, received_ns, source, sent_at_ns = trip
        is_ipv4 = self._family is AddressFamily.IPV4
        self._ready.append(
            build_reply(
                probe,
                ReplyKind.TIME_EXCEEDED,
                ipv4_address(offender) if is_ipv4 else ipv6_address(offender, index),
                rtt_ns,
                received_ns,
                source,
                sent_at_ns,
                self._expired_type,
                0,
                reply_ttl,
            )
        )
        return True

    def _error_came(
        self, message: ReceivedMessage, control: Control, error: ExtendedError, now: ClockReading
    ) -> None:
        target = unpack_name(message.name)
        if target is None or error.offender is None:
            self._refuse(Refusal.MALFORMED)
            return
        hidden = IP_HEADER[self._family] + self._hidden_transport
        quote, structure = split_quote(self._family, message.data, hidden, error)
        outcome = self._resolve_error(*target, quote, error.offender, now)
        if isinstance(outcome, Refusal):
            self._refuse(outcome)
            return
        kind = error_kind(self._family, error.type, error.code)
        if kind is not None:
            self._take_note(outcome, quote, error.offender)
        self._answered(
            outcome,
            kind,
            error.offender,
            control.stamp_ns,
            now,
            icmp_type=error.type,
            icmp_code=error.code,
            reply_ttl=control.ttl,
            mtu=error.info or None if kind is ReplyKind.PACKET_TOO_BIG else None,
            extension=read_extension(structure) if len(structure) else NO_EXTENSION,
            changes=self._changes(outcome, quote),
        )
