"""A model of an internet as a prober sees it: which paths lead to which targets, and how each hop behaves.

Frozen values that validate themselves and travel as plain JSON (:meth:`Topology.to_dict`). One
scenario drives both :class:`~traceprobe.testing.SimulatedNetwork` and the project's kernel-level
rigs. Nothing here knows of packets, clocks or sockets; times are seconds.

A packet sent with TTL *n* expires at the *n*-th station of its path. ``rtt`` of a station is the
whole round trip between prober and station, so a router that is slower to answer than what lies behind
it is simply one with a larger ``rtt``.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from traceprobe._bounds import number
from traceprobe.config import Protocol
from traceprobe.errors import ConfigError
from traceprobe.testing import _checks
from traceprobe.testing._stations import (
    Fault,
    FaultKind,
    RateLimit,
    Responder,
    Router,
    Target,
    TcpAnswer,
    UdpAnswer,
    Unreachability,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from traceprobe.testing._checks import Address, AddressLike

__all__ = [
    "Balanced",
    "Balancing",
    "Fault",
    "FaultKind",
    "HopLike",
    "Loop",
    "Path",
    "PathElement",
    "RateLimit",
    "Responder",
    "RouteChange",
    "Router",
    "Station",
    "Target",
    "TcpAnswer",
    "Topology",
    "UdpAnswer",
    "Unreachability",
    "branch_of",
]


DEFAULT_SOURCES: Final = (IPv4Address("192.0.2.77"), IPv6Address("2001:db8::77"))
"""The prober, unless a topology says otherwise (documentation addresses, RFC 5737 and RFC 3849)."""

HopLike: TypeAlias = "Router | Balanced | Loop | IPv4Address | IPv6Address | str | None"
"""What stands for an element of a path: itself, the address of a plain router, None for a silent one."""


def _routers(value: Iterable[Router | AddressLike | None], field: str) -> tuple[Router, ...]:
    if isinstance(value, str | Responder):
        raise ConfigError(field, value, "a sequence of routers")
    elements = (_element(one) for one in value)
    routers = []
    for element in elements:
        if not isinstance(element, Router):
            raise ConfigError(field, element, "a router, an address, or None")
        routers.append(element)
    return tuple(routers)


def _branches(value: Iterable[Iterable[Router | AddressLike | None]]) -> tuple[tuple[Router, ...], ...]:
    return tuple(_routers(branch, f"branches[{index}]") for index, branch in enumerate(value))


class Balancing(StrEnum):
    """What chooses the branch that a packet takes."""

    FLOW = "flow"
    """The packet's flow: :func:`branch_of` what routers look at."""
    PACKET = "packet"
    """Chance, for every packet anew."""


def _balancing(value: Balancing | str) -> Balancing:
    return _checks.to_word(Balancing, "per", value)


@attrs.frozen
class Balanced:
    """A load balancer's diamond: every packet takes one of the branches, which may differ in length.

    ``Balanced([["192.0.2.1"], ["192.0.2.2", "192.0.2.3"]])``
    """

    branches: tuple[tuple[Router, ...], ...] = attrs.field(
        converter=_branches, validator=_checks.instances(tuple, "a branch", at_least=2)
    )
    per: Balancing = attrs.field(default=Balancing.FLOW, kw_only=True, converter=_balancing)
    """What chooses the branch."""


def _loop_routers(value: Iterable[Router | AddressLike | None]) -> tuple[Router, ...]:
    return _routers(value, "routers")


@attrs.frozen
class Loop:
    """Routers that hand a packet round until it expires. Nothing lies behind it."""

    routers: tuple[Router, ...] = attrs.field(
        converter=_loop_routers,
        validator=_checks.instances(Router, "a router", at_least=1),
    )


PathElement: TypeAlias = Router | Balanced | Loop


def _element(value: HopLike) -> PathElement:
    if value is None:
        return Router(silent=True)
    if isinstance(value, Router | Balanced | Loop):
        return value
    return Router(_checks.to_address(value, "hop"))


def _hops(value: Iterable[HopLike]) -> tuple[PathElement, ...]:
    if isinstance(value, str | Router | Balanced | Loop):
        raise ConfigError("hops", value, "a sequence of hops")
    hops = tuple(_element(one) for one in value)
    for index, hop in enumerate(hops[:-1]):
        if isinstance(hop, Loop):
            raise ConfigError(f"hops[{index}]", hop, "the last hop of its path, because it is a loop")
    return hops


