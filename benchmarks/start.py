"""How long it takes until something happens: importing, the command line, the first probe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from benchmarks import inside
from benchmarks.figures import spread
from benchmarks.worlds import InternetWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""The first run leaves compiled bytecode for the others, as installers do, whatever the environment says."""

_PROGRAMS: dict[str, tuple[str, ...]] = {
    "python": ("-c", "pass"),
    "import traceprobe": ("-c", "import traceprobe"),
    "import what traces": ("-c", "from traceprobe import Tracer, trace_async"),
    "--version": ("-m", "traceprobe", "--version"),
    "--help": ("-m", "traceprobe", "--help"),
}


def measure_start(*, repetitions: int) -> dict[str, Any]:
    """Start programs in turns, with compiled bytecode; and see when the first probe of a trace comes."""
    walls: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    processor: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for round_number in range(repetitions + 1):
        for name, arguments in _PROGRAMS.items():
            run = inside.run_program([sys.executable, *arguments], _COMPILED)
            if run["status"] != 0:
                raise RuntimeError(f"{name}: {run['output']}")
            if round_number:  # the first one compiles
                walls[name].append((run["end_ns"] - run["start_ns"]) / 1e6)
                if run["cpu_ns"] is not None:
                    processor[name].append(run["cpu_ns"] / 1e6)
    rows = [
        {
            "label": name,
            "wall_ms": spread(walls[name]),
            "cpu_ms": spread(processor[name]) if processor[name] else None,
            "beyond_python_ms": spread(walls[name])["median"] - spread(walls["python"])["median"],
        }
        for name in _PROGRAMS
    ]
    return {"title": "From the start of a process", "rows": rows}


def measure_first_probe(*, repetitions: int) -> dict[str, Any]:
    """From the start of a process to the arrival of its first probe at the simulated internet."""
    rows = []
    with InternetWorld("thirty_hops", "") as world:
        for label, options in (("no look-ups", ("-n", "--no-asn")), ("look-ups", ())):
            command = [sys.executable, "-m", "traceprobe", *options, world.target]
            world.begin()
            runs = world.call(inside.run_program_repeatedly, command, min(repetitions, 5), _COMPILED)
            rows.append({"label": f"traceprobe, {label}", "first_probe_ms": _first_probes(world, runs)})
    return {"title": "From the start of a process to its first probe", "rows": rows}


def _first_probes(world: InternetWorld, runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    probes = [probe for probe in world.log().probes if str(probe.destination) == world.target]
    return spread(
        (min(probe.realtime_ns for probe in probes if probe.realtime_ns >= run["start_ns"]) - run["start_ns"])
        / 1e6
        for run in runs
    )
