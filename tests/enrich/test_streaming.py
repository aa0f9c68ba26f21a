"""Look-ups beside a trace, in virtual time: started at once, holding up nothing, waited for just enough."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import traceprobe
from tests.enrich.conftest import dns_settings
from traceprobe import (
    EnrichmentConfig,
    EnrichmentError,
    HopEnriched,
    HopRevised,
    HopSettled,
    Knowledge,
    ProbeSent,
    ReplyReceived,
    ResolverError,
    TextAnswer,
    TraceFinished,
    Tracer,
    UnsupportedOption,
)
from traceprobe.enrich._dns import Records
from traceprobe.enrich._resolver import DnsResolver
from traceprobe.testing import Router, SimulatedNetwork, Target

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe import Event, TraceResult
    from traceprobe.testing import VirtualClock

MS = 1_000_000
TARGET = "11.0.19.9"
HOPS = [f"11.0.{number}.1" for number in range(19)] + [TARGET]
"""Addresses that belong to somebody, so that their networks are asked for; in memory only."""


def network_of_twenty(**options: Any) -> SimulatedNetwork:
    return SimulatedNetwork.path(TARGET, HOPS, hop_rtt=0.002, **options)


class SlowResolver:
    """Knows everything, and takes its time for it."""

    def __init__(self, clock: VirtualClock, delay: float) -> None:
        self.clock = clock
        self.delay = delay
        self.asked: Counter[str] = Counter()
        self.first_ended_ns: int | None = None
        self.most_at_once = 0
        self._now = 0

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        await self._take_time(str(address))
        return f"host-{address}.example"

    async def text(self, name: str) -> TextAnswer:
        await self._take_time(name)
        if name.startswith("AS"):
            return TextAnswer((f"{name[2:7]} | US | arin | | EXAMPLE, US".encode(),), 60.0)
        octets = name.split(".")[3::-1]
        text = f"{64500 + int(octets[2])} | {'.'.join(octets[:3])}.0/24 | US | arin |"
        return TextAnswer((text.encode(),), 60.0)

    async def _take_time(self, question: str) -> None:
        self.asked[question] += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await self.clock.pass_time(self.delay)
        finally:
            self._now -= 1
        if self.first_ended_ns is None:
            self.first_ended_ns = self.clock.monotonic_ns()


class DeadResolver:
    """Never answers."""

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        await anyio.Event().wait()
        raise AssertionError

    async def text(self, name: str) -> TextAnswer:
        await anyio.Event().wait()
        raise AssertionError


NAMES_AND_NETWORKS = EnrichmentConfig(reverse_dns=True, asn=True)


async def timed_events(network: SimulatedNetwork, **options: Any) -> list[tuple[int, Event]]:
    """Every event of a trace, with the virtual time at which a reader gets it."""
    async with traceprobe.open_trace(TARGET, socket_factory=network, **options) as trace:
        return [(network.clock.monotonic_ns(), event) async for event in trace.events()]


# --- must never delay -----------------------------------------------------------------------------------


async def test_every_round_trip_comes_before_the_first_look_up_ends() -> None:
    network = network_of_twenty()
    slow = SlowResolver(network.clock, 0.1)
    seen = await timed_events(network, resolver=slow, enrichment=NAMES_AND_NETWORKS)
    replies = [(at, event) for at, event in seen if isinstance(event, ReplyReceived)]
    enriched = [(at, event) for at, event in seen if isinstance(event, HopEnriched)]
    assert len(replies) == 60
    kinds = [type(event) for _, event in seen]
    last_reply = max(place for place, kind in enumerate(kinds) if kind is ReplyReceived)
    assert last_reply < kinds.index(HopEnriched)
    assert slow.first_ended_ns is not None
    last_reply_ns = replies[-1][0]
    assert last_reply_ns < slow.first_ended_ns <= enriched[0][0]

    # All is known two look-ups after the last reply, exactly: the virtual clock has no jitter to allow for.
    finished_ns, finished = seen[-1]
    assert isinstance(finished, TraceFinished)
    result = finished.result
    assert finished_ns - last_reply_ns == 2 * 100 * MS
    assert [hop.hostname for hop in result] == [f"host-{host}.example" for host in HOPS]
    networks = [(64500 + number, "EXAMPLE") for number in range(20)]
    assert [hop.asn and (hop.asn.number, hop.asn.name) for hop in result] == networks
    assert not any(hop.enrichment_errors for hop in result)
    assert set(slow.asked.values()) == {1}


@pytest.mark.parametrize("enrichment", [EnrichmentConfig.names(), NAMES_AND_NETWORKS], ids=["names", "both"])
async def test_a_dead_resolver_costs_no_event_any_time(enrichment: EnrichmentConfig) -> None:
    hops = [*HOPS[:9], None, *HOPS[10:18], Router(HOPS[18], rtt=0.03, loss=0.5), TARGET]
    plain = await timed_events(SimulatedNetwork.path(TARGET, hops, seed=3))
    network = SimulatedNetwork.path(TARGET, hops, seed=3)
    dead = await timed_events(network, resolver=DeadResolver(), enrichment=enrichment)

    def of_the_path(seen: list[tuple[int, Event]]) -> list[object]:
        """When what happened, but for the parts that are different each time."""
        kinds = (ProbeSent, ReplyReceived, HopSettled, HopRevised)
        return [(at, type(event), _ttl(event)) for at, event in seen if isinstance(event, kinds)]

    assert of_the_path(dead) == of_the_path(plain)
    (_, ended), (_, ended_dead) = plain[-1], dead[-1]
    assert isinstance(ended, TraceFinished)
    assert isinstance(ended_dead, TraceFinished)
    assert ended_dead.result.duration_ns == ended.result.duration_ns
    assert ended_dead.result.timings == ended.result.timings


def _ttl(event: Event) -> int:
    if isinstance(event, ProbeSent | ReplyReceived):
        return event.probe.ttl
    assert isinstance(event, HopSettled | HopRevised)
    return event.hop.ttl


async def test_a_look_up_starts_with_the_first_reply() -> None:
    network = SimulatedNetwork.path(TARGET, [Router(HOPS[0], rtt=0.001), Target(TARGET, rtt=0.5)])
    seen = await timed_events(
        network, resolver=SlowResolver(network.clock, 0.1), enrichment=EnrichmentConfig.names()
    )
    learnt = [at for at, event in seen if isinstance(event, HopEnriched) and event.hop.ttl == 1]
    settled = [event.hop for _, event in seen if isinstance(event, HopSettled) and event.hop.ttl == 1]
    # The name was there long before the trace ended, and either streamed in or came with the hop.
    assert learnt == [101 * MS] or [hop.hostname for hop in settled] == [f"host-{HOPS[0]}.example"]


# --- must not be lost -----------------------------------------------------------------------------------


async def test_the_result_says_what_is_missing() -> None:
    network = SimulatedNetwork.path(TARGET, [HOPS[0], TARGET])
    seen = await timed_events(
        network, resolver=DeadResolver(), enrichment=NAMES_AND_NETWORKS, enrichment_timeout=0.25
    )
    finished_ns, finished = seen[-1]
    assert isinstance(finished, TraceFinished)
    reason = "no answer 0.25 s after the end of the trace"
    for hop in finished.result:
        assert hop.enrichment_errors == (
            EnrichmentError("reverse_dns", reason),
            EnrichmentError("asn", reason),
        )
    ended_ns = finished.result.duration_ns
    assert finished_ns == ended_ns + 250 * MS


async def test_a_failure_is_told_on_the_hop_and_costs_nothing_else() -> None:
    class Fails(SlowResolver):
        async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
            if address == ip_address(HOPS[0]):
                raise ResolverError("somewhere", "SERVFAIL")
            return await super().reverse(address)

    class Broken:
        name = "inventory"

        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            if address == ip_address(TARGET):
                raise KeyError(str(address))
            return Knowledge()

    class Nonsense:
        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            return "nonsense"  # type: ignore[return-value]

    network = SimulatedNetwork.path(TARGET, [HOPS[0], HOPS[1], TARGET])
    result = await traceprobe.trace_async(
        TARGET,
        socket_factory=network,
        resolver=Fails(network.clock, 0.01),
        enrichers=[Broken(), Nonsense()],
        enrichment=EnrichmentConfig.names(),
    )
    nonsense = EnrichmentError("Nonsense", "TypeError: an enricher returns Knowledge, not str")
    first, second, last = result
    assert first.enrichment_errors == (EnrichmentError("reverse_dns", "SERVFAIL"), nonsense)
    assert (first.hostname, second.hostname) == (None, f"host-{HOPS[1]}.example")
    assert second.enrichment_errors == (nonsense,)
    assert last.hostname == f"host-{TARGET}.example"
    assert last.enrichment_errors == (EnrichmentError("inventory", f"KeyError: '{TARGET}'"), nonsense)
    assert type(result).from_dict(result.to_dict()) == result


async def test_a_failure_streams_like_knowledge() -> None:
    class Fails:
        async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
            await network.clock.pass_time(0.05)
            raise OSError("the name service is on holiday")

    network = SimulatedNetwork.path(TARGET, [HOPS[0], TARGET])
    seen = await timed_events(network, resolver=Fails())
    told = [event for _, event in seen if isinstance(event, HopEnriched)]
    assert [event.knowledge.errors for event in told] == [
        (EnrichmentError("reverse_dns", "the name service is on holiday"),)
    ] * 2


async def test_what_enrichers_know_is_put_together_in_their_order() -> None:
    class Says:
        def __init__(self, name: str, delay: float) -> None:
            self.name = name
            self.delay = delay

        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            await network.clock.pass_time(self.delay)
            return Knowledge(hostname=self.name, city=None if self.name == "first" else self.name)

    network = SimulatedNetwork.path(TARGET, [HOPS[0], TARGET])
    result = await traceprobe.trace_async(
        TARGET, socket_factory=network, enrichers=[Says("first", 0.09), Says("second", 0.01)]
    )
    assert [(hop.hostname, hop.city) for hop in result] == [("first", "second")] * 2


async def test_each_hop_is_held_until_its_own_look_ups_have_ended() -> None:
    class Each:
        async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
            await network.clock.pass_time(0.1 * HOPS.index(str(address)))
            return None

    network = SimulatedNetwork.path(TARGET, [*HOPS[1:4], TARGET], hop_rtt=0.001)
    async with traceprobe.open_trace(TARGET, socket_factory=network, resolver=Each()) as trace:
        hops = trace.hops(until="enriched")
        handed_out = [(hop.ttl, network.clock.monotonic_ns() // MS) async for hop in hops]
    # Nothing was learnt, and yet each is handed out at once: not the names are waited for but the answers.
    assert handed_out == [(1, 101), (2, 202), (3, 303), (4, 1904)]


# --- how much at once -----------------------------------------------------------------------------------


async def test_no_more_look_ups_at_once_than_the_configuration_allows() -> None:
    network = network_of_twenty()
    slow = SlowResolver(network.clock, 0.01)
    enrichment = EnrichmentConfig(reverse_dns=True, max_lookups=3)
    result = await traceprobe.trace_async(
        TARGET, socket_factory=network, resolver=slow, enrichment=enrichment
    )
    assert slow.most_at_once == 3
    assert [hop.hostname for hop in result] == [f"host-{host}.example" for host in HOPS]


async def test_an_enricher_that_hangs_keeps_no_other_waiting() -> None:
    class Hangs:
        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            await anyio.Event().wait()
            raise AssertionError

    network = network_of_twenty()
    result = await traceprobe.trace_async(
        TARGET,
        socket_factory=network,
        resolver=SlowResolver(network.clock, 0.01),
        enrichers=[Hangs()],
        enrichment=EnrichmentConfig(reverse_dns=True, max_lookups=2),
    )
    assert [hop.hostname for hop in result] == [f"host-{host}.example" for host in HOPS]
    assert {error.enricher for hop in result for error in hop.enrichment_errors} == {"Hangs"}


# --- shared ---------------------------------------------------------------------------------------------


class CountingClient:
    """Asks nobody, but counts what it would have asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def pointers(self, name: str) -> Records[str]:
        self.asked[name] += 1
        await anyio.lowlevel.checkpoint()
        return Records((f"{name}.names.example.",), 300.0)

    async def texts(self, name: str) -> Records[bytes]:
        self.asked[name] += 1
        await anyio.lowlevel.checkpoint()
        if name.startswith("AS"):
            return Records((b"64500 | US | arin | | EXAMPLE, US",), 300.0)
        return Records((b"64500 | 11.0.0.0/8 | US | arin |",), 300.0)

    async def aclose(self) -> None:
        """Nothing to do."""


