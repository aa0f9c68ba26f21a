"""How long silence is waited for: interior, tail, jitter, the cap, and how deadlines move."""

from __future__ import annotations

import pytest

from tests.engine.conversation import DESTINATION, MS, START, Conversation
from traceprobe.config import TimingConfig
from traceprobe.engine._silence import SilenceEstimator
from traceprobe.model import ProbeStatus, ReplyKind, StopReason


def test_the_tail_waits_for_its_floor() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    assert talk.gives_up_at == 1000
    talk.at(20).hears(1)
    assert talk.gives_up_at == 1000


def test_the_tail_waits_for_three_times_the_slowest_round_trip() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(500).hears(1)
    assert talk.gives_up_at == 1500


def test_the_tail_is_capped() -> None:
    talk = Conversation(max_ttl=3, queries=1, probe_timeout=1.2)
    talk.sends()
    talk.at(500).hears(1)
    assert talk.gives_up_at == 1200


def test_a_target_far_behind_near_hops_is_found_with_default_timing() -> None:
    talk = Conversation(max_ttl=30, queries=3, timing=TimingConfig())
    talk.sends()
    talk.at(20)
    for ttl in range(1, 6):
        for attempt in (1, 2, 3):
            talk.hears(ttl, attempt=attempt)
    assert not talk.engine.finished
    talk.at(800).looks_at_the_clock()
    for attempt in (1, 2, 3):
        talk.hears_destination(6, attempt=attempt)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.listed == [1, 2, 3, 4, 5, 6]


def test_an_interior_hop_waits_for_its_floor() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(2).hears(2)
    assert talk.gives_up_at == 15, "TTL 1; TTL 3 is in the tail"
    talk.waits()
    assert talk.probe(1).waited_ns == 15 * MS


def test_an_interior_hop_waits_for_a_factor_of_the_slowest_farther_on() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(20).hears(2)
    talk.at(40).hears_destination(4)
    assert talk.gives_up_at == 60, "TTL 1 and 3 wait for 1.5 times 40 ms"


def test_a_slow_hop_nearby_says_nothing_of_hops_behind_it_but_of_jitter() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(20).hears_destination(4)
    assert talk.gives_up_at == 30
    talk.at(26).hears(1)
    # Hop 1 was 6 ms slower than the destination behind it: J = 6, for all. R of TTL 2 is still 20.
    assert talk.gives_up_at == 36


def test_another_attempt_at_the_same_ttl_is_evidence() -> None:
    talk = Conversation(max_ttl=2, queries=2)
    talk.sends()
    talk.at(40).hears_destination(2)
    assert talk.gives_up_at == 60, "the other attempt at TTL 2 is an interior probe"


def test_jitter_within_a_hop_counts() -> None:
    talk = Conversation(max_ttl=2, queries=3)
    talk.sends()
    talk.at(20).hears_destination(2)
    talk.at(29).hears_destination(2, attempt=2)
    assert talk.gives_up_at == 29 * 1.5 + 9


def test_an_interior_wait_is_capped() -> None:
    talk = Conversation(max_ttl=2, queries=1, probe_timeout=0.1)
    talk.sends()
    talk.at(90).hears_destination(2)
    assert talk.gives_up_at == 100


def test_waits_count_from_each_probe_s_own_sending() -> None:
    talk = Conversation(max_ttl=2, queries=2, send_interval=0.02)
    for ms in (0, 20, 40, 60):
        talk.at(ms)
        assert talk.sends()
    talk.at(65).hears_destination(2, rtt=25)
    assert talk.engine.next_deadline() == START + round(37.5 * MS), "TTL 1's first probe, from 0"
    talk.looks_at_the_clock()
    assert talk.probe(1).status is ProbeStatus.TIMEOUT
    assert talk.gives_up_at == 97.5, "TTL 2's second probe, from 60; TTL 1's was due at 57.5"


def test_a_probe_whose_deadline_turns_out_past_was_awaited_until_that_was_known() -> None:
    talk = Conversation(max_ttl=2, queries=1, send_interval=0.5)
    talk.sends()
    talk.waits()
    talk.sends()
    talk.at(510).hears_destination(2)
    talk.at(512).looks_at_the_clock()
    assert talk.probe(1).waited_ns == 510 * MS
    assert talk.engine.decided_ns == START + 510 * MS


def test_deadlines_of_outstanding_probes_move_and_given_up_ones_do_not() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    assert talk.probe(1).waited_ns == 15 * MS
    talk.at(30).hears_destination(4)
    assert talk.gives_up_at == 45, "TTL 3"
    assert talk.probe(1).status is ProbeStatus.TIMEOUT


def test_replies_beyond_the_destination_are_evidence_too() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(20).hears_destination(3)
    assert talk.gives_up_at == 30
    talk.at(24).hears_destination(5)
    assert talk.engine.counts == {"beyond_end": 1}
    assert talk.gives_up_at == 36
    assert talk.listed == [1, 2, 3]


