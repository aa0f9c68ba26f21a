"""What runs as the prober: traces, again and again in one process, and other programs.

Plain values in and out. Nothing is judged in here.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

import traceprobe
from traceprobe import ReplyReceived, api

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from traceprobe import TraceOptions, TraceResult

PATIENCE = 60.0
"""Seconds after which a peer is not waited for any longer."""
_BEFORE_THE_FORK = (api,)
"""What a trace would import anyway: imported once, and not in each fork that traces."""


async def trace_repeatedly(
    target: str, options: TraceOptions, repetitions: int, held: bool = False, busy: bool = False
) -> dict[str, Any]:
    """Trace a target some times in one process; a first time, which counts for nothing, warms it up.

    Args:
        target: An address.
        options: Options of the trace.
        repetitions: How many traces count.
        held: One tracer makes all of them, so that its sockets stay open; otherwise each opens its own.
        busy: A Python thread computes all the time beside it.

    Returns:
        ``runs``, and the peak ``memory_kb`` of the process.
    """
    async with tracing(options, held=held) as trace:
        with _busy_thread() if busy else contextlib.nullcontext():
            runs = [await _timed(trace, target) for _ in range(repetitions + 1)]
    return {"runs": runs[1:], "memory_kb": peak_memory_kb()}


async def first_replies(target: str, options: TraceOptions, repetitions: int) -> list[dict[str, int]]:
    """How soon the first reply is in the hands of whoever iterates over a trace, which is left then.

    Returns:
        When each trace began, when the kernel stamped its first reply, and when that was seen (realtime, ns).
    """
    return [await _first_reply(target, options) for _ in range(repetitions + 1)][1:]


def run_program(arguments: list[str], variables: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a program to its end.

    Returns:
        Its output, when it started and ended, and its processor time where the system tells it.
    """
    environment = {**os.environ, **(variables or {})}
    start = time.time_ns()
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    assert process.stdout is not None
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    with process.stdout as stream:
        output = stream.read().decode(errors="replace")
    patience.cancel()
    if sys.platform == "win32":
        status, end = process.wait(), time.time_ns()
        cpu_ns = None
    else:
        _, waited, usage = os.wait4(process.pid, 0)
        end = time.time_ns()
        status = process.returncode = os.waitstatus_to_exitcode(waited)
        cpu_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
    return {
        "start_ns": start,
        "end_ns": end,
        "status": status,
        "cut": patience.finished.is_set() and (end - start) / 1e9 >= PATIENCE,
        "output": output,
        "cpu_ns": cpu_ns,
    }