async def test_a_thousand_traces_ask_each_name_once_per_time_to_live() -> None:
    network = SimulatedNetwork.path(TARGET, [*HOPS[:2], TARGET])
    clock, client = network.clock, CountingClient()
    resolver = DnsResolver(client, dns_settings(), clock.monotonic_ns)
    config = traceprobe.TracerouteConfig(enrichment=NAMES_AND_NETWORKS, queries=1, max_ttl=3)
    results: list[TraceResult] = []

    async def trace(tracer: Tracer) -> None:
        results.append(await tracer.trace(TARGET))

    async with Tracer(config, socket_factory=network, resolver=resolver) as tracer:
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(trace, tracer)
        assert len(results) == 1000
        assert clock.monotonic_ns() < 300e9
        # Three names, three networks (each in a /24 of its own), one name of a network.
        assert len(client.asked) == 7
        assert set(client.asked.values()) == {1}
        await clock.pass_time(301.0)
        await trace(tracer)
        assert set(client.asked.values()) == {2}
    for result in results:
        assert all(hop.hostname is not None and hop.asn is not None for hop in result)


async def test_traces_at_once_ask_about_an_address_once() -> None:
    network = SimulatedNetwork.path(TARGET, [*HOPS[:2], TARGET])
    slow = SlowResolver(network.clock, 0.1)
    async with Tracer(socket_factory=network, resolver=slow) as tracer, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(tracer.trace, TARGET)
    assert slow.asked == dict.fromkeys((*HOPS[:2], TARGET), 1)


