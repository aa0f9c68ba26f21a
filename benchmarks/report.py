"""The figures as Markdown, and held against the goals."""

from __future__ import annotations

from typing import Any

GOALS = {"submit": 500.0, "first_reply": 1000.0, "overhead": 5000.0, "rtt_error": 50.0}
"""What has to be reached on an idle machine, microseconds."""

_COLUMNS = (
    # title, field, divisor, digits
    ("submit us", "submit", 1, 0),
    ("first reply us", "first_reply", 1, 0),
    ("overhead us", "overhead", 1, 0),
    ("RTT error us", "rtt_error", 1, 1),
    ("p99 us", "rtt_error_99", 1, 1),
    ("duration ms", "duration", 1000, 1),
    ("CPU ms", "processor", 1000, 1),
    ("waits", "waits", 1, 0),
    ("probes", "probes", 1, 0),
    ("replies", "replies", 1, 0),
)


def missed_goals(rows: list[dict[str, Any]]) -> list[str]:
    """Which goals traceprobe misses, in words."""
    return [
        f"{row['label']}: {name} {row[name]:.0f} us, goal {goal:.0f} us"
        for row in rows
        if not row["label"].startswith("traceroute")
        for name, goal in GOALS.items()
        if row[name] is not None and row[name] >= goal
    ]


def to_markdown(document: dict[str, Any]) -> str:
    """The whole document as text."""
    machine = document["machine"]
    middle, high, worst = document["lateness_us"]
    missed = missed_goals(document["thirty_hops"])
    measured_on = f"Linux {machine['kernel']}, {machine['processors']} processors"
    measured_by = f"Python {machine['python']}, medians of {document['repetitions']} traces"
    return "\n".join([
        f"{measured_on}; {measured_by}.",
        "",
        "## Thirty hops, three probes each, round trips of up to 120 ms",
        "",
        _line(["", *(title for title, *_ in _COLUMNS)]),
        "|---" + "|---:" * len(_COLUMNS) + "|",
        *(_line([row["label"], *_cells(row)]) for row in document["thirty_hops"]),
        "",
        f"Replies left {middle:.1f} us after they were due (p99 {high:.1f}, worst {worst:.1f}).",
        "",
        *(["Missed:", "", *(f"- {one}" for one in missed)] if missed else ["All goals are met."]),
        "",
        "## When to stop waiting, default timing",
        "",
        "Beyond: from the moment the last reply left the simulated internet until the result was there.",
        "",
        _line([
            "scenario",
            "loop",
            "slowest RTT ms",
            "median ms",
            "worst ms",
            "beyond slowest ms",
            "reached",
        ]),
        "|---|---|---:|---:|---:|---:|---:|",
        *(_completion_line(row) for row in document["completion"]),
    ])


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        "-" if row[field] is None else f"{row[field] / divisor:.{digits}f}"
        for _, field, divisor, digits in _COLUMNS
    ]


def _completion_line(row: dict[str, Any]) -> str:
    times = (
        row["slowest_rtt_ms"],
        row["median_ms"],
        row["worst_ms"],
        row["beyond_ms"],
    )
    reached = f"{row['reached']}/{row['runs']}"
    return _line([row["scenario"], row["loop"], *(f"{time:.1f}" for time in times), reached])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
