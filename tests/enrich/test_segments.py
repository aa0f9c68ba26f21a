"""Segments: each rule, the hole that is mended, and what holds for every path."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.samples import hop
from traceprobe.enrich import _segments
from traceprobe.enrich._segments import PathEnds, Verdict
from traceprobe.model import NOTHING_KNOWN, Asn, Exchange, Hop, Knowledge, Responder, Segment, SegmentReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import TypeAlias

    IPAddress: TypeAlias = IPv4Address | IPv6Address

LAN, ISP, TRANSIT, DESTINATION, UNKNOWN = Segment
HOME, TARGET, OTHER, ANOTHER = 64500, 64510, 64520, 64530
UNANNOUNCED = Knowledge(announced=False)


def classify(
    hops: Sequence[Hop], ends: PathEnds, *, pending: Collection[IPAddress] = frozenset()
) -> Mapping[IPAddress, Verdict]:
    """Classify the responders of hops with what they are known for."""
    path = [(each.ttl, each.addresses) for each in hops]
    known = {responder.address: responder.knowledge for each in hops for responder in each.responders}
    return _segments.classify(path, known, ends, pending=pending)


def network(number: int, *origins: int) -> Knowledge:
    return Knowledge(asn=Asn(number, origins=origins))


def member(number: int | None) -> Knowledge:
    return Knowledge(exchange=Exchange("EXAMPLE-IX", "80.249.208.0/21", member_asn=number))


def judged(
    *path: tuple[str, Knowledge] | None,
    source: str = "192.168.1.7",
    target: str = "9.9.9.9",
    isp: set[int] | None = frozenset({HOME}),  # type: ignore[assignment]
    destination: set[int] | None = frozenset({TARGET}),  # type: ignore[assignment]
    pending: set[str] = frozenset(),  # type: ignore[assignment]
) -> list[tuple[Segment, str] | None]:
    """The verdict on each hop of a path with one responder per hop; None where there is none."""
    hops = [
        hop(ttl, None if step is None else (step[0], 1.0), names=None if step is None else dict([step]))
        for ttl, step in enumerate(path, 1)
    ]
    ends = PathEnds(
        source=ip_address(source),
        destination=ip_address(target),
        isp_asns=None if isp is None else frozenset(isp),
        destination_asns=None if destination is None else frozenset(destination),
    )
    verdicts = classify(hops, ends, pending={ip_address(address) for address in pending})
    return [
        None if each.address is None or each.address not in verdicts
        else (verdicts[each.address].segment, verdicts[each.address].reason.value)
        for each in hops
    ]  # fmt: skip


def test_a_path_as_it_should_be() -> None:
    assert judged(
        ("192.168.1.1", NOTHING_KNOWN),
        ("100.64.0.1", NOTHING_KNOWN),
        ("5.1.0.1", network(HOME)),
        None,
        ("80.249.208.7", member(OTHER)),
        ("5.2.0.1", network(OTHER)),
        ("5.3.0.1", network(TARGET)),
        ("9.9.9.9", network(TARGET)),
    ) == [
        (LAN, "local_address"),
        (ISP, "shared_address_space"),
        (ISP, "isp_asn"),
        None,
        (TRANSIT, "exchange"),
        (TRANSIT, "other_asn"),
        (DESTINATION, "destination_asn"),
        (DESTINATION, "target_address"),
    ]


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.31.255.255", "192.168.0.1", "169.254.1.1", "127.0.0.1", "fd00::1", "::1",
                "fe80::1%eth0", "64:ff9b::10.0.0.1"]
)  # fmt: skip
def test_local_addresses_are_the_lan(address: str) -> None:
    assert judged((address, NOTHING_KNOWN)) == [(LAN, "local_address")]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2a00:1:2:3::1", (LAN, "source_network")),
        ("2a00:1:2:4::1", (ISP, "isp_asn")),
    ],
)
def test_what_shares_the_64_of_the_source_is_the_lan(address: str, expected: tuple[Segment, str]) -> None:
    assert judged((address, network(HOME)), source="2a00:1:2:3:a:b:c:d") == [expected]


def test_any_origin_of_a_prefix_decides() -> None:
    path = [("5.1.0.1", network(OTHER, HOME)), ("5.3.0.1", network(OTHER, TARGET))]
    assert judged(*path) == [(ISP, "isp_asn"), (DESTINATION, "destination_asn")]


def test_the_provider_comes_first_where_the_target_is_in_its_network() -> None:
    path = [("5.1.0.1", network(HOME)), ("9.9.9.9", network(HOME))]
    assert judged(*path, destination={HOME}) == [(ISP, "isp_asn")] * 2


@pytest.mark.parametrize(
    ("isp", "destination", "expected"),
    [
        (set[int](), set[int](), (UNKNOWN, "not_comparable")),
        ({HOME}, set[int](), (TRANSIT, "other_asn")),
        (set[int](), {TARGET}, (TRANSIT, "other_asn")),
    ],
)
def test_another_network_is_transit_if_there_is_something_to_compare_it_with(
    isp: set[int], destination: set[int], expected: tuple[Segment, str]
) -> None:
    assert judged(("5.2.0.1", network(OTHER)), isp=isp, destination=destination) == [expected]


@pytest.mark.parametrize("between", [UNANNOUNCED, NOTHING_KNOWN], ids=["unannounced", "unknown"])
@pytest.mark.parametrize(
    ("asn", "expected"), [(HOME, (ISP, "between_isp")), (TARGET, (DESTINATION, "between_destination"))]
)
def test_what_nobody_announces_takes_the_segment_that_lies_on_both_sides(
    between: Knowledge, asn: int, expected: tuple[Segment, str]
) -> None:
    path = [
        ("5.1.0.1", network(asn)),
        None,
        ("5.9.0.1", between),
        ("5.9.0.2", between),
        ("5.1.0.2", network(asn)),
    ]
    assert judged(*path)[2:4] == [expected] * 2


@pytest.mark.parametrize("asn", [HOME, TARGET])
def test_real_transit_between_two_hops_of_one_network_is_not_swallowed(asn: int) -> None:
    path = [("5.1.0.1", network(asn)), ("5.2.0.1", network(OTHER)), ("5.1.0.2", network(asn))]
    assert judged(*path)[1] == (TRANSIT, "other_asn")


def test_an_exchange_between_two_hops_of_one_network_is_not_swallowed() -> None:
    path = [("5.1.0.1", network(HOME)), ("80.249.208.7", member(None)), ("5.1.0.2", network(HOME))]
    assert judged(*path)[1] == (TRANSIT, "exchange")


def test_transit_on_one_side_keeps_what_nobody_announces_out_of_the_provider() -> None:
    path = [
        ("5.1.0.1", network(HOME)),
        ("5.9.0.1", UNANNOUNCED),
        ("5.2.0.1", network(OTHER)),
        ("5.9.0.2", UNANNOUNCED),
        ("5.1.0.2", network(HOME)),
    ]
    assert judged(*path) == [
        (ISP, "isp_asn"),
        (TRANSIT, "unannounced"),
        (TRANSIT, "other_asn"),
        (TRANSIT, "unannounced"),
        (ISP, "isp_asn"),
    ]


def test_what_was_not_looked_up_is_not_taken_for_unannounced() -> None:
    path = [("5.9.0.1", NOTHING_KNOWN), ("5.9.0.2", UNANNOUNCED), ("203.0.113.1", NOTHING_KNOWN)]
    assert judged(*path) == [(UNKNOWN, "not_looked_up"), (TRANSIT, "unannounced"), (TRANSIT, "unannounced")]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(HOME, (ISP, "isp_asn")), (TARGET, (DESTINATION, "destination_asn")), (OTHER, (TRANSIT, "exchange"))],
)
def test_behind_the_address_of_an_exchange_is_its_member(number: int, expected: tuple[Segment, str]) -> None:
    announced_by_the_exchange = attrs.evolve(member(number), asn=Asn(ANOTHER))
    assert judged(("80.249.208.7", announced_by_the_exchange)) == [expected]


def test_private_addresses_beyond_the_lan_are_not_the_lan() -> None:
    path = [
        ("192.168.1.1", NOTHING_KNOWN),
        ("10.0.0.1", NOTHING_KNOWN),
        ("5.1.0.1", network(HOME)),
        ("10.0.0.2", NOTHING_KNOWN),
        ("5.1.0.2", network(HOME)),
        ("10.0.0.3", NOTHING_KNOWN),
        ("5.2.0.1", network(OTHER)),
    ]
    assert judged(*path)[:2] == [(LAN, "local_address")] * 2
    assert judged(*path)[3] == (ISP, "between_isp")
    assert judged(*path)[5] == (UNKNOWN, "private_beyond_lan")


def test_the_target_is_the_destination_also_if_nothing_is_known_of_it() -> None:
    assert judged(("9.9.9.9", NOTHING_KNOWN), isp=set(), destination=set()) == [
        (DESTINATION, "target_address")
    ]
    beyond = [("5.1.0.1", network(HOME)), ("10.9.9.9", NOTHING_KNOWN)]
    assert judged(*beyond, target="10.9.9.9", destination=set())[1] == (DESTINATION, "target_address")
    assert judged(("10.9.9.9", NOTHING_KNOWN), target="10.9.9.9") == [(LAN, "local_address")]


def test_nothing_is_said_while_a_look_up_can_still_change_it() -> None:
    path = [("5.1.0.1", network(HOME)), ("5.9.0.1", UNANNOUNCED), ("5.2.0.1", NOTHING_KNOWN)]
    assert judged(*path, pending={"5.2.0.1"}) == [(ISP, "isp_asn"), None, None]
    assert judged(("5.2.0.1", network(OTHER)), isp=None) == [None]
    assert judged(("5.2.0.1", network(TARGET)), isp=None) == [None]
    assert judged(("5.2.0.1", network(OTHER)), destination=None) == [None]
    assert judged(("5.2.0.1", network(HOME)), destination=None) == [(ISP, "isp_asn")]
    assert judged(("192.168.1.1", NOTHING_KNOWN), isp=None, pending={"192.168.1.1"}) == [
        (LAN, "local_address")
    ]


def test_several_responders_of_a_hop_are_judged_each_and_seen_as_neighbours_together() -> None:
    names: dict[str, Knowledge | str] = {
        "5.1.0.1": network(HOME),
        "5.9.0.1": UNANNOUNCED,
        "5.1.0.2": network(HOME),
        "5.2.0.2": network(OTHER),
    }
    hops = [
        hop(1, ("5.1.0.1", 1.0), names=names),
        hop(2, ("5.9.0.1", 1.0), names=names),
        hop(3, ("5.1.0.2", 1.0), ("5.2.0.2", 1.0), names=names),
    ]
    ends = PathEnds(source=None, destination=ip_address("9.9.9.9"), isp_asns=frozenset({HOME}))
    verdicts = classify(hops, ends)
    assert verdicts[ip_address("5.9.0.1")].segment is TRANSIT
    assert verdicts[ip_address("5.1.0.2")].segment is ISP
    assert verdicts[ip_address("5.2.0.2")].segment is TRANSIT


# --- what holds for every path ---------------------------------------------------------------------------

SEGMENT_OF = {
    SegmentReason.LOCAL_ADDRESS: LAN,
    SegmentReason.SOURCE_NETWORK: LAN,
    SegmentReason.SHARED_ADDRESS_SPACE: ISP,
    SegmentReason.ISP_ASN: ISP,
    SegmentReason.DESTINATION_ASN: DESTINATION,
    SegmentReason.TARGET_ADDRESS: DESTINATION,
    SegmentReason.EXCHANGE: TRANSIT,
    SegmentReason.OTHER_ASN: TRANSIT,
    SegmentReason.BETWEEN_ISP: ISP,
    SegmentReason.BETWEEN_DESTINATION: DESTINATION,
    SegmentReason.UNANNOUNCED: TRANSIT,
    SegmentReason.PRIVATE_BEYOND_LAN: UNKNOWN,
    SegmentReason.NOT_COMPARABLE: UNKNOWN,
    SegmentReason.NOT_LOOKED_UP: UNKNOWN,
}

addresses = st.one_of(
    st.sampled_from([
        ip_address(text)
        for text in ("10.0.0.1", "192.168.1.1", "100.64.0.1", "5.1.0.1", "5.1.0.2", "9.9.9.9", "fe80::1",
                     "2a00:1:2:3::1", "2a00:9::1", "203.0.113.9")
    ]),
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
)  # fmt: skip
numbers = st.sampled_from([HOME, TARGET, OTHER, ANOTHER])
knowledge = st.one_of(
    st.just(NOTHING_KNOWN),
    st.just(UNANNOUNCED),
    st.builds(network, numbers),
    st.builds(network, numbers, numbers),
    st.builds(member, st.none() | numbers),
)


@st.composite
def paths(draw: st.DrawFn) -> list[Hop]:
    known: dict[object, Knowledge] = {}
    hops = []
    for ttl in range(1, draw(st.integers(1, 8))):
        responders = draw(st.lists(addresses, max_size=2, unique=True))
        for address in responders:
            known.setdefault(address, draw(knowledge))
        hops.append(Hop(ttl, (), tuple(Responder(address, 1, known[address]) for address in responders)))
    return draw(st.permutations(hops))


@st.composite
def path_ends(draw: st.DrawFn) -> PathEnds:
    return PathEnds(
        source=draw(st.none() | st.sampled_from([ip_address("192.168.1.7"), ip_address("2a00:1:2:3::7")])),
        destination=ip_address("9.9.9.9"),
        isp_asns=frozenset(draw(st.sets(numbers, max_size=2))),
        destination_asns=frozenset(draw(st.sets(numbers, max_size=2))),
    )


@given(paths(), path_ends())
def test_once_everything_is_known_every_responder_has_one_segment_and_its_reason(
    hops: list[Hop], ends: PathEnds
) -> None:
    verdicts = classify(hops, ends)
    assert set(verdicts) == {responder.address for hop in hops for responder in hop.responders}
    for verdict in verdicts.values():
        assert SEGMENT_OF[verdict.reason] is verdict.segment


@given(paths(), path_ends())
def test_nobody_is_put_into_a_network_that_is_not_his(hops: list[Hop], ends: PathEnds) -> None:
    assert ends.isp_asns is not None
    assert ends.destination_asns is not None
    verdicts = classify(hops, ends)
    for responder in [responder for each in hops for responder in each.responders]:
        known, verdict = responder.knowledge, verdicts[responder.address]
        if known.exchange is not None:
            numbers = {known.exchange.member_asn}
        elif known.asn is not None:
            numbers = {known.asn.number, *known.asn.origins}
        else:
            continue
        if verdict.reason in {
            SegmentReason.LOCAL_ADDRESS,
            SegmentReason.SOURCE_NETWORK,
            SegmentReason.SHARED_ADDRESS_SPACE,
            SegmentReason.TARGET_ADDRESS,
        }:
            continue  # fmt: skip
        assert (verdict.segment is ISP) == bool(numbers & ends.isp_asns)
        if verdict.segment is DESTINATION:
            assert numbers & ends.destination_asns


@given(paths(), path_ends())
def test_between_means_that_the_nearest_judged_hops_are_of_that_segment(
    hops: list[Hop], ends: PathEnds
) -> None:
    verdicts = classify(hops, ends)
    ordered = sorted(hops, key=lambda each: each.ttl)
    first_seen: dict[IPAddress, int] = {}
    for each in ordered:
        for address in each.addresses:
            first_seen.setdefault(address, each.ttl)
    borrowed = {SegmentReason.BETWEEN_ISP, SegmentReason.BETWEEN_DESTINATION, SegmentReason.UNANNOUNCED,
                SegmentReason.PRIVATE_BEYOND_LAN, SegmentReason.NOT_LOOKED_UP}  # fmt: skip

    def nearest(ttls: range) -> set[Segment]:
        for ttl in ttls:
            own = {
                verdicts[address].segment
                for address, seen in first_seen.items()
                if seen == ttl and verdicts[address].reason not in borrowed
            }
            if own:
                return own
        return set()

    for address, ttl in first_seen.items():
        verdict = verdicts[address]
        if verdict.reason not in borrowed:
            continue
        before, after = nearest(range(ttl - 1, 0, -1)), nearest(range(ttl + 1, 10))
        if before == after == {ISP}:
            assert verdict == (ISP, SegmentReason.BETWEEN_ISP)
        elif before == after == {DESTINATION}:
            assert verdict == (DESTINATION, SegmentReason.BETWEEN_DESTINATION)
        else:
            assert verdict.segment in {TRANSIT, UNKNOWN}


@given(paths(), path_ends(), st.data())
def test_a_verdict_given_while_look_ups_run_is_the_final_one(
    hops: list[Hop], ends: PathEnds, data: st.DataObject
) -> None:
    everybody = sorted({address for hop in hops for address in hop.addresses}, key=str)
    pending = set(data.draw(st.lists(st.sampled_from(everybody), unique=True))) if everybody else set()
    early_hops = [
        attrs.evolve(
            known,
            responders=tuple(
                attrs.evolve(each, knowledge=NOTHING_KNOWN) if each.address in pending else each
                for each in known.responders
            ),
        )
        for known in hops
    ]
    early_ends = attrs.evolve(
        ends,
        isp_asns=data.draw(st.sampled_from([ends.isp_asns, None])),
        destination_asns=data.draw(st.sampled_from([ends.destination_asns, None])),
    )
    early, final = classify(early_hops, early_ends, pending=pending), classify(hops, ends)
    for address, verdict in early.items():
        assert verdict == final[address]


@given(paths(), path_ends())
def test_the_order_in_which_hops_are_given_does_not_matter(hops: list[Hop], ends: PathEnds) -> None:
    assert classify(list(reversed(hops)), ends) == classify(sorted(hops, key=lambda hop: hop.ttl), ends)
