"""What a running trace waits for: counted from its events, bounded by the rules of its configuration."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from traceprobe.config import EnrichmentConfig, Protocol, TimingConfig, TracerouteConfig
from traceprobe.engine._silence import SilenceEstimator
from traceprobe.model import (
    Hop,
    HopSettled,
    Probe,
    ProbeId,
    ProbeSent,
    Reply,
    ReplyKind,
    ReplyReceived,
    TimestampSource,
)
from traceprobe.render._outstanding import Outstanding

TARGET = ip_address("203.0.113.9")
MS = 1_000_000


def probe(ttl: int, attempt: int = 1) -> Probe:
    return Probe(ProbeId(ttl * 100 + attempt), TARGET, ttl, attempt)


def sent(ttl: int, attempt: int = 1, at_ms: float = 0.0) -> ProbeSent:
    return ProbeSent(probe(ttl, attempt), round(at_ms * MS))


def answered(ttl: int, rtt_ms: float, attempt: int = 1) -> ReplyReceived:
    rtt_ns = round(rtt_ms * MS)
    reply = Reply(
        probe(ttl, attempt).id, ReplyKind.TIME_EXCEEDED, TARGET, rtt_ns, rtt_ns, TimestampSource.SIMULATED
    )
    return ReplyReceived(probe(ttl, attempt), reply, late=False)


def waiting(
    *events: ProbeSent | ReplyReceived | HopSettled, protocol: Protocol = Protocol.ICMP, **options: Any
) -> Outstanding:
    outstanding = Outstanding(TracerouteConfig(**options), protocol)
    for event in events:
        outstanding.take(event)
    return outstanding


def test_before_anything_has_happened_there_is_nothing_to_say() -> None:
    assert waiting().sentence() == ""


@pytest.mark.parametrize(
    ("ttls", "words"),
    [
        ([7], "1 of 1 probe is out, waiting for hop 7, at most 1.0 s more"),
        ([7, 8, 9], "3 of 3 probes are out, waiting for hops 7-9, at most 1.0 s more"),
        ([1, 3, 4, 9], "4 of 4 probes are out, waiting for hops 1, 3-4, 9, at most 1.0 s more"),
    ],
)
def test_hops_are_named_by_ranges(ttls: list[int], words: str) -> None:
    assert waiting(*map(sent, ttls)).sentence() == words


def test_what_has_answered_or_settled_or_lies_beyond_the_end_is_not_awaited() -> None:
    outstanding = waiting(*map(sent, range(1, 9)), answered(1, 5.0), HopSettled(Hop(2, ())))
    outstanding.end_at(4)
    assert outstanding.sentence().startswith("2 of 8 probes are out, waiting for hops 3-4,")


def test_in_the_end_names_are_awaited_if_any_are_looked_up() -> None:
    events = sent(1), answered(1, 5.0)
    assert waiting(*events).sentence() == ""
    asking = EnrichmentConfig(reverse_dns=True)
    assert (
        waiting(*events, enrichment=asking).sentence() == "looking up names and networks, at most 2.0 s more"
    )


@pytest.mark.parametrize(
    "options", [{"retries": 1}, {"max_in_flight": 4}, {"timing": TimingConfig(send_interval=0.1)}]
)
def test_nobody_can_tell_how_long_a_paced_trace_takes(options: dict[str, Any]) -> None:
    assert waiting(sent(1), sent(2), answered(1, 5.0), **options).sentence() == (
        "1 of 2 probes is out, waiting for hop 2"
    )
    assert waiting(sent(1), answered(1, 5.0), **options).sentence() == "1 probe sent so far"


@pytest.mark.parametrize("timing", [TimingConfig(), TimingConfig.fast(), TimingConfig.patient()])
@pytest.mark.parametrize("silent", [1, 3, 6])
@pytest.mark.parametrize("rtts", [[], [2.0], [300.0, 4.0], [4.0, 90.0, 20.0], [10.0, 5.0, 3000.0]])
def test_the_longest_wait_is_that_of_the_engine(timing: TimingConfig, silent: int, rtts: list[float]) -> None:
    estimator = SilenceEstimator(timing, 1, 30)
    outstanding = waiting(sent(silent), timing=timing)
    latest = 0.0
    for place, rtt_ms in enumerate(rtts):
        outstanding.take(answered(2 + place, rtt_ms, attempt=2))
        estimator.observe(2 + place, round(rtt_ms * MS))
        latest = max(latest, rtt_ms)
    left = max(0.0, estimator.wait_ns(silent) / 1e9 - latest / 1e3)
    assert outstanding.longest_wait() == pytest.approx(left, abs=1e-6)


def test_short_waits_are_told_in_milliseconds() -> None:
    outstanding = waiting(sent(1), sent(2), answered(2, 1.0))
    assert outstanding.sentence().endswith("waiting for hop 1, at most 17 ms more")


def test_a_host_that_is_probed_by_tcp_has_the_whole_wait_again() -> None:
    outstanding = waiting(sent(1), sent(2), answered(2, 10.0), protocol=Protocol.TCP)
    assert outstanding.longest_wait() == pytest.approx(0.0175)
