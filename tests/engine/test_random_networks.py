"""Random networks in virtual time: what must hold whatever the network does."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.conversation import DESTINATION, MS, START
from tests.engine.network import SUBMIT_NS, Network, Quote, Run, Station, run, steady
from traceprobe.config import FlowStrategy, TimingConfig, TracerouteConfig
from traceprobe.model import ProbeStatus, ReplyKind, StopReason

RTTS = st.one_of(
    st.floats(0.05, 40), st.floats(0.05, 40), st.floats(40, 400), st.floats(800, 6_000), st.just(10.0)
)
REFUSALS = st.sampled_from([ReplyKind.UNREACHABLE, ReplyKind.PACKET_TOO_BIG, ReplyKind.PORT_UNREACHABLE])
ANSWERS = st.sampled_from([ReplyKind.ECHO_REPLY, ReplyKind.PORT_UNREACHABLE, ReplyKind.RST])


@st.composite
def stations(draw: st.DrawFn, ttl: int) -> Station:
    balanced = draw(st.sampled_from([1, 1, 1, 2, 3]))
    # Now and then an address of another TTL, so that routers repeat on the path.
    place = draw(st.sampled_from([ttl] * 6 + [1, 2, 3]))
    return Station(
        addresses=tuple(f"10.0.{place}.{number}" for number in range(1, balanced + 1)),
        rtt=draw(RTTS),
        kind=draw(st.sampled_from([ReplyKind.TIME_EXCEEDED] * 12 + [ReplyKind.UNREACHABLE])),
        jitter=draw(st.sampled_from([0.0, 0.0, 0.3, 5.0, 60.0])),
        loss=draw(st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 1.0])),
        duplicates=draw(st.sampled_from([0.0, 0.0, 0.0, 0.4])),
        quote=draw(st.sampled_from([Quote.UNSEEN, Quote.HONEST, Quote.HONEST, *Quote])),
    )


@st.composite
def networks(draw: st.DrawFn) -> Network:
    length = draw(st.integers(1, 9))
    path = [draw(stations(ttl)) for ttl in range(1, length + 1)]
    end = draw(st.sampled_from(["destination"] * 4 + ["refusal", "silence", "circle"]))
    cycle = 0
    if end == "destination":
        path[-1] = attrs.evolve(path[-1], addresses=(DESTINATION,), kind=draw(ANSWERS))
    elif end == "refusal":
        path[-1] = attrs.evolve(path[-1], kind=draw(REFUSALS))
    elif end == "silence":
        path.append(Station((DESTINATION,), 1.0, loss=1.0))
    else:
        cycle = draw(st.integers(1, length))
    return Network(
        tuple(path),
        seed=draw(st.integers(0, 2**32)),
        cycle=cycle,
        refused=draw(st.sampled_from([0.0, 0.0, 0.0, 0.2, 1.0])),
        lag=draw(st.sampled_from([0.0, 0.0, 0.1, 20.0, 2_000.0])),
    )


CONFIGS = st.builds(
    TracerouteConfig,
    first_ttl=st.sampled_from([1, 1, 1, 3]),
    max_ttl=st.integers(3, 14),
    flow=st.sampled_from([None, *FlowStrategy]),
    queries=st.integers(1, 3),
    gap_limit=st.none() | st.integers(1, 5),
    stop_on_loop=st.sampled_from([True, True, False]),
    max_in_flight=st.sampled_from([None, None, 1, 2, 7]),
    timing=st.builds(
        attrs.evolve,
        st.sampled_from([TimingConfig(), TimingConfig(), TimingConfig.fast(), TimingConfig.patient()]),
        send_interval=st.sampled_from([0.0, 0.0, 0.0, 0.004]),
        overall_timeout=st.sampled_from([None, None, None, 0.03, 1.5]),
    ),
)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def longest_ns(config: TracerouteConfig) -> int:
    """How long a trace can take at most: every probe lost, windows and retries one after the other."""
    count = (config.max_ttl - config.first_ttl + 1) * (config.queries + config.retries)
    rounds = 1 if config.max_in_flight is None else -(-count // config.max_in_flight)
    waits = (rounds + config.retries) * config.timing.probe_timeout
    pacing = count * config.timing.send_interval
    longest = waits + pacing
    if config.timing.overall_timeout is not None:
        longest = min(longest, config.timing.overall_timeout)
    return round(longest * 1e9) + count * SUBMIT_NS


def check_truth(config: TracerouteConfig, trace: Run) -> None:
    """What the network knows and the engine only heard."""
    engine, network = trace.pair.engine, trace.network
    hops = engine.hops()
    probes = {(probe.ttl, probe.attempt): probe.id for probe in trace.pair.handed_out}
    for hop in hops:
        there = set(network.at(hop.ttl).addresses)
        assert {str(address) for address in hop.addresses} <= there, "not on the path at that TTL"
        for result in hop.probes:
            probe_id = probes.get((hop.ttl, result.attempt))
            arrival = None if probe_id is None else trace.arrivals.get(probe_id)
            came = arrival is not None and arrival <= trace.now
            if engine.decided_ns is not None and arrival is not None and arrival > engine.decided_ns:
                continue  # it came after the end, while the driver was kept from noticing that
            assert (result.status is ProbeStatus.REPLY) == came, (hop.ttl, result)
    if engine.stop_reason is StopReason.DESTINATION_REACHED:
        assert str(hops[-1].address) == DESTINATION or len(hops[-1].addresses) > 1
        assert hops[-1].ttl >= len(network.stations) or config.first_ttl > len(network.stations)
    if engine.stop_reason is StopReason.LOOP:
        seen = [hop.address for hop in hops]
        assert any(
            seen[-length:] == seen[-2 * length : -length] and len(set(seen[-length:])) > 1
            for length in range(2, len(seen) // 2 + 1)
        )
    trace.pair.answered_once()


@examples(150)
@given(config=CONFIGS, network=networks())
def test_whatever_the_network_does(config: TracerouteConfig, network: Network) -> None:
    """The reference agrees after every step; nothing made up, nothing missed, nothing announced twice."""
    check_truth(config, run(config, network))


@examples(100)
@given(config=CONFIGS, network=networks(), retries=st.integers(0, 3))
def test_a_trace_is_over_by_its_bound(config: TracerouteConfig, network: Network, retries: int) -> None:
    config = attrs.evolve(config, retries=retries)
    trace = run(config, attrs.evolve(network, lag=0.0), compare=False)
    assert trace.now - START <= longest_ns(config)
    check_truth(config, trace)


@examples(40)
@given(config=CONFIGS, network=networks(), retries=st.integers(0, 3))
def test_the_same_seed_is_the_same_trace(config: TracerouteConfig, network: Network, retries: int) -> None:
    config = attrs.evolve(config, retries=retries)
    first, second = (run(config, network, compare=False) for _ in range(2))
    assert first.pair.events == second.pair.events
    assert first.pair.engine.hops() == second.pair.engine.hops()
    assert first.pair.engine.decided_ns == second.pair.engine.decided_ns
    assert first.now == second.now


@examples(60)
@given(network=networks(), queries=st.integers(1, 3), window=st.sampled_from([None, 1, 4]))
def test_without_balancing_a_hop_beyond_the_end_was_announced_only_if_a_late_reply_came(
    network: Network, queries: int, window: int | None
) -> None:
    """On a path without balancing, with nothing late, every announced hop is in the result."""
    single = tuple(attrs.evolve(s, addresses=s.addresses[:1], jitter=0.0) for s in network.stations)
    config = TracerouteConfig(max_ttl=12, queries=queries, max_in_flight=window)
    trace = run(config, attrs.evolve(network, stations=single, lag=0.0), compare=False)
    if not trace.pair.contradicted:
        return
    assert any(probe.late for ttl in range(1, 13) for probe in trace.pair.engine.hop(ttl).probes)


def test_ten_hops_to_30_ms_three_of_them_silent_end_within_20_ms_of_the_slowest() -> None:
    network = steady(*(3.0 * ttl for ttl in range(1, 11)), silent=(3, 6, 9), jitter=0.1)
    trace = run(TracerouteConfig(), network, compare=False)
    engine = trace.pair.engine
    assert engine.stop_reason is StopReason.DESTINATION_REACHED
    assert trace.ended_ms <= 50
    assert [hop.ttl for hop in engine.hops() if hop.address is None] == [3, 6, 9]


def test_a_target_at_800_ms_behind_hops_of_20_ms_is_found() -> None:
    trace = run(TracerouteConfig(), steady(20, 20.1, 20.2, 20.3, 20.4, 800), compare=False)
    assert trace.pair.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert len(trace.pair.engine.hops()) == 6


@pytest.mark.parametrize("preset", [TimingConfig(), TimingConfig.fast(), TimingConfig.patient()])
def test_a_silent_target_costs_the_tail_s_floor(preset: TimingConfig) -> None:
    network = Network((*steady(1, 2, 3).stations[:-1], Station((DESTINATION,), 1.0, loss=1.0)))
    trace = run(TracerouteConfig(timing=preset), network, compare=False)
    assert trace.pair.engine.stop_reason is StopReason.MAX_TTL
    assert trace.ended_ms == pytest.approx(preset.tail_floor * 1000, abs=0.5)


SLOWNESS = 3.5


@st.composite
def slow_hops(draw: st.DrawFn) -> tuple[list[float], int]:
    """A path whose round trips grow, but for one hop 3.5 times slower than its successor."""
    steps = draw(st.lists(st.floats(0.01, 60), min_size=2, max_size=20))
    rtts = [sum(steps[: count + 1]) for count in range(len(steps))]
    slow = draw(st.integers(0, len(rtts) - 2))
    rtts[slow] = SLOWNESS * rtts[slow + 1]
    return rtts, slow + 1


@examples(120)
@given(path=slow_hops(), queries=st.integers(1, 3), seed=st.integers(0, 99))
def test_patient_timing_finds_a_hop_three_and_a_half_times_slower_than_its_successor(
    path: tuple[list[float], int], queries: int, seed: int
) -> None:
    rtts, slow_ttl = path
    config = TracerouteConfig(timing=TimingConfig.patient(), queries=queries)
    trace = run(config, attrs.evolve(steady(*rtts), seed=seed), compare=False)
    hop = trace.pair.engine.hop(slow_ttl)
    assert hop.loss == 0.0
    assert trace.pair.engine.stop_reason is StopReason.DESTINATION_REACHED


@examples(120)
@given(path=slow_hops(), queries=st.integers(1, 3))
def test_default_timing_finds_it_as_far_as_the_bound_on_ending_early_allows(
    path: tuple[list[float], int], queries: int
) -> None:
    """Found whenever 3.5 times the successor is within the interior wait of the slowest hop farther on.

    No default can find every such hop: a trace with silent hops has to end within 20 ms of a slowest
    round trip of 30 ms, so that nothing is waited for longer than 50 ms there, and a hop at 3.5 times
    29 ms would take 101 ms. The patient preset is for such paths.
    """
    timing = TimingConfig()
    rtts, slow_ttl = path
    trace = run(TracerouteConfig(queries=queries), steady(*rtts), compare=False)
    slowest = max(rtts[slow_ttl:])
    wait = max(timing.interior_floor * 1000, timing.interior_factor * slowest)
    found = trace.pair.engine.hop(slow_ttl).address is not None
    assert found or rtts[slow_ttl - 1] > wait
    assert trace.ended_ms <= max(wait, *rtts) + timing.interior_jitter_factor * max(rtts) + 1


def test_the_slow_hop_of_the_text_book() -> None:
    """The successor answers after 5 ms, the hop itself after 17.5: the floor is there for that."""
    trace = run(TracerouteConfig(), steady(1, 2, 17.5, 5, 6), compare=False)
    assert trace.pair.engine.hop(3).loss == 0.0
    assert trace.ended_ms == pytest.approx(17.5, abs=0.1)


def test_moments_are_integers() -> None:
    trace = run(TracerouteConfig(), steady(1.1, 2.2, 3.3, silent=(2,)), compare=False)
    assert type(trace.pair.engine.decided_ns) is int
    assert trace.pair.engine.decided_ns == pytest.approx(START + 17.5 * MS, abs=10_000)
