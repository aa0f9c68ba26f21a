"""A network in virtual time for the engine alone: who answers which probe, when, and how often.

No packets and no codecs (``traceprobe.testing`` has those). Everything a probe meets follows from the
network's seed and the probe's TTL and attempt, so that it does not depend on the order of sending.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import random
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs

from tests.engine.conversation import DESTINATION, MS, START
from tests.engine.pair import Pair
from traceprobe.model import Reply, ReplyKind, TimestampSource

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.model import Probe, ProbeId

SUBMIT_NS = 1_500
"""From one probe of a batch to the next."""


class Quote(StrEnum):
    """What TTL an error quotes."""

    UNSEEN = "unseen"
    """The mode can't see it."""
    HONEST = "honest"
    """What was left: 1 at a router."""
    DOWN = "down"
    """One less, by responders that count down before they quote."""
    RESTORED = "restored"
    """The TTL that was sent."""
    CONSTANT = "constant"
    """64, by a translator that sets it anew."""
    ANY = "any"
    """Nothing that makes sense."""


@attrs.frozen
class Station:
    """What answers the probes of one TTL."""

    addresses: tuple[str, ...]
    """Several: balanced, each probe meets one of them."""
    rtt: float
    """Milliseconds, without the responder's own delay."""
    kind: ReplyKind = ReplyKind.TIME_EXCEEDED
    jitter: float = 0.0
    """Mean of the responder's own delay, exponential, milliseconds."""
    loss: float = 0.0
    """1.0 is a silent one."""
    duplicates: float = 0.0
    quote: Quote = Quote.UNSEEN


@attrs.frozen
class Network:
    """Stations by TTL; what lies beyond the last one is the last one again, or a cycle."""

    stations: tuple[Station, ...]
    seed: int = 0
    cycle: int = 0
    """How many stations at the end follow each other round and round; 0: none."""
    refused: float = 0.0
    """Share of probes that the kernel refuses."""
    lag: float = 0.0
    """Mean of how long the driver is kept from its work when something happens, milliseconds."""

    def at(self, ttl: int) -> Station:
        """The station that a TTL leads to."""
        position, count = ttl - 1, len(self.stations)
        if position >= count:
            position = count - 1 if not self.cycle else count - self.cycle + (position - count) % self.cycle
        return self.stations[position]

    def quoted(self, ttl: int, dice: random.Random) -> int | None:
        """The TTL that an error about a probe of this one quotes."""
        left = 1 if self.cycle else max(1, ttl - len(self.stations) + 1)
        return {
            Quote.UNSEEN: None,
            Quote.HONEST: left,
            Quote.DOWN: left - 1,
            Quote.RESTORED: ttl,
            Quote.CONSTANT: 64,
            Quote.ANY: dice.randrange(0, ttl + 3),
        }[self.at(ttl).quote]

    def replies(self, probe: Probe, sent_ns: int) -> list[Reply]:
        """What will come back."""
        station = self.at(probe.ttl)
        dice = random.Random(f"{self.seed} {probe.ttl} {probe.attempt}")
        if dice.random() < station.loss:
            return []
        address = ip_address(dice.choice(station.addresses))
        replies: list[Reply] = []
        while not replies or dice.random() < station.duplicates:
            delay = dice.expovariate(1 / station.jitter) if station.jitter else 0.0
            rtt_ns = round((station.rtt + delay) * MS)
            source = TimestampSource.SIMULATED
            reply = Reply(probe.id, station.kind, address, rtt_ns, sent_ns + rtt_ns, source)
            replies.append(attrs.evolve(reply, quoted_ttl=self.quoted(probe.ttl, dice)))
        return replies

    def refusal(self, probe: Probe) -> int | None:
        """The error that a probe's sending meets."""
        refused = random.Random(f"kernel {self.seed} {probe.ttl} {probe.attempt}").random() < self.refused
        return errno.ENOBUFS if refused else None


@attrs.define
class Run:
    """One trace through a network: the engine at the end, and the truth."""

    pair: Pair
    network: Network
    arrivals: dict[ProbeId, int] = attrs.field(factory=dict)
    """When the first reply to a probe arrived or would have."""
    now: int = START
    last_sent_ns: int = START

    @property
    def ended_ms(self) -> float:
        """When the trace was over, after its start."""
        return (self.now - START) / MS


def run(config: TracerouteConfig, network: Network, *, compare: bool = True) -> Run:
    """Trace through a network, as the tracer does it: on every wake drain first, then judge deadlines."""
    pair = Pair(config, compare=compare)
    trace = Run(pair, network)
    engine = pair.engine
    on_the_way: list[tuple[int, int, Reply]] = []
    order = itertools.count()
    dice = random.Random(network.seed)
    while True:
        for probe in pair.take(trace.now):
            refusal = network.refusal(probe)
            pair.report(probe, trace.now, refusal)
            if refusal is None:
                trace.last_sent_ns = trace.now
                for reply in network.replies(probe, trace.now):
                    heapq.heappush(on_the_way, (reply.received_ns, next(order), reply))
                    first = trace.arrivals.get(probe.id, reply.received_ns)
                    trace.arrivals[probe.id] = min(first, reply.received_ns)
            trace.now += SUBMIT_NS
        if engine.finished:
            return trace
        if engine.has_probes_due(trace.now):
            continue
        wakes = [moment for moment in (engine.next_deadline(),) if moment is not None]
        wakes += [moment for moment, _, _ in on_the_way[:1]]
        assert wakes, "the engine waits for nothing"
        lag = dice.expovariate(1 / network.lag) if network.lag else 0.0
        trace.now = max(trace.now, min(wakes)) + round(lag * MS)
        arrived = []
        while on_the_way and on_the_way[0][0] <= trace.now:
            arrived.append(heapq.heappop(on_the_way)[2])
        pair.hear(*arrived, now=trace.now)
        deadline = engine.next_deadline()
        if deadline is not None and deadline <= trace.now:
            pair.look_at_the_clock(trace.now)


def steady(*rtts: float, silent: tuple[int, ...] = (), jitter: float = 0.0) -> Network:
    """A plain path: one router after the other, the last station is the destination."""
    stations = [
        Station((f"10.0.{ttl}.1",), rtt, jitter=jitter, loss=float(ttl in silent))
        for ttl, rtt in enumerate(rtts, 1)
    ]
    stations[-1] = attrs.evolve(stations[-1], addresses=(DESTINATION,), kind=ReplyKind.ECHO_REPLY)
    return Network(tuple(stations))
