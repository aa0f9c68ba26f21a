"""Results are values: they can be compared, sorted, hashed and pickled."""

from __future__ import annotations

import pickle

import attrs
import pytest

from tests.model.samples import TYPICAL


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
