"""Hops become certain, one announcement each; late replies, duplicates, retries and cutting short."""

from __future__ import annotations

import pytest

from tests.engine.conversation import DESTINATION, MS, START, Conversation
from traceprobe.errors import UsageError
from traceprobe.model import HopRevised, HopSettled, Knowledge, ProbeStatus, ReplyKind, StopReason

# --- certainty ----------------------------------------------------------------------------------------


def test_a_hop_settles_with_its_last_answer() -> None:
    talk = Conversation(max_ttl=3, queries=2)
    talk.sends()
    talk.at(10).hears(1)
    assert talk.settled == []
    talk.at(11).hears(1, attempt=2)
    assert talk.settled == [1]
    event = talk.last_event()
    assert isinstance(event, HopSettled)
    assert event.hop == talk.hop(1)
    assert event.hop.received == 2


def test_a_hop_is_not_certain_while_the_path_may_end_before_it() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    assert talk.settled == [], "TTL 1 may still turn out to be the destination"
    talk.at(11).hears(1)
    assert talk.settled == [1, 2]


def test_a_time_exceeded_proves_that_the_path_goes_on() -> None:
    talk = Conversation(max_ttl=3, queries=2)
    talk.sends()
    talk.at(10).hears(1).hears(2).hears(2, attempt=2)
    assert talk.settled == [2], "TTL 1 awaits its second answer, but can't be the end"
    talk.at(11).hears(1, attempt=2)
    assert talk.settled == [2, 1]


def test_the_first_answer_of_a_hop_sets_the_ones_behind_it_free() -> None:
    talk = Conversation(max_ttl=5, queries=2)
    talk.sends()
    talk.at(10).hears(4).hears(4, attempt=2).hears(3).hears(2).hears(2, attempt=2)
    assert talk.settled == []
    talk.hears(1)
    assert talk.settled == [2, 4], "TTL 1 and 3 await a second answer each, but can't be the end"


def test_a_silent_hop_settles_when_it_is_given_up_and_sets_the_ones_behind_it_free() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(10).hears(1).hears(3).hears_destination(4)
    assert talk.settled == [1]
    talk.waits()
    assert talk.settled == [1, 2, 3, 4]
    assert talk.engine.finished


def test_hops_of_the_tail_settle_in_order() -> None:
    talk = Conversation(max_ttl=4, queries=1, send_interval=0.001)
    for ms in range(4):
        assert talk.at(ms).sends()
    talk.at(1002).looks_at_the_clock()
    assert talk.settled == [1, 2, 3]
    talk.waits()
    assert talk.settled == [1, 2, 3, 4]


def test_a_hop_beyond_a_refusal_is_not_certain() -> None:
    talk = Conversation(max_ttl=4, queries=2)
    talk.sends()
    talk.at(10)
    for attempt in (1, 2):
        talk.hears(1, attempt=attempt).hears(3, kind=ReplyKind.UNREACHABLE, attempt=attempt)
    talk.hears(2, kind=ReplyKind.UNREACHABLE)
    assert talk.settled == [1]
    talk.hears(2, kind=ReplyKind.UNREACHABLE, attempt=2)
    assert talk.settled == talk.listed == [1, 2]


def test_a_refusal_is_no_proof_that_the_path_goes_on() -> None:
    talk = Conversation(max_ttl=4, queries=2)
    talk.sends()
    talk.at(10)
    for attempt in (1, 2):
        talk.hears(1, attempt=attempt).hears(3, attempt=attempt)
    talk.hears(2, kind=ReplyKind.UNREACHABLE)
    assert talk.settled == [1], "the other attempt at TTL 2 may still reach the destination there"
    talk.hears(2, attempt=2)
    assert talk.settled == [1, 2, 3]


def test_every_hop_has_been_announced_when_the_trace_is_over() -> None:
    talk = Conversation(max_ttl=4, queries=1, overall_timeout=0.1)
    talk.sends()
    talk.at(10).hears(3)
    talk.waits_for_the_end()
    assert sorted(talk.settled) == talk.listed == [1, 2, 3, 4]
    assert len(talk.settled) == 4


def test_balanced_paths_of_different_lengths_end_at_the_shorter() -> None:
    talk = Conversation(max_ttl=4, queries=2)
    talk.sends()
    talk.at(10).hears(1).hears(1, attempt=2).hears(2)
    talk.at(11).hears_destination(3).hears_destination(3, attempt=2)
    assert talk.settled == [1, 3]
    talk.at(12).hears_destination(2, attempt=2)
    assert talk.engine.finished
    assert talk.listed == [1, 2]
    assert talk.settled == [1, 3, 2]
    assert [str(address) for address in talk.hop(2).addresses] == ["10.0.0.2", DESTINATION]


