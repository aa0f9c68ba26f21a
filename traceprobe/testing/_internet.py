"""What becomes of a datagram in a topology: forwarded by its TTL, and answered in true ICMP.

Sans-IO: bytes and times go in, bytes and delays come out; time is an argument, nanoseconds since the
network began. Chance is drawn anew for every datagram, from the seed, its destination, its TTL and how
many like it there were before, so that what happens to one does not depend on the others' order.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

import attrs

from traceprobe.errors import PacketError
from traceprobe.packets import (
    EchoMessage,
    IcmpType,
    IcmpUnreachableCode,
    Icmpv6Type,
    IpProtocol,
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_udp,
    parse_icmp,
    parse_ip,
    parse_udp,
)
from traceprobe.testing import _forge
from traceprobe.testing.topology import (
    Balanced,
    Balancing,
    FaultKind,
    Router,
    Target,
    Topology,
    UdpAnswer,
    Unreachability,
    branch_of,
)

if TYPE_CHECKING:
    from traceprobe.packets import IPDatagram
    from traceprobe.testing._checks import Address

_NS = 1_000_000_000
_ICMP = frozenset({IpProtocol.ICMP, IpProtocol.ICMPV6})
_DONT_FRAGMENT = 2

# Most bytes of a datagram that an error quotes: it must fit into 576 bytes (RFC 1812 section 4.3.2.3) or
# the minimum MTU (RFC 4443 section 2.4), with an IP header and eight bytes of ICMP in front.
_LONGEST_QUOTE = {4: 576 - 20 - 8, 6: 1280 - 40 - 8}

_TIME_EXCEEDED = {4: (int(IcmpType.TIME_EXCEEDED), 0), 6: (int(Icmpv6Type.TIME_EXCEEDED), 0)}
_TOO_BIG = {
    4: (int(IcmpType.DESTINATION_UNREACHABLE), int(IcmpUnreachableCode.FRAGMENTATION_NEEDED)),
    6: (int(Icmpv6Type.PACKET_TOO_BIG), 0),
}
_NEXT_HEADER_AT = 6
"""Where an IPv6 header names the protocol, which is what RFC 4443 section 3.4 has the error point at."""


@attrs.frozen
class Answer:
    """A datagram on its way back to the prober."""

    delay_ns: int
    """From the probe's arrival at the responder."""
    datagram: bytes


