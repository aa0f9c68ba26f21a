"""Which probes of one connection are sent again, and when."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from traceprobe.model import Probe, ProbeId, Reply, ReplyKind, TimestampSource, make_probe_id, trace_of
from traceprobe.sockets.linux._handshakes import MOST_REPEATS, Handshakes, again_id

HERE = ip_address("192.0.2.9")


def probe(index: int, ttl: int = 7, *, trace: int = 1, flow: int = 0, port: int = 80) -> Probe:
    return Probe(make_probe_id(trace, index), HERE, ttl, attempt=1, flow=flow, port=port)


def answer(identity: ProbeId, kind: ReplyKind = ReplyKind.SYN_ACK) -> Reply:
    return Reply(identity, kind, HERE, 1, 1, TimestampSource.USER)


def connection(one: Probe) -> tuple[int, int, int]:
    return 40000 + trace_of(one.id) + one.flow, int(one.destination), one.port or 80


def shared_connection(one: Probe) -> tuple[int, int, int]:
    return 40000 + one.flow, int(one.destination), one.port or 80


@pytest.fixture
def handshakes() -> Handshakes:
    found = Handshakes(connection)
    found.sent([probe(index) for index in range(3)])
    return found


def test_the_next_is_sent_again_when_one_is_answered(handshakes: Handshakes) -> None:
    first, second, third = (probe(index) for index in range(3))
    replies, useless, again = handshakes.read([answer(first.id)])
    assert [reply.probe_id for reply in replies] == [first.id]
    assert (useless, [one.id for one in again]) == ([], [again_id(second.id)])
    assert (again[0].ttl, again[0].destination, again[0].port) == (7, HERE, 80)

    replies, useless, again = handshakes.read([answer(again_id(second.id))])
    assert [reply.probe_id for reply in replies] == [second.id]
    assert (useless, [one.id for one in again]) == ([again_id(second.id)], [again_id(third.id)])

    replies, useless, again = handshakes.read([answer(again_id(third.id))])
    assert [reply.probe_id for reply in replies] == [third.id]
    assert (useless, again) == ([again_id(third.id)], [])


def test_identities_of_probes_that_are_sent_again_belong_to_their_trace() -> None:
    identity = make_probe_id(12, 345)
    again = [again_id(identity, number) for number in range(1, MOST_REPEATS + 1)]
    assert len({identity, *again}) == 1 + MOST_REPEATS
    assert {trace_of(one) for one in again} == {12}


def test_nothing_is_sent_again_where_all_are_answered(handshakes: Handshakes) -> None:
    replies, useless, again = handshakes.read([answer(probe(index).id) for index in range(3)])
    assert len(replies) == 3
    assert (useless, again) == ([], [])


def test_an_answer_to_the_first_segment_makes_the_second_one_useless(handshakes: Handshakes) -> None:
    handshakes.read([answer(probe(0).id)])
    replies, useless, again = handshakes.read([answer(probe(1).id)])
    assert [reply.probe_id for reply in replies] == [probe(1).id]
    assert useless == [again_id(probe(1).id)]
    assert [one.id for one in again] == [again_id(probe(2).id)]


def test_a_second_answer_to_the_same_probe_sends_nothing_again(handshakes: Handshakes) -> None:
    handshakes.read([answer(probe(0).id)])
    assert handshakes.read([answer(probe(0).id)]) == ([answer(probe(0).id)], [], [])


@pytest.mark.parametrize("kind", [ReplyKind.RST, ReplyKind.TIME_EXCEEDED])
def test_only_a_connection_keeps_others_waiting(handshakes: Handshakes, kind: ReplyKind) -> None:
    assert handshakes.read([answer(probe(0).id, kind)])[1:] == ([], [])


@pytest.mark.parametrize(
    "other", [probe(9, flow=1), probe(9, port=443), probe(9, ttl=8)], ids=["flow", "port", "ttl"]
)
def test_others_are_left_alone(other: Probe) -> None:
    handshakes = Handshakes(connection)
    handshakes.sent([probe(0), other])
    assert handshakes.read([answer(probe(0).id)])[2] == []


@pytest.mark.parametrize("is_port_shared", [False, True])
def test_traces_wait_for_each_other_if_they_share_their_port(is_port_shared: bool) -> None:
    handshakes = Handshakes(shared_connection if is_port_shared else connection)
    handshakes.sent([probe(0), probe(0, trace=2)])
    expected = [again_id(probe(0, trace=2).id)] if is_port_shared else []
    assert [one.id for one in handshakes.read([answer(probe(0).id)])[2]] == expected


def test_what_is_released_is_not_sent_again(handshakes: Handshakes) -> None:
    assert handshakes.released([probe(1).id]) == []
    assert [one.id for one in handshakes.read([answer(probe(0).id)])[2]] == [again_id(probe(2).id)]
    assert handshakes.released([probe(0).id, probe(2).id]) == [again_id(probe(2).id)]


def test_a_probe_that_is_used_again_is_a_new_one(handshakes: Handshakes) -> None:
    handshakes.read([answer(probe(0).id)])
    handshakes.sent([probe(1)])
    assert handshakes.released([probe(1).id]) == []


def test_nothing_is_kept_of_what_is_over(handshakes: Handshakes) -> None:
    handshakes.read([answer(probe(0).id)])
    handshakes.released([probe(index).id for index in range(3)])
    assert not handshakes._groups
    assert not handshakes._group_of


# --- SYN-ACKs to probes that were given up ---------------------------------------------------------------


def test_what_met_a_probe_that_was_given_up_is_sent_once_more(handshakes: Handshakes) -> None:
    """The destination was busy with a probe that had been sent beyond it."""
    beyond = probe(9, ttl=9)
    handshakes.sent([beyond])
    handshakes.read([answer(probe(0).id)])  # the second one is sent again
    assert handshakes.released([beyond.id]) == []
    place = [connection(beyond)]
    sent = [handshakes.read([], place)[2] for _ in range(2)]
    # Whoever had no second chance yet is the first to get one.
    assert [[one.id for one in again] for again in sent] == [
        [again_id(probe(2).id)],
        [again_id(probe(1).id, 2)],
    ]
    replies, useless, again = handshakes.read([answer(again_id(probe(1).id, 2))])
    assert [reply.probe_id for reply in replies] == [probe(1).id]
    assert useless == [again_id(probe(1).id), again_id(probe(1).id, 2)]
    assert [one.id for one in again] == [again_id(probe(2).id, 2)]


def test_it_is_sent_again_so_many_times_at_most(handshakes: Handshakes) -> None:
    handshakes.read([answer(probe(0).id)])
    for _ in range(4 * MOST_REPEATS):
        assert len(handshakes.read([], [connection(probe(0))])[2]) <= 1
    assert handshakes.read([], [connection(probe(0))]) == ([], [], [])
    every = [again_id(probe(1).id, number) for number in range(1, MOST_REPEATS + 1)]
    assert handshakes.released([probe(1).id]) == every


def test_one_chance_at_a_time(handshakes: Handshakes) -> None:
    again = handshakes.read([answer(probe(0).id)], [connection(probe(0))] * 3)[2]
    assert [one.id for one in again] == [again_id(probe(1).id)]


def test_nothing_is_sent_again_before_the_destination_is_found(handshakes: Handshakes) -> None:
    assert handshakes.read([], [connection(probe(0))]) == ([], [], [])
    assert handshakes.read([], [connection(probe(0, trace=3))]) == ([], [], [])


def test_the_nearest_that_arrived_tells_how_far_the_destination_is() -> None:
    handshakes = Handshakes(connection)
    handshakes.sent([probe(number, ttl=ttl) for number, ttl in enumerate((4, 4, 4, 9, 9, 9))])
    assert [one.ttl for one in handshakes.read([answer(probe(3).id)])[2]] == [9]
    assert [one.ttl for one in handshakes.read([answer(probe(1).id)])[2]] == [4]
    assert [one.ttl for one in handshakes.read([answer(probe(5).id)])[2]] == [4]