# --- late replies, duplicates -------------------------------------------------------------------------


def test_a_late_reply_revises_a_settled_hop() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    assert talk.settled == [1, 2]
    assert talk.hop(1).address is None
    talk.at(40).hears(1)
    assert talk.said("late") == [1]
    assert talk.said("revised") == [1]
    event = talk.last_event()
    assert isinstance(event, HopRevised)
    assert str(event.hop.address) == "10.0.0.1"
    probe = talk.probe(1)
    assert probe.late
    assert probe.status is ProbeStatus.REPLY
    assert probe.waited_ns is None
    assert talk.hop(1).loss == 0.0
    assert talk.settled == [1, 2]


def test_a_late_reply_is_evidence() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    talk.at(400).hears(1)
    assert talk.gives_up_at == 1200, "three times the slowest round trip"


def test_a_late_reply_before_its_hop_has_settled_needs_no_revision() -> None:
    talk = Conversation(max_ttl=2, queries=2, send_interval=0.01)
    for ms in (0, 10, 20):
        talk.at(ms).sends()
    talk.at(21).hears(2, rtt=1).looks_at_the_clock()
    assert [probe.attempt for probe in talk.hop(1).probes] == [1], "due at 15; the other one is at 25"
    talk.at(22).hears(1)
    assert talk.said("late") == [1]
    talk.at(23).hears(1, attempt=2)
    assert talk.settled == [1]
    assert talk.said("revised") == []


def test_a_late_answer_of_the_destination_shortens_the_path() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1).hears(4)
    talk.waits()
    assert talk.settled == [1, 2, 3, 4]
    talk.at(20).hears_destination(3)
    assert talk.said("revised") == [3]
    talk.waits()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.listed == [1, 2, 3]
    assert talk.path == ["10.0.0.1", None, DESTINATION]


def test_the_trace_lingers_for_what_was_given_up_earlier_than_is_now_known_to_be_right() -> None:
    """TTL 1 is given up by what TTL 2 has shown; then TTL 3 turns out to be far away."""
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    assert talk.settled == [1, 2]
    talk.at(30).hears_destination(3)
    assert talk.settled == talk.listed == [1, 2, 3]
    assert not talk.engine.finished
    assert talk.engine.outstanding == 0
    assert talk.gives_up_at == 45
    talk.at(44).hears(1)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.engine.decided_ns == START + 44 * MS
    assert talk.said("revised") == [1]
    assert talk.path == ["10.0.0.1", "10.0.0.2", DESTINATION]


def test_lingering_ends_by_itself() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    talk.at(30).hears_destination(3)
    talk.waits()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.engine.decided_ns == START + 45 * MS
    assert talk.probe(1).waited_ns == 15 * MS


def test_a_trace_that_only_lingers_has_ended_for_its_own_reason_when_time_is_out() -> None:
    talk = Conversation(max_ttl=3, queries=1, overall_timeout=0.04)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    talk.at(30).hears_destination(3)
    talk.at(41).looks_at_the_clock()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.engine.decided_ns == START + 40 * MS


def test_nothing_lingers_for_what_has_been_waited_for_already() -> None:
    talk = Conversation(max_ttl=2, queries=2, send_interval=0.005)
    for ms in (0, 5, 10):
        assert talk.at(ms).sends()
    talk.at(15).hears(2, DESTINATION, ReplyKind.ECHO_REPLY, rtt=5).sends()
    talk.at(20).looks_at_the_clock()
    assert [probe.status for probe in talk.hop(1).probes] == [ProbeStatus.TIMEOUT] * 2
    talk.at(20.2).hears(2, DESTINATION, ReplyKind.ECHO_REPLY, attempt=2, stamped=19.8, rtt=4.8)
    assert talk.engine.finished
    assert talk.engine.decided_ns == START + 20 * MS


def test_replies_reported_out_of_the_order_of_their_arrival_end_the_trace_at_once() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends()
    talk.at(25).hears_destination(2, rtt=20).hears(1, stamped=18)
    assert talk.engine.finished
    assert talk.engine.decided_ns == START + 25 * MS


