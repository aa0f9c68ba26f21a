"""Raw sockets of Linux: ICMP, ICMPv6, UDP and TCP probes, with all that the network quotes back.

Needs ``CAP_NET_RAW``. One raw ICMP socket receives for all traces; for ICMP it sends too. UDP and TCP
probes leave by a raw socket of their own, so that checksum or sequence number can be their identifier, from
a port that an ordinary socket holds. UDP answers come to that one; TCP answers to the raw socket, behind a
filter that passes nothing else, and the kernel itself resets what it knows no connection of. No
``IP_RECVERR`` here: raw sockets see the ICMP errors themselves, and without it no error can get in the way
of sending.
"""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from random import SystemRandom
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol
from traceprobe.errors import ConfigError, PacketError, TraceprobeError
from traceprobe.ffi import linux
from traceprobe.model import ReplyKind
from traceprobe.packets import ones_complement_sum, parse_icmp
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets.codec import IcmpCodec, Refusal, read_answer
from traceprobe.sockets.linux import _options as options
from traceprobe.sockets.linux._filters import REJECT_ALL, packet_filter, segment_filter, type_filter
from traceprobe.sockets.linux._labels import prepare_flow_labels
from traceprobe.sockets.linux._ordinary import take_in_ipv4, take_in_ipv6
from traceprobe.sockets.linux._sockaddr import unpack_name
from traceprobe.sockets.linux._socket import LinuxProbeSocket, codec_options, linux_capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.config import TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceiveArena, ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId, SentProbe
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.codec import TcpCodec, UdpCodec
    from traceprobe.sockets.linux._control import Control
    from traceprobe.sockets.linux._handshakes import Connection, Handshakes
    from traceprobe.sockets.protocol import SocketCapabilities

_ICMP: Final = {AddressFamily.IPV4: socket.IPPROTO_ICMP, AddressFamily.IPV6: socket.IPPROTO_ICMPV6}
_GOOD_SUM: Final = 0xFFFF
_FIRST_STAMPS: Final = 16
"""Transmit stamps that are read before the nearest routers' answers: three each for the first five."""
_FIRST_PORT: Final = 0x4000
_LAST_PORT: Final = 0x7FFF
_IPV4_TTL_AT: Final = 8  # RFC 791 section 3.1
_IPV4_LENGTH_MASK: Final = 0xF
_IPV4_LENGTH_UNIT: Final = 4


class TransportDescriptors(NamedTuple):
    """What UDP and TCP probes need beside the raw ICMP socket."""

    raw: socket.socket
    """Sends the probes. Gets transmit stamps, and the segments that answer TCP probes."""
    holder: socket.socket
    """Holds the source port, and gets what the destination answers by UDP."""
    epoll: select.epoll
    """Readable when any of the sockets is: one thing to wait on."""


