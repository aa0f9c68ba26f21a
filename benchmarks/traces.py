"""One world after the other: traceprobe on every loop and in every mode, and its peers beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from benchmarks import inside
from benchmarks.figures import first_replies_of, lateness, row_of
from benchmarks.peers import LIBRARIES, LONG, PEERS, in_order, read_lines
from tests.rigs.require import missing_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.worlds import World
    from tests.rigs.namespaces import Privileges
    from traceprobe import TraceOptions

LOOPS = ("asyncio", "uvloop", "trio")
MODES: dict[str, tuple[TraceOptions, bool]] = {
    # options, and whether the process keeps its privileges
    "raw": ({"mode": "linux_raw"}, True),
    "raw-udp": ({"mode": "linux_raw", "protocol": "udp"}, True),
    "ping": ({"mode": "linux_ping"}, False),
    "udp": ({"mode": "linux_udp"}, False),
}
SLOW_REPETITIONS = 2
"""Of programs that take many seconds for one trace."""

_FAST: TraceOptions = {
    "probe_timeout": 1.0,
    "interior_floor": 0.01,
    "interior_factor": 1.25,
    "interior_jitter_factor": 1.0,
    "tail_floor": 0.2,
    "tail_factor": 2.0,
}
"""``TimingConfig.fast()`` as options; what ``--fast`` is. A test holds them together."""


def measure_world(
    world: World, *, loops: Sequence[str], modes: Sequence[str], repetitions: int, peers: bool
) -> dict[str, Any]:
    """Measure everybody in one world.

    Returns:
        ``rows``, and ``skipped`` with name and reason.
    """
    document: dict[str, Any] = {"title": world.title, "rows": [], "skipped": []}
    for loop, mode in _combinations(loops, modes, world):
        document["rows"].append(traceprobe_row(world, loop, mode, repetitions))
    loop = loops[0]
    if world.name != "loopback":
        document["rows"].append(traceprobe_row(world, loop, "raw", repetitions, held=True))
    if not world.reached:
        document["rows"].append(traceprobe_row(world, loop, "raw", repetitions, fast=True))
    document["rows"].append(_command_row(world, repetitions))
    log = world.log()
    if log is not None and log.replies:
        document["lateness_us"] = lateness(log)
    if peers:
        for row, reason in _peer_rows(world, repetitions):
            if isinstance(row, str):
                document["skipped"].append({"name": row, "reason": reason})
            else:
                document["rows"].append(row)
    add_ratios(document["rows"])
    return document


def traceprobe_row(
    world: World,
    loop: str,
    mode: str,
    repetitions: int,
    *,
    held: bool = False,
    busy: bool = False,
    fast: bool = False,
    queries: int = 3,
) -> dict[str, Any]:
    """Measure traceprobe one way."""
    options, _ = MODES.get(mode, ({}, True))
    options = {**options, "queries": queries, "max_ttl": world.max_ttl}
    if fast:
        options.update(_FAST)
    world.begin()
    if repetitions > 3 and not world.reached and not fast:
        repetitions = 3
    privileges = privileges_of(mode)
    measured = world.call(
        inside.trace_repeatedly,
        world.target,
        options,
        repetitions,
        held,
        busy,
        backend=loop,
        privileges=privileges,
    )
    extras = [word for word, said in (("held", held), ("busy thread", busy), ("fast", fast)) if said]
    row = row_of(", ".join(["traceprobe " + loop, mode, *extras]), "traceprobe", measured["runs"], world)
    if row["probes"] is not None and world.log() is None:
        row["probes"] *= repetitions / (repetitions + 1)  # the first trace is counted, but is no run
    row |= {"loop": loop, "mode": mode, "held": held, "busy": busy, "fast": fast}
    if measured["memory_kb"] is not None:
        row["memory_mb"] = measured["memory_kb"] / 1024
    if world.log() is not None and not busy and not held and not fast:
        world.begin()
        firsts = world.call(
            inside.first_replies, world.target, options, repetitions, backend=loop, privileges=privileges
        )
        log = world.log()
        assert log is not None
        row["first_reply_us"] = first_replies_of(firsts, log)
    return row


def privileges_of(mode: str) -> Privileges | None:
    """What a mode is measured with: root's, or none at all."""
    if mode not in MODES or MODES[mode][1]:
        return None
    from tests.rigs.namespaces import Privileges

    return Privileges.NO_CAPABILITIES


def add_ratios(rows: list[dict[str, Any]]) -> None:
    """Say of each row how many times the wall time of the first one it takes."""
    base = rows[0]["wall_ms"]["median"]
    for row in rows:
        row["ratio"] = row["wall_ms"]["median"] / base


def _combinations(loops: Sequence[str], modes: Sequence[str], world: World) -> Iterator[tuple[str, str]]:
    if world.name == "loopback":
        yield from ((loop, "default") for loop in loops)
        return
    yield from ((loop, mode) for loop in loops for mode in modes)


def _command_row(world: World, repetitions: int) -> dict[str, Any]:
    """The command line, from the start of its process to its end."""
    world.begin()
    command = [sys.executable, "-m", "traceprobe", "-n", "--no-asn", world.target]
    runs = world.call(inside.run_program_repeatedly, command, min(repetitions, 5))
    for run in runs:
        run["hops"] = in_order(read_lines(run["output"]))
    row = row_of("traceprobe command, cold", "traceprobe", runs, world)
    if row["probes"] is not None and world.log() is None:
        row["probes"] *= len(runs) / (len(runs) + 1)
    return row


def _peer_rows(world: World, repetitions: int) -> Iterator[tuple[dict[str, Any] | str, str]]:
    for peer in PEERS:
        if (reason := peer.missing()) is not None:
            yield peer.name, reason
            continue
        world.begin()
        count = _repetitions(repetitions, slow=peer.slow or not world.reached)
        runs: list[dict[str, Any]] = []
        while len(runs) < count and not (runs and (runs[-1]["end_ns"] - runs[-1]["start_ns"]) / 1e9 > LONG):
            runs.append(world.call(inside.run_program, peer.command(world.target)))
        for run in runs:
            run["hops"] = in_order(peer.read(run["output"]))
            if peer.read_rtts is not None:
                run["rtts"] = peer.read_rtts(run["output"])
        yield row_of(peer.name, "peer", runs, world), ""
    for library in LIBRARIES:
        if (reason := library.missing()) is not None:
            yield library.name, reason
            continue
        world.begin()
        count = _repetitions(repetitions, slow=True)
        measured = world.call(library.call, world.target, count)
        yield row_of(library.name, "peer", measured["runs"], world), ""


def _repetitions(repetitions: int, *, slow: bool) -> int:
    return min(repetitions, SLOW_REPETITIONS) if slow else repetitions


def available_loops(names: Sequence[str], missing: Callable[[str], str | None] = missing_module) -> list[str]:
    """Those of the event loops that are installed."""
    return [name for name in names if name == "asyncio" or missing(name) is None]
