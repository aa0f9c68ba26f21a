"""Where a path ends: destination, unreachable, loop, gap, the last TTL."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.engine.conversation import DESTINATION, MS, START, Conversation
from traceprobe.engine._ending import second_cycle_end
from traceprobe.model import ProbeStatus, ReplyKind, StopReason

DESTINATION_KINDS = [
    ReplyKind.ECHO_REPLY,
    ReplyKind.PORT_UNREACHABLE,
    ReplyKind.PROTOCOL_UNREACHABLE,
    ReplyKind.SYN_ACK,
    ReplyKind.RST,
    ReplyKind.UDP_DATA,
]
REFUSAL_KINDS = [
    ReplyKind.PORT_UNREACHABLE,
    ReplyKind.PROTOCOL_UNREACHABLE,
    ReplyKind.UNREACHABLE,
    ReplyKind.PACKET_TOO_BIG,
    ReplyKind.PARAMETER_PROBLEM,
]

# --- destination --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DESTINATION_KINDS)
def test_the_destination_has_answered(kind: ReplyKind) -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1).hears(2)
    talk.at(20).hears(3, DESTINATION, kind)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.engine.destination_ttl == 3
    assert talk.listed == [1, 2, 3]
    assert talk.engine.decided_ns == START + 20 * MS


@pytest.mark.parametrize("kind", [ReplyKind.ECHO_REPLY, ReplyKind.SYN_ACK, ReplyKind.RST, ReplyKind.UDP_DATA])
def test_an_answer_that_was_matched_counts_whatever_address_it_bears(kind: ReplyKind) -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(1, "203.0.113.7", kind)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.path == ["203.0.113.7"]


def test_a_time_exceeded_that_bears_the_destination_s_address_is_just_a_hop() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(10).hears(2, DESTINATION)
    assert talk.engine.destination_ttl is None
    talk.hears(1).hears_destination(3)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.path == ["10.0.0.1", DESTINATION, DESTINATION]


def test_the_zone_of_a_link_local_destination_is_not_on_the_wire() -> None:
    talk = Conversation("fe80::9%eth0", max_ttl=2, queries=1)
    talk.sends()
    talk.at(1).hears(1, "fe80::9", ReplyKind.PORT_UNREACHABLE)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED


def test_an_address_of_the_other_family_is_not_the_destination() -> None:
    talk = Conversation("0.0.0.1", max_ttl=2, queries=1)
    talk.sends()
    talk.at(1).hears(1, "::1", ReplyKind.PORT_UNREACHABLE)
    assert talk.engine.stop_reason is StopReason.UNREACHABLE


def test_the_nearest_answer_of_the_destination_counts_whichever_comes_first() -> None:
    talk = Conversation(max_ttl=9, queries=1)
    talk.sends()
    talk.at(20).hears_destination(7)
    assert talk.engine.outstanding == 6
    released = talk.engine.released()
    assert [probe.ttl for probe in talk.probes.values() if probe.id in released] == [8, 9]
    talk.at(21).hears_destination(4)
    assert talk.engine.outstanding == 3
    talk.at(22).hears_destination(8)
    talk.at(23).hears_destination(5)
    assert talk.engine.counts == {"beyond_end": 2}
    talk.at(30).hears(1).hears(2).hears(3)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.listed == [1, 2, 3, 4]


def test_all_attempts_at_the_destination_are_awaited() -> None:
    talk = Conversation(max_ttl=2, queries=3)
    talk.sends()
    for attempt in (1, 2, 3):
        talk.at(10 + attempt).hears(1, attempt=attempt)
    talk.at(20).hears_destination(2)
    assert not talk.engine.finished
    talk.at(21).hears_destination(2, attempt=3)
    assert not talk.engine.finished
    talk.waits()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert [probe.status for probe in talk.hop(2).probes] == [
        ProbeStatus.REPLY,
        ProbeStatus.TIMEOUT,
        ProbeStatus.REPLY,
    ]


def test_what_lies_beyond_the_destination_is_not_awaited() -> None:
    talk = Conversation(max_ttl=30, queries=3)
    talk.sends()
    talk.at(4)
    for attempt in (1, 2, 3):
        talk.hears_destination(1, attempt=attempt)
    assert talk.engine.finished
    assert talk.engine.outstanding == 0
    assert len(talk.engine.released()) == 90


def test_the_end_is_decided_by_the_last_hop_that_was_awaited() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(20).hears_destination(3)
    talk.at(22).hears(2)
    talk.at(40).looks_at_the_clock()
    assert talk.engine.finished
    assert talk.engine.decided_ns == START + 35 * MS, "TTL 1 was due then, however late the driver looked"


def test_from_a_first_ttl_on() -> None:
    talk = Conversation(first_ttl=4, max_ttl=8, queries=1)
    assert talk.sends() == [4, 5, 6, 7, 8]
    talk.at(10).hears(4).hears_destination(5)
    assert talk.listed == [4, 5]
    assert talk.settled == [4, 5]


def test_a_first_ttl_beyond_the_destination_still_ends() -> None:
    talk = Conversation(first_ttl=6, max_ttl=8, queries=1)
    talk.sends()
    for ttl in (8, 7, 6):
        talk.at(20 - ttl).hears_destination(ttl)
    assert talk.listed == [6]


# --- unreachable --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REFUSAL_KINDS)
def test_somebody_says_that_nothing_goes_beyond(kind: ReplyKind) -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1).hears(2).hears(3, "10.0.0.2", kind)
    assert talk.engine.stop_reason is StopReason.UNREACHABLE
    assert talk.listed == [1, 2, 3]
    assert talk.settled == [1, 2, 3]


@pytest.mark.parametrize(
    "kind", [ReplyKind.UNREACHABLE, ReplyKind.PACKET_TOO_BIG, ReplyKind.PARAMETER_PROBLEM]
)
def test_a_refusal_by_the_destination_s_own_firewall_is_no_answer(kind: ReplyKind) -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1, DESTINATION, kind)
    assert talk.engine.stop_reason is StopReason.UNREACHABLE


def test_all_attempts_at_the_unreachable_hop_are_awaited() -> None:
    talk = Conversation(max_ttl=5, queries=2)
    talk.sends()
    talk.at(10).hears(1).hears(1, attempt=2).hears(2, kind=ReplyKind.UNREACHABLE)
    assert not talk.engine.finished
    talk.at(11).hears(2, kind=ReplyKind.UNREACHABLE, attempt=2)
    assert talk.engine.stop_reason is StopReason.UNREACHABLE


def test_the_nearest_refusal_counts_whichever_comes_first() -> None:
    talk = Conversation(max_ttl=9, queries=1)
    talk.sends()
    for ttl in (9, 6, 3, 5):
        talk.at(20 + ttl / 100 if ttl == 9 else 21).hears(ttl, "10.0.0.2", ReplyKind.UNREACHABLE)
    talk.at(22).hears(2).hears(1)
    assert talk.engine.stop_reason is StopReason.UNREACHABLE
    assert talk.listed == [1, 2, 3]


def test_an_answer_of_the_destination_beats_a_refusal_on_the_way() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(2, kind=ReplyKind.UNREACHABLE)
    talk.at(12).hears_destination(4)
    talk.at(14).hears(1).hears(3)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.listed == [1, 2, 3, 4]
    assert talk.hop(2).probes[0].reply is ReplyKind.UNREACHABLE


def test_a_time_exceeded_from_farther_on_contradicts_a_refusal() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(2, kind=ReplyKind.UNREACHABLE)
    talk.at(11).hears(3)
    talk.at(12).hears(1)
    assert not talk.engine.finished
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.listed == [1, 2, 3, 4, 5]


def test_a_time_exceeded_at_the_same_ttl_contradicts_a_refusal() -> None:
    """One of two parallel paths is blocked: the trace goes on along the other."""
    talk = Conversation(max_ttl=5, queries=2)
    talk.sends()
    talk.at(5).hears(1).hears(1, attempt=2)
    talk.at(10).hears(2, kind=ReplyKind.UNREACHABLE)
    talk.at(11).hears(2, "10.0.2.2", attempt=2)
    assert not talk.engine.finished
    talk.at(20).hears(3, attempt=2).hears_destination(4, attempt=2)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.path == ["10.0.0.1", "10.0.0.2", "10.0.0.3", DESTINATION]


def test_a_refusal_that_was_contradicted_lets_what_was_held_back_go() -> None:
    talk = Conversation(max_ttl=6, queries=1, max_in_flight=3)
    assert talk.sends() == [1, 2, 3]
    talk.at(10).hears(2, kind=ReplyKind.UNREACHABLE)
    assert talk.sends() == [], "nothing goes beyond a known end"
    talk.at(11).hears(3)
    assert talk.sends() == [4, 5]


def test_a_refusal_behind_the_farthest_time_exceeded_ends_the_path() -> None:
    talk = Conversation(max_ttl=6, queries=1)
    talk.sends()
    talk.at(10).hears(2, kind=ReplyKind.UNREACHABLE).hears(3).hears(5, kind=ReplyKind.UNREACHABLE)
    talk.at(11).hears(1)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.UNREACHABLE
    assert talk.listed == [1, 2, 3, 4, 5]


# --- gap ----------------------------------------------------------------------------------------------


def test_so_many_silent_hops_in_a_row_end_the_path() -> None:
    talk = Conversation(max_ttl=20, queries=1, gap_limit=3, max_in_flight=5)
    talk.sends()
    talk.at(10).hears(1).hears(2)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.GAP_LIMIT
    assert talk.listed == [1, 2, 3, 4, 5]
    assert talk.settled == [1, 2, 3, 4, 5]
    assert talk.engine.probes_sent == 7


def test_a_gap_right_at_the_start() -> None:
    talk = Conversation(first_ttl=3, max_ttl=20, queries=2, gap_limit=2)
    talk.sends()
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.GAP_LIMIT
    assert talk.listed == [3, 4]


def test_silence_with_an_answer_behind_it_is_no_gap() -> None:
    talk = Conversation(max_ttl=8, queries=1, gap_limit=2)
    talk.sends()
    talk.at(10).hears(1).hears(5)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.GAP_LIMIT
    assert talk.listed == [1, 2, 3, 4, 5, 6, 7]


def test_a_gap_as_long_as_the_path_itself_is_the_gap_limit_s() -> None:
    talk = Conversation(max_ttl=3, queries=1, gap_limit=2)
    talk.sends()
    talk.at(10).hears(1)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.GAP_LIMIT
    assert talk.listed == [1, 2, 3]


def test_a_gap_that_the_last_ttl_cuts_off_is_not() -> None:
    talk = Conversation(max_ttl=3, queries=1, gap_limit=3)
    talk.sends()
    talk.at(10).hears(1)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.MAX_TTL


def test_refused_probes_make_no_gap() -> None:
    talk = Conversation(max_ttl=4, queries=1, gap_limit=2)
    talk.sends(refuse=[2])
    talk.at(10).hears(1)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.MAX_TTL


def test_without_a_gap_limit_the_path_is_probed_to_the_last_ttl() -> None:
    talk = Conversation(max_ttl=30, queries=1)
    talk.sends()
    talk.at(10).hears(1)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.listed == list(range(1, 31))
    assert talk.now == START + 1000 * MS


# --- loop ---------------------------------------------------------------------------------------------


def routers(talk: Conversation, names: str) -> None:
    """Every probe is answered by the router of its TTL's letter; a dot is silence."""
    for ttl, name in enumerate(names, 1):
        if name != ".":
            talk.hears(ttl, f"10.1.0.{ord(name)}")


