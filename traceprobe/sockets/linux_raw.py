"""Raw sockets of Linux: ICMP, ICMPv6 and UDP probes, with all that the network quotes back.

Needs ``CAP_NET_RAW``. One raw ICMP socket receives for all traces; for ICMP it sends too. UDP probes leave
by a raw UDP socket, so that their checksum can be their identifier, from a port that an ordinary UDP
socket holds; that one also takes what the destination answers by UDP. No ``IP_RECVERR`` here: raw sockets
see the ICMP errors themselves, and without it no error can get in the way of sending.
"""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol
from traceprobe.errors import PacketError
from traceprobe.ffi import linux
from traceprobe.model import ReplyKind
from traceprobe.packets import EchoMessage, IcmpError, ones_complement_sum, parse_icmp
from traceprobe.sockets import _linux_options as options
from traceprobe.sockets._filters import REJECT_ALL, packet_filter, type_filter
from traceprobe.sockets._linux_socket import LinuxProbeSocket, linux_capabilities
from traceprobe.sockets._modes import check_ports, choose_flow, quarantine_ns
from traceprobe.sockets._sockaddr import unpack_name
from traceprobe.sockets.codec import IcmpCodec, Refusal, UdpCodec, error_kind

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.sockets._control import Control
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.protocol import SocketCapabilities

FLOWS: Final = frozenset({FlowStrategy.PARIS, FlowStrategy.CLASSIC})
PROTOCOLS: Final = frozenset({Protocol.ICMP, Protocol.UDP})

_ICMP: Final = {AddressFamily.IPV4: socket.IPPROTO_ICMP, AddressFamily.IPV6: socket.IPPROTO_ICMPV6}
_GOOD_SUM: Final = 0xFFFF
_IPV4_TTL_AT: Final = 8  # RFC 791 section 3.1
_IPV4_LENGTH_MASK: Final = 0xF
_IPV4_LENGTH_UNIT: Final = 4


class UdpDescriptors(NamedTuple):
    """What UDP probes need beside the raw ICMP socket."""

    raw: socket.socket
    """Sends the probes; gets nothing but transmit stamps."""
    holder: socket.socket
    """Holds the source port, and gets what the destination answers by UDP."""
    epoll: select.epoll
    """Readable when any of the sockets is: one thing to wait on."""


class LinuxRawSocket(LinuxProbeSocket[IcmpCodec | UdpCodec]):
    """Probes through raw sockets; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked and applied already.
        codec: Makes and matches packets.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by.
        icmp: The raw ICMP socket.
        udp: What UDP probes need beside it.
    """

    def __init__(
        self,
        config: TracerouteConfig,
        codec: IcmpCodec | UdpCodec,
        capabilities: SocketCapabilities,
        clock: Clock,
        icmp: socket.socket,
        udp: UdpDescriptors | None,
    ) -> None:
        wait_on = icmp.fileno() if udp is None else udp.epoll.fileno()
        super().__init__(config, codec, capabilities, clock, wait_on)
        self._icmp = icmp
        self._udp = udp
        self._outgoing = icmp if udp is None else udp.raw
        self._source_needed = udp is not None
        # No ICMP error is ever pending on a raw socket, so none can get in the way.
        self._sender = self._make_sender(self._outgoing, None)

    def _drain_error_queue(self) -> int:
        return self._receiver.drain_errors(self._outgoing.fileno(), self._round_trips.stamp_came, None)

    def _drain_data(self) -> None:
        self._receiver.drain(self._icmp.fileno(), self._icmp_came)
        if self._udp is not None:
            self._receiver.drain(self._udp.holder.fileno(), self._datagram_came)

    def _close_descriptors(self) -> None:
        for opened in (self._icmp, *(self._udp or ())):
            opened.close()

    def _icmp_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(message.name)
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, data, reply_ttl = name[0], message.data, control.ttl
        if self._family is AddressFamily.IPV4:
            # The kernel has checked the IP header, which only IPv4 hands out, but not yet the ICMP checksum.
            reply_ttl = data[_IPV4_TTL_AT]
            data = data[(data[0] & _IPV4_LENGTH_MASK) * _IPV4_LENGTH_UNIT :]
            if ones_complement_sum(data) != _GOOD_SUM:
                self._refuse(Refusal.BAD_CHECKSUM)
                return
        try:
            parsed = parse_icmp(self._family, data)
        except PacketError:
            self._refuse(Refusal.MALFORMED)
            return
        outcome = self._codec.resolve(parsed, sender)
        if isinstance(parsed, IcmpError):
            self._answered(
                outcome,
                error_kind(self._family, parsed.type, parsed.code),
                sender,
                control.stamp_ns,
                now,
                icmp_type=parsed.type,
                icmp_code=parsed.code,
                reply_ttl=reply_ttl,
                quoted_ttl=parsed.quoted.ttl,
                mtu=parsed.mtu,
            )
            return
        self._answered(
            outcome,
            ReplyKind.ECHO_REPLY if isinstance(parsed, EchoMessage) else None,
            sender,
            control.stamp_ns,
            now,
            icmp_type=0 if self._family is AddressFamily.IPV4 else 129,
            icmp_code=0,
            reply_ttl=reply_ttl,
        )

    def _datagram_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        assert isinstance(self._codec, UdpCodec)
        name = unpack_name(message.name)
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, port = name
        outcome = self._codec.resolve_answer(sender, port, message.data)
        self._answered(outcome, ReplyKind.UDP_DATA, sender, control.stamp_ns, now, reply_ttl=control.ttl)


