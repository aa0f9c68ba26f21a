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
from traceprobe.packets import IcmpType, Icmpv6Type, parse_ip
from traceprobe.testing import _forge
from traceprobe.testing._answers import (
    answering_segment,
    router_refusal,
    silence_of,
    target_refusal,
    wrap,
)
from traceprobe.testing.topology import (
    Balanced,
    Balancing,
    FaultKind,
    Router,
    Target,
    Topology,
    branch_of,
)

if TYPE_CHECKING:
    from traceprobe.packets import IPDatagram
    from traceprobe.testing._checks import Address

_NS = 1_000_000_000
_TIME_EXCEEDED = {4: (int(IcmpType.TIME_EXCEEDED), 0), 6: (int(Icmpv6Type.TIME_EXCEEDED), 0)}


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
    prober: Address | None = None
    """Who sent it, whatever a translator has made of that."""
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
        if parsed.protocol in _forge.PROBED:
            self._used.add(_forge.sequence_of(parsed))
        ttl = parsed.ttl
        number = self._like_it[parsed.destination, ttl]
        self._like_it[parsed.destination, ttl] += 1
        chance = Chance(f"{self._seed} {parsed.destination} {ttl} {number}")

        current = datagram

        def choose(index: int, balanced: Balanced) -> int:
            if balanced.per is Balancing.PACKET:
                return chance.random.randrange(len(balanced.branches))
            return branch_of(_forge.flow_key(parse_ip(current)), index, len(balanced.branches))

        for distance, station in enumerate(path.stations(now_ns / _NS, choose)):
            responder = station.responder
            left = ttl - distance
            if isinstance(responder, Target):
                error = target_refusal(responder, parsed)
            elif left <= 1 and not (left == 1 and responder.ttl_zero_forwarding):
                error = (*_TIME_EXCEEDED[parsed.version], 0)
            else:
                error = router_refusal(responder, parsed)
                if error is None:
                    loss = responder.forwarding_loss
                    if loss and chance.random.random() < loss:
                        arrived = _forge.with_ttl(current, left)
                        lost = f"dropped by {_name(responder, parsed)}"
                        return Journey(arrived, round(station.rtt * _NS) // 2, lost=lost)
                    current = _passed(current, responder)
                    continue
            rtt_ns = round(station.rtt * _NS)
            return Journey(
                _forge.with_ttl(current, left),
                rtt_ns // 2,
                responder,
                error,
                prober=parsed.source,
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
        responder, prober = journey.responder, journey.prober
        assert responder is not None
        assert prober is not None
        parsed = parse_ip(journey.datagram)
        source = responder.address(parsed.version)
        if responder.silent or source is None:
            return f"{_name(responder, parsed)} is silent"
        if isinstance(responder, Target) and (silence := silence_of(responder, parsed)):
            return silence
        if journey.error is not None and not self._has_token(responder, prober, now_ns):
            return f"{source} is over its rate limit"
        assert journey.chance is not None
        random = journey.chance.random
        if random.random() < responder.loss:
            return f"answer of {source} lost"
        ttl = responder.reply_ttl - journey.distance
        if ttl < 1:
            return f"answer of {source} expired on its way back"
        delay_ns = journey.return_ns + round(random.random() * responder.jitter * _NS)
        return self._with_faults(journey, responder, prober, source, ttl, delay_ns, random)

    def _with_faults(
        self,
        journey: Journey,
        responder: Router | Target,
        prober: Address,
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
        protocol, segment = answering_segment(responder, journey.error, shown, source, prober)
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
                segment = _forge.truncate(segment, protocol, source, prober)
        datagram = wrap(segment, protocol, source, prober, ttl, random)
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


def _passed(datagram: bytes, router: Router) -> bytes:
    """The datagram as a router sends it on, but for its TTL."""
    if router.dscp is not None or router.ecn is not None:
        header = parse_ip(datagram).header
        dscp = header.traffic_class >> 2 if router.dscp is None else router.dscp
        ecn = header.traffic_class & 3 if router.ecn is None else router.ecn
        datagram = _forge.with_traffic_class(datagram, dscp << 2 | ecn)
    source = next((address for address in router.nat if address.version == datagram[0] >> 4), None)
    return datagram if source is None else _forge.with_source(datagram, source)
