"""TCP probes on the wire: SYN segments (RFC 9293 section 3.10.7), and the segments and errors that answer.

The sequence number is the identifier of a probe: four bytes among the eight that every router quotes, drawn
so that nobody outside can guess them, and what a host acknowledges. With a constant flow both ports stay
the same in a trace, and traces that run side by side have source ports of their own, since a host takes up
one connection of a flow at a time; in the classic way the source port varies. The options are those of an
ordinary SYN, since some firewalls drop others.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.config import Protocol
from traceprobe.errors import ConfigError, PacketError, UsageError
from traceprobe.model import Change, ChangedField, ReplyKind, trace_of
from traceprobe.packets import (
    IcmpError,
    IpProtocol,
    TcpFlag,
    TcpSegment,
    ones_complement_sum,
    parse_quoted_tcp,
    pseudo_header_sum,
)
from traceprobe.sockets.codec._identifiers import LAST_PORT, SequencePool
from traceprobe.sockets.codec._ledger import ProbeCodec
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import COOKIE_SIZE, IP_HEADER, TRANSPORT_HEADER, Template

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from traceprobe.config import AddressFamily, FlowStrategy
    from traceprobe.model import Probe, ProbeId
    from traceprobe.packets import EchoMessage, IcmpOther, UdpDatagram

DEFAULT_TCP_PORT: Final = 80
"""HTTP (RFC 9110), the port that is open in most places, and let through in more."""

SOURCE_PORTS: Final = 512
"""How many source ports, from the first one on, flows and classic probes are spread over."""

_HEADER: Final = Struct("!HHIIHHHH")
_HEADER_SIZE: Final = 20
_SEQUENCE_BITS: Final = 32
_SEQUENCE_MASK: Final = 0xFFFFFFFF
_PATCHED: Final = Struct("!HHI")
_WORD: Final = Struct("!H")
_CHECKSUM_AT: Final = 16
_GOOD_SUM: Final = 0xFFFF
_FLAGS_AT: Final = 12
_WINDOW: Final = 64240  # 44 segments of 1460 bytes, what most hosts open with
# MSS 1460 (RFC 9293 section 3.7.1), SACK permitted (RFC 2018), time stamps (RFC 7323 section 3.2), window
# scale 7 (RFC 7323 section 2.2): twenty bytes.
_OPTIONS_FRONT: Final = bytes((2, 4, 0x05, 0xB4, 4, 2, 8, 10))
_OPTIONS_BACK: Final = bytes((0, 0, 0, 0, 1, 3, 3, 7))
_OPTIONS_SIZE: Final = len(_OPTIONS_FRONT) + COOKIE_SIZE + len(_OPTIONS_BACK)
_STAMP_AT: Final = _HEADER_SIZE + len(_OPTIONS_FRONT)


class TcpCodec(ProbeCodec):
    """SYN segments, and what answers them.

    Args:
        family: Address family of all destinations.
        flow: ``PARIS`` and ``DUBLIN`` keep both ports of a flow constant, the flow's number being added to
            the source port of the trace; ``CLASSIC`` varies the source port with every probe.
        source_port: The first source port; ``SOURCE_PORTS`` of them are used.
        is_first_port: Whether every trace begins with the first source port, instead of with one of its own.
        quarantine_ns: How long the sequence number of a released probe rests, nanoseconds.
        default_port: Destination port of probes that name none.
        random: Source of sequence numbers; None is the operating system's.
        secret: Key that what identifies a socket's packets is derived with; None draws one.
        payload_pattern: As in :class:`ProbeCodec`, like all that follow.
        labelled: Whether flow labels can be set.
        flow_label: The flow label.
    """

    protocol = Protocol.TCP

    def __init__(
        self,
        family: AddressFamily,
        flow: FlowStrategy,
        *,
        source_port: int,
        quarantine_ns: int,
        is_first_port: bool = False,
        default_port: int = DEFAULT_TCP_PORT,
        random: Random | None = None,
        secret: bytes | None = None,
        payload_pattern: bytes | None = None,
        labelled: bool = False,
        flow_label: int | None = None,
    ) -> None:
        super().__init__(
            family,
            flow,
            quarantine_ns=quarantine_ns,
            random=random,
            secret=secret,
            payload_pattern=payload_pattern,
            labelled=labelled,
            flow_label=flow_label,
        )
        self.source_port = source_port
        self.default_port = default_port
        self._is_first_port = is_first_port
        self._token_at = _STAMP_AT
        self._pool = SequencePool(self._random)
        # Whoever knows the first source port shall not know that of the first trace, or the first probe.
        self._first = 0 if is_first_port else self._random.randrange(SOURCE_PORTS)
        self._turn = self._first % self.source_ports

    @property
    def source_ports(self) -> int:
        """How many source ports there are, from ``source_port`` on."""
        return min(SOURCE_PORTS, LAST_PORT + 1 - self.source_port)

    @property
    def capacity(self) -> int:
        """Most probes that can be outstanding at once."""
        return 1 << _SEQUENCE_BITS

    @property
    def minimum_size(self) -> int:
        """Bytes of the smallest probe, IP header included."""
        return IP_HEADER[self.family] + _HEADER_SIZE

    def resolve(
        self,
        message: EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment,
        sender: IPv4Address | IPv6Address,
    ) -> ProbeId | Refusal:
        """Find the probe that a segment or an ICMP error answers; see :meth:`ProbeCodec.resolve`."""
        if isinstance(message, IcmpError):
            quoted = message.quoted
            if quoted.protocol != IpProtocol.TCP:
                return Refusal.FOREIGN
            if quoted.fragment_offset:
                return Refusal.MALFORMED
            return self.resolve_quote(quoted.destination, quoted.transport)
        if isinstance(message, TcpSegment):
            return self._resolve_segment(message, sender)
        return Refusal.FOREIGN

    def resolve_quote(
        self, destination: IPv4Address | IPv6Address, transport: memoryview
    ) -> ProbeId | Refusal:
        """Find the probe that is quoted from its TCP header on."""
        if len(transport) < TRANSPORT_HEADER:
            return Refusal.MALFORMED
        source_port, port, sequence = _PATCHED.unpack_from(transport)
        stamped = bytes(transport[_STAMP_AT : _STAMP_AT + COOKIE_SIZE]) == self._cookie
        reason = Refusal.REWRITTEN if stamped else Refusal.UNMATCHED
        if not self._is_ours(source_port):
            return reason if stamped else Refusal.FOREIGN
        return self._find(source_port, port, sequence, destination, reason)

    def is_intact(self, probe: ProbeId, data: memoryview, sender: IPv4Address | IPv6Address) -> bool:
        """Whether the checksum of a segment that answers a probe is right.

        A segment that has never left this machine may bear the sum of its pseudo-header instead, which
        hardware would have completed (the kernel's ``CHECKSUM_PARTIAL``).

        Args:
            probe: The probe that it was resolved to.
            data: The segment.
            sender: Its source address.
        """
        source = self._probes[self._identifiers[probe]][1].source
        if source is None:
            return True
        initial = pseudo_header_sum(sender, source, IpProtocol.TCP, len(data))
        (checksum,) = _WORD.unpack_from(data, _CHECKSUM_AT)
        return ones_complement_sum(data, initial) == _GOOD_SUM or checksum == initial

    def connection_of(self, probe: Probe) -> tuple[int, int, int]:
        """The connection that a probe with a constant flow would open.

        Args:
            probe: The probe, sent or not.

        Returns:
            Source port, destination address as a number, destination port.

        Raises:
            ConfigError: There is no such flow.
        """
        port = self._port_of(probe)
        source_port = self.source_port + self._port_of_flow(trace_of(probe.id), probe.flow)
        return source_port, int(probe.destination), port

    def kind_of(self, message: EchoMessage | IcmpOther | UdpDatagram | TcpSegment) -> ReplyKind | None:
        """What a segment that answers a probe says; see :meth:`ProbeCodec.kind_of`."""
        return self.segment_kind(message) if isinstance(message, TcpSegment) else None

    def segment_kind(self, segment: TcpSegment) -> ReplyKind | None:
        """What a segment that answers a probe says about the port; None if it says nothing."""
        flags = segment.flags & (TcpFlag.SYN | TcpFlag.ACK | TcpFlag.RST)
        if flags == TcpFlag.SYN | TcpFlag.ACK:
            return ReplyKind.SYN_ACK
        return ReplyKind.RST if flags == TcpFlag.RST | TcpFlag.ACK else None

    def _resolve_segment(self, segment: TcpSegment, sender: IPv4Address | IPv6Address) -> ProbeId | Refusal:
        if not self._is_ours(segment.destination_port) or not segment.flags & TcpFlag.ACK:
            return Refusal.FOREIGN
        source_port, port = segment.destination_port, segment.source_port
        sequence = segment.acknowledgement - 1 & _SEQUENCE_MASK
        outcome = self._find(source_port, port, sequence, sender, Refusal.UNMATCHED)
        if outcome is not Refusal.UNMATCHED:
            return outcome
        # A host that refuses acknowledges the data as well, if the SYN carried some.
        for size in {len(template.buffer) - template.token_end for template in self._templates.values()}:
            acknowledged = sequence - size & _SEQUENCE_MASK
            outcome = self._find(source_port, port, acknowledged, sender, Refusal.UNMATCHED)
            if outcome is not Refusal.UNMATCHED:
                return outcome
        return Refusal.UNMATCHED

    def _is_ours(self, port: int) -> bool:
        return 0 <= port - self.source_port < self.source_ports

    def _find(
        self,
        source_port: int,
        port: int,
        sequence: int,
        destination: IPv4Address | IPv6Address,
        otherwise: Refusal,
    ) -> ProbeId | Refusal:
        found = self._probes.get(source_port - self.source_port << _SEQUENCE_BITS | sequence)
        if found is None:
            return otherwise
        probe, template, _, _ = found
        if template.port != port or template.address != int(destination):
            # Thirty-two bits that nobody can guess: it is the probe, and something has redirected it.
            return Refusal.REWRITTEN
        return probe if probe in self._identifiers else Refusal.RELEASED

    def _port_of(self, probe: Probe) -> int:
        port = self.default_port if probe.port is None else probe.port
        if self._constant and probe.flow >= self.source_ports:
            raise ConfigError("flow", probe.flow, f"a flow number from 0 to {self.source_ports - 1} for TCP")
        return port

    def _place_token(self, template: Template, digest: bytes) -> None:
        del digest  # the sequence number identifies, and alone is beyond guessing
        room = len(template.buffer) - _HEADER_SIZE
        header = _HEADER_SIZE
        if room >= _OPTIONS_SIZE:
            header += _OPTIONS_SIZE
            template.buffer[_HEADER_SIZE:header] = _OPTIONS_FRONT + self._cookie + _OPTIONS_BACK
        template.token_end = header
        template.fill(header, self._pattern)

    def _fill(self, template: Template, digest: bytes) -> None:  # noqa: ARG002 - no field to derive
        if template.source is None:
            raise UsageError("the checksum of a TCP probe needs its source address")
        bits = (template.token_end // 4) << 12 | TcpFlag.SYN
        _HEADER.pack_into(template.buffer, 0, 0, template.port, 0, 0, bits, _WINDOW, 0, 0)
        initial = pseudo_header_sum(
            template.source, template.destination, IpProtocol.TCP, len(template.buffer)
        )
        template.base = ones_complement_sum(template.buffer, initial)

    def _take(self, template: Template, count: int) -> list[int] | None:
        sequences = self._pool.take(count)
        if self._constant:
            place = self._port_of_flow(template.key[0], template.flow) << _SEQUENCE_BITS
            return [place | sequence for sequence in sequences]
        turn, ports = self._turn, self.source_ports
        self._turn = (turn + count) % ports
        return [
            (turn + number) % ports << _SEQUENCE_BITS | sequence for number, sequence in enumerate(sequences)
        ]

    def _port_of_flow(self, trace: int, flow: int) -> int:
        """The source port of a constant flow, counted from the first one."""
        return (self._first + (0 if self._is_first_port else trace) + flow) % self.source_ports

    def _give_back(self, identifier: int, template: Template) -> None:  # noqa: ARG002 - one pool for all
        self._pool.give_back(identifier & _SEQUENCE_MASK)

    def _label_step(self, identifier: int, template: Template) -> int:  # noqa: ARG002 - as above
        return identifier >> _SEQUENCE_BITS

    def _segments(self, template: Template, identifiers: list[int]) -> list[bytes]:
        base, buffer, port = template.base, template.buffer, template.port
        segments = []
        for identifier in identifiers:
            sequence = identifier & _SEQUENCE_MASK
            source_port = self.source_port + (identifier >> _SEQUENCE_BITS)
            _PATCHED.pack_into(buffer, 0, source_port, port, sequence)
            _WORD.pack_into(buffer, _CHECKSUM_AT, _checksum(base, source_port, sequence))
            segments.append(bytes(buffer))
        return segments

    def _transport_changes(
        self,
        probe: ProbeId,  # noqa: ARG002 - the quote says which of its segments it is
        template: Template,
        transport: memoryview,
    ) -> Sequence[Change]:
        # Routers may fill short quotes up with zeros: only what has something behind it was shown.
        size = len(bytes(transport).rstrip(b"\0"))
        shown = transport[: max(size, TRANSPORT_HEADER)]
        changes: list[Change] = []
        if size < _FLAGS_AT + 2:
            return changes
        try:
            quoted = parse_quoted_tcp(shown)
        except PacketError:
            return changes
        _, _, _, _, bits, window, _, _ = _HEADER.unpack_from(template.buffer)
        if quoted.flags is not None and quoted.flags != bits & 0xFFF:
            changes.append(Change(ChangedField.TCP_FLAGS, bits & 0xFFF, quoted.flags))
        if quoted.window is not None and quoted.window != window:
            changes.append(Change(ChangedField.TCP_WINDOW, window, quoted.window))
        if quoted.checksum is not None:
            sent = _checksum(template.base, quoted.source_port, quoted.sequence)
            if quoted.checksum != sent:
                changes.append(Change(ChangedField.TRANSPORT_CHECKSUM, sent, quoted.checksum))
        options = bytes(template.buffer[_HEADER_SIZE : template.token_end])
        if quoted.options is not None and quoted.options != options:
            changes.append(Change(ChangedField.TCP_OPTIONS, options.hex(), quoted.options.hex()))
        return changes


def _checksum(base: int, source_port: int, sequence: int) -> int:
    total = base + source_port + (sequence >> 16) + (sequence & 0xFFFF)
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)


def connection_changes(transport: memoryview) -> tuple[Change, ...]:
    """What the path did to a SYN that a kernel has made: of that only some flags are certain.

    Args:
        transport: What is quoted, from the TCP header on.
    """
    shown = bytes(transport).rstrip(b"\0")
    if len(shown) <= _FLAGS_AT + 1:
        return ()
    # Kernels ask for explicit congestion notification or not (RFC 3168 section 6.1.1).
    flags = shown[_FLAGS_AT + 1] & ~(TcpFlag.ECE | TcpFlag.CWR)
    return () if flags == TcpFlag.SYN else (Change(ChangedField.TCP_FLAGS, int(TcpFlag.SYN), flags),)