@attrs.frozen
class RouteChange:
    """From some time on, the path leads over other hops; packets that are already out are not concerned."""

    at: float = attrs.field(validator=number("seconds since the network began", zero=True))
    hops: tuple[PathElement, ...] = attrs.field(converter=_hops)


@attrs.frozen
class Station:
    """One place where a packet can expire or arrive: a router or the target, and how far away it is."""

    responder: Router | Target
    rtt: float
    """Shortest round trip between prober and here, seconds."""


def _target(value: Target | AddressLike) -> Target:
    return value if isinstance(value, Target) else Target(_checks.to_address(value, "target"))


def _in_time(value: Iterable[RouteChange]) -> tuple[RouteChange, ...]:
    changes = tuple(value)
    for index, change in enumerate(changes):
        if not isinstance(change, RouteChange):
            raise ConfigError(f"changes[{index}]", change, "a RouteChange")
    return tuple(sorted(changes, key=lambda change: change.at))


@attrs.frozen
class Path:
    """The way to one target. The hops don't include the target."""

    target: Target = attrs.field(converter=_target)
    hops: tuple[PathElement, ...] = attrs.field(default=(), converter=_hops)
    changes: tuple[RouteChange, ...] = attrs.field(
        default=(),
        kw_only=True,
        converter=_in_time,
    )
    """Other hops from some time on."""
    hop_rtt: float = attrs.field(default=0.001, kw_only=True, validator=number("seconds", zero=True))
    """How much farther than the one before it a station is that names no ``rtt``, seconds."""

    @classmethod
    def to(
        cls,
        destination: AddressLike,
        hops: Iterable[HopLike | Target],
        *,
        changes: Mapping[float, Iterable[HopLike | Target]] | None = None,
        hop_rtt: float = 0.001,
    ) -> Path:
        """Write a path down as a list that ends with its destination.

        Args:
            destination: Address of the target.
            hops: The hops, and last the destination: its address, or a :class:`Target` that has it. If
                the list ends without, packets get lost behind the last hop.
            changes: Other hops from some time on, by seconds since the network began.
            hop_rtt: See :attr:`hop_rtt`.

        Raises:
            ConfigError: A hop is none, or a target stands where it can't.
        """
        address = _checks.to_address(destination, "destination")
        routers, target = _split(address, hops)
        later = tuple(RouteChange(at, _split(address, others)[0]) for at, others in (changes or {}).items())
        return cls(target or Target(address, silent=True), routers, changes=later, hop_rtt=hop_rtt)

    def hops_at(self, seconds: float) -> tuple[PathElement, ...]:
        """The hops that a packet takes that leaves at some time."""
        hops = self.hops
        for change in self.changes:
            if change.at > seconds:
                break
            hops = change.hops
        return hops

    def stations(self, seconds: float, choose: Callable[[int, Balanced], int]) -> Iterator[Station]:
        """Walk the path: the station for TTL 1 comes first, the target last, a loop never ends.

        Args:
            seconds: When the packet leaves, since the network began.
            choose: Chooses a branch, given the index of the balancer in the hops and the balancer.
        """
        rtt = 0.0
        for index, element in enumerate(self.hops_at(seconds)):
            if isinstance(element, Router):
                rtt = rtt + self.hop_rtt if element.rtt is None else element.rtt
                yield Station(element, rtt)
                continue
            before = rtt
            if isinstance(element, Balanced):
                routers = element.branches[choose(index, element)]
            else:
                routers = element.routers
            turn = []
            for router in routers:
                rtt = rtt + self.hop_rtt if router.rtt is None else router.rtt
                turn.append(Station(router, rtt))
            yield from turn
            if isinstance(element, Loop):
                # Each further turn takes as long as the first did.
                longer = rtt - before if rtt > before else self.hop_rtt * len(turn)
                turns = 1
                while True:
                    yield from (Station(s.responder, s.rtt + turns * longer) for s in turn)
                    turns += 1
        yield Station(self.target, rtt + self.hop_rtt if self.target.rtt is None else self.target.rtt)


def _split(destination: Address, hops: Iterable[HopLike | Target]) -> tuple[list[HopLike], Target | None]:
    if isinstance(hops, str | Responder | Balanced | Loop):
        raise ConfigError("hops", hops, "a sequence of hops")
    elements = list(hops)
    target: Target | None = None
    if elements:
        last = elements[-1]
        if isinstance(last, Target):
            if destination not in last.addresses:
                raise ConfigError("hops", last, f"a path that ends with a target that has {destination}")
            target = last
        elif last is not None and not isinstance(last, Router | Balanced | Loop):
            target = Target(destination) if _checks.to_address(last, "hop") == destination else None
    routers: list[HopLike] = []
    for element in elements[:-1] if target is not None else elements:
        if isinstance(element, Target):
            raise ConfigError("hops", element, "a path with its target at the end")
        routers.append(element)
    return routers, target


