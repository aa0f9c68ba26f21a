"""How often the default timing gives up a probe whose answer is on its way.

The model, per trace:

* 4 to 24 hops. Each link adds a round trip drawn from a lognormal distribution with a median of 1 ms and
  a sigma of 1: most links are short, a few cross a continent; paths of 5 to 60 ms.
* Routers answer from their control plane: each reply is late by an exponential delay with a mean of
  1 ms; one router in ten is slow, with a mean of 5 ms. The destination's kernel answers within 0.05 ms.
* 15 % of the routers never answer (those probes are not answerable), and 2 % of all replies are lost.
* A burst of all probes at once, 1.5 us apart; no driver's delays.

Counted is every interior probe (nearer than the destination) whose reply comes, and among them those
that were given up before it came, whether or not the reply was still seen late.
"""

from __future__ import annotations

import heapq
import random
from ipaddress import ip_address

import attrs
import pytest

from tests.engine.conversation import DESTINATION, MS
from traceprobe.config import TimingConfig, TracerouteConfig
from traceprobe.engine import TracerouteEngine
from traceprobe.model import Reply, ReplyKind, SentProbe, StopReason, TimestampSource

ENOUGH = 20_000
CAPACITY = 30
ROUTERS = [ip_address(f"10.0.{ttl}.1") for ttl in range(CAPACITY)]
TARGET = ip_address(DESTINATION)


@attrs.define
class Score:
    """What was counted."""

    answerable: int = 0
    given_up: int = 0
    """Given up before the answer came."""
    never_seen: int = 0
    """And the trace was over before it came."""


def one_trace(dice: random.Random, config: TracerouteConfig, score: Score) -> None:
    length = dice.randint(4, 24)
    links = [dice.lognormvariate(0.0, 1.0) for _ in range(length)]
    means = [5.0 if dice.random() < 0.1 else 1.0 for _ in range(length)]
    silent = [dice.random() < 0.15 for _ in range(length)]
    engine = TracerouteEngine(config, TARGET, 0)
    on_the_way: list[tuple[int, int, Reply]] = []
    for index, probe in enumerate(engine.probes_to_send(0)):
        sent_ns = index * 1_500
        engine.probe_sent(SentProbe(probe.id, sent_ns, sent_ns), sent_ns)
        reached = probe.ttl >= length
        ttl = min(probe.ttl, length)
        if (silent[ttl - 1] and not reached) or dice.random() < 0.02:
            continue
        own = dice.expovariate(20.0 if reached else 1 / means[ttl - 1])
        rtt_ns = round((sum(links[:ttl]) + own) * MS)
        kind = ReplyKind.ECHO_REPLY if reached else ReplyKind.TIME_EXCEEDED
        address = TARGET if reached else ROUTERS[ttl]
        reply = Reply(probe.id, kind, address, rtt_ns, sent_ns + rtt_ns, TimestampSource.SIMULATED)
        heapq.heappush(on_the_way, (reply.received_ns, index, reply))
        score.answerable += not reached
    while not engine.finished:
        deadline = engine.next_deadline()
        if on_the_way and (deadline is None or on_the_way[0][0] <= deadline):
            _, _, reply = heapq.heappop(on_the_way)
            engine.reply_received(reply, reply.received_ns)
        else:
            assert deadline is not None
            engine.deadline_reached(deadline)
    assert engine.stop_reason is StopReason.DESTINATION_REACHED
    for hop in engine.hops()[: length - 1]:
        score.given_up += sum(probe.late for probe in hop.probes)
    missed = sum(reply.kind is ReplyKind.TIME_EXCEEDED for _, _, reply in on_the_way)
    score.given_up += missed
    score.never_seen += missed


def score_of(timing: TimingConfig, seed: int) -> Score:
    dice, score, config = random.Random(seed), Score(), TracerouteConfig(timing=timing)
    while score.answerable < ENOUGH:
        one_trace(dice, config, score)
    return score


def test_fewer_than_one_in_a_thousand_is_given_up_before_its_answer_comes() -> None:
    score = score_of(TimingConfig(), seed=20_261_122)
    assert score.answerable >= ENOUGH
    assert score.given_up / score.answerable < 1 / 1000
    assert score.never_seen <= score.given_up


def test_the_measure_can_fail() -> None:
    """Without the floor and the allowance for jitter, many more are given up."""
    hasty = TimingConfig(interior_floor=0.0, interior_factor=1.0, interior_jitter_factor=0.0)
    dice, score = random.Random(1), Score()
    for _ in range(40):
        one_trace(dice, TracerouteConfig(timing=hasty), score)
    assert score.given_up / score.answerable > 1 / 100


@pytest.mark.parametrize("slowest_ms", [0.1, 5.0, 30.0])
def test_the_defaults_end_a_trace_within_20_ms_of_its_slowest_answer(slowest_ms: float) -> None:
    """Up to 30 ms, with half a millisecond of jitter: the bound that keeps the factors from being larger."""
    timing = TimingConfig()
    wait_ms = max(
        timing.interior_floor * 1000,
        timing.interior_factor * slowest_ms + timing.interior_jitter_factor * 0.5,
    )
    assert wait_ms - slowest_ms <= 18