class LinuxRawSocket(LinuxProbeSocket["IcmpCodec | UdpCodec | TcpCodec"]):
    """Probes through raw sockets; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked and applied already.
        codec: Makes and matches packets.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by.
        icmp: The raw ICMP socket.
        transport: What UDP and TCP probes need beside it.
    """

    def __init__(
        self,
        config: TracerouteConfig,
        codec: IcmpCodec | UdpCodec | TcpCodec,
        capabilities: SocketCapabilities,
        clock: Clock,
        icmp: socket.socket,
        transport: TransportDescriptors | None,
    ) -> None:
        self._tcp = _tcp_of(codec)
        wait_on = icmp.fileno() if transport is None else transport.epoll.fileno()
        receivers = [icmp]
        if transport is not None:
            receivers.append(transport.holder if self._tcp is None else transport.raw)
        super().__init__(config, codec, capabilities, clock, wait_on, receivers)
        self._icmp = icmp
        self._transport = transport
        self._outgoing = icmp if transport is None else transport.raw
        self._source_needed = transport is not None
        # No ICMP error is ever pending on a raw socket, so none can get in the way.
        self._sender = self._make_sender(self._outgoing, None)
        self._handshakes: Handshakes | None = None
        if self._tcp is not None and codec.flow is not FlowStrategy.CLASSIC:
            from traceprobe.sockets.linux._handshakes import Handshakes

            self._handshakes = Handshakes(self._tcp.connection_of)
        # Connections of probes that had been given up when their SYN-ACK came.
        self._freed: list[Connection] = []

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given; see :meth:`AsyncProbeSocket.send_probes`."""
        handshakes = self._handshakes
        if handshakes is None:
            return await super().send_probes(probes)
        try:
            handshakes.sent(probes)
            reports = await super().send_probes(probes)
        except BaseException:
            handshakes.released([probe.id for probe in probes])
            raise
        handshakes.released([report.probe_id for report in reports if report.error is not None])
        return reports

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up."""
        super().release(probes)
        if self._handshakes is not None and (again := self._handshakes.released(probes)):
            super().release(again)

    def _drain(self) -> None:
        handshakes = self._handshakes
        if handshakes is None:
            super()._drain()
            return
        known = len(self._ready)
        super()._drain()
        if self._freed or len(self._ready) > known:
            freed, self._freed = self._freed, []
            self._ready[known:], useless, again = handshakes.read(self._ready[known:], freed)
            if useless:
                super().release(useless)
            if again:
                self._send_again(again)

    def _send_again(self, probes: Sequence[Probe]) -> None:
        """Send probes that came to a destination while it was busy; at worst they stay unanswered."""
        try:
            sendable, batch, _ = self._encode(probes, {})
        except TraceprobeError:  # there are no identifiers left
            return
        if not sendable:
            return

        def sent(start: int, stop: int, now: ClockReading, number: int) -> None:
            self._round_trips.sent([probe.id for probe in sendable[start:stop]], now, number)

        taken = self._sender.send_now(batch, sent)
        self._codec.withdraw([probe.id for probe in sendable[taken:]])

    _errors_are_stamps = True

    def _drain_error_queue(self) -> int:
        return self._receiver.drain_errors(self._outgoing.fileno(), self._round_trips.stamps_came, None)

    def _drain_error_queue_in_part(self) -> None:
        descriptor, stamps_came = self._outgoing.fileno(), self._round_trips.stamps_came
        self._receiver.drain_errors(descriptor, stamps_came, None, most_rounds=1, most=_FIRST_STAMPS)

    def _drain_data(self) -> int:
        receiver = self._receiver
        if self._transport is None:
            return receiver.drain(self._icmp.fileno(), self._icmp_came, self._messages_came)
        if self._tcp is not None:
            errors = receiver.drain(self._icmp.fileno(), self._icmp_came)
            return errors + receiver.drain(self._transport.raw.fileno(), self._segment_came)
        errors = receiver.drain(self._icmp.fileno(), self._icmp_came, self._messages_came)
        return errors + receiver.drain(self._transport.holder.fileno(), self._datagram_came)

    def _close_descriptors(self) -> None:
        for opened in (self._icmp, *(self._transport or ())):
            opened.close()

    def _messages_came(self, arena: ReceiveArena, count: int, now: ClockReading) -> None:
        """Take in what has come to the ICMP socket: ordinary replies to echo and UDP probes at once."""
        codec = cast("IcmpCodec | UdpCodec", self._codec)
        take_in = take_in_ipv4 if self._family is AddressFamily.IPV4 else take_in_ipv6
        take_in(codec, self._round_trips, self._ready, arena, count, now, self._icmp_came)

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
        answer = read_answer(self._codec, parsed, sender)
        self._answer_came(answer, sender, control.stamp_ns, now, reply_ttl)

    def _segment_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(message.name)
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        from traceprobe.packets import parse_tcp  # loaded with the codec already

        sender, data, reply_ttl = name[0], message.data, control.ttl
        if self._family is AddressFamily.IPV4:
            reply_ttl = data[_IPV4_TTL_AT]
            data = data[(data[0] & _IPV4_LENGTH_MASK) * _IPV4_LENGTH_UNIT :]
        try:
            segment = parse_tcp(data)
        except PacketError:
            self._refuse(Refusal.MALFORMED)
            return
        codec = self._tcp
        assert codec is not None
        answer = read_answer(codec, segment, sender)
        if not isinstance(answer, Refusal) and not codec.is_intact(answer.probe_id, data, sender):
            answer = Refusal.BAD_CHECKSUM  # raw sockets get segments before the kernel has looked at them
        is_late = answer is Refusal.RELEASED and self._handshakes is not None
        if is_late and codec.segment_kind(segment) is ReplyKind.SYN_ACK:
            self._freed.append((segment.destination_port, int(sender), segment.source_port))
        self._answer_came(answer, sender, control.stamp_ns, now, reply_ttl)

    def _datagram_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(message.name)
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, port = name
        outcome = cast("UdpCodec", self._codec).resolve_answer(sender, port, message.data)
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
    facts = facts_of(Mode.LINUX_RAW, protocol)
    facts.check(config, family)
    flow = facts.choose_flow(config)
    with ExitStack() as stack:
        icmp = stack.enter_context(options.open_socket(family, socket.SOCK_RAW, _ICMP[family]))
        linux.attach_filter(icmp, REJECT_ALL)  # until it is known what to let in
        options.configure(icmp, family, config)
        if config.source is not None:
            options.bind(icmp, family, config)
        granted = options.size_buffer(icmp, config.receive_buffer)
        stamps = options.ask_for_stamps(icmp)
        if family is AddressFamily.IPV6:  # IPv4 datagrams come with their header
            options.ask_for_ttl(icmp, family)
        transport = None
        if protocol is not Protocol.ICMP:
            transport = _open_transport(stack, config, family, protocol, icmp)
            stamps = options.ask_for_stamps(transport.raw)
        codec = _make_codec(config, family, protocol, flow, icmp, transport)
        if config.packet_size is not None:
            codec.check_size(config.packet_size)
        _filter_icmp(icmp, family, codec)
        tcp = _tcp_of(codec)
        if transport is not None and tcp is not None:
            linux.attach_filter(transport.raw, segment_filter(family, tcp.source_port, tcp.source_ports))
        capabilities = linux_capabilities(facts, codec, timestamps=stamps, buffer=granted)
        opened = LinuxRawSocket(config, codec, capabilities, clock, icmp, transport)
        stack.pop_all()
    return opened


