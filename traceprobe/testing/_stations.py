"""How one station of a simulated path behaves: a router or a target, and what goes wrong with its replies.

Frozen values that validate themselves; times are seconds. Knows nothing of paths, packets or clocks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from traceprobe._bounds import flag, number, whole
from traceprobe.errors import ConfigError
from traceprobe.testing import _checks, _extensions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.model import ExtensionObject, InterfaceInformation, MplsLabel
    from traceprobe.testing._checks import Address


class Unreachability(StrEnum):
    """Why a router refuses to forward: every code of destination unreachable.

    A family that has no code of its own for a reason has one that comes close.
    """

    NET = "net"
    HOST = "host"
    PROTOCOL = "protocol"
    PORT = "port"
    ADMIN = "admin"
    SOURCE_ROUTE = "source_route"
    NET_UNKNOWN = "net_unknown"
    HOST_UNKNOWN = "host_unknown"
    ISOLATED = "isolated"
    NET_PROHIBITED = "net_prohibited"
    HOST_PROHIBITED = "host_prohibited"
    NET_FOR_SERVICE = "net_for_service"
    HOST_FOR_SERVICE = "host_for_service"
    PRECEDENCE = "precedence"
    CUTOFF = "cutoff"
    SCOPE = "scope"
    POLICY = "policy"
    REJECT = "reject"
    LONG_HEADERS = "long_headers"

    def icmp(self, version: int) -> tuple[int, int]:
        """Type and code of the message."""
        return _UNREACHABLE_V4[self] if version == 4 else _UNREACHABLE_V6[self]


# RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
_UNREACHABLE_V4 = {
    Unreachability.NET: (3, 0),
    Unreachability.HOST: (3, 1),
    Unreachability.PROTOCOL: (3, 2),
    Unreachability.PORT: (3, 3),
    Unreachability.ADMIN: (3, 13),
    Unreachability.SOURCE_ROUTE: (3, 5),
    Unreachability.NET_UNKNOWN: (3, 6),
    Unreachability.HOST_UNKNOWN: (3, 7),
    Unreachability.ISOLATED: (3, 8),
    Unreachability.NET_PROHIBITED: (3, 9),
    Unreachability.HOST_PROHIBITED: (3, 10),
    Unreachability.NET_FOR_SERVICE: (3, 11),
    Unreachability.HOST_FOR_SERVICE: (3, 12),
    Unreachability.PRECEDENCE: (3, 14),
    Unreachability.CUTOFF: (3, 15),
    Unreachability.SCOPE: (3, 1),
    Unreachability.POLICY: (3, 13),
    Unreachability.REJECT: (3, 9),
    Unreachability.LONG_HEADERS: (3, 13),
}
# RFC 4443 section 3.1, RFC 6554 section 4.2, RFC 8883 section 3.
_UNREACHABLE_V6 = {
    Unreachability.NET: (1, 0),
    Unreachability.HOST: (1, 3),
    # Unrecognized next header (RFC 4443 section 3.4) is what IPv6 has for it.
    Unreachability.PROTOCOL: (4, 1),
    Unreachability.PORT: (1, 4),
    Unreachability.ADMIN: (1, 1),
    Unreachability.SOURCE_ROUTE: (1, 7),
    Unreachability.NET_UNKNOWN: (1, 0),
    Unreachability.HOST_UNKNOWN: (1, 3),
    Unreachability.ISOLATED: (1, 0),
    Unreachability.NET_PROHIBITED: (1, 1),
    Unreachability.HOST_PROHIBITED: (1, 1),
    Unreachability.NET_FOR_SERVICE: (1, 0),
    Unreachability.HOST_FOR_SERVICE: (1, 3),
    Unreachability.PRECEDENCE: (1, 1),
    Unreachability.CUTOFF: (1, 1),
    Unreachability.SCOPE: (1, 2),
    Unreachability.POLICY: (1, 5),
    Unreachability.REJECT: (1, 6),
    Unreachability.LONG_HEADERS: (1, 8),
}


class UdpAnswer(StrEnum):
    """What a target does with a UDP datagram."""

    PORT_UNREACHABLE = "port_unreachable"
    """The port is closed."""
    DATA = "data"
    """A service on the port sends the payload back."""
    SILENT = "silent"
    """The port is open, or filtered, and nothing comes back."""


class TcpAnswer(StrEnum):
    """What a target does with a TCP segment that opens a connection."""

    OPEN = "open"
    """A service on the port accepts it."""
    CLOSED = "closed"
    """Nothing listens: it is reset."""
    SILENT = "silent"
    """The port is filtered, and nothing comes back."""


class FaultKind(StrEnum):
    """How a reply goes wrong.

    ``LATE``: it comes ``delay`` later. ``DUPLICATE``: it comes twice, the copy ``delay`` later. The
    others replace it, and come ``delay`` later than it would have. ``CORRUPT``: a bit flipped, so that its
    checksum is wrong. ``TRUNCATED``: too little of it left to be a message, though its checksum is right.
    Of the probe that it quotes or echoes: ``WRONG_IDENTIFIER``: the identifier (the source port) and
    the payload are another program's. ``WRONG_SEQUENCE``: the sequence number (the destination port) and
    the payload are no probe's. ``WRONG_TOKEN``: every number is right but the payload is not the probe's
    (of TCP, the options are not, which proves nothing). ``REWRITTEN``: a translator on the path changed the
    identifier (the source port) and adjusted the checksum; the payload is the probe's.
    """

    LATE = "late"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    WRONG_IDENTIFIER = "wrong_identifier"
    WRONG_SEQUENCE = "wrong_sequence"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - not a password
    REWRITTEN = "rewritten"


def _fault_kind(value: FaultKind | str) -> FaultKind:
    return _checks.to_word(FaultKind, "kind", value)


def _tcp_answer(value: TcpAnswer | str) -> TcpAnswer:
    return _checks.to_word(TcpAnswer, "tcp", value)


@attrs.frozen
class Fault:
    """Something that goes wrong with a share of a station's replies."""

    kind: FaultKind = attrs.field(converter=_fault_kind)
    share: float = attrs.field(default=1.0, kw_only=True, validator=_checks.share)
    """Share of the replies that it happens to, each on its own."""
    delay: float = attrs.field(default=0.0, kw_only=True, validator=number("seconds", zero=True))
    """Seconds by which the late, second or forged reply comes after the time of the true one."""


