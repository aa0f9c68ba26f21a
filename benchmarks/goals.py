"""What has to be reached, and whether it was: medians, on an otherwise idle machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

SUBMIT_US, OVERHEAD_US, FIRST_REPLY_US = 500.0, 1500.0, 300.0
TIMES_TRACEROUTE, SILENT_MS, BLACKHOLE_MS, BLACKHOLE_FAST_MS, TIMES_OTHERS = 2.0, 20.0, 1100.0, 350.0, 10.0
FTR_FLOOR_MS = 35.0
"""What ftr's own documentation gives as its shortest time; held against where ftr could not be run."""
RTT_US, RTT_P99_US, RTT_BUSY_US = 20.0, 200.0, 60.0
CPU_MS = {"asyncio": 5.0, "uvloop": 4.0, "trio": 4.0}
TIMES_REFERENCE, WAITING_CPU_US = 2.0, 1000.0
CROWD, CROWD_BEYOND_MS, CROWD_MB, CROWD_SOCKETS = 1000, 2000.0, 150.0, 4
IMPORT_MS, HELP_MS, FIRST_PROBE_MS = 30.0, 80.0, 150.0


@dataclass(frozen=True)
class Verdict:
    """One goal, and what was measured."""

    goal: str
    what: str
    limit: str
    value: str
    met: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def verdicts(sections: Mapping[str, Any]) -> list[Verdict]:
    """Hold all that was measured against the goals; what was not measured is not judged."""
    found: list[Verdict] = []
    for name, judge in _JUDGES:
        if name in sections and "error" not in sections[name]:
            found += judge(sections[name])
    return sorted(found, key=lambda verdict: verdict.goal)


def _below(goal: str, what: str, value: float, limit: float, unit: str) -> Verdict:
    return Verdict(goal, what, f"< {limit:g} {unit}", f"{value:.3g} {unit}", value < limit)


def _up_to(goal: str, what: str, value: float, limit: float, unit: str) -> Verdict:
    return Verdict(goal, what, f"<= {limit:g} {unit}".strip(), f"{value:.3g} {unit}".strip(), value <= limit)