def test_a_late_time_exceeded_contradicts_an_end() -> None:
    talk = Conversation(max_ttl=5, queries=2)
    talk.sends()
    talk.at(10).hears(4)
    talk.waits()
    assert [probe.status for probe in talk.hop(3).probes] == [ProbeStatus.TIMEOUT] * 2
    talk.at(16).hears(5, kind=ReplyKind.UNREACHABLE)
    talk.at(17).hears(3)
    assert talk.said("revised") == [3]
    assert not talk.engine.finished


def test_a_reply_reported_late_but_stamped_before_the_giving_up_is_in_time() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    assert talk.probe(1).status is ProbeStatus.TIMEOUT
    talk.at(15.2).hears(1, stamped=14.9)
    assert not talk.probe(1).late
    assert talk.said("answered") == [2, 1]
    assert talk.said("revised") == [1]


def test_the_first_reply_counts_and_duplicates_are_counted() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends()
    talk.at(10).hears(1)
    talk.at(40).hears(1, "10.9.9.9")
    assert talk.engine.counts == {"duplicate": 1}
    assert talk.hop(1).addresses == (talk.hop(1).address,)
    assert talk.engine.replies == 1
    assert talk.gives_up_at == 1000, "a duplicate's round trip is no evidence"


def test_a_duplicate_of_a_late_reply_is_one_too() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    talk.at(40).hears(1).hears(1)
    assert talk.engine.counts == {"duplicate": 1}
    assert talk.said("revised") == [1]


def test_a_late_reply_from_beyond_the_destination_changes_nothing() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(4)
    talk.waits()
    talk.at(16).hears_destination(2)
    talk.waits()
    assert talk.engine.finished
    talk.hears(3)
    assert talk.engine.counts == {"after_end": 1}
    assert talk.listed == [1, 2]


def test_replies_to_given_up_probes_beyond_the_destination_are_counted() -> None:
    talk = Conversation(max_ttl=5, queries=2)
    talk.sends()
    talk.at(10).hears(5).hears(5, attempt=2)
    talk.at(40).hears(2)
    talk.at(45).looks_at_the_clock()
    assert [probe.status for probe in talk.hop(3).probes] == [ProbeStatus.TIMEOUT] * 2
    assert talk.hop(1).probes == (), "the slow answer of TTL 2 is a reason to wait longer before it"
    talk.at(50).hears_destination(2, attempt=2)
    released = talk.engine.released()
    assert {probe.ttl for probe in talk.probes.values() if probe.id in released} == {3, 4, 5}
    talk.at(51).hears(3)
    assert talk.engine.counts == {"beyond_end": 1}
    assert talk.said("late") == talk.said("revised") == []
    talk.at(52).hears(1).hears(1, attempt=2)
    assert talk.engine.finished
    assert talk.listed == [1, 2]
    assert set(talk.engine.released()) == {p.id for p in talk.probes.values()} - set(released)


def test_nothing_changes_after_the_end() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends()
    talk.at(10).hears(1)
    talk.waits()
    assert talk.engine.finished
    result, decided = talk.engine.hops(), talk.engine.decided_ns
    events = len(talk.settled)
    talk.at(5000).hears(2)
    talk.looks_at_the_clock()
    talk.engine.cancel(talk.now)
    assert talk.engine.counts == {"after_end": 1}
    assert talk.engine.hops() == result
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.engine.decided_ns == decided
    assert len(talk.settled) == events
    assert talk.engine.next_deadline() is None
    assert not talk.engine.has_probes_due(talk.now)
    assert talk.takes() == []


def test_a_reply_of_another_trace_is_counted() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    other = Conversation(max_ttl=9, queries=1)
    other.sends()
    talk.sends()
    talk.probes[9, 1] = other.probes[9, 1]
    talk.at(1).hears(9)
    assert talk.engine.counts == {"unmatched": 1}


# --- release ------------------------------------------------------------------------------------------


def test_given_up_probes_stay_matchable_until_the_end() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(2)
    talk.waits()
    assert talk.engine.released() == []
    talk.waits()
    assert talk.engine.finished
    assert sorted(talk.engine.released()) == sorted(probe.id for probe in talk.probes.values())
    assert talk.engine.released() == []


# --- retries ------------------------------------------------------------------------------------------


