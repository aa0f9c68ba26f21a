"""What quoted TTLs tell: the length of the path from one probe, and routers that forward TTL 0."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.conversation import DESTINATION, MS, START, STEADY, Conversation
from tests.engine.network import Network, Quote, Station, run
from traceprobe.config import FlowStrategy, TimingConfig, TracerouteConfig
from traceprobe.model import HopSettled, ProbeStatus, ReplyKind, StopReason

REFUSED = ReplyKind.PORT_UNREACHABLE


def seldom(**options: object) -> Conversation:
    """All is sent at once, and the first two routers answer after 10 ms."""
    talk = Conversation(DESTINATION, max_ttl=9, queries=1, **options)
    talk.sends()
    talk.at(10).hears(1, quoted=1).hears(2, quoted=1)
    return talk


def refuses(talk: Conversation, ttl: int, quoted: int | None) -> None:
    talk.hears(ttl, DESTINATION, REFUSED, quoted=quoted)


# --- the length of the path --------------------------------------------------------------------------


def one_by_one() -> Conversation:
    """A probe every 100 ms, and nothing has been answered or given up until all are out."""
    patient = attrs.evolve(STEADY, send_interval=0.1, tail_floor=2.0, interior_floor=2.0)
    talk = Conversation(max_ttl=9, queries=1, timing=patient)
    for ttl in range(1, 10):
        talk.at(100.0 * (ttl - 1))
        assert talk.sends() == [ttl]
    return talk.at(801).hears(1).hears(2).hears(3, quoted=1)


def test_hops_behind_the_end_are_not_waited_for() -> None:
    talk = one_by_one()
    refuses(talk, 9, 6)
    refuses(talk, 8, 5)
    # The destination is hop 4, which was sent after 300 ms; 5 to 7 were sent later, and don't matter.
    assert talk.gives_up_at == 2300.0
    talk.waits()
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.engine.decided_ns == START + 2300 * MS
    assert talk.listed == list(range(1, 9))
    statuses = [talk.probe(ttl).status for ttl in range(4, 9)]
    assert statuses == [ProbeStatus.TIMEOUT, *[ProbeStatus.CANCELLED] * 3, ProbeStatus.REPLY]


def test_without_the_length_they_are() -> None:
    talk = one_by_one()
    refuses(talk, 9, None)
    refuses(talk, 8, None)
    talk.waits_for_the_end()
    assert talk.engine.decided_ns == START + 2600 * MS


def test_the_end_itself_is_waited_for_and_counts() -> None:
    talk = seldom()
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 9, 6)
    refuses(talk, 7, 4)
    talk.at(21)
    refuses(talk, 4, 1)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.listed == [1, 2, 3, 4]
    assert talk.hop(4).forward_path_length == 4


def test_an_answer_where_nobody_should_be_brings_the_others_back() -> None:
    talk = seldom()
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 9, 6)
    refuses(talk, 7, 4)
    talk.at(21).hears(5, quoted=1).hears(4, quoted=1)
    # Hop 5 exists after all, and so may 6.
    assert not talk.engine.finished
    talk.at(22).hears(6, quoted=1)
    assert talk.engine.stop_reason is StopReason.DESTINATION_REACHED
    assert talk.path == [*(f"10.0.0.{ttl}" for ttl in range(1, 7)), DESTINATION]


def test_what_is_not_waited_for_still_counts_until_the_end() -> None:
    talk = seldom()
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 9, 6)
    refuses(talk, 7, 4)
    talk.at(21)
    refuses(talk, 6, 3)
    refuses(talk, 5, 2)
    assert talk.engine.destination_ttl == 5
    talk.waits()
    assert talk.listed == [1, 2, 3, 4, 5]
    assert talk.probe(5).address is not None


def test_all_attempts_that_the_destination_may_answer_are_awaited() -> None:
    talk = Conversation(max_ttl=9, queries=2)
    talk.sends(refuse=(4,))
    for ttl in (1, 2, 3):
        talk.at(20).hears(ttl, quoted=1).hears(ttl, quoted=1, attempt=2)
    talk.hears(9, DESTINATION, REFUSED, quoted=6)
    talk.hears(7, DESTINATION, REFUSED, quoted=4)
    # Hop 4 has settled, for no probe of it could be sent; the other one of hop 7 is still out.
    assert not talk.engine.finished
    talk.at(21).hears(7, DESTINATION, REFUSED, quoted=4, attempt=2)
    assert talk.engine.finished


def waits_for_all(talk: Conversation) -> bool:
    """Whether hops 4 to 6 are all given up before the trace ends."""
    talk.waits_for_the_end()
    return all(talk.probe(ttl).status is ProbeStatus.TIMEOUT for ttl in range(4, 7))


def test_one_answer_alone_proves_nothing() -> None:
    talk = seldom()
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 7, 4)
    assert waits_for_all(talk)


@pytest.mark.parametrize(
    "quotes",
    [
        pytest.param((64, 64), id="set anew"),
        pytest.param((9, 7), id="as they were sent"),
        pytest.param((6, 5), id="at odds"),
        pytest.param((0, 0), id="zero"),
        pytest.param((None, None), id="not seen"),
        pytest.param((6, None), id="seen once"),
        pytest.param((255, 253), id="more than was sent"),
        pytest.param((3, 1), id="no shorter than where it answered"),
    ],
)
def test_ttls_that_prove_nothing(quotes: tuple[int | None, int | None]) -> None:
    talk = seldom()
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 9, quotes[0])
    refuses(talk, 7, quotes[1])
    assert waits_for_all(talk)


def test_a_silent_router_before_the_end_leaves_it_open() -> None:
    talk = seldom()
    talk.at(20)
    refuses(talk, 9, 6)
    refuses(talk, 7, 4)
    assert waits_for_all(talk)


@pytest.mark.parametrize("flow", [FlowStrategy.CLASSIC, FlowStrategy.DUBLIN])
def test_varied_flows_may_take_paths_of_different_lengths(flow: FlowStrategy) -> None:
    talk = seldom(flow=flow)
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 9, 6)
    refuses(talk, 7, 4)
    assert waits_for_all(talk)


def test_no_retry_goes_where_nobody_is() -> None:
    talk = seldom(retries=1)
    talk.at(20).hears(3, quoted=1)
    refuses(talk, 9, 6)
    refuses(talk, 7, 4)
    talk.waits_for_the_end()
    assert len(talk.hop(4).probes) == 2
    assert len(talk.hop(5).probes) == 1


@st.composite
def seldom_answering(draw: st.DrawFn) -> Network:
    """A constant path, honest or not, to a destination that answers a part of its probes."""
    count = draw(st.integers(2, 6))
    quote = draw(st.sampled_from(Quote))
    stations = [
        Station(
            (f"10.0.{ttl}.1",),
            draw(st.floats(0.5, 60)),
            loss=draw(st.sampled_from([0.0, 0.0, 1.0])),
            quote=Quote.HONEST,
        )
        for ttl in range(1, count)
    ]
    loss = draw(st.sampled_from([0.0, 0.5, 0.8]))
    end = Station((DESTINATION,), draw(st.floats(0.5, 60)), kind=REFUSED, loss=loss, quote=quote)
    return Network((*stations, end), seed=draw(st.integers(0, 2**32)))


PATIENT = TimingConfig(interior_floor=0.2, tail_floor=1.0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(network=seldom_answering(), queries=st.integers(1, 3), interval=st.sampled_from([0.0, 0.02]))
def test_no_hop_is_lost_by_it(network: Network, queries: int, interval: float) -> None:
    timing = attrs.evolve(PATIENT, send_interval=interval)
    config = TracerouteConfig(max_ttl=12, queries=queries, timing=timing)
    hidden = attrs.evolve(
        network, stations=tuple(attrs.evolve(s, quote=Quote.UNSEEN) for s in network.stations)
    )
    with_length, without = (run(config, each, compare=False).pair.engine for each in (network, hidden))
    assert with_length.stop_reason == without.stop_reason
    found, expected = (
        [(hop.ttl, hop.addresses, hop.received) for hop in engine.hops()] for engine in (with_length, without)
    )
    assert found == expected
    assert with_length.decided_ns is not None
    assert without.decided_ns is not None
    assert with_length.decided_ns <= without.decided_ns


# --- routers that forward what has no TTL left -------------------------------------------------------


def test_the_next_router_answers_for_one_that_forwards_ttl_zero() -> None:
    talk = Conversation(max_ttl=4, queries=1)
    talk.sends()
    talk.at(10).hears(1, quoted=1).hears(2, "10.0.0.3", quoted=0)
    # Who that was only the next hop can tell.
    assert talk.settled == [1]
    talk.at(12).hears(3, "10.0.0.3", quoted=1)
    assert talk.settled == [1, 2, 3]
    settled = [event.hop for event in talk.events if isinstance(event, HopSettled)]
    assert [hop.ttl_zero_forwarding for hop in settled] == [False, True, False]
    talk.at(13).hears_destination(4)
    assert [hop.ttl_zero_forwarding for hop in talk.engine.hops()] == [False, True, False, False]
    assert talk.hop(2).ttl_zero_forwarding
    assert talk.said("revised") == []


def test_a_hop_that_quoted_more_than_zero_once_waits_for_nobody() -> None:
    talk = Conversation(max_ttl=4, queries=2)
    talk.sends()
    talk.at(10).hears(1, quoted=1).hears(1, quoted=1, attempt=2)
    talk.hears(2, quoted=1).hears(2, quoted=0, attempt=2)
    assert talk.settled == [1, 2]


def test_two_routers_that_count_down_before_they_quote_are_two_hops() -> None:
    talk = Conversation(max_ttl=3, queries=1)
    talk.sends()
    talk.at(10).hears(1, quoted=0).hears(2, quoted=0).hears_destination(3)
    assert talk.settled == [1, 2, 3]
    assert not any(hop.ttl_zero_forwarding for hop in talk.engine.hops())


def test_a_late_answer_of_the_next_hop_revises_the_hop_before() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1, quoted=1).hears(2, "10.0.0.3", quoted=0).hears(4)
    assert talk.settled == [1]
    talk.waits()
    assert talk.settled == [1, 2, 3, 4]
    assert not talk.hop(2).ttl_zero_forwarding
    talk.at(20).hears(3, "10.0.0.3", quoted=1)
    assert talk.said("revised") == [2, 3]
    assert talk.hop(2).ttl_zero_forwarding


def test_a_late_answer_that_says_nothing_new_of_the_hop_before_does_not_revise_it() -> None:
    talk = Conversation(max_ttl=5, queries=1)
    talk.sends()
    talk.at(10).hears(1, quoted=1).hears(2, quoted=0).hears(4)
    talk.waits()
    talk.at(20).hears(3, quoted=1)
    assert talk.said("revised") == [3]
