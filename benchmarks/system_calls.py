"""How often a trace enters the kernel, and how often it waits: counted by strace between two marks.

A trace under strace is slow, but it does what it always does; counts are what is taken from it, no times.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import anyio

import traceprobe
from benchmarks import inside

if TYPE_CHECKING:
    from benchmarks.worlds import World
    from traceprobe import TraceOptions

_MARK = "/traceprobe-benchmark"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
_WAITS = frozenset({"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"})
_WARMING = 2


def trace_between_marks(
    loop: str, target: str, options: TraceOptions, repetitions: int, *, held: bool
) -> None:
    """Trace, with a call that can be told from all others before and after each trace."""

    async def trace_all() -> None:
        async with inside.tracing(options, held=held) as trace:
            for _ in range(_WARMING):
                await trace(target)
            for _ in range(repetitions):
                os.access(_MARK, os.F_OK)
                await trace(target)
            os.access(_MARK, os.F_OK)

    backend_options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    anyio.run(trace_all, backend=backend, backend_options=backend_options)


def count_calls(
    world: World, loop: str, options: TraceOptions, repetitions: int = 3, *, held: bool = False
) -> dict[str, Any]:
    """Count the system calls of a warm trace.

    Returns:
        ``total`` calls, ``waits`` that were told to wait (wake-ups), ``by_name``: medians over the traces.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "calls"
        program = (
            "from benchmarks.system_calls import trace_between_marks; "
            f"trace_between_marks({loop!r}, {world.target!r}, {options!r}, {repetitions}, held={held})"
        )
        command = ["strace", "-f", "-o", str(output), sys.executable, "-c", program]
        run = world.call(inside.run_program, command)
        if run["status"] != 0:
            raise RuntimeError(f"tracing under strace failed:\n{run['output']}")
        traces = split_at_marks(output.read_text(encoding="utf-8", errors="replace"))
    names = {name for calls in traces for name, _ in calls}
    counts = [Counter(name for name, _ in calls) for calls in traces]
    by_name = {name: median(count[name] for count in counts) for name in names}
    return {
        "total": median(map(len, traces)),
        "waits": median(sum(is_wait(*call) for call in calls) for calls in traces),
        "by_name": dict(sorted(by_name.items(), key=lambda item: -item[1])),
    }


def split_at_marks(output: str) -> list[list[tuple[str, str]]]:
    """Name and rest of each call, for each stretch between two marks."""
    traces: list[list[tuple[str, str]]] = []
    for line in output.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue  # a signal, the rest of a call that has been counted, the end of a thread
        if _MARK in call[2]:
            traces.append([])
        elif traces:
            traces[-1].append((call[1], call[2]))
    return traces[:-1]


def is_wait(name: str, rest: str) -> bool:
    """Whether a call was told to wait for something."""
    if name not in _WAITS:
        return False
    arguments = rest.split(" = ")[0].removesuffix(" <unfinished ...>").rstrip()
    if name.startswith("epoll"):
        # epoll_wait(4, [...], 1024, TIMEOUT) and epoll_pwait(4, [...], 1024, TIMEOUT, NULL, 8)
        return re.search(r", 0(, NULL, \d+)?\)?$", arguments) is None
    return "tv_sec=0, tv_nsec=0" not in arguments and re.search(r", 0\)?$", arguments) is None


async def allocations(target: str, options: TraceOptions) -> dict[str, int]:
    """What a warm trace allocates: the most bytes at one time, and the blocks that its result keeps."""
    import gc
    import tracemalloc

    async with traceprobe.Tracer(**options) as tracer:
        for _ in range(_WARMING):
            await tracer.trace(target)
        gc.collect()
        before = sys.getallocatedblocks()
        result = await tracer.trace(target)
        gc.collect()
        kept = sys.getallocatedblocks() - before
        del result
        tracemalloc.start()
        await tracer.trace(target)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {"peak_bytes": peak, "kept_blocks": kept}
