"""Every deadline that the clock is asked for derives from a field of the timing configuration.

Each field gets a value that no other has, to the nanosecond. A clock that writes down what it is asked
for stands between a simulated network and the tracer, and each deadline must be a moment that something
happened at, plus what one of the fields makes of the round-trip times of the path.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest

from traceprobe import ProbeSent, ReplyReceived, TimingConfig, TraceFinished, Tracer, TracerouteConfig
from traceprobe.testing import Router, SimulatedNetwork, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traceprobe import Alarm, AsyncProbeSocket, TraceOptions
    from traceprobe.config import AddressFamily

TIMING = TimingConfig(
    probe_timeout=6.100000007,
    interior_floor=0.023000011,
    interior_factor=1.700000013,
    interior_jitter_factor=2.300000017,
    tail_floor=1.300000019,
    tail_factor=3.100000023,
    send_interval=0.0,
    pacing_burst=0.013000029,
    overall_timeout=9.000000031,
    enrichment_timeout=2.500000037,
    dns_timeout=1.100000059,
    dns_ttl_limit=3600.000000061,
    dns_negative_ttl_limit=900.000000067,
    dns_failure_ttl=5.000000071,
    stun_rto=0.500000073,
    stun_last_wait_factor=16.000000079,
    stun_next_server=1.000000083,
    public_address_ttl=3600.000000089,
    identifier_quarantine=11.000000041,
    clock_step_tolerance=0.001300043,
)
SEND_INTERVAL = 0.000700047
PACKETS_PER_SECOND = 1000

# They are durations, but nobody waits for them on the tracer's clock: an identifier rests until it is
# wanted, a step of the wall clock is noticed when a reply comes, whoever asks a name service or a STUN server
# waits for it by itself, and what is remembered is looked at when it is asked for again.
NEVER_WAITED_FOR = {
    "identifier_quarantine",
    "clock_step_tolerance",
    "dns_timeout",
    "dns_ttl_limit",
    "dns_negative_ttl_limit",
    "dns_failure_ttl",
    "stun_rto",
    "stun_last_wait_factor",
    "stun_next_server",
    "public_address_ttl",
}

_TARGET = "192.0.2.9"


class WatchedAlarm:
    """An alarm that writes down what it is asked for."""

    def __init__(self, alarm: Alarm, asked: list[int]) -> None:
        self._alarm = alarm
        self._asked = asked
        self.wake = alarm.wake
        self.close = alarm.close

    async def wait(self, deadline_ns: int | None) -> None:
        """Write the deadline down, and wait."""
        if deadline_ns is not None:
            self._asked.append(deadline_ns)
        await self._alarm.wait(deadline_ns)


class WatchedNetwork:
    """A simulated network whose clock is watched; it is the clock, too."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        self.asked: list[int] = []
        """Every deadline, in order."""
        self.monotonic_ns = network.clock.monotonic_ns
        self.realtime_ns = network.clock.realtime_ns
        self.lookup = network.lookup
        self.socket_key = network.socket_key

    @property
    def clock(self) -> WatchedNetwork:
        """The watched clock."""
        return self

    def alarm(self) -> WatchedAlarm:
        """A watched alarm."""
        return WatchedAlarm(self._network.clock.alarm(), self.asked)

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        """A socket of the network."""
        return await self._network.open(config, family)


# --- what a deadline may be --------------------------------------------------------------------------


def durations(timing: TimingConfig, rtts_ns: Sequence[int]) -> dict[str, set[float]]:
    """What each field makes of the round-trip times that have been seen, nanoseconds."""
    jitters = {slow - fast for slow, fast in itertools.product(rtts_ns, rtts_ns) if slow >= fast} | {0}
    cost = 1e9 / PACKETS_PER_SECOND
    return {
        "probe_timeout": {timing.probe_timeout * 1e9},
        "interior_floor": {timing.interior_floor * 1e9},
        "interior_factor": {timing.interior_factor * rtt for rtt in rtts_ns},
        "interior_jitter_factor": {
            timing.interior_factor * rtt + timing.interior_jitter_factor * jitter
            for rtt, jitter in itertools.product(rtts_ns, jitters)
            if jitter
        },
        "tail_floor": {timing.tail_floor * 1e9},
        "tail_factor": {timing.tail_factor * rtt for rtt in rtts_ns},
        "send_interval": {timing.send_interval * 1e9} - {0},
        "overall_timeout": set() if timing.overall_timeout is None else {timing.overall_timeout * 1e9},
        "enrichment_timeout": {timing.enrichment_timeout * 1e9},
        "pacing_burst": {packets * cost - timing.pacing_burst * 1e9 for packets in range(1, 300)},
    }


def explained(asked: int, moments: set[int], allowed: dict[str, set[float]]) -> set[str]:
    """The fields that a deadline may derive from; rounding costs a nanosecond or two."""
    return {
        field
        for field, values in allowed.items()
        for moment in moments
        if any(abs(asked - moment - value) <= 2 for value in values)
    }