def _tcp_of(codec: IcmpCodec | UdpCodec | TcpCodec) -> TcpCodec | None:
    """The codec if it is that of TCP, whose module is imported only for such probes."""
    return cast("TcpCodec", codec) if codec.protocol is Protocol.TCP else None


def _make_codec(
    config: TracerouteConfig,
    family: AddressFamily,
    protocol: Protocol,
    flow: FlowStrategy,
    icmp: socket.socket,
    transport: TransportDescriptors | None,
) -> IcmpCodec | UdpCodec | TcpCodec:
    outgoing = icmp if transport is None else transport.raw
    labelled = prepare_flow_labels(outgoing, family, config, flow)
    common = codec_options(config, labelled=labelled)
    if transport is None:
        return IcmpCodec(family, flow, **common)
    if protocol is Protocol.UDP:
        from traceprobe.sockets.codec import UdpCodec

        source_port = options.bind(transport.holder, family, config, config.source_port or 0)
        return UdpCodec(family, flow, source_port=source_port, **common)
    from traceprobe.sockets.codec import TcpCodec

    source_port = _hold_ports(transport.holder, family, config)
    is_first_port = config.source_port is not None
    return TcpCodec(family, flow, source_port=source_port, is_first_port=is_first_port, **common)


def _hold_ports(holder: socket.socket, family: AddressFamily, config: TracerouteConfig) -> int:
    """Bind the holder of the source ports of TCP probes to the first of them.

    It stands for all that follow it: whoever begins at a multiple of their number shares none with others
    that do, and each first port is held by one socket only. They lie below those that the kernel chooses
    for connections (net.ipv4.ip_local_port_range).
    """
    if config.source_port is not None:
        return options.bind(holder, family, config, config.source_port)
    from traceprobe.sockets.codec import SOURCE_PORTS

    firsts = range(_FIRST_PORT, _LAST_PORT, SOURCE_PORTS)
    for port in SystemRandom().sample(firsts, len(firsts)):
        try:
            return options.bind(holder, family, config, port)
        except ConfigError as error:
            if error.field != "source_port":
                raise
    return options.bind(holder, family, config)


def _open_transport(
    stack: ExitStack,
    config: TracerouteConfig,
    family: AddressFamily,
    protocol: Protocol,
    icmp: socket.socket,
) -> TransportDescriptors:
    is_tcp = protocol is Protocol.TCP
    number, kind = (
        (socket.IPPROTO_TCP, socket.SOCK_STREAM) if is_tcp else (socket.IPPROTO_UDP, socket.SOCK_DGRAM)
    )
    raw = stack.enter_context(options.open_socket(family, socket.SOCK_RAW, number))
    linux.attach_filter(raw, REJECT_ALL)
    options.configure(raw, family, config)
    if config.source is not None:
        options.bind(raw, family, config)
    holder = stack.enter_context(options.open_socket(family, kind, number))
    receiver = raw if is_tcp else holder
    options.size_buffer(receiver, config.receive_buffer)
    if not is_tcp:
        options.configure(holder, family, config)
        options.ask_for_stamps(holder)
    if not is_tcp or family is AddressFamily.IPV6:
        options.ask_for_ttl(receiver, family)
    epoll = stack.enter_context(select.epoll())
    epoll.register(icmp, select.EPOLLIN)
    epoll.register(receiver, select.EPOLLIN)
    if not is_tcp:
        epoll.register(raw, 0)  # an error queue is announced in any case
    return TransportDescriptors(raw, holder, epoll)


def _filter_icmp(icmp: socket.socket, family: AddressFamily, codec: IcmpCodec | UdpCodec | TcpCodec) -> None:
    level, option = (
        (linux.SOL_RAW, linux.ICMP_FILTER)
        if family is AddressFamily.IPV4
        else (linux.SOL_ICMPV6, linux.ICMPV6_FILTER)
    )
    protocol = codec.protocol
    icmp.setsockopt(level, option, type_filter(family, protocol))
    identifier = codec.identifier if isinstance(codec, IcmpCodec) else codec.source_port
    tcp = _tcp_of(codec)
    count = 1 if tcp is None else tcp.source_ports
    program = packet_filter(family, protocol, identifier, codec.cookie, codec.cookie_at, count=count)
    linux.attach_filter(icmp, program)
