"""Why a trace went as it did: the way, the waits, what was given up and what was not believed."""

from __future__ import annotations

import attrs
import pytest

from tests.model.samples import TYPICAL, hop, replied, result, silent
from tests.render.samples import ALL
from traceprobe.config import TimingConfig, TracerouteConfig
from traceprobe.engine._states import COUNTED_AS
from traceprobe.model import StopReason, TraceResult
from traceprobe.render.decisions import DISCARDED, decision_lines
from traceprobe.sockets.codec import Refusal


def told(
    shown: TraceResult, config: TracerouteConfig | None = None, refused: list[str] | None = None
) -> dict[str, list[str]]:
    """The facts below each label."""
    facts: dict[str, list[str]] = {}
    title, *lines = decision_lines(shown, config or TracerouteConfig(), refused)
    assert title == (("Why it went so:", "title"),)
    label = ""
    for (head, _), (fact, _) in lines:
        label = head.strip() or label
        facts.setdefault(label, []).append(fact)
    return facts


@pytest.mark.parametrize(
    ("options", "refused", "expected"),
    [
        ({}, None, ["linux_raw with ICMP, the only one of this network"]),
        ({}, [], ["linux_raw with ICMP, the best there is; nothing was refused before it"]),
        (
            {"protocol": "icmp"},
            [],
            ["linux_raw with ICMP, the best there is with ICMP; nothing was refused before it"],
        ),
        ({"mode": "linux_raw"}, [], ["linux_raw with ICMP, as asked for"]),
        (
            {},
            ["linux_x (icmp, IPv4): no \x1b[2J"],
            [
                "linux_raw with ICMP, the best that is left; refused before it:",
                "  linux_x (icmp, IPv4): no ?[2J",
            ],
        ),
    ],
)
def test_why_this_way(options: dict[str, str], refused: list[str] | None, expected: list[str]) -> None:
    config = TracerouteConfig(**options)  # type: ignore[arg-type]
    assert told(TYPICAL, config, refused)["way"] == expected


def test_what_a_silent_hop_was_given_up_for() -> None:
    shown = result(
        hop(1, ("10.0.0.1", 1.0), silent(waited_ms=20.0), silent(waited_ms=20.0)),
        hop(2, silent(waited_ms=25.0), silent(waited_ms=70.0), silent(waited_ms=5000.0)),
        hop(3, ("10.0.0.3", 15.0), ("10.0.0.3", 50.0)),
        hop(4, silent(waited_ms=1000.0)),
        stop_reason=StopReason.MAX_TTL,
    )
    assert told(shown)["given up"] == [
        "hop 1, attempts 2, 3 after 20.000 ms: answers from there on took 15.000 ms at most (hop 3)",
        "hop 2, attempt 1 after 25.000 ms: answers from there on took 15.000 ms at most (hop 3)",
        "hop 2, attempt 2 after 70.000 ms: answers from there on took 50.000 ms at most (hop 3)",
        "hop 2, attempt 3 after 5000.000 ms: that is the longest wait",
        "hop 4, attempt 1 after 1000.000 ms: nothing farther had answered",
    ]


def test_what_was_given_up_because_the_time_was_over() -> None:
    shown = result(hop(1, silent(waited_ms=3.0)), stop_reason=StopReason.TIMEOUT)
    facts = told(shown, TracerouteConfig(timing=TimingConfig(overall_timeout=0.003)))
    assert facts["given up"] == ["hop 1, attempt 1 after 3.000 ms: the time for the whole trace was over"]
    assert facts["patience"][-1] == "for the whole trace: 0.003 s"
    assert facts["end"][0] == "the time for the whole trace was over (timeout)"


def test_the_waits_are_those_of_the_configuration() -> None:
    first, second = told(TYPICAL, TracerouteConfig(timing=TimingConfig.fast()))["patience"]
    assert "1.25 x the slowest answer from there + 1 x jitter, at least 10 ms" in first
    assert "2 x the slowest answer of all, at least 0.2 s; never longer than 1 s" in second


def test_every_reason_for_discarding_has_words() -> None:
    assert {reason.value for reason in Refusal} | set(COUNTED_AS.values()) | {"after_end"} == set(DISCARDED)
    shown = attrs.evolve(TYPICAL, discarded={"unmatched": 0, "foreign": 2, "news": 1})
    assert told(shown)["not believed"] == ["2 foreign: answers to somebody else's packets", "1 news"]


@pytest.mark.parametrize("reason", StopReason)
def test_every_ending_has_its_words(reason: StopReason) -> None:
    facts = told(result(hop(1, replied("10.0.0.1", 1.0)), stop_reason=reason))
    assert facts["end"][0].endswith(f"({reason.value})")


@pytest.mark.parametrize("name", ALL)
def test_every_line_can_be_shown(name: str) -> None:
    for line in decision_lines(ALL[name], TracerouteConfig(), ["\u202e"]):
        assert "".join(text for text, _ in line).isprintable()