def test_a_silent_hop_is_probed_once_more_one_probe_at_a_time() -> None:
    talk = Conversation(max_ttl=2, queries=2, retries=2)
    talk.sends()
    talk.at(10).hears_destination(2).hears_destination(2, attempt=2)
    talk.waits()
    assert talk.settled == []
    assert talk.engine.has_probes_due(talk.now)
    (first,) = talk.takes()
    assert (first.ttl, first.attempt) == (1, 3)
    talk.reports([first])
    assert talk.takes() == []
    assert talk.gives_up_at == 30
    talk.waits()
    (second,) = talk.takes()
    assert (second.ttl, second.attempt) == (1, 4)
    talk.reports([second])
    talk.at(33).hears(1, attempt=4)
    assert talk.engine.finished
    hop = talk.hop(1)
    assert (hop.sent, hop.received) == (4, 1)
    assert [probe.attempt for probe in hop.probes] == [1, 2, 3, 4]


def test_retries_run_out() -> None:
    talk = Conversation(max_ttl=2, queries=1, retries=3)
    talk.sends()
    talk.at(10).hears_destination(2)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert len(talk.hop(1).probes) == 4
    assert talk.now == START + 4 * 15 * MS


def test_a_hop_that_answered_once_is_not_probed_again() -> None:
    talk = Conversation(max_ttl=2, queries=2, retries=3)
    talk.sends()
    talk.at(10).hears_destination(2).hears_destination(2, attempt=2).hears(1)
    talk.waits()
    assert talk.engine.finished
    assert len(talk.hop(1).probes) == 2


def test_the_tail_is_not_probed_again() -> None:
    talk = Conversation(max_ttl=3, queries=1, retries=3)
    talk.sends()
    talk.at(10).hears(1)
    talk.waits_for_the_end()
    assert talk.engine.probes_sent == 3


def test_a_refused_hop_is_not_probed_again() -> None:
    talk = Conversation(max_ttl=2, queries=1, retries=3)
    talk.sends(refuse=[1])
    talk.at(10).hears_destination(2)
    assert talk.engine.finished
    assert len(talk.hop(1).probes) == 1


def test_a_refused_retry_counts_as_one() -> None:
    talk = Conversation(max_ttl=2, queries=1, retries=1)
    talk.sends()
    talk.at(10).hears_destination(2)
    talk.waits()
    talk.sends(refuse=[1])
    assert talk.engine.finished
    assert [probe.status for probe in talk.hop(1).probes] == [ProbeStatus.TIMEOUT, ProbeStatus.SEND_ERROR]


def test_retries_go_before_what_lies_farther_on() -> None:
    talk = Conversation(max_ttl=6, queries=1, retries=1, max_in_flight=3)
    assert talk.sends() == [1, 2, 3]
    talk.at(10).hears(3)
    assert talk.sends() == [4]
    talk.at(15).looks_at_the_clock()
    assert talk.sends(limit=2) == [1, 2]


def test_a_retry_that_a_late_reply_makes_needless_is_not_sent() -> None:
    talk = Conversation(max_ttl=4, queries=1, retries=1)
    talk.sends()
    talk.at(10).hears(4)
    talk.at(15).looks_at_the_clock()
    talk.at(16).hears(2)
    assert talk.said("revised") == [], "it had not settled: a retry was to come"
    assert talk.sends() == [1, 3]
    assert len(talk.hop(2).probes) == 1
    talk.at(17).hears(1, attempt=2)
    assert talk.settled == [1, 2]


def test_a_retry_that_was_handed_out_is_awaited_in_spite_of_a_late_reply() -> None:
    talk = Conversation(max_ttl=2, queries=1, retries=1)
    talk.sends()
    talk.at(10).hears_destination(2)
    talk.waits()
    talk.sends()
    talk.at(16).hears(1)
    assert not talk.engine.finished
    talk.waits()
    assert [probe.status for probe in talk.hop(1).probes] == [ProbeStatus.REPLY, ProbeStatus.TIMEOUT]


def test_a_retry_beyond_the_destination_is_not_sent() -> None:
    talk = Conversation(max_ttl=4, queries=1, retries=1)
    talk.sends()
    talk.at(10).hears(4)
    talk.at(15).looks_at_the_clock()
    talk.at(16).hears_destination(1)
    assert talk.takes() == []
    assert talk.engine.finished
    assert talk.listed == talk.settled == [1]


# --- cut short ----------------------------------------------------------------------------------------


