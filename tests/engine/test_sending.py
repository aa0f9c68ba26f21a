"""What goes out: order, pace, window, and what becomes of sending."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from tests.engine.conversation import EPOCH, MS, START, TRACE_ID, Conversation
from traceprobe.config import FlowStrategy
from traceprobe.errors import UsageError
from traceprobe.model import ProbeStatus, SentProbe, StopReason, make_probe_id, trace_of


def test_everything_goes_out_at_once_in_ttl_major_order() -> None:
    talk = Conversation(max_ttl=3, queries=2)
    assert talk.engine.has_probes_due(talk.now)
    probes = talk.takes()
    assert [(probe.ttl, probe.attempt) for probe in probes] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
        (3, 1),
        (3, 2),
    ]
    assert not talk.engine.has_probes_due(talk.now)
    assert talk.takes() == []


def test_a_probe_carries_what_its_socket_must_know() -> None:
    talk = Conversation(max_ttl=2, first_ttl=2, queries=1, packet_size=100, port=4000, probe_timeout=2.5)
    (probe,) = talk.takes()
    assert probe.id == make_probe_id(TRACE_ID, 0)
    assert trace_of(probe.id) == TRACE_ID
    assert probe.destination == ip_address("198.51.100.9")
    assert (probe.ttl, probe.attempt, probe.flow) == (2, 1, 0)
    assert (probe.size, probe.port, probe.timeout) == (100, 4000, 2.5)


@pytest.mark.parametrize(
    ("flow", "numbers"),
    [
        (None, [0, 0, 0, 0]),
        (FlowStrategy.PARIS, [0, 0, 0, 0]),
        (FlowStrategy.CLASSIC, [0, 0, 0, 0]),
        (FlowStrategy.DUBLIN, [0, 1, 0, 1]),
    ],
)
def test_flow_numbers(flow: FlowStrategy | None, numbers: list[int]) -> None:
    talk = Conversation(max_ttl=2, queries=2, flow=flow)
    assert [probe.flow for probe in talk.takes()] == numbers


def test_identities_differ_within_a_trace() -> None:
    talk = Conversation(max_ttl=255, queries=10)
    assert len({probe.id for probe in talk.takes()}) == 2550


def test_a_limit_hands_out_the_rest_later() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    assert talk.sends(limit=2) == [1, 2]
    assert talk.engine.has_probes_due(talk.now)
    assert talk.sends(limit=0) == []
    assert talk.sends() == [3, 4, 5]


def test_what_is_due_already_is_no_deadline() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    assert talk.engine.next_deadline() is None
    talk.sends(limit=1)
    assert talk.gives_up_at == 1000


# --- window -------------------------------------------------------------------------------------------


def test_the_window_opens_with_every_answer() -> None:
    talk = Conversation(max_ttl=5, queries=1, max_in_flight=2)
    assert talk.sends() == [1, 2]
    talk.at(5).hears(2)
    assert talk.sends() == [3]
    talk.at(6).hears(1)
    assert talk.sends() == [4]
    assert talk.sends() == []


def test_the_window_opens_when_a_probe_is_given_up() -> None:
    talk = Conversation(max_ttl=5, queries=1, max_in_flight=2)
    talk.sends()
    talk.waits()
    assert talk.now == START + 1000 * MS
    assert talk.sends() == [3, 4]


def test_the_window_opens_when_a_probe_is_refused() -> None:
    talk = Conversation(max_ttl=5, queries=1, max_in_flight=2)
    assert talk.sends(refuse=[1]) == [1, 2]
    assert talk.sends() == [3]


def test_probes_that_were_handed_out_but_not_reported_take_up_the_window() -> None:
    talk = Conversation(max_ttl=5, queries=1, max_in_flight=2)
    probes = talk.takes()
    assert talk.takes() == []
    assert talk.engine.outstanding == 0
    talk.reports(probes)
    assert talk.takes() == []
    assert talk.engine.outstanding == 2


def test_a_full_window_is_not_limited_by_time_alone() -> None:
    talk = Conversation(max_ttl=5, queries=1, max_in_flight=1, send_interval=0.01)
    talk.sends()
    assert talk.gives_up_at == 1000, "the send interval means nothing while the window is full"


# --- pace ---------------------------------------------------------------------------------------------


def test_the_interval_spaces_the_probes() -> None:
    talk = Conversation(max_ttl=2, queries=2, send_interval=0.05)
    assert talk.sends() == [1]
    assert not talk.engine.has_probes_due(talk.now)
    assert talk.gives_up_at == 50
    talk.waits()
    assert talk.sends() == [1]
    talk.at(99.999)
    assert talk.sends() == []
    talk.at(100)
    assert talk.sends() == [2]


def test_the_interval_makes_up_for_nothing_in_a_burst() -> None:
    talk = Conversation(max_ttl=9, queries=1, send_interval=0.05)
    talk.sends()
    talk.at(400)
    assert talk.sends() == [2]
    assert talk.sends() == []
    assert talk.gives_up_at == 450


def test_an_interval_that_has_passed_is_no_deadline_any_more() -> None:
    talk = Conversation(max_ttl=2, queries=1, send_interval=0.05)
    talk.sends()
    talk.at(60).looks_at_the_clock()
    assert talk.engine.has_probes_due(talk.now)
    assert talk.gives_up_at == 1000


def test_an_interval_that_is_known_to_have_passed_is_none_either() -> None:
    talk = Conversation(max_ttl=2, queries=1, send_interval=0.05)
    talk.sends()
    talk.at(10).hears(1)
    assert talk.gives_up_at == 50
    talk.at(60).hears(1)
    assert talk.engine.counts == {"duplicate": 1}
    assert talk.only_a_reply_counts
    assert talk.sends() == [2]


def test_the_interval_ends_with_the_last_probe() -> None:
    talk = Conversation(max_ttl=1, queries=1, send_interval=0.05)
    talk.sends()
    assert talk.gives_up_at == 1000


# --- the known end ------------------------------------------------------------------------------------


def test_nothing_is_sent_beyond_the_destination() -> None:
    talk = Conversation(max_ttl=9, queries=1, max_in_flight=3)
    assert talk.sends() == [1, 2, 3]
    talk.at(5).hears_destination(2)
    assert talk.sends() == []
    assert not talk.engine.has_probes_due(talk.now)
    talk.at(6).hears(1)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.engine.probes_sent == 3


def test_nothing_is_sent_after_the_overall_time_out_even_if_nobody_looked_at_the_clock() -> None:
    talk = Conversation(max_ttl=9, queries=1, max_in_flight=3, overall_timeout=1.0)
    talk.at(1000)
    assert talk.sends() == []
    assert talk.gives_up_at == 1000


# --- refusals -----------------------------------------------------------------------------------------


def test_a_refused_probe_is_neither_outstanding_nor_lost() -> None:
    talk = Conversation(max_ttl=2, queries=2)
    (first, *others) = talk.takes()
    talk.reports([first], errno.ENOBUFS)
    talk.reports(others)
    assert talk.engine.outstanding == 3
    assert talk.engine.probes_sent == 3
    assert talk.said("sent") == [1, 2, 2]
    talk.at(5).hears(1, attempt=2)
    hop = talk.hop(1)
    assert (hop.sent, hop.received, hop.loss) == (1, 1, 0.0)
    assert talk.settled == [1]
    assert not talk.engine.all_sends_failed
    assert talk.engine.first_send_error is not None
    assert talk.engine.first_send_error.code == errno.ENOBUFS


def test_a_hop_whose_probes_were_all_refused_is_settled() -> None:
    talk = Conversation(max_ttl=2, queries=2)
    talk.sends(refuse=[1])
    assert talk.settled == [1]
    assert talk.hop(1).loss is None


def test_a_trace_whose_probes_were_all_refused_is_over() -> None:
    talk = Conversation(max_ttl=3, queries=2, retries=2, gap_limit=1)
    talk.sends(refuse=[1, 2, 3], error=errno.ENETUNREACH)
    assert talk.engine.finished
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.engine.all_sends_failed
    assert talk.engine.first_send_error is not None
    assert talk.engine.first_send_error.code == errno.ENETUNREACH
    assert talk.listed == [1, 2, 3]
    assert talk.settled == [1, 2, 3]
    assert talk.engine.probes_sent == 0
    assert talk.engine.first_sent_ns is None
    assert talk.engine.released() == []


def test_a_reply_to_a_refused_probe_is_counted() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends(refuse=[1])
    talk.at(1).hears(1)
    assert talk.engine.counts == {"unsent": 1}
    assert talk.hop(1).address is None


# --- reports that come in another order ---------------------------------------------------------------


def test_a_reply_may_overtake_the_report_of_its_sending() -> None:
    talk = Conversation(max_ttl=1, queries=1)
    probes = talk.takes()
    talk.at(0.3).hears(1, rtt=0.3)
    talk.hears(1, "10.66.66.66", rtt=0.4)
    assert talk.said("answered") == []
    talk.reports(probes)
    assert talk.said("sent") == [1]
    assert talk.said("answered") == [1]
    assert talk.path == ["10.0.0.1"]
    assert talk.engine.counts == {"duplicate": 1}
    assert talk.engine.finished


def test_a_reply_that_overtakes_a_refusal_is_counted() -> None:
    talk = Conversation(max_ttl=1, queries=1)
    probes = talk.takes()
    talk.hears(1, rtt=0.3)
    talk.reports(probes, errno.EHOSTUNREACH)
    assert talk.engine.counts == {"unsent": 1}
    assert talk.probe(1).status is ProbeStatus.SEND_ERROR


def test_a_reply_to_a_probe_that_waits_in_the_queue_is_counted() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends(limit=1)
    talk.probes[2, 1] = talk.probes[1, 1].__class__(
        make_probe_id(TRACE_ID, 1), ip_address("198.51.100.9"), ttl=2, attempt=1
    )
    talk.at(1).hears(2)
    assert talk.engine.counts == {"unsent": 1}


def test_a_probe_cancelled_while_it_was_being_sent_is_given_back_once() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends(limit=1)
    probes = talk.takes()
    talk.at(1).hears_destination(1)
    assert talk.engine.finished
    assert talk.engine.released() == [talk.probes[1, 1].id]
    talk.reports(probes)
    assert talk.engine.released() == [probe.id for probe in probes]
    assert talk.engine.released() == []
    assert talk.engine.probes_sent == 3
    assert talk.said("sent") == [1], "nothing is announced once the trace is over"


def test_a_cancelled_probe_is_reported_once_too() -> None:
    talk = Conversation(max_ttl=1, queries=1)
    probes = talk.takes()
    talk.engine.cancel(talk.now)
    talk.reports(probes)
    with pytest.raises(UsageError, match="before"):
        talk.reports(probes)
    assert talk.probe(1).sent_at_ns is None, "the result stays as it was at the end"


def test_a_probe_cancelled_and_refused_is_not_given_back() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    talk.sends(limit=1)
    probes = talk.takes()
    talk.at(1).hears_destination(1)
    talk.engine.released()
    talk.reports(probes, errno.EPERM)
    assert talk.engine.released() == []
    assert talk.engine.probes_sent == 1


# --- figures ------------------------------------------------------------------------------------------


def test_first_and_last_sending_and_the_source() -> None:
    talk = Conversation(max_ttl=2, queries=1)
    assert talk.engine.source is None
    assert talk.engine.started_ns == START
    first, second = talk.takes()
    source = ip_address("192.0.2.77")
    talk.engine.probe_sent(SentProbe(first.id, START + 100, EPOCH), START + 300)
    talk.engine.probe_sent(SentProbe(second.id, START + 200, EPOCH, source=source), START + 300)
    assert (talk.engine.first_sent_ns, talk.engine.last_sent_ns) == (START + 100, START + 200)
    assert talk.engine.source == source