def test_the_same_cycle_twice_in_full_is_a_loop() -> None:
    talk = Conversation(max_ttl=12, queries=1)
    talk.sends()
    routers(talk.at(10), "abcbcbcbcbcb")
    assert talk.engine.stop_reason is StopReason.LOOP
    assert talk.listed == [1, 2, 3, 4, 5]
    assert talk.settled == [1, 2, 3, 4, 5]


def test_the_shortest_loop_of_all() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    routers(talk.at(10), "abab")
    assert talk.engine.stop_reason is StopReason.LOOP


def test_a_loop_ends_the_path_as_soon_as_it_is_seen() -> None:
    talk = Conversation(max_ttl=30, queries=1, max_in_flight=7)
    talk.sends()
    routers(talk.at(10), "abcdbcd")
    assert talk.engine.stop_reason is StopReason.LOOP
    assert talk.engine.probes_sent == 7


def test_a_loop_is_no_end_if_that_was_not_asked_for() -> None:
    talk = Conversation(max_ttl=7, queries=1, stop_on_loop=False)
    talk.sends()
    routers(talk.at(10), "abcbcbc")
    assert talk.engine.stop_reason is StopReason.MAX_TTL


@pytest.mark.parametrize("names", ["aabbcc", "aaaaaa", "abcabd", "ab.ab.", "abcdef", "abacad", "abbacd"])
def test_what_is_no_loop(names: str) -> None:
    talk = Conversation(max_ttl=6, queries=1)
    talk.sends()
    routers(talk.at(10), names)
    talk.waits_for_the_end()
    assert talk.engine.stop_reason is StopReason.MAX_TTL