class Chance:
    """The randomness of one datagram; seeding is slow, and most datagrams need none."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    @cached_property
    def random(self) -> Random:
        """The generator."""
        return Random(self._seed)  # noqa: S311 - a simulation


@attrs.frozen
class Journey:
    """How far a datagram gets."""

    datagram: bytes
    """As it arrives there."""
    delay_ns: int
    """From its sending."""
    responder: Router | Target | None = None
    """Who has to answer it; None if nobody does, for which ``lost`` is the reason."""
    error: tuple[int, int, int] | None = None
    """Type, code and rest of the ICMP error that it calls for; None if it has reached its target."""
    lost: str = ""
    distance: int = 0
    """Routers passed."""
    return_ns: int = 0
    """Shortest way back."""
    chance: Chance | None = None
    """Chance for the rest of it."""


class Internet:
    """A topology in operation: remembers what routers remember."""

    def __init__(self, topology: Topology, seed: int) -> None:
        self.topology = topology
        self._seed = seed
        self._like_it: Counter[tuple[Address, int]] = Counter()
        self._buckets: dict[object, tuple[float, int]] = {}
        self._used: set[bytes] = set()

    def carry(self, datagram: bytes, now_ns: int) -> Journey:
        """Let a datagram go from the prober as far as it gets."""
        try:
            parsed = parse_ip(datagram, verify=True)
        except PacketError as malformed:
            return Journey(datagram, 0, lost=f"no IP datagram: {malformed}")
        path = self.topology.routes.get(parsed.destination)
        if path is None:
            return Journey(datagram, 0, lost=f"no route to {parsed.destination}")
        if parsed.protocol in _ICMP or parsed.protocol == IpProtocol.UDP:
            self._used.add(_forge.sequence_of(parsed))
        ttl = parsed.ttl
        number = self._like_it[parsed.destination, ttl]
        self._like_it[parsed.destination, ttl] += 1
        chance = Chance(f"{self._seed} {parsed.destination} {ttl} {number}")

        def choose(index: int, balanced: Balanced) -> int:
            if balanced.per is Balancing.PACKET:
                return chance.random.randrange(len(balanced.branches))
            return branch_of(_forge.flow_key(parsed), index, len(balanced.branches))

        for distance, station in enumerate(path.stations(now_ns / _NS, choose)):
            responder = station.responder
            left = ttl - distance
            if isinstance(responder, Target):
                error = _target_refusal(responder, parsed)
            elif left <= 1:
                error = (*_TIME_EXCEEDED[parsed.version], 0)
            else:
                error = _refusal(responder, parsed)
                if error is None:
                    loss = responder.forwarding_loss
                    if loss and chance.random.random() < loss:
                        arrived = _forge.with_ttl(datagram, left)
                        lost = f"dropped by {_name(responder, parsed)}"
                        return Journey(arrived, round(station.rtt * _NS) // 2, lost=lost)
                    continue
            rtt_ns = round(station.rtt * _NS)
            return Journey(
                _forge.with_ttl(datagram, left),
                rtt_ns // 2,
                responder,
                error,
                distance=distance,
                return_ns=rtt_ns - rtt_ns // 2,
                chance=chance,
            )
        raise AssertionError("a path ends with its target")

    def answer(self, journey: Journey, now_ns: int) -> list[Answer] | str:
        """What the responder at the end of a journey sends back, or why it sends nothing.

        Args:
            journey: A journey with a responder.
            now_ns: When the datagram arrives there.
        """
        responder = journey.responder
        assert responder is not None
        parsed = parse_ip(journey.datagram)
        source = responder.address(parsed.version)
        if responder.silent or source is None:
            return f"{_name(responder, parsed)} is silent"
        if isinstance(responder, Target) and (silence := _silence_of(responder, parsed)):
            return silence
        if journey.error is not None and not self._has_token(responder, parsed.source, now_ns):
            return f"{source} is over its rate limit"
        assert journey.chance is not None
        random = journey.chance.random
        if random.random() < responder.loss:
            return f"answer of {source} lost"
        ttl = responder.reply_ttl - journey.distance
        if ttl < 1:
            return f"answer of {source} expired on its way back"
        delay_ns = journey.return_ns + round(random.random() * responder.jitter * _NS)
        return self._with_faults(journey, responder, parsed, source, ttl, delay_ns, random)

    def _with_faults(
        self,
        journey: Journey,
        responder: Router | Target,
        parsed: IPDatagram,
        source: Address,
        ttl: int,
        delay_ns: int,
        random: Random,
    ) -> list[Answer]:
        shown = journey.datagram
        happening = [fault for fault in responder.faults if random.random() < fault.share]
        for fault in happening:
            if fault.kind in _forge.FORGERIES:
                shown = _forge.forge(fault.kind, shown, random, self._used)
        protocol, segment = _segment(journey, responder, parse_ip(shown), shown, source)
        copies = [delay_ns]
        for fault in happening:
            later_ns = round(fault.delay * _NS)
            if fault.kind is FaultKind.DUPLICATE:
                copies.append(copies[0] + later_ns)
                continue
            copies = [copy + later_ns for copy in copies]
            if fault.kind is FaultKind.CORRUPT:
                segment = _forge.damage(segment, random)
            elif fault.kind is FaultKind.TRUNCATED:
                segment = _forge.truncate(segment, protocol, source, parsed.source)
        datagram = _wrap(segment, protocol, source, parsed.source, ttl, random)
        return [Answer(copy, datagram) for copy in copies]

    def _has_token(self, responder: Router | Target, prober: Address, now_ns: int) -> bool:
        limit = responder.rate_limit
        if limit is None:
            return True
        key = (responder.addresses, limit, prober)
        tokens, last_ns = self._buckets.get(key, (float(limit.burst), now_ns))
        tokens = min(float(limit.burst), tokens + (now_ns - last_ns) / _NS * limit.per_second)
        granted = tokens >= 1
        self._buckets[key] = (tokens - 1 if granted else tokens, now_ns)
        return granted


def _name(responder: Router | Target, parsed: IPDatagram) -> str:
    return str(responder.address(parsed.version) or "a router without an address")


def _refusal(router: Router, parsed: IPDatagram) -> tuple[int, int, int] | None:
    """Why a router does not forward a datagram that has not expired, as type, code and rest."""
    if router.refuses is None and router.mtu is None:
        return None
    version = parsed.version
    if router.refuses is not None:
        pointer = version == 6 and router.refuses is Unreachability.PROTOCOL
        return (*router.refuses.icmp(version), _NEXT_HEADER_AT if pointer else 0)
    header = parsed.header
    size = header.total_length if version == 4 else header.payload_length + 40  # type: ignore[union-attr]
    may_fragment = version == 4 and not header.flags & _DONT_FRAGMENT  # type: ignore[union-attr]
    if router.mtu is not None and size > router.mtu and not may_fragment:
        return (*_TOO_BIG[version], router.mtu)
    return None


def _target_refusal(target: Target, parsed: IPDatagram) -> tuple[int, int, int] | None:
    """Why a target does not take a datagram, as type, code and rest."""
    version = parsed.version
    if parsed.protocol in _ICMP:
        return None
    if parsed.protocol != IpProtocol.UDP:
        return (*Unreachability.PROTOCOL.icmp(version), _NEXT_HEADER_AT if version == 6 else 0)
    return (*Unreachability.PORT.icmp(version), 0) if target.udp is UdpAnswer.PORT_UNREACHABLE else None


def _silence_of(target: Target, parsed: IPDatagram) -> str:
    """Why a target has no answer to what has reached it; empty if it has one."""
    pseudo = (parsed.source, parsed.destination)
    try:
        if parsed.protocol == IpProtocol.UDP:
            parse_udp(parsed.payload, pseudo=pseudo)
            return f"{parsed.destination} ignores UDP" if target.udp is UdpAnswer.SILENT else ""
        if parsed.protocol in _ICMP:
            message = parse_icmp(parsed.version, parsed.payload, pseudo=pseudo, verify=True)
            asked = isinstance(message, EchoMessage) and message.is_request
            return "" if asked and target.echo else f"{parsed.destination} ignores it"
    except PacketError as error:
        return f"refused by {parsed.destination}: {error}"
    return ""


def _segment(
    journey: Journey, responder: Router | Target, shown: IPDatagram, datagram: bytes, source: Address
) -> tuple[IpProtocol, bytes]:
    """The transport segment of an answer to the datagram shown."""
    version, prober = shown.version, shown.source
    icmp = IpProtocol.ICMP if version == 4 else IpProtocol.ICMPV6
    if journey.error is None and shown.protocol == IpProtocol.UDP:
        asked = parse_udp(shown.payload)
        ports = (asked.destination_port, asked.source_port)
        return IpProtocol.UDP, build_udp(source, prober, *ports, asked.payload)
    if journey.error is None:
        request = parse_icmp(version, shown.payload)
        assert isinstance(request, EchoMessage)
        return icmp, build_icmp_echo(
            version,
            identifier=request.identifier,
            sequence=request.sequence,
            payload=request.payload,
            request=False,
            source=source,
            destination=prober,
        )
    header = len(datagram) - len(shown.payload)
    longest = _LONGEST_QUOTE[version] if responder.quote is None else header + responder.quote
    kind, code, rest = journey.error
    return icmp, build_icmp_error(
        version, type=kind, code=code, rest=rest, quoted=datagram[:longest], source=source, destination=prober
    )


def _wrap(
    segment: bytes, protocol: IpProtocol, source: Address, destination: Address, ttl: int, random: Random
) -> bytes:
    if source.version == 6:
        return build_ipv6(
            segment, source=source, destination=destination, next_header=protocol, hop_limit=ttl
        )
    return build_ipv4(
        segment,
        source=source,
        destination=destination,
        protocol=protocol,
        ttl=ttl,
        identification=random.randrange(0x10000),
    )
