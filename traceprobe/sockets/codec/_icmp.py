"""ICMP and ICMPv6 echo probes on the wire (RFC 792, RFC 4443 section 4.1).

The sequence number is the identifier of a probe, the ICMP identifier that of the socket. A router that
balances load by flow hashes the ICMP checksum: with a constant flow a payload word balances the sequence
number, so that the checksum is the same for all probes of a trace.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily, Protocol
from traceprobe.errors import ConfigError
from traceprobe.model import Change, ChangedField
from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IpProtocol,
    ones_complement_sum,
    pseudo_header_sum,
)
from traceprobe.sockets.codec._changes import ipv4_header_sum
from traceprobe.sockets.codec._identifiers import RandomPool
from traceprobe.sockets.codec._ledger import ProbeCodec
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import (
    BALANCE_SIZE,
    IP_HEADER,
    TOKEN_SIZE,
    TRANSPORT_HEADER,
    Template,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from traceprobe.config import FlowStrategy
    from traceprobe.model import Probe, ProbeId
    from traceprobe.packets import IcmpOther, TcpSegment, UdpDatagram

_ECHO_REQUEST: Final = {AddressFamily.IPV4: 8, AddressFamily.IPV6: 128}
_PROTOCOL: Final = {AddressFamily.IPV4: IpProtocol.ICMP, AddressFamily.IPV6: IpProtocol.ICMPV6}
_HEADER: Final = Struct("!BBHHH")
_WORD: Final = Struct("!H")
_TWO_WORDS: Final = Struct("!HH")
_CHECKSUM_AT: Final = 2
_CHECKSUM: Final = slice(2, 4)
_SEQUENCE_AT: Final = 6
_LAST_SEQUENCE: Final = 0xFFFF

_EXPIRY: Final = Struct("!B7xB3x4s4x HxxI HHHHHHII HHHHH")
"""An IPv4 header, that of an ICMP error, the quoted IPv4 header, and the probe to its balancing word."""
_ICMP_AT: Final = 20
_LONGEST_PLAIN: Final = 20 + 8 + 128 + 4
"""An IPv4 datagram of this size may hold an extension structure (RFC 4884 section 5)."""
_PLAIN_IPV4: Final = 0x45
_TIME_EXCEEDED: Final = 0x0B00
_LAST_HOP_ICMP: Final = 0x0101
"""Quoted TTL and protocol where nothing is odd."""
_ECHO_WORD: Final = 0x0800
_OFFSET_MASK: Final = 0x1FFF
_NO_QUOTE: Final = (-1,)
"""Equal to nothing: quotes of this template need a closer look."""


class Expiry(NamedTuple):
    """What :meth:`IcmpCodec.recognise` has found: a probe whose TTL ran out, quoted just as it was sent."""

    probe_id: ProbeId
    sender: bytes
    """Source address of the message, packed."""
    reply_ttl: int


class IcmpCodec(ProbeCodec):
    """Echo requests, and the replies and errors that answer them.

    Args:
        family: Address family of all destinations.
        flow: ``PARIS`` and ``DUBLIN`` keep the checksum of each flow of a trace constant, and those of two
            flows apart; ``CLASSIC`` lets it vary.
        identifier: ICMP identifier of the socket; None draws one.
        quarantine_ns: How long the sequence number of a released probe rests, nanoseconds.
        random: Source of sequence numbers; None is the operating system's.
        secret: Key that tokens are derived with; None draws one.
        payload_pattern: As in :class:`ProbeCodec`, like all that follow.
        labelled: Whether flow labels can be set.
        flow_label: The flow label.
    """

    protocol = Protocol.ICMP

    def __init__(
        self,
        family: AddressFamily,
        flow: FlowStrategy,
        *,
        quarantine_ns: int,
        identifier: int | None = None,
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
        self.identifier: int = self._random.randrange(1, 0xFFFF) if identifier is None else identifier
        self._pool = RandomPool(0, _LAST_SEQUENCE, self._random)

    @property
    def capacity(self) -> int:
        """Most probes that can be outstanding at once."""
        return _LAST_SEQUENCE + 1

    def resolve(
        self,
        message: EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment,
        sender: IPv4Address | IPv6Address,
    ) -> ProbeId | Refusal:
        """Find the probe that an echo reply or an ICMP error answers; see :meth:`ProbeCodec.resolve`."""
        if isinstance(message, IcmpError):
            quoted = message.quoted
            if quoted.protocol != _PROTOCOL[self.family]:
                return Refusal.FOREIGN
            if quoted.fragment_offset:
                return Refusal.MALFORMED
            return self.resolve_quote(quoted.destination, quoted.transport)
        if isinstance(message, EchoMessage) and not message.is_request:
            return self.resolve_echo(message.identifier, message.sequence, message.payload, sender)
        return Refusal.FOREIGN

    def recognise(self, view: memoryview, start: int, end: int) -> Expiry | None:
        """Recognise the message that nearly all are, without taking it apart.

        That is an IPv4 time-exceeded without extensions that quotes an outstanding probe with nothing
        changed. Whatever is different in anything is left to :meth:`resolve`, which tells all there is to
        tell; what this recognises would come out there the same, at many times the cost.

        Args:
            view: Where the datagram stands.
            start: Its first byte, that of the IPv4 header.
            end: Behind its last byte.
        """
        if not _EXPIRY.size <= end - start < _LONGEST_PLAIN or (end - start) & 1:
            return None
        (
            outer,
            reply_ttl,
            sender,
            kind,
            unused,
            version,
            length,
            identification,
            fragment,
            ttl_and_protocol,
            header_checksum,
            source,
            destination,
            echo,
            checksum,
            identifier,
            sequence,
            balance,
        ) = _EXPIRY.unpack_from(view, start)
        found = self._probes.get(sequence)
        if found is None:
            return None
        probe, template, _ = found
        expected = template.quote or self._expect_quote(template)
        shown = (version, length, ttl_and_protocol, source, destination, echo, checksum, identifier)
        rest = view[start + _EXPIRY.size : end]
        header_sum = template.header_sum
        if (
            shown != expected
            or outer != _PLAIN_IPV4
            or kind != _TIME_EXCEEDED
            or unused
            or fragment & _OFFSET_MASK
            or header_sum is None
            or (header_sum + identification + fragment + (1 << 8) + header_checksum) % 0xFFFF
            or balance != self._balance(template, sequence)
            or rest != template.rest[: len(rest)]
            or probe not in self._identifiers
            or int.from_bytes(view[start + _ICMP_AT : end], "big") % 0xFFFF
        ):
            return None
        return Expiry(probe, sender, reply_ttl)

    def _expect_quote(self, template: Template) -> tuple[int, ...]:
        """What :meth:`recognise` compares quotes with; worked out once for each template."""
        source, traffic_class = template.source_number, self.sent_header.traffic_class
        is_ordinary = self.family is AddressFamily.IPV4 and self._constant
        if (
            not is_ordinary
            or source is None
            or traffic_class is None
            or self.sent_header.dont_fragment is not None
        ):
            template.quote = _NO_QUOTE
            return _NO_QUOTE
        length = IP_HEADER[self.family] + len(template.buffer)
        (checksum,) = _WORD.unpack_from(template.buffer, _CHECKSUM_AT)
        template.rest = bytes(template.buffer[TRANSPORT_HEADER + BALANCE_SIZE :])
        template.header_sum = ipv4_header_sum(template, traffic_class, IpProtocol.ICMP, length)
        template.quote = (
            _PLAIN_IPV4 << 8 | traffic_class,
            length,
            _LAST_HOP_ICMP,
            source,
            template.address,
            _ECHO_WORD,
            checksum,
            self.identifier,
        )
        return template.quote

    def resolve_quote(
        self, destination: IPv4Address | IPv6Address, transport: memoryview
    ) -> ProbeId | Refusal:
        """Find the probe that is quoted from its ICMP header on, as error queues show it."""
        if len(transport) < TRANSPORT_HEADER:
            return Refusal.MALFORMED
        kind, code, _, identifier, sequence = _HEADER.unpack_from(transport)
        payload = transport[TRANSPORT_HEADER:]
        if kind != _ECHO_REQUEST[self.family] or code != 0:
            return Refusal.FOREIGN
        if identifier != self.identifier:
            return self._refuse(payload, Refusal.FOREIGN)
        return self._match(sequence, destination, payload)

    def resolve_echo(
        self, identifier: int, sequence: int, payload: memoryview, sender: IPv4Address | IPv6Address
    ) -> ProbeId | Refusal:
        """Find the probe that an echo reply answers.

        A reply brings the payload back whole (RFC 1122 section 3.2.2.6), and with it the token, which only
        somebody who got the probe can know: the reply then counts wherever it comes from. A probe too
        small for a whole token must be answered by its destination.
        """
        if identifier != self.identifier:
            return self._refuse(payload, Refusal.FOREIGN)
        found = self._probes.get(sequence)
        vouched = found is not None and len(found[1].token) == TOKEN_SIZE
        return self._match(sequence, None if vouched else sender, payload, complete=True)

    def _port_of(self, probe: Probe) -> int:
        if probe.port is not None:
            raise ConfigError("port", probe.port, "None for ICMP, which has no ports; choose UDP or TCP")
        return 0

    def _fill(self, template: Template, digest: bytes) -> None:
        # Any checksum but the two forms of zero can be reached, and no kernel that fills it in itself
        # would write it another way. Neighbouring flows of a trace never share one.
        constant = 0
        if self._constant:
            constant = 1 + (int.from_bytes(digest[TOKEN_SIZE:]) + template.flow) % 0xFFFE
        _HEADER.pack_into(template.buffer, 0, _ECHO_REQUEST[self.family], 0, constant, self.identifier, 0)
        initial = 0
        if self.family is AddressFamily.IPV6 and template.source is not None:
            initial = pseudo_header_sum(
                template.source, template.destination, IpProtocol.ICMPV6, len(template.buffer)
            )
        template.base = ones_complement_sum(template.buffer, initial)

    def _take(self, template: Template, count: int) -> list[int] | None:  # noqa: ARG002 - one pool for all
        return self._pool.take(count)

    def _give_back(self, identifier: int, template: Template) -> None:  # noqa: ARG002 - as above
        self._pool.give_back(identifier)

    def _segments(self, template: Template, identifiers: list[int]) -> list[bytes]:
        base, buffer = template.base, template.buffer
        segments = []
        for identifier in identifiers:
            total = base + identifier
            balance = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
            if self._constant:
                _TWO_WORDS.pack_into(buffer, _SEQUENCE_AT, identifier, balance)
            else:
                _WORD.pack_into(buffer, _SEQUENCE_AT, identifier)
                _WORD.pack_into(buffer, _CHECKSUM_AT, balance)
            segments.append(bytes(buffer))
        return segments

    def _transport_changes(
        self,
        probe: ProbeId,  # noqa: ARG002 - the sequence number says all
        template: Template,
        transport: memoryview,
    ) -> Sequence[Change]:
        if self._constant and transport[_CHECKSUM] == template.buffer[_CHECKSUM]:
            return ()
        if self.family is AddressFamily.IPV6 and template.source is None:
            return ()  # the kernel has computed the checksum over an address that nobody knows
        _, _, checksum, _, sequence = _HEADER.unpack_from(transport)
        if self._constant:
            (sent,) = _WORD.unpack_from(template.buffer, _CHECKSUM_AT)
        else:
            sent = self._balance(template, sequence)
        if checksum == sent or {checksum, sent} == {0, 0xFFFF}:
            return ()
        return (Change(ChangedField.TRANSPORT_CHECKSUM, sent, checksum),)
