"""Many traces at once, many probes at once, and how fast replies are taken in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from benchmarks import inside
from benchmarks.bare import bare_repeatedly
from benchmarks.figures import spread
from benchmarks.traces import MODES, privileges_of, traceprobe_row
from benchmarks.worlds import InternetWorld, long_path, many_targets
from traceprobe import AddressFamily, Probe, ProbeSocketFactory, TracerouteConfig
from traceprobe.model import make_probe_id

if TYPE_CHECKING:
    from collections.abc import Sequence

CROWDS = (100, 1000)
CROWD_MODES = ("raw", "ping", "raw-udp")
"""Those that hold all traces with a few sockets."""
_BATCHES = 16
_SLOWEST = 0.12
_HOPS, _QUERIES = 64, 10


def measure_crowds(*, loops: Sequence[str], modes: Sequence[str], repetitions: int) -> dict[str, Any]:
    """Trace 100 and 1 000 targets at the same time: 30 hops, one query."""
    rows = []
    for count in CROWDS:
        topology, targets = many_targets(count)
        with InternetWorld("crowd", "", topology, target=targets[0]) as world:
            slowest_ms = world.slowest_ns / 1e6
            truths: dict[str, list[str | None]] = {
                str(path.target.address(4)): [
                    str(station.responder.address(4)) for station in path.stations(0.0, lambda *_: 0)
                ]
                for path in topology.paths
            }
            for loop in loops:
                for mode in modes if loop == loops[0] else modes[:1]:
                    runs = [_crowd(world, loop, mode, targets, truths) for _ in range(min(repetitions, 2))]
                    walls = spread(run["wall_ns"] / 1e6 for run in runs)
                    rows.append({
                        "traces": count,
                        "loop": loop,
                        "mode": mode,
                        "wall_ms": walls,
                        "beyond_slowest_ms": walls["median"] - slowest_ms,
                        "cpu_ms": spread(run["cpu_ns"] / 1e6 for run in runs),
                        "right": min(run["right"] for run in runs),
                        "memory_mb": max(run["memory_kb"] for run in runs) / 1024,
                        "sockets": max(run["sockets"] for run in runs),
                        "descriptors": max(run["descriptors"] for run in runs),
                        "probes": world.count(),
                    })
    return {"title": "Many traces at once: 30 hops, one query", "rows": rows}


def _crowd(
    world: InternetWorld, loop: str, mode: str, targets: list[str], truths: dict[str, list[str | None]]
) -> dict[str, Any]:
    options, _ = MODES[mode]
    world.begin()
    crowd: dict[str, Any] = world.call(
        inside.trace_at_once,
        targets,
        {**options, "queries": 1},
        truths,
        backend=loop,
        privileges=privileges_of(mode),
    )
    return crowd


def measure_many_probes(*, loops: Sequence[str], repetitions: int) -> dict[str, Any]:
    """One trace of 64 hops with ten probes each, and the reference loop at the same."""
    rows = []
    with InternetWorld("many", "", long_path(_HOPS), max_ttl=_HOPS) as world:
        for loop in loops:
            row = traceprobe_row(world, loop, "raw", repetitions, queries=_QUERIES)
            world.begin()
            bare = world.call(bare_repeatedly, loop, world.target, _HOPS, _QUERIES, repetitions, backend=loop)
            row["reference_cpu_ms"] = spread(run["cpu_ns"] / 1e6 for run in bare["runs"])
            rows.append(row)
    return {"title": "Many probes: 64 hops, ten queries", "rows": rows}


def measure_receiving(*, repetitions: int) -> dict[str, Any]:
    """How many replies a second a socket takes in, from the kernel's queue to finished values."""
    rows = []
    with InternetWorld("thirty_hops", "") as world:
        for mode in ("raw", "ping", "udp"):
            way = str(MODES[mode][0].get("mode"))
            rates = [
                world.call(
                    take_in_queued,
                    world.target,
                    way,
                    backend="asyncio",
                    privileges=privileges_of(mode),
                )
                for _ in range(min(repetitions, 5))
            ]
            rows.append({
                "mode": mode,
                "replies": min(rate["replies"] for rate in rates),
                "per_second": spread(rate["replies"] / (rate["ns"] / 1e9) for rate in rates),
                "us_each": spread(rate["ns"] / 1000 / rate["replies"] for rate in rates),
            })
    return {"title": "Taking replies in: recvmmsg, parsing, matching, timing", "rows": rows}


async def take_in_queued(target: str, mode: str) -> dict[str, int]:
    """Let replies queue up in the kernel while nobody reads them, then take them in as fast as it goes.

    As many as a trace of 30 hops has, sixteen times.
    """
    import ipaddress

    config = TracerouteConfig().with_options({"mode": mode})
    factory = ProbeSocketFactory(config)
    opened = await factory.open(config, AddressFamily.IPV4)
    destination = ipaddress.ip_address(target)
    replies = spent_ns = 0
    try:
        for batch in range(_BATCHES + 1):
            probes = [
                Probe(make_probe_id(1, 100 * batch + number), destination, number // 3 + 1, number % 3 + 1)
                for number in range(90)
            ]
            await opened.send_probes(probes)
            time.sleep(_SLOWEST + 0.01)  # noqa: ASYNC251 - nobody is to read meanwhile
            began = time.perf_counter_ns()
            came = 0
            while came < len(probes):
                with anyio.move_on_after(1.0) as scope:
                    came += len(await opened.receive())
                if scope.cancelled_caught:
                    break
            if batch and came == len(probes):  # the first one warms up
                spent_ns += time.perf_counter_ns() - began
                replies += came
            opened.release([probe.id for probe in probes])
    finally:
        await opened.aclose()
    return {"replies": replies, "ns": spent_ns}
