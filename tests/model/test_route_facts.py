"""What replies tell of the route: translators, lengths of paths, routers that forward TTL 0."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.samples import hop, replied, silent
from traceprobe.model import Change, ChangedField, Hop, ProbeResult, ReplyKind
from traceprobe.model._route_facts import forwards_ttl_zero

HERE, NEXT, OTHER = "198.51.100.1", "198.51.100.2", "198.51.100.3"
UNQUOTED = {ReplyKind.ECHO_REPLY, ReplyKind.SYN_ACK, ReplyKind.RST, ReplyKind.UDP_DATA}
ERRORS = [kind for kind in ReplyKind if kind not in {*UNQUOTED, ReplyKind.TIME_EXCEEDED}]


def changed(*fields: ChangedField, quoted_ttl: int | None = 1) -> ProbeResult:
    """A hop's answer that shows these changes."""
    return replied(HERE, 1.0, changes=[Change(field, 0, 1) for field in fields], quoted_ttl=quoted_ttl)


# --- the way back ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply_ttl", "length"),
    [(64, 1), (63, 2), (255, 1), (254, 2), (128, 1), (129, 127), (65, 64), (33, 32), (32, 1), (1, 32)],
)
def test_the_length_of_the_return_path(reply_ttl: int, length: int) -> None:
    assert attrs.evolve(replied(HERE, 1.0), reply_ttl=reply_ttl).return_path_length == length


def test_a_reply_without_a_ttl_tells_no_length() -> None:
    assert attrs.evolve(replied(HERE, 1.0), reply_ttl=None).return_path_length is None
    assert silent().return_path_length is None


@given(st.integers(0, 255))
def test_every_reply_ttl_gives_a_length_that_leads_back_to_an_initial_ttl(reply_ttl: int) -> None:
    length = attrs.evolve(replied(HERE, 1.0), reply_ttl=reply_ttl).return_path_length
    assert length is not None
    assert reply_ttl + length - 1 in {32, 64, 128, 255}


# --- the way there -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS)
def test_one_probe_tells_how_far_away_its_end_is(kind: ReplyKind) -> None:
    assert hop(30, replied(HERE, 1.0, kind=kind, quoted_ttl=21)).forward_path_length == 10
    assert hop(30, replied(HERE, 1.0, kind=kind, quoted_ttl=30)).forward_path_length == 1
    assert hop(30, replied(HERE, 1.0, kind=kind, quoted_ttl=1), None).forward_path_length == 30


@pytest.mark.parametrize("quoted_ttl", [0, 31, 64, 255])
def test_a_ttl_that_was_rewritten_tells_no_length(quoted_ttl: int) -> None:
    rewritten = replied(HERE, 1.0, kind=ReplyKind.PORT_UNREACHABLE, quoted_ttl=quoted_ttl)
    assert hop(30, rewritten).forward_path_length is None


def test_lengths_that_contradict_each_other_tell_nothing() -> None:
    kind = ReplyKind.PORT_UNREACHABLE
    probes = [replied(HERE, 1.0, kind=kind, quoted_ttl=ttl) for ttl in (5, 6)]
    assert hop(9, *probes).forward_path_length is None
    assert hop(9, probes[0], probes[0]).forward_path_length == 5


def test_what_quotes_nothing_tells_no_length() -> None:
    for kind in (*UNQUOTED, ReplyKind.TIME_EXCEEDED):
        assert hop(9, replied(HERE, 1.0, kind=kind)).forward_path_length is None
    unseen = replied(HERE, 1.0, kind=ReplyKind.PORT_UNREACHABLE, quoted_ttl=None)
    assert hop(9, unseen, None).forward_path_length is None


# --- translators -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "nat"),
    [
        ([], False),
        ([ChangedField.SOURCE], True),
        ([ChangedField.SOURCE_PORT], True),
        ([ChangedField.DESTINATION_PORT], True),
        ([ChangedField.TRANSPORT_CHECKSUM], True),
        ([ChangedField.TRANSPORT_CHECKSUM, ChangedField.DSCP], True),
        ([ChangedField.TRANSPORT_CHECKSUM, ChangedField.TCP_OPTIONS], False),
        ([ChangedField.TRANSPORT_CHECKSUM, ChangedField.PAYLOAD], False),
        ([ChangedField.TRANSPORT_CHECKSUM, ChangedField.TCP_OPTIONS, ChangedField.SOURCE], True),
        ([ChangedField.DSCP, ChangedField.ECN, ChangedField.TTL, ChangedField.IP_CHECKSUM], False),
    ],
)
def test_which_changes_give_a_translator_away(fields: list[ChangedField], *, nat: bool) -> None:
    assert hop(3, changed(*fields)).nat is nat
    assert hop(3, None, changed(), changed(*fields)).nat is nat


def test_whether_there_is_a_translator_is_unknown_where_no_quote_is_seen() -> None:
    assert hop(3, None, None).nat is None
    assert hop(3, replied(HERE, 1.0, kind=ReplyKind.ECHO_REPLY)).nat is None
    assert hop(3, changed(quoted_ttl=None)).nat is None
    assert hop(3, changed(quoted_ttl=None), changed()).nat is False


# --- routers that forward what has no TTL left -------------------------------------------------------


def zero(address: str = NEXT) -> ProbeResult:
    """A time-exceeded that quotes a TTL of 0."""
    return replied(address, 1.0, quoted_ttl=0)


@pytest.mark.parametrize(
    ("here", "following"),
    [
        ([zero()], [replied(NEXT, 2.0)]),
        ([zero(), zero(), None], [replied(NEXT, 2.0), None, replied(NEXT, 2.0)]),
        ([zero(NEXT), zero(OTHER)], [replied(OTHER, 2.0), replied(NEXT, 2.0)]),
    ],
)
def test_the_next_router_answers_twice(
    here: list[ProbeResult | None], following: list[ProbeResult | None]
) -> None:
    assert forwards_ttl_zero(hop(4, *here), hop(5, *following))


@pytest.mark.parametrize(
    ("here", "following"),
    [
        pytest.param([zero(HERE)], [replied(NEXT, 2.0)], id="counts down before it quotes"),
        pytest.param([zero(HERE)], [zero(NEXT)], id="both count down before they quote"),
        pytest.param([zero()], [zero()], id="never quotes a TTL"),
        pytest.param([replied(NEXT, 1.0)], [replied(NEXT, 2.0)], id="equal neighbours"),
        pytest.param([zero(), replied(HERE, 1.0)], [replied(NEXT, 2.0)], id="answers as well"),
        pytest.param([zero(), zero(OTHER)], [replied(NEXT, 2.0)], id="somebody else, too"),
        pytest.param([replied(NEXT, 1.0, quoted_ttl=None)], [replied(NEXT, 2.0)], id="the quote is not seen"),
        pytest.param(
            [zero()], [replied(NEXT, 2.0, kind=ReplyKind.PORT_UNREACHABLE)], id="the next is the end"
        ),
        pytest.param([None], [replied(NEXT, 2.0)], id="silence here"),
        pytest.param([zero()], [None], id="silence there"),
    ],
)
def test_what_only_looks_like_it(here: list[ProbeResult | None], following: list[ProbeResult | None]) -> None:
    assert not forwards_ttl_zero(hop(4, *here), hop(5, *following))


def test_behind_the_last_hop_nothing_follows() -> None:
    assert not forwards_ttl_zero(hop(4, zero()), None)
    assert not Hop(4, ()).ttl_zero_forwarding