def test_a_private_address_behind_a_public_one_is_no_loop() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(10).hears(1, "8.8.8.8").hears(2, "192.168.1.1").hears(3, "9.9.9.9").hears(4, "192.168.1.1")
    assert talk.engine.stop_reason is StopReason.MAX_TTL


def test_a_loop_is_judged_on_settled_hops_only() -> None:
    talk = Conversation(max_ttl=6, queries=2)
    talk.sends()
    routers(talk.at(10), "abcbcb")
    assert not talk.engine.finished
    assert talk.settled == []
    for ttl, name in enumerate("abcb", 1):
        talk.hears(ttl, f"10.1.0.{ord(name)}", attempt=2)
    assert not talk.engine.finished
    assert talk.settled == [1, 2, 3, 4]
    talk.hears(6, "10.1.0.98", attempt=2)
    assert talk.settled == [1, 2, 3, 4], "TTL 6 has settled, but the path may end before it"
    talk.hears(5, "10.1.0.99", attempt=2)
    assert talk.engine.stop_reason is StopReason.LOOP
    assert talk.settled == talk.listed == [1, 2, 3, 4, 5]


def test_a_second_address_at_one_ttl_breaks_the_cycle() -> None:
    talk = Conversation(max_ttl=5, queries=2)
    talk.sends()
    routers(talk.at(10), "abcbc")
    for ttl, name in enumerate("abxbc", 1):
        talk.hears(ttl, f"10.1.0.{ord(name)}", attempt=2)
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.settled == talk.listed == [1, 2, 3, 4, 5]


