"""What runs inside the simulated internet's namespace: traces, again and again, and what they report."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

import traceprobe
from traceprobe import ReplyReceived

if TYPE_CHECKING:
    from traceprobe import TraceOptions, TraceResult


async def repeat(target: str, options: TraceOptions, repetitions: int) -> dict[str, Any]:
    """Trace a target some times in one process.

    First come traces from nothing, sockets opened and closed, then as many that are left as soon as their
    first reply has reached this code. The first of each kind warms the process up.

    Args:
        target: An address.
        options: Options of the trace.
        repetitions: How many of each kind count.

    Returns:
        ``runs``: of each trace its start and end (realtime, nanoseconds), the processor time it took, how
        often the process waited, and its result; ``firsts``: start of the others, and when the first
        reply was there.
    """
    runs = [await _trace(target, options) for _ in range(repetitions + 1)]
    firsts = [await _first_reply(target, options) for _ in range(repetitions + 1)]
    return {"runs": runs[1:], "firsts": firsts[1:]}


async def _trace(target: str, options: TraceOptions) -> dict[str, Any]:
    waits = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    processor = time.process_time_ns()
    start = time.time_ns()
    result = await traceprobe.trace_async(target, **options)
    end = time.time_ns()
    return {
        "start_ns": start,
        "end_ns": end,
        "processor_ns": time.process_time_ns() - processor,
        "waits": resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - waits,
        **_summary(result),
    }


def _summary(result: TraceResult) -> dict[str, Any]:
    timings = result.timings
    return {
        "mode": result.mode,
        "reached": result.reached,
        "submit_ns": _nanoseconds(timings.submit),
        "first_reply_ns": _nanoseconds(timings.first_reply),
        "overhead_ns": _nanoseconds(timings.overhead),
        "probes_sent": timings.probes_sent,
        "replies": timings.replies,
        "rtts": [
            [hop.ttl, probe.attempt, probe.rtt_ns]
            for hop in result.hops
            for probe in hop.probes
            if probe.rtt_ns is not None
        ],
    }


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)


async def _first_reply(target: str, options: TraceOptions) -> dict[str, int]:
    start = time.time_ns()
    async with traceprobe.open_trace(target, **options) as trace:
        async for event in trace.events():
            if isinstance(event, ReplyReceived):
                return {"start_ns": start, "seen_ns": time.time_ns()}
    raise AssertionError("no reply came")