@attrs.frozen
class RateLimit:
    """A token bucket for ICMP errors, one for each prober; full at first. Echo replies are free."""

    per_second: float = attrs.field(validator=number("tokens per second", zero=True))
    burst: int = attrs.field(validator=whole(1))


def _faults(value: Iterable[Fault | FaultKind | str] | Fault | FaultKind | str) -> tuple[Fault, ...]:
    if isinstance(value, Fault | str):
        value = (value,)
    return tuple(one if isinstance(one, Fault) else Fault(one) for one in value)


def _unreachability(value: Unreachability | str | None) -> Unreachability | None:
    return None if value is None else _checks.to_word(Unreachability, "refuses", value)


def _udp_answer(value: UdpAnswer | str) -> UdpAnswer:
    return _checks.to_word(UdpAnswer, "udp", value)


@attrs.frozen(slots=False)
class Responder:
    """What routers and targets have in common."""

    addresses: tuple[Address, ...] = attrs.field(default=(), converter=_checks.to_addresses)
    """Addresses that it answers from, at most one of each family; one may be given bare. Without an
    address of the probe's family it is silent."""
    rtt: float | None = attrs.field(
        default=None, kw_only=True, validator=number("seconds", zero=True, optional=True)
    )
    """Shortest round trip between prober and here, seconds; None: the previous station's and
    :attr:`Path.hop_rtt`."""
    jitter: float = attrs.field(default=0.0, kw_only=True, validator=number("seconds", zero=True))
    """Every reply takes between 0 and this many seconds longer, evenly distributed."""
    loss: float = attrs.field(default=0.0, kw_only=True, validator=_checks.share)
    """Share of its own replies that get lost; what passes through it is not concerned."""
    silent: bool = attrs.field(default=False, kw_only=True, validator=flag)
    """It never answers (a router still forwards)."""
    rate_limit: RateLimit | None = attrs.field(
        default=None, kw_only=True, validator=_checks.instance(RateLimit, "a RateLimit")
    )
    """How often it is willing to send ICMP errors; None: always."""
    quote: int | None = attrs.field(default=None, kw_only=True, validator=whole(0, 65535, optional=True))
    """Bytes of the probe behind its IP header that its ICMP errors quote: 8 is the least that RFC 792
    allows; None quotes as much as fits the RFCs (576 bytes of datagram for IPv4, RFC 1812 section 4.3.2.3;
    1280 for IPv6, RFC 4443 section 2.4)."""
    reply_ttl: int = attrs.field(default=64, kw_only=True, validator=whole(1, 255))
    """TTL that its replies start with; they arrive with one less for each router on the way back."""
    hostname: str | None = attrs.field(default=None, kw_only=True, validator=_checks.name)
    """What the reverse look-up of its addresses gives."""
    faults: tuple[Fault, ...] = attrs.field(default=(), kw_only=True, converter=_faults)
    """What goes wrong with its replies."""
    mpls: tuple[MplsLabel, ...] = attrs.field(default=(), kw_only=True, converter=_extensions.to_labels)
    """The label stack that its ICMP errors show (RFC 4950), outermost first; numbers stand for labels with
    TTL 1, the last of them at the bottom."""
    interfaces: tuple[InterfaceInformation, ...] = attrs.field(
        default=(), kw_only=True, converter=_extensions.to_interfaces
    )
    """What its ICMP errors tell of its interfaces (RFC 5837)."""
    extensions: tuple[ExtensionObject, ...] = attrs.field(
        default=(), kw_only=True, converter=_extensions.to_objects
    )
    """Further objects in the extension structure of its ICMP errors (RFC 4884)."""
    legacy_extensions: bool = attrs.field(default=False, kw_only=True, validator=flag)
    """Its extension structures stand where they did before RFC 4884, with no length to tell it."""

    def address(self, version: int) -> Address | None:
        """Its address of IP version 4 or 6."""
        return next((address for address in self.addresses if address.version == version), None)


