"""Every target survives its corpus, damaged too; coverage-guided fuzzing finds what there is to find."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import EVERYTHING, fuzz
from tests.fuzz.seeds import corpus
from tests.fuzz.targets import TARGETS
from tests.rigs.require import missing_module, require

every_target = pytest.mark.parametrize("target", TARGETS)
SECONDS = 10
"""Of one run over all targets."""


@every_target
def test_the_corpus_itself(target: str) -> None:
    inputs = corpus(target)
    assert inputs
    for data in inputs:
        TARGETS[target](data)


@every_target
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_corpus_damaged_and_put_together_anew(target: str, data: st.DataObject) -> None:
    seeds = st.sampled_from(corpus(target))
    spoilt = bytearray(data.draw(seeds))
    for _ in range(data.draw(st.integers(0, 4))):
        if spoilt:
            spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(spoilt)))
    other = data.draw(st.just(b"") | st.binary(max_size=40) | seeds)
    TARGETS[target](bytes(spoilt[:cut]) + other)
    TARGETS[target](bytes(spoilt))


def test_a_short_run_over_everything_finds_nothing() -> None:
    require("atheris", missing_module("atheris"))
    outcome = fuzz(EVERYTHING, seconds=SECONDS)
    assert outcome.finding is None, outcome.traceback
    assert outcome.executions > len(TARGETS)
    assert outcome.edges > 500


def broken(data: bytes) -> None:
    """A reader with a fault."""
    if data:
        raise IndexError("found")


def test_a_fault_is_found() -> None:
    require("atheris", missing_module("atheris"))
    outcome = fuzz("tests.fuzz.test_targets:broken", seconds=5)
    assert outcome.finding
    assert outcome.traceback.endswith("IndexError: found")