def test_the_overall_time_out_ends_with_what_is_known() -> None:
    talk = Conversation(max_ttl=9, queries=1, overall_timeout=0.5, max_in_flight=4)
    talk.sends()
    talk.at(10).hears(1).hears(2)
    talk.sends()
    assert talk.gives_up_at == 500
    talk.at(600).looks_at_the_clock()
    assert talk.engine.stop_reason is StopReason.TIMEOUT
    assert talk.engine.decided_ns == START + 500 * MS
    assert talk.listed == talk.settled == [1, 2, 3, 4, 5, 6]
    assert talk.engine.outstanding == 0
    statuses = [talk.probe(ttl).status for ttl in range(3, 7)]
    assert statuses == [ProbeStatus.TIMEOUT] * 4
    assert talk.probe(3).waited_ns == 500 * MS
    assert talk.probe(5).waited_ns == 490 * MS
    assert talk.probe(7).status is ProbeStatus.CANCELLED
    assert talk.hop(3).loss == 1.0


def test_the_overall_time_out_counts_from_the_start() -> None:
    talk = Conversation(max_ttl=9, queries=1, overall_timeout=0.5)
    talk.at(300)
    assert talk.gives_up_at == 500
    talk.sends()
    assert talk.gives_up_at == 500


def test_what_was_due_before_the_overall_time_out_ends_the_trace_for_its_own_reason() -> None:
    talk = Conversation(max_ttl=2, queries=1, overall_timeout=1.5)
    talk.sends()
    talk.at(4000).looks_at_the_clock()
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.engine.decided_ns == START + 1000 * MS


def test_probes_beyond_a_known_end_are_not_listed_when_time_is_out() -> None:
    talk = Conversation(max_ttl=9, queries=1, overall_timeout=0.02)
    talk.sends()
    talk.at(18).hears_destination(4)
    talk.at(20).looks_at_the_clock()
    assert talk.engine.stop_reason is StopReason.TIMEOUT
    assert talk.engine.destination_ttl == 4
    assert talk.listed == [1, 2, 3, 4]


def test_a_time_out_before_anything_was_sent() -> None:
    talk = Conversation(first_ttl=3, max_ttl=9, queries=1, overall_timeout=0.02)
    talk.at(20).looks_at_the_clock()
    assert talk.listed == talk.settled == [3]
    assert talk.hop(3).loss is None


def test_cancelling_ends_with_what_is_known() -> None:
    talk = Conversation(max_ttl=9, queries=2)
    talk.sends(limit=7)
    talk.at(10).hears(1).hears(3)
    talk.engine.cancel(talk.now)
    assert talk.engine.stop_reason is StopReason.CANCELLED
    assert talk.engine.decided_ns == talk.now
    assert talk.listed == [1, 2, 3, 4]
    assert sorted(talk.settled) == [1, 2, 3, 4]
    assert [probe.status for probe in talk.hop(1).probes] == [ProbeStatus.REPLY, ProbeStatus.CANCELLED]
    assert talk.hop(1).loss == 0.0
    assert talk.hop(4).loss is None
    assert talk.engine.outstanding == 0
    assert len(talk.engine.released()) == 7
    assert talk.engine.next_deadline() is None


def test_cancelling_twice_is_cancelling_once() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends()
    talk.engine.cancel(talk.now)
    before = talk.settled
    talk.at(5).engine.cancel(talk.now)
    assert talk.settled == before
    assert talk.engine.decided_ns == START


def test_a_refused_probe_counts_as_tried_when_the_trace_is_cut_short() -> None:
    talk = Conversation(max_ttl=9, queries=1)
    talk.sends(limit=3, refuse=[3])
    talk.at(10).hears(1).hears(2)
    assert talk.settled == [1, 2, 3]
    talk.engine.cancel(talk.now)
    assert talk.listed == talk.settled == [1, 2, 3]


# --- the view -----------------------------------------------------------------------------------------


def test_the_view_before_the_end() -> None:
    talk = Conversation(max_ttl=9, queries=1)
    assert talk.listed == [1]
    talk.sends(limit=4)
    assert talk.listed == [1, 2, 3, 4]
    talk.at(5).hears_destination(3)
    assert talk.listed == [1, 2, 3]


def test_the_view_with_knowledge() -> None:
    talk = Conversation(max_ttl=1, queries=1)
    talk.sends()
    talk.at(5).hears(1)
    address = talk.hop(1).addresses[0]
    knowledge = {address: Knowledge(hostname="gw.example")}
    assert talk.engine.hop(1, knowledge).hostname == "gw.example"
    assert talk.engine.hops(knowledge)[0].hostname == "gw.example"


@pytest.mark.parametrize("ttl", [0, 1, 10, -1])
def test_a_ttl_that_is_not_traced_has_no_view(ttl: int) -> None:
    talk = Conversation(first_ttl=2, max_ttl=9)
    with pytest.raises(UsageError, match="2 to 9"):
        talk.hop(ttl)
