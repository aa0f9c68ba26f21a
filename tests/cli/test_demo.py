"""The demonstration: the same on every machine, with names, and with all that a real trace has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.golden import check_golden, without_duration
from tests.render.test_programs import EVENTS
from traceprobe import Protocol, StopReason, TraceResult
from traceprobe.cli._exit import ExitStatus
from traceprobe.schema import trace_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("target", ["example.com", "unreachable.example", "silent.example"])
def test_a_trace_is_that_of_the_golden_page(target: str, run: Run) -> None:
    outcome = run("demo", target)
    check_golden(GOLDEN / f"demo_{target}.txt", without_duration(outcome.out))
    reached = target == "example.com"
    assert outcome.status == (ExitStatus.REACHED if reached else ExitStatus.NOT_REACHED)
    assert outcome.err == ""


def test_it_needs_no_target_and_shows_names(run: Run) -> None:
    outcome = run("demo")
    assert outcome == run("demo", "example.com")
    assert "gateway.home.example (192.0.2.1)" in outcome.out


def test_numeric_shows_addresses_only(run: Run) -> None:
    out = run("demo", "-n").out
    assert "gateway.home.example" not in out
    assert "  192.0.2.1\n" in out


@pytest.mark.parametrize("options", [[], ["-6"], ["-U"], ["-6", "-U"]], ids=" ".join)
def test_json_is_the_documented_document(options: list[str], run: Run) -> None:
    outcome = run("demo", "--json", *options)
    assert (outcome.status, outcome.err) == (ExitStatus.REACHED, "")
    document = json.loads(outcome.out)
    jsonschema.Draft202012Validator(trace_schema()).validate(document)
    result = TraceResult.from_dict(document)
    assert result.address.version == (6 if "-6" in options else 4)
    assert result.protocol is (Protocol.UDP if "-U" in options else Protocol.ICMP)
    assert result.hops[0].hostname == "gateway.home.example"
    assert result.hops[-1].hostname == "example.com"


def test_ndjson_is_documented_events(run: Run) -> None:
    outcome = run("demo", "--ndjson", "unreachable.example")
    assert outcome.status == ExitStatus.NOT_REACHED
    events = [json.loads(line) for line in outcome.out.splitlines()]
    for event in events:
        EVENTS.validate(event)
    assert TraceResult.from_dict(events[-1]["result"]).stop_reason is StopReason.UNREACHABLE


def test_an_unknown_target_is_told_which_there_are(run: Run) -> None:
    outcome = run("demo", "nowhere.example")
    assert (outcome.status, outcome.out) == (ExitStatus.NOT_RESOLVED, "")
    assert outcome.err.splitlines()[1] == (
        "the demonstration network has: example.com, unreachable.example, silent.example"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flow-label", "5"], "--flow-label 5: "),
        (["--mark", "1"], "--mark 1: "),
        (["--receive-all"], "--receive-all: "),
        (["--mode", "linux_raw"], "--mode linux_raw: "),
        (["-i", "eth0"], "--interface eth0: "),
        (["-m", "0"], "--max-ttl 0: "),
    ],
)
def test_options_are_not_silently_ignored(arguments: list[str], words: str, run: Run) -> None:
    outcome = run("demo", *arguments)
    assert (outcome.status, outcome.out) == (ExitStatus.USAGE, "")
    assert words in outcome.err
