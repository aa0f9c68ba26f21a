"""The life of a probe: the table is the whole truth, and a probe's result says how it ended."""

from __future__ import annotations

import errno
import itertools

import pytest

from tests.engine.conversation import EPOCH, MS, START, Conversation
from traceprobe.engine._states import (
    COUNTED_AS,
    PENDING,
    TRANSITIONS,
    ProbeRecord,
    ProbeState,
    Trigger,
    plan,
)
from traceprobe.errors import SendError, UsageError
from traceprobe.model import ProbeStatus, SentProbe, TimestampSource, make_probe_id

EVERY_PAIR = list(itertools.product(ProbeState, Trigger))


def a_record(state: ProbeState) -> ProbeRecord:
    (record,) = plan(make_probe_id(1, 4), ttls=[2], flows=[0], first_attempt=2)
    record.state = state
    return record


@pytest.mark.parametrize(("state", "trigger"), EVERY_PAIR, ids=lambda value: value.name)
def test_only_the_table_moves_a_probe(state: ProbeState, trigger: Trigger) -> None:
    record = a_record(state)
    if trigger in TRANSITIONS[state]:
        record.move(trigger)
        assert record.state is TRANSITIONS[state][trigger]
    else:
        with pytest.raises(UsageError, match="TTL 2, attempt 2"):
            record.move(trigger)
        assert record.state is state


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(ProbeState)


def test_every_state_can_be_reached_and_pending_ones_can_be_left() -> None:
    reached = {ProbeState.QUEUED}
    for _ in ProbeState:
        reached |= {after for state in reached for after in TRANSITIONS[state].values()}
    assert reached == set(ProbeState)
    assert all(TRANSITIONS[state] for state in PENDING)


def test_a_reply_moves_a_probe_or_is_counted() -> None:
    for state in ProbeState:
        moves = {Trigger.REPLY, Trigger.LATE_REPLY} & set(TRANSITIONS[state])
        overtaking = state is ProbeState.SUBMITTED
        assert bool(moves) + (state in COUNTED_AS) + overtaking == 1, state


def test_an_answered_probe_says_what_the_reply_said() -> None:
    talk = Conversation(max_ttl=1, queries=1)
    talk.at(3).sends()
    talk.at(7.5).hears(1, "10.0.0.1")
    probe = talk.probe(1)
    assert probe.status is ProbeStatus.REPLY
    assert not probe.late
    assert str(probe.address) == "10.0.0.1"
    assert probe.rtt_ns == 4_500_000
    assert probe.sent_at_ns == EPOCH + 3 * MS
    assert probe.timestamp_source is TimestampSource.SIMULATED
    assert probe.reply == "time_exceeded"
    assert probe.waited_ns is None


@pytest.mark.parametrize(("given", "expected"), [(None, 1_234_567_000), (1_300_000_999, 1_300_000_000)])
def test_the_time_of_sending_is_the_reply_s_if_it_knows_better_in_whole_microseconds(
    given: int | None, expected: int
) -> None:
    talk = Conversation(max_ttl=1, queries=1)
    (probe,) = talk.takes()
    talk.engine.probe_sent(SentProbe(probe.id, START, 1_234_567_890), START)
    talk.at(5).hears(1, sent_at_ns=given)
    assert talk.probe(1).sent_at_ns == expected


def test_a_given_up_probe_says_how_long_it_was_waited_for() -> None:
    talk = Conversation(max_ttl=1, queries=1)
    talk.at(2).sends()
    talk.waits()
    probe = talk.probe(1)
    assert probe.status is ProbeStatus.TIMEOUT
    assert probe.waited_ns == 1000 * MS
    assert probe.sent_at_ns == EPOCH + 2 * MS
    assert probe.rtt_ns is None


@pytest.mark.parametrize(
    ("number", "name"), [(errno.ENETUNREACH, "ENETUNREACH"), (errno.ENOBUFS, "ENOBUFS"), (98765, "98765")]
)
def test_a_refused_probe_names_the_error(number: int, name: str) -> None:
    talk = Conversation(max_ttl=1, queries=1)
    talk.sends(refuse=[1], error=number)
    probe = talk.probe(1)
    assert probe.status is ProbeStatus.SEND_ERROR
    assert probe.error == name
    assert probe.sent_at_ns is None


def test_a_cancelled_probe_was_sent_or_was_not() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends(limit=1)
    talk.takes(limit=1)
    talk.at(1).engine.cancel(talk.now)
    assert talk.probe(1).status is ProbeStatus.CANCELLED
    assert talk.probe(1).sent_at_ns == EPOCH
    assert talk.probe(2).status is ProbeStatus.CANCELLED
    assert talk.probe(2).sent_at_ns is None


def test_what_was_never_handed_out_can_t_be_reported() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    (probe,) = talk.takes(limit=1)
    queued = make_probe_id(7, 1)
    with pytest.raises(UsageError, match="queued"):
        talk.engine.probe_sent(SentProbe(queued, START, EPOCH), START)
    with pytest.raises(UsageError, match="not one of this trace's"):
        talk.engine.probe_sent(SentProbe(make_probe_id(8, 0), START, EPOCH), START)
    talk.reports([probe])
    with pytest.raises(UsageError, match="sent"):
        talk.reports([probe])
    with pytest.raises(UsageError, match="sent"):
        talk.engine.probe_sent(SentProbe(probe.id, START, EPOCH, error=SendError(errno.EPERM)), START)


def test_a_probe_that_is_not_sent_has_no_result_yet() -> None:
    talk = Conversation(max_ttl=1, queries=2)
    assert talk.hop(1).probes == ()
    talk.sends(limit=1)
    assert talk.hop(1).probes == ()
    talk.at(5).hears(1)
    assert [probe.attempt for probe in talk.hop(1).probes] == [1]
