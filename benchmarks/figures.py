"""From runs and the log of the truth to figures."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.rigs.tun import Log, ProbeRecord


@dataclass(frozen=True)
class Figures:
    """Of one way of tracing: medians over the repetitions, unless they say otherwise. Microseconds."""

    label: str
    submit: float
    """First to last probe, by their arrival at the simulated internet."""
    first_reply: float | None
    """From the moment the first reply left the simulated internet until this program had it in its hands."""
    overhead: float
    """From the moment the last reply left that the result needs until the result was there."""
    rtt_error: float
    """Round-trip times beyond what the log says; the median over all probes."""
    rtt_error_99: float
    """The 99th percentile of their absolute values."""
    duration: float
    """From the call to the result."""
    processor: float
    """Processor time of the process."""
    waits: float | None
    """How often it waited."""
    probes: int
    replies: int
    said_submit: float | None
    """What the result says of itself."""
    said_first_reply: float | None
    said_overhead: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values is not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def probes_of(log: Log, start_ns: int, end_ns: int) -> list[ProbeRecord]:
    """The probes that came within some time (realtime)."""
    return [probe for probe in log.probes if start_ns <= probe.realtime_ns <= end_ns]


def figures_of(label: str, measured: dict[str, Any], log: Log) -> Figures:
    """Join the runs of one way of tracing with the log."""
    submits, overheads, errors, firsts, probes, replies = [], [], [], [], [], []
    for run in measured["runs"]:
        seen = probes_of(log, run["start_ns"], run["end_ns"])
        submits.append((seen[-1].monotonic_ns - seen[0].monotonic_ns) / 1000)
        last_ns = max(reply.realtime_ns for probe in seen for reply in probe.replies)
        overheads.append((run["end_ns"] - last_ns) / 1000)
        errors += [error / 1000 for error in rtt_errors(run["rtts"], seen)]
        probes.append(len(seen))
        replies.append(run["replies"])
    for first in measured.get("firsts", ()):
        seen = probes_of(log, first["start_ns"], first["seen_ns"])
        left_ns = min(reply.realtime_ns for probe in seen for reply in probe.replies)
        firsts.append((first["seen_ns"] - left_ns) / 1000)
    runs = measured["runs"]
    return Figures(
        label=label,
        submit=median(submits),
        first_reply=median(firsts) if firsts else None,
        overhead=median(overheads),
        rtt_error=median(errors),
        rtt_error_99=percentile([abs(error) for error in errors], 0.99),
        duration=median((run["end_ns"] - run["start_ns"]) / 1000 for run in runs),
        processor=median(run["processor_ns"] / 1000 for run in runs),
        waits=_median_of(run["waits"] for run in runs),
        probes=round(median(probes)),
        replies=round(median(replies)),
        said_submit=_microseconds(run["submit_ns"] for run in runs),
        said_first_reply=_microseconds(run["first_reply_ns"] for run in runs),
        said_overhead=_microseconds(run["overhead_ns"] for run in runs),
    )


def beyond_slowest(run: dict[str, Any], log: Log) -> float:
    """How long after the last reply had left a trace was over, milliseconds."""
    seen = probes_of(log, run["start_ns"], run["end_ns"])
    last_ns = max(reply.realtime_ns for probe in seen for reply in probe.replies)
    return float(run["end_ns"] - last_ns) / 1e6


def rtt_errors(rtts: Sequence[Sequence[int]], seen: Sequence[ProbeRecord]) -> list[int]:
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


def lateness(log: Log) -> tuple[float, float, float]:
    """How late replies left the simulated internet, microseconds: median, 99th percentile, worst."""
    late = [(reply.monotonic_ns - reply.due_ns) / 1000 for reply in log.replies]
    return median(late), percentile(late, 0.99), max(late)


def _median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _microseconds(values: Iterable[int | None]) -> float | None:
    nanoseconds = _median_of(values)
    return None if nanoseconds is None else nanoseconds / 1000