def open_linux_raw(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> LinuxRawSocket:
    """Open the sockets of this mode.

    Raises:
        PrivilegeError: The process must not open raw sockets, or must not set an option.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    mode = Mode.LINUX_RAW
    flow = choose_flow(config, mode, FLOWS, protocol=protocol)
    check_ports(config, mode, protocol)
    with ExitStack() as stack:
        icmp = stack.enter_context(options.open_socket(family, socket.SOCK_RAW, _ICMP[family]))
        options.configure(icmp, family, config)
        if config.source is not None:
            options.bind(icmp, family, config)
        granted = options.size_buffer(icmp, config.receive_buffer)
        stamps = options.ask_for_stamps(icmp)
        if family is AddressFamily.IPV6:  # IPv4 datagrams come with their header
            options.ask_for_ttl(icmp, family)
        codec: IcmpCodec | UdpCodec
        udp = None
        if protocol is Protocol.ICMP:
            codec = IcmpCodec(family, flow, quarantine_ns=quarantine_ns(config))
            identifier = codec.identifier
        else:
            udp = _open_udp(stack, config, family, icmp)
            identifier = options.bind(udp.holder, family, config, config.source_port or 0)
            codec = UdpCodec(family, flow, source_port=identifier, quarantine_ns=quarantine_ns(config))
            stamps = options.ask_for_stamps(udp.raw)
        if config.packet_size is not None:
            codec.check_size(config.packet_size)
        _filter_icmp(icmp, family, protocol, identifier, codec)
        capabilities = linux_capabilities(
            mode, codec, flows=FLOWS, timestamps=stamps, buffer=granted, sees_quoted_ttl=True
        )
        opened = LinuxRawSocket(config, codec, capabilities, clock, icmp, udp)
        stack.pop_all()
    return opened


def _open_udp(
    stack: ExitStack, config: TracerouteConfig, family: AddressFamily, icmp: socket.socket
) -> UdpDescriptors:
    raw = stack.enter_context(options.open_socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP))
    linux.attach_filter(raw, REJECT_ALL)
    options.configure(raw, family, config)
    if config.source is not None:
        options.bind(raw, family, config)
    holder = stack.enter_context(options.open_socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP))
    options.configure(holder, family, config)
    options.size_buffer(holder, config.receive_buffer)
    options.ask_for_stamps(holder)
    options.ask_for_ttl(holder, family)
    epoll = stack.enter_context(select.epoll())
    epoll.register(icmp, select.EPOLLIN)
    epoll.register(holder, select.EPOLLIN)
    epoll.register(raw, 0)  # an error queue is announced in any case
    return UdpDescriptors(raw, holder, epoll)


def _filter_icmp(
    icmp: socket.socket,
    family: AddressFamily,
    protocol: Protocol,
    identifier: int,
    codec: IcmpCodec | UdpCodec,
) -> None:
    level, option = (
        (linux.SOL_RAW, linux.ICMP_FILTER)
        if family is AddressFamily.IPV4
        else (linux.SOL_ICMPV6, linux.ICMPV6_FILTER)
    )
    icmp.setsockopt(level, option, type_filter(family, protocol))
    linux.attach_filter(icmp, packet_filter(family, protocol, identifier, codec.cookie, codec.cookie_at))
