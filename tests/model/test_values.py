"""Results are values: they can be compared, sorted, hashed and pickled."""

from __future__ import annotations

import pickle
from ipaddress import IPv4Address

import attrs
import pytest

from tests.model.samples import TYPICAL
from traceprobe.model import ProbeId, Reply, ReplyKind, SentProbe, TimestampSource
from traceprobe.model._probe import build_sent_probe
from traceprobe.model._reply import build_reply


def test_equal_results_are_one_in_a_set() -> None:
    again = pickle.loads(pickle.dumps(TYPICAL))
    assert again is not TYPICAL
    assert again == TYPICAL
    assert {again, TYPICAL} == {TYPICAL}
    assert attrs.evolve(TYPICAL, duration_ns=TYPICAL.duration_ns + 1) != TYPICAL


def test_what_was_discarded_makes_a_difference() -> None:
    assert attrs.evolve(TYPICAL, discarded={"foreign": 99}) != TYPICAL


def test_results_are_sorted_by_when_they_began() -> None:
    later = attrs.evolve(TYPICAL, target="a", started_at_ns=TYPICAL.started_at_ns + 1000)
    latest = attrs.evolve(TYPICAL, target="b", started_at_ns=TYPICAL.started_at_ns + 2000)
    assert sorted([latest, TYPICAL, later]) == [TYPICAL, later, latest]
    assert min(latest, later) is later
    assert later > TYPICAL


def test_hops_are_sorted_by_how_far_they_are() -> None:
    backwards = TYPICAL.hops[::-1]
    assert sorted(backwards) == list(TYPICAL)
    assert max(TYPICAL) is TYPICAL.hops[-1]


def test_a_result_is_not_compared_with_anything_else() -> None:
    with pytest.raises(TypeError):
        sorted([TYPICAL, 1])  # type: ignore[type-var]
    with pytest.raises(TypeError):
        sorted([TYPICAL.hops[0], 1])  # type: ignore[type-var]


def test_what_is_built_quickly_is_what_the_class_builds() -> None:
    address = IPv4Address("192.0.2.1")
    fields = (ProbeId(7), ReplyKind.TIME_EXCEEDED, address, 5, 6, TimestampSource.KERNEL_RX)
    for built, usual in (
        (build_reply(*fields), Reply(*fields)),
        (build_reply(*fields, mtu=1400, icmp_type=3), Reply(*fields, mtu=1400, icmp_type=3)),
        (build_sent_probe(ProbeId(7), 1, 2), SentProbe(ProbeId(7), 1, 2)),
        (build_sent_probe(ProbeId(7), 1, 2, address, None, 3), SentProbe(ProbeId(7), 1, 2, address, None, 3)),
    ):
        assert type(built) is type(usual)
        assert (built, hash(built), repr(built)) == (usual, hash(usual), repr(usual))
        assert pickle.loads(pickle.dumps(built)) == usual
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            built.probe_id = ProbeId(8)  # type: ignore[misc]
    with pytest.raises(TypeError):
        build_sent_probe(ProbeId(7))  # type: ignore[call-arg]
