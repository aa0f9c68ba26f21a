"""The measurements run, and say what they measured. How fast it was is not a matter of tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import percentile
from benchmarks.report import GOALS, missed_goals

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.tun
def test_a_short_run_fills_every_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert main(["-n", "1", "--loops", "asyncio", "--modes", "raw", "--json", str(file)]) == 0
    document = json.loads(file.read_text())
    ours = document["thirty_hops"][0]
    assert ours["label"] == "asyncio, raw"
    assert (ours["probes"], ours["replies"]) == (90, 90)
    assert all(ours[name] > 0 for name in ("submit", "first_reply", "overhead", "duration", "processor"))
    assert [(row["scenario"], row["reached"]) for row in document["completion"]] == [
        ("three_silent", 1),
        ("slow_target", 1),
    ]
    text = capsys.readouterr().out
    assert "| asyncio, raw |" in text
    assert "| slow_target | asyncio |" in text


@pytest.mark.parametrize("wrong", [["--loops", "curio"], ["--modes", "raw,smoke"], ["-n", "0"]])
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)


def test_a_missed_goal_is_named() -> None:
    met = {"label": "asyncio, raw", **{name: goal / 2 for name, goal in GOALS.items()}}
    assert missed_goals([met]) == []
    assert missed_goals([{**met, "overhead": 5000.0}]) == ["asyncio, raw: overhead 5000 us, goal 5000 us"]
    assert missed_goals([{**met, "label": "traceroute", "submit": 1e9}]) == []


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.99), percentile(values, 0.5), percentile([7.0], 0.99)) == (99.0, 50.0, 7.0)
