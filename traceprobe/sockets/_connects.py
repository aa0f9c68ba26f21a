"""TCP probes that the system makes: which connection is whose, sans-IO.

The system chooses the sequence number of a connection and the options of its SYN, so that the ports are all
that identifies it: the source port is the probe's own as long as its socket is open. What answers a SYN is
told by the system; what routers say of it is matched by both ports and the destination.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Final

from traceprobe.config import FlowStrategy, Protocol
from traceprobe.errors import ConfigError
from traceprobe.model import Change, ChangedField
from traceprobe.packets import IcmpError, IpProtocol
from traceprobe.sockets.codec import DEFAULT_TCP_PORT, ProbeCodec, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from traceprobe.config import AddressFamily
    from traceprobe.model import Probe, ProbeId
    from traceprobe.packets import EchoMessage, IcmpOther, QuotedDatagram, TcpSegment, UdpDatagram
    from traceprobe.sockets.codec._template import Template

_PORTS: Final = Struct("!HH")
_QUOTED: Final = 8
"""Bytes of the transport header that every router quotes (RFC 792)."""
_ONE_HOP_LEFT: Final = 1
_TICKET: Final = Struct("!QH")
_CONNECTIONS: Final = 0x4000
"""The dynamic ports: 49152 to 65535 (RFC 6335 section 6)."""


class ConnectCodec(ProbeCodec):
    """Connections, and the errors that answer them.

    What :meth:`encode_batch` returns are no segments but *tickets*: the number of a probe and its port.

    Args:
        family: Address family of all destinations.
        quarantine_ns: How long a port of a released probe is still known as its, nanoseconds.
        default_port: Destination port of probes that name none.
        random: Not needed, but taken as by all codecs.
    """

    protocol = Protocol.TCP
    flows: ClassVar[frozenset[FlowStrategy]] = frozenset({FlowStrategy.CLASSIC})

    def __init__(
        self,
        family: AddressFamily,
        *,
        quarantine_ns: int,
        default_port: int = DEFAULT_TCP_PORT,
        random: Random | None = None,
    ) -> None:
        super().__init__(family, FlowStrategy.CLASSIC, quarantine_ns=quarantine_ns, random=random)
        self.default_port = default_port
        self._next = 0
        self._by_port: dict[int, int] = {}
        self._port_by_number: dict[int, int] = {}

    @property
    def capacity(self) -> int:
        """Most probes that can be outstanding at once."""
        return _CONNECTIONS

    @property
    def minimum_size(self) -> int:
        """Bytes of the smallest probe; the size is the system's choice."""
        return self.header_size

    @staticmethod
    def read_ticket(ticket: bytes) -> tuple[int, int]:
        """The number of a probe, and the port to connect to; may be called on any thread."""
        number, port = _TICKET.unpack(ticket)
        return number, port

    def numbers_of(self, probes: Iterable[ProbeId]) -> list[int]:
        """The numbers of those probes that are outstanding."""
        known = self._identifiers
        return [known[probe] for probe in probes if probe in known]

    def opened(self, number: int, port: int) -> None:
        """Note the source port of a connection."""
        if number in self._probes:
            self._by_port[port] = number
            self._port_by_number[number] = port

    def find(self, number: int) -> tuple[ProbeId, IPv4Address | IPv6Address] | None:
        """The probe of a number and where it went; None if it is not outstanding."""
        found = self._probes.get(number)
        if found is None or found[0] not in self._identifiers:
            return None
        return found[0], found[1].destination

    def resolve(
        self,
        message: EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment,
        sender: IPv4Address | IPv6Address,  # noqa: ARG002 - any router may answer
    ) -> ProbeId | Refusal:
        """Find the probe that an ICMP error is about; see :meth:`ProbeCodec.resolve`."""
        if not isinstance(message, IcmpError) or message.quoted.protocol != IpProtocol.TCP:
            return Refusal.FOREIGN
        quoted = message.quoted
        if quoted.fragment_offset or len(quoted.transport) < _QUOTED:
            return Refusal.MALFORMED
        source_port, port = _PORTS.unpack_from(quoted.transport)
        number = self._by_port.get(source_port)
        if number is None:
            return Refusal.FOREIGN
        probe, template, _, _ = self._probes[number]
        if template.port != port or template.address != int(quoted.destination):
            return Refusal.FOREIGN
        return probe if probe in self._identifiers else Refusal.RELEASED

    def changes(self, probe: ProbeId, quoted: QuotedDatagram, *, time_exceeded: bool) -> tuple[Change, ...]:
        """What the path did to a probe, as far as it is known what was sent: the TTL."""
        number = self._identifiers.get(probe)
        if number is None or not time_exceeded or quoted.ttl == _ONE_HOP_LEFT:
            return ()
        return (Change(ChangedField.TTL, self._probes[number][2], quoted.ttl),)

    def _port_of(self, probe: Probe) -> int:
        if probe.size is not None:
            raise ConfigError(
                "packet_size", probe.size, "None for connections, whose segments are the system's"
            )
        return self.default_port if probe.port is None else probe.port

    def _place_token(self, template: Template, digest: bytes) -> None:
        """Nothing of ours is in the packet."""

    def _fill(self, template: Template, digest: bytes) -> None:
        """The system writes the segment."""

    def _take(self, template: Template, count: int) -> list[int] | None:  # noqa: ARG002 - one count for all
        if len(self._probes) + count > _CONNECTIONS:
            return None
        first, self._next = self._next, self._next + count
        return list(range(first, self._next))

    def _give_back(self, identifier: int, template: Template) -> None:  # noqa: ARG002 - as above
        port = self._port_by_number.pop(identifier, None)
        # The system may have given the port to another probe meanwhile.
        if port is not None and self._by_port.get(port) == identifier:
            del self._by_port[port]

    def _segments(self, template: Template, identifiers: list[int]) -> list[bytes]:
        return [_TICKET.pack(identifier, template.port) for identifier in identifiers]

    def _transport_changes(
        self,
        probe: ProbeId,  # noqa: ARG002 - what was sent is not known
        template: Template,  # noqa: ARG002
        transport: memoryview,  # noqa: ARG002
    ) -> list[Change]:
        return []