def branch_of(flow_key: bytes, index: int, branches: int) -> int:
    """Which branch of a balancer a flow takes: the same in every implementation of this model.

    The 32-bit finaliser of MurmurHash3 over CRC-32 (ISO 3309) mixed with the balancer's place, because
    bare CRCs of two balancers in a row would always agree.

    Args:
        flow_key: What routers look at: source address, destination address, protocol (1 byte), then the
            ports (4 bytes) of UDP and TCP, or type, code, checksum and identifier (6 bytes) of ICMP; for
            IPv6 also the flow label (4 bytes, big-endian).
        index: Index of the balancer in the hops of the path.
        branches: How many there are to choose from.
    """
    mask = 0xFFFFFFFF
    value = zlib.crc32(flow_key) ^ (index * 0x9E3779B9 & mask)
    value = (value ^ value >> 16) * 0x85EBCA6B & mask
    value = (value ^ value >> 13) * 0xC2B2AE35 & mask
    return (value ^ value >> 16) % branches


def _paths(value: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(value)


def _names(
    value: Mapping[str, AddressLike | Iterable[AddressLike]],
) -> dict[str, tuple[Address, ...]]:
    # Names are found whatever their case, and with the dot of a complete one (RFC 1034 section 3.1).
    return {name.casefold().rstrip("."): _checks.to_addresses(addresses) for name, addresses in value.items()}


def _protocols(value: Iterable[Protocol | str]) -> frozenset[Protocol]:
    return frozenset(_checks.to_word(Protocol, "denied", one) for one in value)


@attrs.frozen(kw_only=True, slots=False)
class Topology:
    """A whole internet, seen from one prober.

    Raises:
        ConfigError: Two paths lead to one address, or a value is out of its bounds.
    """

    paths: tuple[Path, ...] = attrs.field(
        default=(), converter=_paths, validator=_checks.instances(Path, "a path")
    )
    sources: tuple[Address, ...] = attrs.field(default=DEFAULT_SOURCES, converter=_checks.to_addresses)
    """The prober's own addresses, one of each family at most."""
    names: Mapping[str, tuple[Address, ...]] = attrs.field(factory=dict, converter=_names)
    """Addresses of target names, in order of preference."""
    denied: frozenset[Protocol] = attrs.field(
        default=frozenset(),
        converter=_protocols,
    )
    """Protocols that the prober has no permission to open a socket for."""

    def __attrs_post_init__(self) -> None:
        """Check that it is clear where every address lies."""
        seen: set[Address] = set()
        for index, path in enumerate(self.paths):
            for address in path.target.addresses:
                if address in seen:
                    raise ConfigError(f"paths[{index}].target", str(address), "on one path only")
                seen.add(address)

    @cached_property
    def routes(self) -> Mapping[Address, Path]:
        """The path to each target address."""
        return {address: path for path in self.paths for address in path.target.addresses}

    @cached_property
    def hostnames(self) -> Mapping[Address, str]:
        """What the reverse look-up of each address gives; the first one named wins."""
        found: dict[Address, str] = {}
        for responder in self._responders():
            for address in responder.addresses:
                if responder.hostname is not None:
                    found.setdefault(address, responder.hostname)
        return found

    def _responders(self) -> Iterator[Router | Target]:
        for path in self.paths:
            for hops in (path.hops, *(change.hops for change in path.changes)):
                for element in hops:
                    if isinstance(element, Router):
                        yield element
                    elif isinstance(element, Loop):
                        yield from element.routers
                    else:
                        for branch in element.branches:
                            yield from branch
            yield path.target

    def source(self, version: int) -> Address | None:
        """The prober's own address of IP version 4 or 6."""
        return next((address for address in self.sources if address.version == version), None)

    def to_dict(self) -> dict[str, object]:
        """The topology as plain values that JSON can hold; what is at its default is left out."""
        from traceprobe.testing._scenario import to_document

        return to_document(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> Topology:
        """Rebuild a topology from :meth:`to_dict` or a parsed scenario file.

        Raises:
            ConfigError: A field is unknown, malformed or out of its bounds; it says which and where.
        """
        from traceprobe.testing._scenario import from_document

        return from_document(document)
