"""UDP probes on the wire (RFC 768).

Routers that balance load by flow hash the ports. With a constant flow both ports stay the same and the
checksum is the identifier of a probe; a payload word balances it. In the classic way the destination port
is the identifier, one of the lowest free ones from a base port up. Which probe gets which of them is left to
chance, and so is the payload's first word: whoever has seen one probe of a trace can't tell what others are.
"""

from __future__ import annotations

from struct import Struct, unpack
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily, Protocol
from traceprobe.errors import ConfigError, UsageError
from traceprobe.model import Change, ChangedField, ReplyKind
from traceprobe.packets import (
    IcmpError,
    IpProtocol,
    UdpDatagram,
    ones_complement_sum,
    pseudo_header_sum,
)
from traceprobe.sockets.codec._identifiers import LAST_PORT, PortPool, RandomPool
from traceprobe.sockets.codec._ordinary import LONGEST_SEGMENT
from traceprobe.sockets.codec._recognise import Recogniser
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import (
    BALANCE_SIZE,
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
    from traceprobe.packets import EchoMessage, IcmpOther, TcpSegment

DEFAULT_UDP_PORT: Final = 33434
"""Where traceroute has always begun; nothing listens there (RFC 6335 leaves it unassigned)."""

_HEADER: Final = Struct("!HHHH")
_PORT_AT: Final = 2
_CHECKSUM_AT: Final = 6
# 0 means that there is no checksum (RFC 768), and 0xffff is how a sum of 0 is written.
_FIRST_CHECKSUM: Final = 1
_LAST_CHECKSUM: Final = 0xFFFE


class UdpCodec(Recogniser):
    """UDP datagrams, and the errors and datagrams that answer them.

    Args:
        family: Address family of all destinations.
        flow: ``PARIS`` and ``DUBLIN`` keep both ports of a flow constant, the flow's number being added to
            the destination port; ``CLASSIC`` varies the destination port with every probe.
        source_port: Source port of all probes.
        quarantine_ns: How long the identifier of a released probe rests, nanoseconds.
        default_port: Destination port (the first one, for ``CLASSIC``) of probes that name none.
        random: Source of checksums; None is the operating system's.
        secret: Key that tokens are derived with; None draws one.
        payload_pattern: As in :class:`ProbeCodec`, like all that follow.
        labelled: Whether flow labels can be set.
        flow_label: The flow label.
    """

    protocol = Protocol.UDP
    longest_kept = LONGEST_SEGMENT
    _ip_protocol = dict.fromkeys(AddressFamily, IpProtocol.UDP)

    def __init__(
        self,
        family: AddressFamily,
        flow: FlowStrategy,
        *,
        source_port: int,
        quarantine_ns: int,
        default_port: int = DEFAULT_UDP_PORT,
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
        self._pool = RandomPool(_FIRST_CHECKSUM, _LAST_CHECKSUM, self._random)
        self._ports: dict[tuple[int, int], PortPool] = {}
        # In the classic way as well the token stands behind a word: identifier -> that word.
        self._token_at = TRANSPORT_HEADER + BALANCE_SIZE
        self._words: dict[int, bytes] = {}

    @property
    def capacity(self) -> int:
        """Most probes that can be outstanding at once; in the classic way, towards one destination."""
        if self._constant:
            return _LAST_CHECKSUM - _FIRST_CHECKSUM + 1
        return LAST_PORT - self.default_port + 1

    def resolve(
        self,
        message: EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment,
        sender: IPv4Address | IPv6Address,
    ) -> ProbeId | Refusal:
        """Find the probe that an ICMP error or a datagram answers; see :meth:`ProbeCodec.resolve`."""
        if isinstance(message, IcmpError):
            quoted = message.quoted
            if quoted.protocol != IpProtocol.UDP:
                return Refusal.FOREIGN
            if quoted.fragment_offset:
                return Refusal.MALFORMED
            return self._resolve_quote(quoted.destination, quoted.transport)
        if isinstance(message, UdpDatagram):
            if message.destination_port != self.source_port:
                return Refusal.FOREIGN
            return self.resolve_answer(sender, message.source_port, message.payload)
        return Refusal.FOREIGN

    def kind_of(self, message: EchoMessage | IcmpOther | UdpDatagram | TcpSegment) -> ReplyKind | None:
        """What a datagram that answers a probe says; see :meth:`ProbeCodec.kind_of`."""
        return ReplyKind.UDP_DATA if isinstance(message, UdpDatagram) else None

    def recognise_payload(self, destination: bytes, port: int, payload: bytes) -> ProbeId | None:
        """Recognise a classic probe that is quoted just as it was sent; see :meth:`resolve_payload`.

        Whatever is different in anything is left to that, which tells all there is to tell.

        Args:
            destination: Where it went, packed.
            port: To which port.
            payload: What is quoted behind its UDP header.
        """
        if self._constant:
            return None
        return self._recognise_at(
            int.from_bytes(destination) << 16 | port, destination, payload, TRANSPORT_HEADER
        )

    def resolve_payload(
        self, destination: IPv4Address | IPv6Address, port: int, payload: memoryview
    ) -> ProbeId | Refusal:
        """Find a classic probe by where it went and what is quoted behind its UDP header.

        This is all that the error queue of an unprivileged socket shows; whose socket it was, the kernel
        has found out.
        """
        return self._match(_place(destination) + port, destination, payload)

    def resolve_answer(
        self, sender: IPv4Address | IPv6Address, port: int, payload: memoryview
    ) -> ProbeId | Refusal:
        """Find the probe that a datagram from the probed port answers.

        In the classic way the port tells. With a constant flow only an answer that begins as its probe
        did, as that of an echo service does, says which one it answers.
        """
        if not self._constant:
            # Its payload is the service's own, so there is no token to compare.
            return self._match(_place(sender) + port, sender, payload[:0])
        template = self._token_in(payload)
        if template is None:
            asked = any(t.address == int(sender) and t.port == port for t in self._templates.values())
            return Refusal.AMBIGUOUS if asked else Refusal.FOREIGN
        if int(sender) != template.address or port != template.port:
            return Refusal.REWRITTEN
        return self._match(self._identifier_in(template, payload), sender, payload)

    def _token_in(self, payload: memoryview) -> Template | None:
        """The template whose whole token a payload shows."""
        return self._tokens.get(bytes(payload[self._token_at - TRANSPORT_HEADER :][:TOKEN_SIZE]))

    def _identifier_in(self, template: Template, payload: memoryview) -> int:
        """The identifier of a probe with a constant flow, by the word in front of its token."""
        # base + checksum + balance is 0xffff in ones' complement, which is arithmetic modulo 0xffff.
        balance = int.from_bytes(payload[:BALANCE_SIZE])
        return -(template.base + balance) % 0xFFFF

    def _resolve_quote(
        self, destination: IPv4Address | IPv6Address, transport: memoryview
    ) -> ProbeId | Refusal:
        if len(transport) < TRANSPORT_HEADER:
            return Refusal.MALFORMED
        source_port, port, _, checksum = _HEADER.unpack_from(transport)
        payload = transport[TRANSPORT_HEADER:]
        if source_port != self.source_port:
            return self._refuse(payload, Refusal.FOREIGN)
        if not self._constant:
            return self._match(_place(destination) + port, destination, payload)
        found = self._probes.get(checksum)
        if found is None or found[1].port != port or found[1].address != int(destination):
            # A translator changes the checksum with the addresses. The word in front of the token still
            # says which probe it is, and the token that it is one; ports and destination must be right.
            template = self._token_in(payload)
            if template is not None and template.port == port:
                return self._match(self._identifier_in(template, payload), destination, payload)
            return self._refuse(payload, Refusal.UNMATCHED)
        return self._match(checksum, destination, payload)

    def _port_of(self, probe: Probe) -> int:
        port = self.default_port if probe.port is None else probe.port
        if self._constant:
            port += probe.flow
        if not 1 <= port <= LAST_PORT:
            raise ConfigError("port", port, f"from 1 to {LAST_PORT}, the flow number included")
        return port

    def _fill(self, template: Template, digest: bytes) -> None:  # noqa: ARG002 - no field to derive
        length = len(template.buffer)
        _HEADER.pack_into(template.buffer, 0, self.source_port, template.port, length, 0)
        if template.source is not None:
            initial = pseudo_header_sum(template.source, template.destination, IpProtocol.UDP, length)
            template.base = ones_complement_sum(template.buffer, initial)
        elif self._constant:
            raise UsageError("the checksum of a UDP probe needs its source address")

    def _label_step(self, identifier: int, template: Template) -> int:
        return (identifier & LAST_PORT) - template.port

    def _transport_changes(
        self, probe: ProbeId, template: Template, transport: memoryview
    ) -> Sequence[Change]:
        _, port, length, checksum = _HEADER.unpack_from(transport)
        changes: list[Change] = []
        if length != len(template.buffer):
            changes.append(Change(ChangedField.UDP_LENGTH, len(template.buffer), length))
        if self._constant:
            found = self._probes.get(checksum)
            if found is None or found[0] != probe:
                changes.append(Change(ChangedField.TRANSPORT_CHECKSUM, self._identifiers[probe], checksum))
        elif template.source is not None:
            word = int.from_bytes(self._words[self._identifiers[probe]])
            sent = self._checksum(template.base - template.port + port + word)
            if checksum != sent:
                changes.append(Change(ChangedField.TRANSPORT_CHECKSUM, sent, checksum))
        return changes

    @staticmethod
    def _checksum(total: int) -> int:
        """The checksum that goes with a sum; a checksum of 0 is written the other way (RFC 768)."""
        return -total % 0xFFFF or 0xFFFF

    def _take(self, template: Template, count: int) -> list[int] | None:
        if self._constant:
            return self._pool.take(count)
        place = template.address << 16
        pool = self._ports.get((place, template.port)) or PortPool(template.port)
        ports = pool.take(count, place, self._probes)
        if ports is None:
            return None
        self._ports[place, template.port] = pool
        # In the order of random words, which are cheaper to have than a shuffle.
        chance = memoryview(self._random.randbytes(4 * count)).cast("I")
        return [place + port for _, port in sorted(zip(chance, ports, strict=True))]

    def _give_back(self, identifier: int, template: Template) -> None:
        if self._constant:
            self._pool.give_back(identifier)
            return
        self._words.pop(identifier, None)
        key = (template.address << 16, template.port)
        pool = self._ports[key]
        pool.give_back(identifier & LAST_PORT)
        if not pool.taken:
            del self._ports[key]

    def _segments(self, template: Template, identifiers: list[int]) -> list[bytes]:
        base, buffer = template.base, template.buffer
        if self._constant:
            # As in _balance: what is missing to nothing, in the arithmetic of checksums.
            balances = [-(base + identifier) % 0xFFFF for identifier in identifiers]
            constant = (_CHECKSUM_AT, identifiers), (TRANSPORT_HEADER, balances)
            return copies(buffer, len(identifiers), *constant)
        count = len(identifiers)
        ports = [identifier & LAST_PORT for identifier in identifiers]
        chance = self._random.randbytes(BALANCE_SIZE * count)
        self._words.update(zip(identifiers, unpack(f"{BALANCE_SIZE}s" * count, chance), strict=True))
        words = list(unpack(f"!{count}H", chance))
        columns = [(_PORT_AT, ports), (TRANSPORT_HEADER, words)]
        if template.source is not None:
            base -= template.port  # the base sum holds the base port
            sums = [self._checksum(base + port + word) for port, word in zip(ports, words, strict=True)]
            columns.append((_CHECKSUM_AT, sums))
        return copies(buffer, count, *columns)

    def _match(
        self,
        identifier: int,
        destination: IPv4Address | IPv6Address | None,
        payload: memoryview,
        *,
        complete: bool = False,
    ) -> ProbeId | Refusal:
        """Compare everything that a message shows of its probe; see :class:`ProbeCodec`."""
        if self._constant:
            return super()._match(identifier, destination, payload, complete=complete)
        word = self._words.get(identifier)
        if word is None:
            return self._refuse(payload, Refusal.UNMATCHED)
        # Zeros at the end are nothing shown, here as well.
        shown = bytes(payload[: BALANCE_SIZE + TOKEN_SIZE]).rstrip(b"\0")
        if not word.startswith(shown[:BALANCE_SIZE]):
            return self._refuse(payload, Refusal.BAD_TOKEN)
        outcome = super()._match(identifier, destination, payload[BALANCE_SIZE:], complete=complete)
        return self._refuse(payload, outcome) if outcome is Refusal.BAD_TOKEN else outcome


def _place(destination: IPv4Address | IPv6Address) -> int:
    """The destination, shifted so that a port can be added: together the identifier of a classic probe."""
    return int(destination) << 16