def _ours(section: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in section["rows"]:
        if row["group"] == "traceprobe" and not row.get("busy") and not row.get("held"):
            yield row


def _tun(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in _ours(section):
        if "loop" not in row:
            continue
        name = row["label"].removeprefix("traceprobe ")
        yield _below("1", f"{name}: 90 probes submitted", row["submit_us"]["median"], SUBMIT_US, "us")
        what = f"{name}: complete after the last needed reply"
        yield _below("1", what, row["overhead_us"]["median"], OVERHEAD_US, "us")
        if row["loop"] == "asyncio" and "first_reply_us" in row:
            latency = row["first_reply_us"]["median"]
            yield _below("1", f"{name}: first reply in user code", latency, FIRST_REPLY_US, "us")
        if "rtt_error_us" in row:
            yield _below("3", f"{name}: RTT error, median", row["rtt_error_us"]["median"], RTT_US, "us")
            yield _below("3", f"{name}: RTT error, p99", row["rtt_error_us"]["p99"], RTT_P99_US, "us")
    yield from _against_peers("2d", section)


def _busy(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in section["rows"]:
        what = f"{row['loop']}: RTT error beside a busy Python thread, median"
        yield _below("3", what, row["rtt_error_us"]["median"], RTT_BUSY_US, "us")


def _chain(section: Mapping[str, Any]) -> Iterator[Verdict]:
    ours = next(_ours(section))["wall_ms"]["median"]
    for row in section["rows"]:
        if row["group"] != "peer":
            continue
        wall = row["wall_ms"]["median"]
        if row["label"] == "traceroute -N 90 -q 3":
            yield _up_to("2a", "times traceroute -N 90 -q 3", ours / wall, TIMES_TRACEROUTE, "times")
        elif not row["label"].startswith("traceroute -I"):
            yield Verdict("2a", f"under {row['label']}", f"< {wall:.3g} ms", f"{ours:.3g} ms", ours < wall)
    yield from _against_peers("2a", section)


def _silent(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in _ours(section):
        if "loop" in row:
            yield _below("2b", row["label"], row["wall_ms"]["median"], SILENT_MS, "ms")
    yield from _against_peers("2b", section)


def _blackhole(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in _ours(section):
        if "loop" not in row:
            continue
        limit = BLACKHOLE_FAST_MS if row["fast"] else BLACKHOLE_MS
        yield _up_to("2c", row["label"], row["wall_ms"]["median"], limit, "ms")
        reasons = ", ".join(row["stop_reasons"])
        yield Verdict("2c", f"{row['label']}: stop reason", "max_ttl", reasons, reasons == "max_ttl")
    yield from _against_peers("2c", section)


def _against_peers(goal: str, section: Mapping[str, Any]) -> Iterator[Verdict]:
    """Ten times faster than those of ftr, scapy, icmplib and mtr that ran; their floor is the path's own.

    Behind a black hole it is patience that is compared, and not speed: scapy and ftr give up after two
    seconds, and ten times less than that is what ``--fast`` is for. The default waits a second on purpose.
    """
    if goal == "2d":
        return  # the slowest round trip is everybody's floor there
    rows = list(_ours(section))
    row = next((row for row in rows if row.get("fast")), rows[0])
    ours = row["wall_ms"]["median"]
    named = "--fast, " if row.get("fast") else ""
    walls = {row["label"]: row["wall_ms"]["median"] for row in section["rows"] if row["group"] == "peer"}
    for name in ("ftr", "scapy", "icmplib", "mtr"):
        if name in walls:
            yield _at_least(goal, f"{named}times faster than {name}", walls[name] / ours)
        elif name == "ftr" and walls:
            yield _at_least(goal, "times faster than ftr's own floor of 35 ms (not run)", FTR_FLOOR_MS / ours)


def _at_least(goal: str, what: str, value: float) -> Verdict:
    return Verdict(goal, what, f">= {TIMES_OTHERS:g} times", f"{value:.3g} times", value >= TIMES_OTHERS)


def _costs(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in section["beside_reference"]:
        name = f"{row['loop']}, {'one tracer for all' if row['held'] else 'from nothing'}"
        yield _up_to("4", f"{name}: CPU of a trace", row["cpu_ms"]["median"], CPU_MS[row["loop"]], "ms")
        yield _up_to("4", f"{name}: times the reference loop", row["ratio"], TIMES_REFERENCE, "times")
    for row in section["waiting"]:
        name = f"{row['loop']}: waiting 0.4 s"
        if row["blocking_calls"] is not None:
            calls = row["blocking_calls"]
            yield Verdict("4", f"{name}: blocking calls", "= 1", f"{calls:g}", calls == 1)
        yield Verdict("4", f"{name}: wake-ups more", "<= 0", f"{row['wakeups']:g}", row["wakeups"] <= 0)
        yield _below("4", f"{name}: CPU more", row["cpu_us"], WAITING_CPU_US, "us")


def _crowds(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in section["rows"]:
        if row["traces"] != CROWD:
            continue
        name = f"{row['traces']} traces, {row['loop']}, {row['mode']}"
        right = row["right"] == row["traces"]
        yield Verdict("5", f"{name}: all right", f"= {row['traces']}", f"{row['right']}", right)
        beyond = row["beyond_slowest_ms"]
        yield _below("5", f"{name}: beyond the slowest RTT", beyond, CROWD_BEYOND_MS, "ms")
        yield _below("5", f"{name}: memory", row["memory_mb"], CROWD_MB, "MB")
        yield _up_to("5", f"{name}: sockets", row["sockets"], CROWD_SOCKETS, "")


def _start(section: Mapping[str, Any]) -> Iterator[Verdict]:
    rows = {row["label"]: row for row in section["rows"]}
    importing = rows["import traceprobe"]["beyond_python_ms"]
    yield _below("6", "import traceprobe, beyond bare Python", importing, IMPORT_MS, "ms")
    yield _below("6", "traceprobe --help", rows["--help"]["wall_ms"]["median"], HELP_MS, "ms")


def _first_probe(section: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in section["rows"]:
        what = f"{row['label']}: first probe on the wire"
        yield _below("6", what, row["first_probe_ms"]["median"], FIRST_PROBE_MS, "ms")


_JUDGES: tuple[tuple[str, Callable[[Mapping[str, Any]], Iterable[Verdict]]], ...] = (
    ("tun", _tun),
    ("busy", _busy),
    ("chain", _chain),
    ("silent", _silent),
    ("blackhole", _blackhole),
    ("costs", _costs),
    ("crowds", _crowds),
    ("start", _start),
    ("first-probe", _first_probe),
)
