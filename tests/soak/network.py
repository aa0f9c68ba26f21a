"""A random network that keeps account: which genuine reply to which probe reached the machine, and when.

Every router, and every branch of a diamond, has an address of its own, and the account says of each probe
who answered it and when, so that a reply that got into the wrong trace or to the wrong hop shows. Forgeries
come on top of the genuine replies, from an address that is on no path, or from the true router with damage
done; none of them may ever be believed.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.model import Reply
from traceprobe.testing import (
    Balanced,
    Fault,
    FaultKind,
    Path,
    RateLimit,
    RouteChange,
    Router,
    SimulatedNetwork,
    Target,
    Topology,
    _forge,
)
from traceprobe.testing._answers import answering_segment, wrap
from traceprobe.testing._internet import Internet
from traceprobe.testing._wire import Wire

if TYPE_CHECKING:
    from traceprobe.errors import SendError
    from traceprobe.model import Probe
    from traceprobe.testing._internet import Journey
    from traceprobe.testing._socket import SimulatedSocket

FORGER: Final[dict[int, IPv4Address | IPv6Address]] = {
    4: IPv4Address("203.0.113.66"),
    6: IPv6Address("2001:db8:bad::66"),
}
SHORTEST: Final = 4
LONGEST: Final = 14
"""Hops of a path."""
FORGED_SHARE: Final = 0.15
KINDS: Final = (
    FaultKind.WRONG_IDENTIFIER,
    FaultKind.WRONG_SEQUENCE,
    FaultKind.WRONG_TOKEN,
    FaultKind.CORRUPT,
    FaultKind.TRUNCATED,
)
REMEMBERED: Final = 30_000
"""Sequence numbers that forgers know to be in use: they make up others, of which there must be enough."""
BRANCHES: Final = 3
LATEST: Final = 0.1
"""Seconds by which a reply is late at most: as long as many a trace takes."""
TURN: Final = 1.0
"""Seconds of virtual time within which routes change."""


def destination(number: int) -> IPv4Address | IPv6Address:
    """Where a path leads: IPv4 and IPv6 by turns."""
    return IPv6Address("2001:db8:ffff::") + number if number % 2 else IPv4Address("172.16.0.0") + number


def router(number: int, ttl: int, branch: int = 0) -> IPv4Address | IPv6Address:
    """The router of a path at a TTL; each branch of a diamond, and each later route, has its own."""
    place = number << 8 | branch << 4 | ttl
    return IPv6Address("2001:db8:1::") + place if number % 2 else IPv4Address("10.0.0.0") + place


def random_router(number: int, ttl: int, rtt: float, random: Random, branch: int = 0) -> Router:
    """A router with jitter that reorders, loss, duplicates and late replies; or a silent one."""
    faults = []
    if random.random() < 0.3:
        faults.append(Fault(FaultKind.DUPLICATE, share=0.3, delay=random.uniform(0, 0.05)))
    if random.random() < 0.2:
        faults.append(Fault(FaultKind.LATE, share=0.1, delay=random.uniform(0, LATEST)))
    return Router(
        str(router(number, ttl, branch)),
        rtt=rtt,
        jitter=random.choice((0.0, 0.002, 0.03)),
        loss=random.choice((0.0, 0.0, 0.05, 0.3)),
        silent=random.random() < 0.08,
        rate_limit=RateLimit(random.choice((1.0, 20.0)), 6) if random.random() < 0.1 else None,
        forwarding_loss=0.02 if random.random() < 0.1 else 0.0,
        quote=random.choice((None, None, 8, 28)),
        faults=faults,
    )


def random_path(number: int, random: Random) -> Path:
    """A path whose routers do what routers do, with diamonds; some routes change on the way."""
    rtt = 0.0
    hops: list[Router | Balanced] = []
    for ttl in range(1, random.randint(SHORTEST, LONGEST)):
        rtt += random.choice((0.0002, 0.001, 0.004, 0.02))
        if random.random() < 0.1:
            branches = [
                [random_router(number, ttl, rtt, random, branch)] for branch in range(1, BRANCHES + 1)
            ]
            hops.append(Balanced(branches, per=random.choice(("flow", "packet"))))
        else:
            hops.append(random_router(number, ttl, rtt, random))
    changes = []
    if random.random() < 0.2:
        place = random.randrange(len(hops))
        detour = random_router(number, place + 1, rtt, random, BRANCHES + 1)
        changes.append(RouteChange(random.uniform(0, TURN), [*hops[:place], detour, *hops[place + 1 :]]))
    target = Target(
        str(destination(number)),
        rtt=rtt + 0.003,
        jitter=0.002,
        loss=random.choice((0.0, 0.1)),
        silent=random.random() < 0.05,
    )
    return Path(target, hops, changes=changes, hop_rtt=0.001)


class Ledger:
    """What happened to the probes of one trace, each known by TTL and attempt."""

    def __init__(self) -> None:
        self.sent_ns: dict[tuple[int, int], int] = {}
        """When each probe was sent."""
        self.arrived: dict[tuple[int, int], tuple[int, IPv4Address | IPv6Address]] = {}
        """When the first genuine reply to it reached the machine, and whose it was."""


class SoakWire(Wire):
    """A wire that writes genuine arrivals down, and lets forgeries in."""

    def __init__(self, network: SimulatedNetwork, seed: int) -> None:
        internet = Internet(network.topology, seed)
        super().__init__(internet, network.clock)
        self.ledgers: dict[object, Ledger] = {}
        """The account of the trace that is running to each destination."""
        self.sent = self.genuine = self.forged = 0
        self.refused: Counter[str] = Counter()
        """What sockets refused, by reason."""
        self._random = Random(f"{seed} forgeries")

    def transmit(self, socket: SimulatedSocket, probe: Probe, datagram: bytes) -> SendError | None:
        """Take a datagram, without keeping a record of it."""
        now_ns = self.clock.monotonic_ns()
        ledger = self.ledgers[probe.destination]
        place = probe.ttl, probe.attempt
        assert place not in ledger.sent_ns, "a probe was sent twice"
        ledger.sent_ns[place] = now_ns
        self.sent += 1
        if len(self._internet._used) > REMEMBERED:
            self._internet._used.clear()
        journey = self._internet.carry(datagram, now_ns)
        self.clock.call_at(now_ns + journey.delay_ns, partial(self._answered, socket, journey, ledger, place))
        if self._random.random() < FORGED_SHARE:
            self._forge(socket, journey, now_ns)
        return None

    def _answered(
        self, socket: SimulatedSocket, journey: Journey, ledger: Ledger, place: tuple[int, int]
    ) -> None:
        now_ns = self.clock.monotonic_ns()
        answers = journey.lost if journey.responder is None else self._internet.answer(journey, now_ns)
        if isinstance(answers, str):
            return
        assert journey.responder is not None
        assert journey.prober is not None
        address = journey.responder.address(journey.prober.version)
        assert address is not None
        for answer in answers:
            came = partial(self._genuine, socket, answer.datagram, ledger, place, address)
            self.clock.call_at(now_ns + answer.delay_ns, came)

    def _genuine(
        self,
        socket: SimulatedSocket,
        datagram: bytes,
        ledger: Ledger,
        place: tuple[int, int],
        address: IPv4Address | IPv6Address,
    ) -> None:
        if socket in self.sockets:
            self.genuine += 1
            ledger.arrived.setdefault(place, (self.clock.monotonic_ns(), address))
            self._hand_over(socket, datagram)

    def _forge(self, socket: SimulatedSocket, journey: Journey, now_ns: int) -> None:
        """What somebody makes of a probe that was seen or guessed: almost right, whole but where damaged."""
        responder, prober, random = journey.responder, journey.prober, self._random
        if responder is None or prober is None:
            return
        kind = random.choice(KINDS)
        if socket.capabilities.protocol.value == "tcp" and kind is FaultKind.WRONG_TOKEN:
            kind = FaultKind.WRONG_SEQUENCE  # answers of TCP have no room for a token
        version = prober.version
        damaged = kind in {FaultKind.CORRUPT, FaultKind.TRUNCATED}
        source = responder.address(version) if damaged else FORGER[version]
        assert source is not None
        shown = journey.datagram
        if not damaged:
            shown = _forge.forge(kind, shown, random, self._internet._used)
        # A short quote has no room for a token and can be forged by whoever saw the rest (the threat model).
        generous = responder if damaged else attrs.evolve(responder, quote=None)
        protocol, segment = answering_segment(generous, journey.error, shown, source, prober)
        if kind is FaultKind.CORRUPT:
            segment = _forge.damage(segment, random)
        elif kind is FaultKind.TRUNCATED:
            segment = _forge.truncate(segment, protocol, source, prober)
        datagram = wrap(segment, protocol, source, prober, 64, random)
        self.clock.call_at(now_ns + random.randrange(60_000_000), partial(self._forgery, socket, datagram))

    def _forgery(self, socket: SimulatedSocket, datagram: bytes) -> None:
        if socket in self.sockets:
            self.forged += 1
            self._hand_over(socket, datagram)

    def _hand_over(self, socket: SimulatedSocket, datagram: bytes) -> None:
        verdict = socket.arrived(datagram)
        if not isinstance(verdict, Reply):
            self.refused[str(verdict)] += 1


class SoakNetwork(SimulatedNetwork):
    """The network of a run."""

    def __init__(self, destinations: int, seed: int) -> None:
        random = Random(f"{seed} paths")
        paths = [random_path(number, random) for number in range(destinations)]
        super().__init__(Topology(paths=paths), seed=seed)
        self.wire = SoakWire(self, seed)
        self._wire = self.wire

    def identifiers(self) -> int:
        """How many identifiers the open sockets remember, those that rest included."""
        return sum(len(socket._codec._probes) for socket in self.wire.sockets)

    def to_come(self) -> int:
        """How much is going to happen: replies on their way, and deadlines."""
        return len(self.clock._events)

    def begin(self, number: int) -> Ledger:
        """Open the account of a trace."""
        address = destination(number)
        ledger = self.wire.ledgers[address] = Ledger()
        return ledger