async def deadlines(
    network: SimulatedNetwork, timing: TimingConfig, *, judged_by: TimingConfig, **options: Any
) -> list[set[str]]:
    """Trace, and say of each deadline which fields would explain it."""
    watched = WatchedNetwork(network)
    config = TracerouteConfig(timing=timing, max_ttl=8, queries=2).with_options(cast("TraceOptions", options))
    moments: set[int] = set()
    rtts: set[int] = set()
    async with (
        Tracer(config, socket_factory=watched, resolver=network.resolver) as tracer,
        tracer.open_trace(_TARGET) as trace,
    ):
        async for event in trace.events():
            if isinstance(event, ProbeSent):
                moments.add(event.sent_ns)
            elif isinstance(event, ReplyReceived):
                rtts.add(event.reply.rtt_ns)
            elif isinstance(event, TraceFinished):
                offset = watched.realtime_ns() - watched.monotonic_ns()
                began = event.result.started_at_ns - offset
                moments |= {began, began + event.result.duration_ns}
        finished = trace.result
    # The duration is that of the probing; look-ups are waited for afterwards.
    assert finished.duration_ns >= max(rtts, default=0)
    allowed = durations(judged_by, sorted(rtts))
    return [explained(asked, moments, allowed) for asked in watched.asked]


# --- paths on which each field shows -----------------------------------------------------------------


def near() -> SimulatedNetwork:
    """A silent hop on a path of a few milliseconds."""
    return SimulatedNetwork.path(_TARGET, ["198.51.100.1", None, "198.51.100.3", _TARGET])


def far() -> SimulatedNetwork:
    """A silent hop on a path of a tenth of a second; every hop is slower than the one before it."""
    hops = [Router("198.51.100.1", rtt=0.101), None, Target(_TARGET, rtt=0.107)]
    return SimulatedNetwork.path(_TARGET, hops)


def slow_router() -> SimulatedNetwork:
    """A router that is slower than what lies behind it, and a silent hop before both."""
    hops = [None, Router("198.51.100.2", rtt=0.131), Target(_TARGET, rtt=0.113)]
    return SimulatedNetwork.path(_TARGET, hops)


def silent_target() -> SimulatedNetwork:
    """A target that never answers."""
    return SimulatedNetwork.path(_TARGET, ["198.51.100.1", Target(_TARGET, silent=True)])


def satellite() -> SimulatedNetwork:
    """A silent target behind a hop of half a second."""
    return SimulatedNetwork.path(_TARGET, [Router("198.51.100.1", rtt=0.503), Target(_TARGET, silent=True)])


def moon() -> SimulatedNetwork:
    """A silent target behind a hop so far away that only the upper limit ends the wait."""
    routers = Router("198.51.100.1", rtt=1.103), Router("198.51.100.2", rtt=2.113)
    return SimulatedNetwork.path(_TARGET, (*routers, Target(_TARGET, silent=True)))


def nameless() -> SimulatedNetwork:
    """Look-ups take longer than anybody waits."""
    return SimulatedNetwork.path(_TARGET, ["198.51.100.1", _TARGET], resolver_delay=60.0)


SCENARIOS: dict[str, tuple[Callable[[], SimulatedNetwork], dict[str, Any]]] = {
    "interior_floor": (near, {}),
    "interior_factor": (far, {}),
    "interior_jitter_factor": (slow_router, {}),
    "tail_floor": (silent_target, {}),
    "tail_factor": (satellite, {}),
    "probe_timeout": (moon, {}),
    "send_interval": (near, {"send_interval": SEND_INTERVAL}),
    "pacing_burst": (near, {"packets_per_second": PACKETS_PER_SECOND}),
    "overall_timeout": (moon, {"overall_timeout": 1.000000053}),
    "enrichment_timeout": (nameless, {}),
}
EVERY_SCENARIO = pytest.mark.parametrize("field", SCENARIOS)


def test_every_field_has_a_path_that_it_shows_on() -> None:
    assert {field.name for field in attrs.fields(TimingConfig)} == set(SCENARIOS) | NEVER_WAITED_FOR


def test_no_two_fields_have_the_same_value() -> None:
    values = [value for value in attrs.astuple(TIMING) if value]
    assert len(set(values)) == len(attrs.fields(TimingConfig)) - 1  # all but send_interval


def scenario(field: str) -> tuple[SimulatedNetwork, TimingConfig, dict[str, Any]]:
    """The path that a field shows on, and how to trace it."""
    make_network, options = SCENARIOS[field]
    if field in options:
        value: Any = options[field]
        return make_network(), attrs.evolve(TIMING, **{field: value}), {}
    return make_network(), TIMING, options


@EVERY_SCENARIO
async def test_every_deadline_derives_from_a_field(field: str) -> None:
    network, timing, options = scenario(field)
    found = await deadlines(network, timing, judged_by=timing, **options)
    assert found, "nobody waited for anything"
    assert all(found), "a deadline derives from no field"
    assert any(field in fields for fields in found), f"nobody waited for {field}"


@EVERY_SCENARIO
async def test_a_deadline_follows_its_field_and_the_check_can_fail(field: str) -> None:
    network, timing, options = scenario(field)
    changed = attrs.evolve(timing, **{field: getattr(timing, field) * 0.9})
    found = await deadlines(network, changed, judged_by=timing, **options)
    assert not all(found), "a deadline of another value is explained by the old one"