def run_program_repeatedly(
    arguments: list[str], repetitions: int, variables: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run a program some times; a first time, which counts for nothing, fills the caches."""
    return [run_program(arguments, variables) for _ in range(repetitions + 1)][1:]


async def trace_at_once(
    targets: list[str], options: TraceOptions, truths: dict[str, list[str | None]]
) -> dict[str, Any]:
    """Trace many targets at the same time with one tracer.

    Returns:
        How long it took, what it cost, how many are all right by their truth, and what the process held:
        its most memory, and sockets and descriptors (beyond those before) while half of the traces were over.
    """
    before = _descriptors()
    right = 0
    finished = 0
    held: dict[str, int] = {}

    async def trace_one(tracer: traceprobe.Tracer, target: str) -> None:
        nonlocal right, finished
        result = await tracer.trace(target)
        right += addresses(result) == truths[target]
        finished += 1
        if finished == max(1, len(targets) // 2):
            held.update(_descriptors())

    gc.collect()
    cpu, start = time.process_time_ns(), time.perf_counter_ns()
    async with traceprobe.Tracer(**options) as tracer, anyio.create_task_group() as group:
        for target in targets:
            group.start_soon(trace_one, tracer, target)
    wall_ns = time.perf_counter_ns() - start
    return {
        "wall_ns": wall_ns,
        "cpu_ns": time.process_time_ns() - cpu,
        "right": right,
        "memory_kb": peak_memory_kb(),
        **{name: held[name] - before[name] for name in held},
    }


async def wait_in_vain(target: str, options: TraceOptions) -> dict[str, float]:
    """What it costs to wait for a hop that never answers, beyond what a trace costs that hardly waits."""
    short: TraceOptions = {**options, "tail_floor": 0.001, "tail_factor": 1.0}
    long: TraceOptions = {**options, "tail_floor": 0.4, "tail_factor": 1.0}
    await traceprobe.trace_async(target, **short)
    figures = []
    for kind in (short, long):
        async with tracing(kind, held=False) as trace:
            runs = [await _timed(trace, target) for _ in range(5)]
        figures.append((min(run["cpu_ns"] for run in runs), min(run["waits"] for run in runs)))
    (cheap_ns, few), (cost_ns, many) = figures
    return {"cpu_us": (cost_ns - cheap_ns) / 1000, "wakeups": many - few, "waited_ms": 400.0}


async def profiled(target: str, options: TraceOptions, repetitions: int, held: bool) -> dict[str, Any]:
    """Profile some traces of a warm process.

    Returns:
        ``functions``: name, calls, own and total seconds of each that does not wait;
        ``probes``: how many were sent.
    """
    import cProfile
    import pstats

    probes = 0
    async with tracing(options, held=held) as trace:
        for _ in range(3):
            await trace(target)
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(repetitions):
            probes += (await trace(target)).timings.probes_sent
        profiler.disable()
    # There is no type for what it holds.
    statistics: dict[tuple[str, int, str], tuple[int, int, float, float, object]]
    statistics = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    return {
        "probes": probes,
        "functions": [
            [_function_name(function[0], function[1], function[2]), calls, own, total]
            for function, (_, calls, own, total, _) in statistics.items()
            if "poll" not in function[2] or function[0] != "~"
        ],
    }


def _function_name(file: str, line: int, function: str) -> str:
    for folder in ("traceprobe/", "site-packages/", "lib/python"):
        before, found, rest = file.partition(folder)
        if found and before:
            file = folder.replace("site-packages/", "").replace("lib/python", "python") + rest
            break
    return function if file == "~" else f"{file}:{line} {function}"


def addresses(result: TraceResult) -> list[str | None]:
    """Who answered at each hop."""
    return [None if hop.address is None else str(hop.address) for hop in result.hops]


def peak_memory_kb() -> int | None:
    """Most physical memory that this process has had, kilobytes (proc(5))."""
    if sys.platform != "linux":
        return None
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def waits() -> int:
    """How often this process has given the processor away to wait for something."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


@contextlib.asynccontextmanager
async def tracing(
    options: TraceOptions, *, held: bool
) -> AsyncGenerator[Callable[[str], Awaitable[TraceResult]], None]:
    if not held:
        yield lambda target: traceprobe.trace_async(target, **options)
        return
    async with traceprobe.Tracer(**options) as tracer:
        yield tracer.trace


@contextlib.contextmanager
def _busy_thread() -> Iterator[None]:
    ended = threading.Event()

    def compute() -> None:
        number = 1
        while not ended.is_set():
            for _ in range(1000):
                number = number * 1103515245 + 12345 & 0x7FFFFFFF

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def _timed(trace: Callable[[str], Awaitable[TraceResult]], target: str) -> dict[str, Any]:
    gc.collect()  # what one run leaves behind is not for the next one to clear away
    before, cpu, start = waits(), time.process_time_ns(), time.time_ns()
    result = await trace(target)
    end = time.time_ns()
    cpu_ns = time.process_time_ns() - cpu
    return {"start_ns": start, "end_ns": end, "cpu_ns": cpu_ns, "waits": waits() - before, **_summary(result)}


def _summary(result: TraceResult) -> dict[str, Any]:
    return {
        "hops": addresses(result),
        "reached": result.reached,
        "stop_reason": result.stop_reason.value,
        "probes_sent": result.timings.probes_sent,
        "rtts": [
            [hop.ttl, probe.attempt, probe.rtt_ns]
            for hop in result.hops
            for probe in hop.probes
            if probe.rtt_ns is not None
        ],
    }


async def _first_reply(target: str, options: TraceOptions) -> dict[str, int]:
    start = time.time_ns()
    async with traceprobe.open_trace(target, **options) as trace:
        async for event in trace.events():
            if isinstance(event, ReplyReceived):
                seen, now = time.time_ns(), time.monotonic_ns()
                # The arrival is the kernel's stamp, on the monotonic clock.
                return {"start_ns": start, "seen_ns": seen, "latency_ns": now - event.reply.received_ns}
    raise AssertionError("no reply came")


def _descriptors() -> dict[str, int]:
    if sys.platform != "linux":
        return {"descriptors": 0, "sockets": 0}
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return {"descriptors": len(links), "sockets": sum(link.startswith("socket:") for link in links)}
