"""What a trace costs beside the least that it can cost; and what waiting costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import inside
from benchmarks.bare import bare_repeatedly
from benchmarks.figures import spread
from benchmarks.system_calls import allocations, count_calls
from benchmarks.worlds import InternetWorld
from tests.rigs.require import missing_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.worlds import World
    from traceprobe import TraceOptions

RAW: TraceOptions = {"mode": "linux_raw"}
SILENT: TraceOptions = {"mode": "linux_raw", "first_ttl": 3, "max_ttl": 3, "queries": 1}
_ROUNDS = 3


def measure_costs(*, loops: Sequence[str], repetitions: int) -> dict[str, Any]:
    """Measure processor time beside the reference loop, system calls, allocations, and waiting."""
    document: dict[str, Any] = {"title": "What a trace of 30 hops costs", "beside_reference": [], "calls": []}
    with InternetWorld("thirty_hops", "") as world:
        for loop in loops:
            for held in (False, True):
                document["beside_reference"].append(beside_reference(world, loop, repetitions, held=held))
        document["allocations"] = world.call(allocations, world.target, RAW, backend=loops[0])
        reason = missing_program("strace")
        for loop in loops if reason is None else ():
            for held in (False, True):
                counted = count_calls(world, loop, RAW, held=held)
                document["calls"].append({"loop": loop, "held": held, **counted})
    with InternetWorld("silent_target", "") as world:
        document["waiting"] = [
            {
                "loop": loop,
                **world.call(inside.wait_in_vain, world.target, SILENT, backend=loop),
                "blocking_calls": None
                if reason is not None
                else count_calls(world, loop, {**SILENT, "tail_floor": 0.3})["waits"],
            }
            for loop in loops
        ]
    if reason is not None:
        document["skipped"] = [{"name": "system calls", "reason": reason}]
    return document


def beside_reference(world: World, loop: str, repetitions: int, *, held: bool) -> dict[str, Any]:
    """Processor time of traceprobe and of the reference loop, in turns.

    ``ratio`` is that of the medians, ``least_ratio`` that of the least times: on a noisy machine the least
    is what says most about the program.
    """
    ours: list[float] = []
    bare: list[float] = []
    share = max(1, -(-repetitions // _ROUNDS))
    for _ in range(_ROUNDS):
        reference = world.call(
            bare_repeatedly, loop, world.target, len(world.truth), 3, share, held, backend=loop
        )
        measured = world.call(inside.trace_repeatedly, world.target, RAW, share, held, backend=loop)
        bare += [run["cpu_ns"] / 1e6 for run in reference["runs"]]
        ours += [run["cpu_ns"] / 1e6 for run in measured["runs"]]
    ours_spread, bare_spread = spread(ours), spread(bare)
    return {
        "loop": loop,
        "held": held,
        "cpu_ms": ours_spread,
        "reference_cpu_ms": bare_spread,
        "ratio": ours_spread["median"] / bare_spread["median"],
        "least_ratio": ours_spread["least"] / bare_spread["least"],
    }
