"""The figures as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.goals import Verdict


def to_markdown(document: Mapping[str, Any], verdicts: Sequence[Verdict] | None) -> str:
    """The whole document as text; with verdicts, if the goals are to be judged."""
    parts = [header(document), *(section_text(*one) for one in document["sections"].items())]
    return "\n\n".join(parts if verdicts is None else [*parts, goals_text(verdicts)])


def header(document: Mapping[str, Any]) -> str:
    """What was measured on, and how often."""
    machine = document["machine"]
    measured_on = f"{machine['system']} {machine['kernel']}, {machine['processors']} processors"
    measured_by = f"Python {machine['python']}; medians of {document['repetitions']} runs"
    return f"{measured_on}, {measured_by} (of programs that take seconds, two), quartiles in brackets."


def section_text(name: str, section: Mapping[str, Any]) -> str:
    """One section, under its heading."""
    lines = [f"## {section.get('title', name)}", ""]
    if "error" in section:
        lines.append(f"Not measured: {section['error']}.")
    else:
        lines += _TABLES.get(name, _world)(section)
        lines += ["", *(f"- skipped: {one['name']}: {one['reason']}" for one in section.get("skipped", ()))]
    return "\n".join(lines).rstrip()


def _world(section: Mapping[str, Any]) -> Iterator[str]:
    columns: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
        ("", lambda row: row["label"] + (" (ended by us)" if row["cut"] else "")),
        ("wall ms", lambda row: _spread(row["wall_ms"])),
        ("times", lambda row: f"{row['ratio']:.2f}" if "ratio" in row else "-"),
        ("CPU ms", lambda row: _spread(row["cpu_ms"])),
        ("probes", lambda row: _number(row["probes"], 0)),
        ("right/wrong/missed", lambda row: f"{row['right']:g}/{row['wrong']:g}/{row['missed']:g}"),
        ("submit us", lambda row: _median(row, "submit_us")),
        ("first reply us (p99)", lambda row: _with_p99(row, "first_reply_us")),
        ("overhead us", lambda row: _median(row, "overhead_us")),
        ("RTT error us (p99)", lambda row: _with_p99(row, "rtt_error_us")),
        ("waits", lambda row: _number(row.get("waits"), 0)),
        ("memory MB", lambda row: _number(row.get("memory_mb"), 0)),
    )
    used = [
        column
        for column in columns
        if any(column[1](row) not in {"-", ""} for row in section["rows"]) or not column[0]
    ]
    yield from _table(
        [title for title, _ in used], [[cell(row) for _, cell in used] for row in section["rows"]]
    )
    if (late := section.get("lateness_us")) is not None:
        yield ""
        yield (
            f"Replies left the simulated internet {late['median']:.1f} us after they were due "
            f"(p99 {late['p99']:.1f}, worst {late['most']:.0f})."
        )


def _costs(section: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(
        ["loop", "", "CPU ms", "reference loop CPU ms", "ratio", "ratio of the least"],
        [
            [
                row["loop"],
                "one tracer" if row["held"] else "from nothing",
                _spread(row["cpu_ms"]),
                _spread(row["reference_cpu_ms"]),
                f"{row['ratio']:.2f}",
                f"{row['least_ratio']:.2f}",
            ]
            for row in section["beside_reference"]
        ],
    )
    yield ""
    if section["calls"]:
        yield from _table(
            ["loop", "", "system calls", "wake-ups", "which"],
            [
                [
                    row["loop"],
                    "one tracer" if row["held"] else "from nothing",
                    f"{row['total']:g}",
                    f"{row['waits']:g}",
                    ", ".join(f"{name} {count:g}" for name, count in list(row["by_name"].items())[:10]),
                ]
                for row in section["calls"]
            ],
        )
        yield ""
    kept = section["allocations"]
    yield f"Allocated: {kept['peak_bytes']} bytes at most, {kept['kept_blocks']} blocks kept by the result."
    yield ""
    yield from _table(
        ["waiting 0.4 s for silence", "blocking calls", "wake-ups more", "CPU us more"],
        [
            [row["loop"], _number(row["blocking_calls"], 0), f"{row['wakeups']:g}", f"{row['cpu_us']:.0f}"]
            for row in section["waiting"]
        ],
    )


def _crowds(section: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(
        [
            *("traces", "loop", "mode", "wall ms", "beyond slowest RTT ms", "CPU ms", "right", "memory MB"),
            *("sockets", "descriptors", "probes"),
        ],
        [
            [
                str(row["traces"]),
                row["loop"],
                row["mode"],
                _spread(row["wall_ms"]),
                f"{row['beyond_slowest_ms']:.0f}",
                _spread(row["cpu_ms"]),
                f"{row['right']}",
                f"{row['memory_mb']:.0f}",
                f"{row['sockets']}",
                f"{row['descriptors']}",
                f"{row['probes']}",
            ]
            for row in section["rows"]
        ],
    )


def _many(section: Mapping[str, Any]) -> Iterator[str]:
    yield from _world(section)
    for row in section["rows"]:
        yield ""
        yield f"{row['label']}: the reference loop takes {_spread(row['reference_cpu_ms'])} ms CPU."


def _receiving(section: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(
        ["mode", "replies a second", "us each", "replies"],
        [
            [row["mode"], f"{row['per_second']['median']:.0f}", _spread(row["us_each"]), f"{row['replies']}"]
            for row in section["rows"]
        ],
    )


def _start(section: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(
        ["", "wall ms", "CPU ms", "beyond bare Python ms"],
        [
            [row["label"], _spread(row["wall_ms"]), _spread(row["cpu_ms"]), f"{row['beyond_python_ms']:.1f}"]
            for row in section["rows"]
        ],
    )


def _first_probe(section: Mapping[str, Any]) -> Iterator[str]:
    rows = [[row["label"], _spread(row["first_probe_ms"])] for row in section["rows"]]
    yield from _table(["", "first probe ms"], rows)


_TABLES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "costs": _costs,
    "crowds": _crowds,
    "many": _many,
    "receiving": _receiving,
    "start": _start,
    "first-probe": _first_probe,
}


def goals_text(verdicts: Sequence[Verdict]) -> str:
    """Each goal with what was measured, and whether it was met."""
    return "\n".join(_goals(verdicts))


def _goals(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "## Goals"
    yield ""
    yield from _table(
        ["goal", "what", "limit", "measured", ""],
        [[one.goal, one.what, one.limit, one.value, "met" if one.met else "**missed**"] for one in verdicts],
    )
    missed = sum(not one.met for one in verdicts)
    yield ""
    yield f"{len(verdicts) - missed} met, {missed} missed."


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(titles) + " |"
    yield "|---" + "|---:" * (len(titles) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _spread(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "-"
    middle, low, high = (_short(values[name]) for name in ("median", "low", "high"))
    return middle if low == high else f"{middle} ({low}-{high})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _median(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]['median']:.0f}" if name in row else "-"


def _with_p99(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]['median']:.1f} ({row[name]['p99']:.0f})" if name in row else "-"
