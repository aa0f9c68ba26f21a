"""Thousands of traces at once, for as many probes as are wanted, each result held against the account."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from tests.soak.network import FORGER, SoakNetwork, destination
from traceprobe import Protocol, Tracer
from traceprobe.model import ProbeStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.network import Ledger
    from traceprobe.model import ProbeResult, TraceResult

MAX_TTL: Final = 16
PROTOCOLS: Final = (Protocol.ICMP, Protocol.UDP, Protocol.TCP)
QUARANTINE: Final = 0.1
"""Seconds of virtual time for which identifiers rest: a run lasts only some, and all shall be used again."""
SOME: Final = 5
"""Faults that are shown in full."""


@attrs.define
class Report:
    """What a run came to."""

    probes: int = 0
    traces: int = 0
    genuine: int = 0
    """Genuine replies that reached the machine, duplicates included."""
    forged: int = 0
    """Forged and damaged replies that did."""
    answered: int = 0
    """Probes that the results show as answered."""
    late: int = 0
    """Of them, those answered after they had been given up."""
    crossed: int = 0
    """Probes shown with an answer that is not their own."""
    missed: int = 0
    """Probes shown as unanswered whose answer had come before their trace ended."""
    at_once: int = 0
    """Most traces that ran at one time."""
    refused: dict[str, int] = attrs.field(factory=dict)
    """What sockets refused, by reason."""
    virtual_seconds: float = 0.0
    descriptors: tuple[int, int] = (0, 0)
    """Before and after."""
    tasks: tuple[int, int] = (0, 0)
    memory: tuple[int, ...] = ()
    """Resident bytes: before, at each quarter of the probes, after."""
    faults: list[str] = attrs.field(factory=list)


async def soak(
    probes: int, *, traces: int = 2000, seed: int = 1, told: Callable[[str], None] = print
) -> Report:
    """Trace until so many probes have been sent.

    Args:
        probes: How many at least.
        traces: How many at once; each has a destination of its own, traced again and again.
        seed: Where chance begins: equal seeds give equal runs.
        told: Gets a line now and then.
    """
    report = Report()
    network = SoakNetwork(traces, seed)
    wire = network.wire
    gc.collect()
    before = _descriptors(), _tasks()
    memory = [_resident()]
    running = 0

    async def trace_on_and_on(tracer: Tracer, number: int) -> None:
        nonlocal running
        turn = number
        while wire.sent < probes:
            ledger = network.begin(number)
            protocol = PROTOCOLS[turn // 2 % len(PROTOCOLS)]
            turn += 2
            running += 1
            report.at_once = max(report.at_once, running)
            started_ns = network.clock.monotonic_ns()
            result = await tracer.trace(str(destination(number)), protocol=protocol)
            running -= 1
            _judge(report, result, ledger, started_ns)
            if wire.sent >= len(memory) * probes // 4:
                gc.collect()
                memory.append(_resident())
                told(
                    f"{wire.sent} probes, {report.traces} traces, {memory[-1] / 1e6:.1f} MB, "
                    f"{report.crossed} crossed, {report.missed} missed"
                )

    async with (
        Tracer(socket_factory=network, max_ttl=MAX_TTL, identifier_quarantine=QUARANTINE) as tracer,
        anyio.create_task_group() as tasks,
    ):
        for number in range(traces):
            tasks.start_soon(trace_on_and_on, tracer, number)
    gc.collect()
    report.probes, report.genuine, report.forged = wire.sent, wire.genuine, wire.forged
    report.refused = dict(sorted(wire.refused.items()))
    report.virtual_seconds = network.clock.monotonic_ns() / 1e9
    report.descriptors = before[0], _descriptors()
    report.tasks = before[1], _tasks()
    report.memory = (*memory, _resident())
    return report


def _judge(report: Report, result: TraceResult, ledger: Ledger, started_ns: int) -> None:
    """Hold a result against what happened."""
    report.traces += 1
    ended_ns = started_ns + result.duration_ns
    for hop in result.hops:
        for probe in hop.probes:
            fault = _fault(result, ledger, hop.ttl, probe, ended_ns)
            if probe.status is ProbeStatus.REPLY:
                report.answered += 1
                report.late += probe.late
                report.crossed += fault is not None
            else:
                report.missed += fault is not None
            if fault is not None and len(report.faults) < SOME:
                report.faults.append(f"{result.target} {result.protocol} ttl {hop.ttl}: {fault} {probe}")


def _fault(result: TraceResult, ledger: Ledger, ttl: int, probe: ProbeResult, ended_ns: int) -> str | None:
    """What is wrong with what a result says of a probe; None if nothing is."""
    place = ttl, probe.attempt
    arrived_ns = ledger.arrived_ns.get(place)
    if probe.status is ProbeStatus.REPLY:
        assert probe.rtt_ns is not None
        if probe.address in FORGER.values():
            return "the forger was believed"
        if probe.address != ledger.address(ttl, result.address.version):
            return "somebody else's answer"
        if arrived_ns is None or probe.rtt_ns != arrived_ns - ledger.sent_ns[place]:
            return f"not the answer that came at {arrived_ns}"
        return None
    if probe.status is ProbeStatus.TIMEOUT and arrived_ns is not None and arrived_ns < ended_ns:
        return f"the answer had come {(ended_ns - arrived_ns) / 1e6:.3f} ms before the end"
    return None


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def _tasks() -> int:
    return len(anyio.get_running_tasks())


def _resident() -> int:
    """Bytes of memory in use (proc(5), statm); 0 where the system doesn't tell."""
    path = Path("/proc/self/statm")
    return (
        int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0
    )