async def test_traces_of_one_tracer_may_want_different_things() -> None:
    network = SimulatedNetwork.path(TARGET, [HOPS[0], TARGET])
    resolver = SlowResolver(network.clock, 0.01)
    network_with_names = _WithResolver(network, resolver)
    async with Tracer(socket_factory=network_with_names) as tracer:
        off = await tracer.trace(TARGET)
        names = await tracer.trace(TARGET, enrichment=EnrichmentConfig.names())
        both = await tracer.trace(TARGET, enrichment=NAMES_AND_NETWORKS)
    assert [(hop.hostname, hop.asn) for hop in off] == [(None, None)] * 2
    assert all(hop.hostname and hop.asn is None for hop in names)
    assert all(hop.hostname and hop.asn for hop in both)


class _WithResolver:
    """A simulated network with another name service."""

    def __init__(self, network: SimulatedNetwork, resolver: object) -> None:
        self.resolver = resolver
        self.clock = network.clock
        self.lookup = network.lookup
        self.socket_key = network.socket_key
        self.open = network.open


async def test_a_network_that_brings_a_name_service_is_asked_by_itself() -> None:
    network = SimulatedNetwork.path(TARGET, [Router(HOPS[0], hostname="gateway.example"), TARGET])
    result = await traceprobe.trace_async(TARGET, socket_factory=network, enrichment=EnrichmentConfig.names())
    assert [hop.hostname for hop in result] == ["gateway.example", None]
    assert len(network.resolver.asked) == 2
    with pytest.raises(UnsupportedOption, match="text"):
        await traceprobe.trace_async(TARGET, socket_factory=network, enrichment=NAMES_AND_NETWORKS)


async def test_by_default_nobody_is_asked() -> None:
    network = SimulatedNetwork.path(TARGET, [Router(HOPS[0], hostname="gateway.example"), TARGET])
    result = await traceprobe.trace_async(TARGET, socket_factory=network)
    assert [hop.hostname for hop in result] == [None, None]
    assert not network.resolver.asked


async def test_a_trace_that_is_left_early_says_so() -> None:
    network = network_of_twenty()
    dead = DeadResolver()
    async with traceprobe.open_trace(TARGET, socket_factory=network, resolver=dead) as trace:
        async for _ in trace:
            break
    errors = {error for hop in trace.result for error in hop.enrichment_errors}
    assert errors == {EnrichmentError("reverse_dns", "the trace was ended before there was an answer")}