def test_an_answer_of_the_destination_beats_a_loop() -> None:
    talk = Conversation(max_ttl=7, queries=1)
    talk.sends()
    talk.at(9).hears_destination(7)
    routers(talk.at(10), "abcbcb")
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.listed == [1, 2, 3, 4, 5, 6, 7]


def test_refusals_in_a_circle_are_no_loop() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1, "10.0.0.1")
    for ttl in (2, 3, 4, 5):
        talk.hears(ttl, f"10.0.0.{2 + ttl % 2}", ReplyKind.UNREACHABLE)
    assert talk.engine.stop_reason is StopReason.UNREACHABLE
    assert talk.listed == [1, 2]


@pytest.mark.parametrize(
    ("names", "end"),
    [
        ("abab", 3),
        ("xabab", 4),
        ("abcabc", 5),
        ("abcab", None),
        ("aabaab", 5),
        ("abcdabcdab", 7),
        ("zababcabc", 4),
        ("aaaabab", 6),
        ("aaaa", None),
        ("", None),
        ("a", None),
        ("ab.b", None),
    ],
)
def test_where_a_second_cycle_ends(names: str, end: int | None) -> None:
    addresses = [None if name == "." else ip_address(ord(name)) for name in names]
    assert second_cycle_end(addresses) == end


# --- the last TTL -------------------------------------------------------------------------------------


def test_all_hops_answer_but_the_destination_is_farther() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(3).hears(1)
    talk.at(12).hears(2)
    assert talk.engine.stop_reason is StopReason.MAX_TTL
    assert talk.engine.decided_ns == START + 12 * MS
    assert talk.path == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
