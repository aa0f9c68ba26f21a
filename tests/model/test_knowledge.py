"""What several look-ups say of one address is put together without making anything up."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given

from tests.model.samples import AT_AN_EXCHANGE, hop
from tests.model.strategies import asns, knowledge
from traceprobe.model import (
    NOTHING_KNOWN,
    Asn,
    EnrichmentError,
    Exchange,
    Knowledge,
    Segment,
    SegmentReason,
)


def test_what_only_the_other_knows_is_filled_in() -> None:
    names = Knowledge(hostname="a.example")
    networks = Knowledge(asn=Asn(64500), exchange=Exchange("IX", "192.0.2.0/24"))
    merged = names.merged(networks)
    assert (merged.hostname, merged.asn, merged.exchange) == ("a.example", networks.asn, networks.exchange)
    assert names.merged(Knowledge(hostname="b.example")).hostname == "a.example"


def test_two_sources_for_one_network_complete_each_other() -> None:
    file = Asn(64500, prefix="192.0.2.0/24", name="EXAMPLE")
    service = Asn(
        64500, prefix="192.0.2.0/24", country="NL", registry="ripencc", name="other", origins=(64501,)
    )
    merged = Asn(64500, "192.0.2.0/24", "NL", "ripencc", "EXAMPLE", (64501,))
    assert file.merged(service) == merged


def test_facts_about_another_prefix_are_not_mixed_in() -> None:
    specific = Asn(64500, prefix="192.0.2.0/25")
    wide = Asn(64500, prefix="192.0.2.0/24", country="NL", name="EXAMPLE", origins=(64501,))
    assert specific.merged(wide) == Asn(64500, prefix="192.0.2.0/25", name="EXAMPLE")
    assert specific.merged(Asn(64502, name="OTHER")) == specific


def test_pairs_come_from_one_side() -> None:
    sure = Knowledge(segment=Segment.LAN, country="NL")
    other = Knowledge(
        segment=Segment.ISP, segment_reason=SegmentReason.ISP_ASN, country="DE", city="Frankfurt am Main"
    )
    merged = sure.merged(other)
    assert (merged.segment, merged.segment_reason) == (Segment.LAN, None)
    assert (merged.country, merged.city) == ("NL", None)


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        (None, None, None),
        (False, None, False),
        (None, False, False),
        (False, True, False),
        (True, None, True),
    ],
)
def test_the_first_to_know_says_whether_it_is_announced(
    mine: bool | None, theirs: bool | None, merged: bool | None
) -> None:
    assert Knowledge(announced=mine).merged(Knowledge(announced=theirs)).announced is merged


def test_an_address_with_a_network_is_announced_whatever_another_source_lacks() -> None:
    assert Knowledge(announced=False).merged(Knowledge(asn=Asn(64500), announced=True)).announced is True


def test_errors_of_both_are_kept_and_none_twice() -> None:
    first, second = EnrichmentError("names", "refused"), EnrichmentError("networks", "timed out")
    merged = Knowledge(errors=(first,)).merged(Knowledge(errors=(second, first)))
    assert merged.errors == (first, second)


@given(knowledge)
def test_nothing_adds_nothing(some: Knowledge) -> None:
    # What no look-up would say: a reason for no segment, and a network that nobody announces.
    some = attrs.evolve(
        some,
        segment_reason=None if some.segment is None else some.segment_reason,
        announced=some.announced if some.asn is None else True,
    )
    assert some.merged(NOTHING_KNOWN) == some == NOTHING_KNOWN.merged(some) == some.merged(some)


@given(asns)
def test_a_network_adds_nothing_to_itself(asn: Asn) -> None:
    assert asn.merged(asn) == asn


@pytest.mark.parametrize("reason", SegmentReason)
def test_every_reason_is_a_sentence(reason: SegmentReason) -> None:
    assert reason.sentence.endswith(".")
    assert len({each.sentence for each in SegmentReason}) == len(SegmentReason)


def test_a_hop_knows_what_its_first_responder_is_known_for_and_the_errors_of_all() -> None:
    error = EnrichmentError("names", "refused")
    both = hop(
        4,
        ("198.51.100.9", 1.0),
        ("198.51.100.9", 1.0),
        ("198.51.100.10", 1.0),
        names={
            "198.51.100.9": AT_AN_EXCHANGE,
            "198.51.100.10": Knowledge(country="DE", errors=(error, *AT_AN_EXCHANGE.errors)),
        },
    )
    assert (both.segment_reason, both.country, both.city, both.exchange, both.announced) == (
        SegmentReason.OTHER_ASN,
        "NL",
        "Amsterdam",
        AT_AN_EXCHANGE.exchange,
        True,
    )
    assert both.enrichment_errors == (*AT_AN_EXCHANGE.errors, error)
    silent = hop(5, None)
    assert (silent.segment_reason, silent.country, silent.city, silent.exchange, silent.announced) == (
        None,
    ) * 5
    assert silent.enrichment_errors == ()