def test_deadline_reached_gives_up_exactly_what_is_due() -> None:
    talk = Conversation(max_ttl=3, queries=1, send_interval=0.001)
    for ms in (0, 1, 2):
        talk.at(ms).sends()
    talk.at(1000 - 0.000001).looks_at_the_clock()
    assert talk.engine.outstanding == 3
    talk.at(1000).looks_at_the_clock()
    assert talk.engine.outstanding == 2
    talk.at(1002).looks_at_the_clock()
    assert talk.engine.finished


def test_a_reply_stamped_at_its_deadline_and_reported_after_it_is_in_time() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends()
    talk.at(20).hears_destination(2)
    talk.at(2000).hears(1, stamped=30)
    assert talk.probe(1).status is ProbeStatus.REPLY
    assert not talk.probe(1).late
    assert talk.engine.finished


def test_early_calls_change_nothing() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    for ms in (1, 2, 3, 500, 999):
        talk.at(ms).looks_at_the_clock()
    assert talk.engine.outstanding == 3
    assert talk.gives_up_at == 1000


def test_a_negative_round_trip_is_no_evidence_of_more_than_zero() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends()
    talk.at(5).hears(2, kind=ReplyKind.TIME_EXCEEDED, rtt=-3)
    assert talk.gives_up_at == 15
    assert talk.probe(2).rtt_ns == -3 * MS


def test_ten_hops_to_30_ms_three_of_them_silent_end_within_20_ms_of_the_slowest() -> None:
    talk = Conversation(max_ttl=30, queries=3, timing=TimingConfig())
    talk.sends()
    silent = {3, 6, 9}
    for ttl in range(1, 11):
        talk.at(3 * ttl)
        if ttl in silent:
            continue
        for attempt in (1, 2, 3):
            if ttl == 10:
                talk.hears_destination(ttl, attempt=attempt)
            else:
                talk.hears(ttl, attempt=attempt)
    while not talk.engine.finished:
        talk.waits()
    assert talk.now <= START + 50 * MS
    assert [hop.ttl for hop in talk.engine.hops() if hop.address is None] == [3, 6, 9]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_order_of_evidence_does_not_matter(order: tuple[int, ...]) -> None:
    rtts = {1: 50 * MS, 2: 10 * MS, 3: 30 * MS}
    estimator = SilenceEstimator(TimingConfig(interior_factor=1.5, interior_jitter_factor=1.0), 1, 5)
    for ttl in order:
        estimator.observe(ttl, rtts[ttl])
    # J = 50 - 10 = 40; R is 50, 30, 30; the tail waits.
    assert [estimator.wait_ns(ttl) / MS for ttl in (1, 2, 3, 4, 5)] == [115, 85, 85, 1000, 1000]
    assert [estimator.is_interior(ttl) for ttl in (1, 2, 3, 4, 5)] == [True, True, True, False, False]


def test_observing_says_whether_a_wait_may_have_changed() -> None:
    estimator = SilenceEstimator(TimingConfig(), 1, 5)
    assert estimator.observe(3, 10 * MS)
    assert not estimator.observe(3, 10 * MS)
    assert estimator.observe(3, 9 * MS), "jitter"
    assert not estimator.observe(2, 9 * MS)
    assert estimator.observe(4, 1 * MS), "TTL 4 has become an interior one"


def test_a_wait_behind_a_slower_hop_may_change_without_more_jitter() -> None:
    estimator = SilenceEstimator(TimingConfig(), 1, 5)
    estimator.observe(1, 50 * MS)
    estimator.observe(2, 10 * MS)
    before = estimator.wait_ns(2)
    assert estimator.observe(5, 20 * MS)
    assert estimator.wait_ns(2) > before


def test_whoever_accepts_one_connection_is_given_as_long_again_for_the_next() -> None:
    talk = Conversation(max_ttl=2, queries=3)
    talk.sends()
    for attempt in (1, 2, 3):
        talk.at(1).hears(1, attempt=attempt)
    talk.at(40).hears(2, DESTINATION, ReplyKind.SYN_ACK, attempt=1)
    assert talk.gives_up_at == 100, "not 60"
    talk.at(80).hears(2, DESTINATION, ReplyKind.SYN_ACK, attempt=2, rtt=40)
    assert talk.gives_up_at == 140
    talk.at(120).hears(2, DESTINATION, ReplyKind.SYN_ACK, attempt=3, rtt=40)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert [talk.probe(2, attempt).status for attempt in (1, 2, 3)] == [ProbeStatus.REPLY] * 3


def test_whoever_refuses_one_connection_is_not_waited_for_any_longer() -> None:
    talk = Conversation(max_ttl=1, queries=2)
    talk.sends()
    talk.at(40).hears(1, DESTINATION, ReplyKind.RST)
    assert talk.gives_up_at == 60
