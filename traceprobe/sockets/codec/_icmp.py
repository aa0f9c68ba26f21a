"""ICMP and ICMPv6 echo probes on the wire (RFC 792, RFC 4443 section 4.1).

The sequence number is the identifier of a probe, the ICMP identifier that of the socket. A router that
balances load by flow hashes the ICMP checksum: with a constant flow a payload word balances the sequence
number, so that the checksum is the same for all probes of a trace.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

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
from traceprobe.sockets.codec._identifiers import RandomPool
from traceprobe.sockets.codec._ordinary import LONGEST_SEGMENT
from traceprobe.sockets.codec._recognise import Recogniser
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import (
    TOKEN_SIZE,
    TRANSPORT_HEADER,
    Template,
    copies,
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
_CHECKSUM_AT: Final = 2
_CHECKSUM: Final = slice(2, 4)
_SEQUENCE_AT: Final = 6
_BALANCE_AT: Final = 8
_LAST_SEQUENCE: Final = 0xFFFF


class IcmpCodec(Recogniser):
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
    longest_kept = LONGEST_SEGMENT
    _ip_protocol = _PROTOCOL
    _echoed = True

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

    def recognise_quote(self, destination: bytes, quote: bytes) -> ProbeId | None:
        """Recognise a probe that an error queue quotes just as it was sent.

        Whatever is different in anything is left to :meth:`resolve_quote`, as in
        :meth:`Recogniser.recognise_each`.

        Args:
            destination: Where it went, packed.
            quote: What is quoted, from the ICMP header on.
        """
        if len(quote) < TRANSPORT_HEADER:
            return None
        return self._recognise_at(quote[_SEQUENCE_AT] << 8 | quote[_SEQUENCE_AT + 1], destination, quote, 0)

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
        base = template.base
        # In the arithmetic of checksums, which is modulo 0xffff: what is missing to nothing.
        balances = [-(base + identifier) % 0xFFFF for identifier in identifiers]
        balance_at = _BALANCE_AT if self._constant else _CHECKSUM_AT
        return copies(template.buffer, len(identifiers), (_SEQUENCE_AT, identifiers), (balance_at, balances))

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
