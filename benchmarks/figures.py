"""From runs, and where there is one from the log of the truth, to figures."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.worlds import hops_compared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.worlds import World
    from tests.rigs.tun import Log, ProbeRecord


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values is not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    known = list(values)
    return {
        "median": median(known),
        "low": percentile(known, 0.25),
        "high": percentile(known, 0.75),
        "least": min(known),
        "most": max(known),
    }


def row_of(label: str, group: str, runs: Sequence[dict[str, Any]], world: World) -> dict[str, Any]:
    """What can be said of one way of tracing in any world.

    Args:
        label: Names the row.
        group: ``traceprobe`` or ``peer``.
        runs: Each with ``start_ns``, ``end_ns``, ``cpu_ns`` and ``hops``, and what more there is.
        world: Where it was.
    """
    compared = [hops_compared(run["hops"], world.truth) for run in runs]
    count = world.count()
    processor = [run["cpu_ns"] / 1e6 for run in runs if run["cpu_ns"] is not None]
    row: dict[str, Any] = {
        "label": label,
        "group": group,
        "runs": len(runs),
        "wall_ms": spread((run["end_ns"] - run["start_ns"]) / 1e6 for run in runs),
        "cpu_ms": spread(processor) if processor else None,
        "hops": len(world.truth),
        "right": median(one[0] for one in compared),
        "wrong": max(one[1] for one in compared),
        "missed": max(one[2] for one in compared),
        "cut": any(run.get("cut", False) for run in runs),
        "stop_reasons": sorted({run["stop_reason"] for run in runs if "stop_reason" in run}),
        "probes": None if count is None else count / len(runs),
    }
    if all("waits" in run for run in runs):
        row["waits"] = median(run["waits"] for run in runs)
    log = world.log()
    if log is not None:
        row["probes"] = median(len(probes_of(log, run)) for run in runs)
        row |= truth_of(runs, log, world)
    return row


def truth_of(runs: Sequence[dict[str, Any]], log: Log, world: World) -> dict[str, Any]:
    """What the log of the simulated internet says of runs, microseconds."""
    submits, overheads, errors = [], [], []
    for run in runs:
        seen = probes_of(log, run)
        if not seen:
            continue
        submits.append((seen[-1].monotonic_ns - seen[0].monotonic_ns) / 1000)
        # What comes back from beyond the target's own distance is not needed for the result.
        needed = [
            reply.realtime_ns for probe in seen for reply in probe.replies if probe.ttl <= len(world.truth)
        ]
        if needed:
            overheads.append((run["end_ns"] - max(needed)) / 1000)
        errors += [error / 1000 for error in rtt_errors(run.get("rtts", ()), seen)]
    figures: dict[str, Any] = {}
    if submits:
        figures["submit_us"] = spread(submits)
    if overheads:
        figures["overhead_us"] = spread(overheads)
    if errors:
        figures["rtt_error_us"] = {
            "median": median(errors),
            "p99": percentile([abs(error) for error in errors], 0.99),
        }
    return figures


def probes_of(log: Log, run: dict[str, Any]) -> list[ProbeRecord]:
    """The probes that came while a run lasted."""
    return [probe for probe in log.probes if run["start_ns"] <= probe.realtime_ns <= run["end_ns"]]


def first_replies_of(firsts: Sequence[dict[str, int]], log: Log) -> dict[str, float]:
    """From the first reply's arrival until user code had it, microseconds.

    ``median`` and ``p99`` are by the kernel's stamp; ``since_departure`` is the median by the log.
    """
    latencies = [first["latency_ns"] / 1000 for first in firsts]
    departures = []
    for first in firsts:
        left = [
            reply.realtime_ns
            for probe in log.probes
            if first["start_ns"] <= probe.realtime_ns <= first["seen_ns"]
            for reply in probe.replies
        ]
        departures.append((first["seen_ns"] - min(left)) / 1000)
    return {
        "median": median(latencies),
        "p99": percentile(latencies, 0.99),
        "since_departure": median(departures),
    }


def rtt_errors(rtts: Iterable[Sequence[int]], seen: Sequence[ProbeRecord]) -> list[int]:
    """How much longer than the simulated internet held it each round trip is said to be, nanoseconds.

    The attempts at one TTL left in their order, and came in it.
    """
    by_ttl: dict[int, list[ProbeRecord]] = defaultdict(list)
    for probe in seen:
        by_ttl[probe.ttl].append(probe)
    return [
        rtt_ns - by_ttl[ttl][attempt - 1].hold_ns
        for ttl, attempt, rtt_ns in rtts
        if len(by_ttl[ttl]) >= attempt and by_ttl[ttl][attempt - 1].replies
    ]


def lateness(log: Log) -> dict[str, float]:
    """How late replies left the simulated internet, microseconds: what the truth itself is worth."""
    late = [(reply.monotonic_ns - reply.due_ns) / 1000 for reply in log.replies]
    return {"median": median(late), "p99": percentile(late, 0.99), "most": max(late)}