@attrs.frozen(slots=False)
class Router(Responder):
    """A hop: forwards, and tells the sender of a packet that expires here.

    ``Router("192.0.2.1", rtt=0.020, loss=0.1)``; ``Router(["192.0.2.1", "2001:db8::1"])``.

    Raises:
        ConfigError: A value is out of its bounds.
    """

    reply_ttl: int = attrs.field(default=255, kw_only=True, validator=whole(1, 255))
    forwarding_loss: float = attrs.field(default=0.0, kw_only=True, validator=_checks.share)
    """Share of the packets passing through that it drops without a word; 1.0 is a black hole."""
    refuses: Unreachability | None = attrs.field(default=None, kw_only=True, converter=_unreachability)
    """It answers everything that should pass through with this kind of unreachable."""
    ttl_zero_forwarding: bool = attrs.field(default=False, kw_only=True, validator=flag)
    """It forwards what arrives with TTL 1, with TTL 0, and the next station answers in its place."""
    nat: tuple[Address, ...] = attrs.field(default=(), kw_only=True, converter=_checks.to_addresses)
    """It is an address translator: what passes through bears this source from here on (at most one of each
    family), with its checksums adjusted. Answers find back, but it leaves alone what they quote."""
    dscp: int | None = attrs.field(default=None, kw_only=True, validator=whole(0, 63, optional=True))
    """What passes through has this code point from here on; None: its own."""
    ecn: int | None = attrs.field(default=None, kw_only=True, validator=whole(0, 3, optional=True))
    """What passes through has these congestion bits from here on; None: its own."""
    mtu: int | None = attrs.field(default=None, kw_only=True, validator=whole(68, 65535, optional=True))
    """Largest datagram that passes through, bytes; larger ones are refused with fragmentation needed
    or packet too big (an IPv4 datagram only if it has the don't-fragment bit; without it, it passes)."""


@attrs.frozen(slots=False)
class Target(Responder):
    """Where a path leads to.

    Raises:
        ConfigError: A value is out of its bounds, or it has no address.
    """

    echo: bool = attrs.field(default=True, kw_only=True, validator=flag)
    """Whether it answers echo requests."""
    udp: UdpAnswer = attrs.field(
        default=UdpAnswer.PORT_UNREACHABLE,
        kw_only=True,
        converter=_udp_answer,
    )
    """What it does with UDP datagrams."""
    tcp: TcpAnswer = attrs.field(
        default=TcpAnswer.OPEN,
        kw_only=True,
        converter=_tcp_answer,
    )
    """What it does with TCP segments that open a connection."""

    def __attrs_post_init__(self) -> None:
        """A target without an address could not be traced."""
        if not self.addresses:
            raise ConfigError("addresses", self.addresses, "at least one address")
