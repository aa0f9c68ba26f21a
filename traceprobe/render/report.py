"""A result in the layout of ``mtr --report`` (mtr(8)), for whoever has programs that read it.

One line for each hop: the share of lost probes in per cent, how many were sent, and the round-trip times of
the last, the average, the fastest and the slowest answer and their standard deviation, in milliseconds. As
mtr does, a hop with several responders shows the most frequent one and counts them all, and the standard
deviation is that of a sample. The start is told in UTC.

Knows values of the model. Every name is cleaned; see :mod:`traceprobe.render.sanitize`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from traceprobe.render.sanitize import clean_name

if TYPE_CHECKING:
    from traceprobe.model import Hop, TraceResult

__all__ = ["result_to_report"]

_NAME_ENDS: Final = 33
"""Where the figures begin, and where mtr cuts a name off unless it is told to show it whole."""
_FRONT: Final = len("  1.|-- ")
_LOSS_WIDTH: Final = 6
"""mtr leaves no room for the sign behind ``100.0``, and programs rely on that."""


def result_to_report(result: TraceResult, host: str, *, wide: bool = False) -> str:
    """The whole report.

    Args:
        result: What to report.
        host: Name of the machine that made the trace.
        wide: Don't cut long names off.
    """
    names = [_name(hop) for hop in result.hops]
    ends = _NAME_ENDS
    if wide:
        ends = max([_FRONT + len(name) for name in names] + [len("HOST: ") + len(clean_name(host))])
    head = f"HOST: {clean_name(host)}"
    titles = f"{'Loss%':>6}{'Snt':>6} {'Last':>6}{'Avg':>6}{'Best':>6}{'Wrst':>6}{'StDev':>6}"
    lines = [
        f"Start: {result.started_at:%Y-%m-%dT%H:%M:%S%z}",
        f"{head[:ends]:<{ends}}{titles}",
        *(
            f"{f' {hop.ttl:>2}.|-- {name}'[:ends]:<{ends}}{_figures(hop)}"
            for hop, name in zip(result.hops, names, strict=True)
        ),
    ]
    return "\n".join(lines) + "\n"


def _name(hop: Hop) -> str:
    return "???" if hop.address is None else clean_name(hop.hostname or str(hop.address))


def _figures(hop: Hop) -> str:
    times = [probe.rtt_ns / 1_000_000 for probe in hop.probes if probe.rtt_ns is not None]
    last = times[-1] if times else 0.0
    average = sum(times) / len(times) if times else 0.0
    spread = math.sqrt(sum((each - average) ** 2 for each in times) / (len(times) - 1)) if times[1:] else 0.0
    loss = f" {100 * (hop.loss or 0.0):4.1f}%"[:_LOSS_WIDTH]
    figures = (last, average, min(times, default=0.0), max(times, default=0.0), spread)
    return f"{loss} {hop.sent:>5} " + "".join(f" {figure:5.1f}" for figure in figures)
