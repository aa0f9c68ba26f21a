"""Thousands of traces at once, for as many probes as are wanted, each result held against the account."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from tests.soak.network import FORGER, LATEST, SoakNetwork, destination
from traceprobe import FlowStrategy, Protocol, Tracer
from traceprobe.model import ProbeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.soak.network import Ledger
    from traceprobe.model import ProbeResult, TraceResult

MAX_TTL: Final = 16
KINDS: Final = tuple((protocol, flow) for flow in FlowStrategy for protocol in Protocol)
"""What the traces to a destination probe with, by turns; over both families these are all codecs."""
QUARANTINE: Final = LATEST + 0.1
"""Seconds of virtual time for which identifiers rest: a million probes take little more than one, and all
shall be used again. But longer than any reply comes after the end of its trace: one that is later, and quotes
no more than eight bytes, can't be told from a reply to the probe that has the identifier next."""
PARTS: Final = 20
FLAT: Final = 0.05
"""Share by which memory may be larger in the last quarter of a run than in the second; ``Report.growth``."""
SOME: Final = 5
"""Faults that are shown in full."""


@attrs.frozen
class Part:
    """How things stood at some point of a run."""

    probes: int
    traces: int
    """Traces that were over."""
    resident: int
    """Bytes of memory that the process holds; 0 where the system doesn't tell."""
    blocks: int
    """Pieces of memory that Python objects hold, garbage excluded."""
    identifiers: int
    """Identifiers that are out or rest."""
    to_come: int
    """Events that the simulated network has yet to let happen."""
    descriptors: int
    tasks: int

    def __str__(self) -> str:
        return (
            f"{self.probes:8} probes  {self.traces:6} traces  {self.resident / 1e6:6.1f} MB  "
            f"{self.blocks:8} blocks  {self.identifiers:6} identifiers  {self.to_come:6} to come  "
            f"{self.descriptors:3} descriptors  {self.tasks:5} tasks"
        )


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
    stopped: bool = False
    """Whether it was stopped before all probes had been sent; what there is to tell is true all the same."""
    parts: list[Part] = attrs.field(factory=list)
    """Before the run, at each twentieth of its probes, and after it with everything closed."""
    faults: list[str] = attrs.field(factory=list)

    @property
    def left_behind(self) -> tuple[int, int]:
        """Descriptors and tasks that there are more of than before."""
        before, after = self.parts[0], self.parts[-1]
        return after.descriptors - before.descriptors, after.tasks - before.tasks

    @property
    def growth(self) -> tuple[int, float] | None:
        """By how much memory is larger in the last quarter of a run than in the second.

        Bytes, and the share of what it was; the mean over the parts of each quarter, since what is on its way
        goes up and down. The first quarter fills the windows, and doesn't count. None if the run was stopped,
        or too short to tell.
        """
        sizes: list[list[int]] = [[], [], [], []]
        for part in self.parts[1:-1]:
            sizes[min(3, 4 * part.probes // self.probes)].append(part.resident)
        if self.stopped or not sizes[1] or not sizes[3]:
            return None
        second, last = fmean(sizes[1]), fmean(sizes[3])
        return round(last - second), (last - second) / second if second else 0.0

    @property
    def is_flat(self) -> bool:
        """Whether memory no longer grows."""
        return self.growth is None or self.growth[1] < FLAT


async def soak(
    probes: int,
    *,
    traces: int = 2000,
    seed: int = 1,
    scope: anyio.CancelScope | None = None,
    looked: Callable[[Part, Report], None] | None = None,
) -> Report:
    """Trace until so many probes have been sent.

    Args:
        probes: How many at least.
        traces: How many at once; each has a destination of its own, traced again and again.
        seed: Where chance begins: equal seeds give equal runs.
        scope: Cancelled to stop the run; there is a report all the same.
        looked: Told how things stand, with each part.
    """
    report = Report()
    network = SoakNetwork(traces, seed)
    wire = network.wire
    running = 0
    next_look = probes // PARTS

    def look() -> None:
        gc.collect()
        part = Part(
            wire.sent,
            report.traces,
            _resident(),
            sys.getallocatedblocks(),
            network.identifiers(),
            network.to_come(),
            _descriptors(),
            len(anyio.get_running_tasks()),
        )
        report.parts.append(part)
        if looked is not None:
            looked(part, report)

    async def trace_on_and_on(tracer: Tracer, number: int) -> None:
        nonlocal running, next_look
        turn = number
        while wire.sent < probes:
            ledger = network.begin(number)
            protocol, flow = KINDS[turn // 2 % len(KINDS)]
            turn += 2
            running += 1
            report.at_once = max(report.at_once, running)
            started_ns = network.clock.monotonic_ns()
            result = await tracer.trace(str(destination(number)), protocol=protocol, flow=flow)
            running -= 1
            _judge(report, result, ledger, started_ns)
            if wire.sent >= next_look:
                next_look = (wire.sent * PARTS // probes + 1) * probes // PARTS
                look()

    look()
    with scope or anyio.CancelScope() as scope:
        async with (
            Tracer(socket_factory=network, max_ttl=MAX_TTL, identifier_quarantine=QUARANTINE) as tracer,
            anyio.create_task_group() as tasks,
        ):
            for number in range(traces):
                tasks.start_soon(trace_on_and_on, tracer, number)
    report.stopped = scope.cancelled_caught
    report.probes, report.genuine, report.forged = wire.sent, wire.genuine, wire.forged
    report.refused = dict(sorted(wire.refused.items()))
    report.virtual_seconds = network.clock.monotonic_ns() / 1e9
    look()
    return report


def _judge(report: Report, result: TraceResult, ledger: Ledger, started_ns: int) -> None:
    """Hold a result against what happened."""
    report.traces += 1
    ended_ns = started_ns + result.duration_ns
    for hop in result.hops:
        for probe in hop.probes:
            fault = _fault(ledger, hop.ttl, probe, ended_ns)
            if probe.status is ProbeStatus.REPLY:
                report.answered += 1
                report.late += probe.late
                report.crossed += fault is not None
            else:
                report.missed += fault is not None
            if fault is not None and len(report.faults) < SOME:
                report.faults.append(f"{result.target} {result.protocol} ttl {hop.ttl}: {fault} {probe}")


def _fault(ledger: Ledger, ttl: int, probe: ProbeResult, ended_ns: int) -> str | None:
    """What is wrong with what a result says of a probe; None if nothing is."""
    place = ttl, probe.attempt
    arrived_ns, responder = ledger.arrived.get(place, (None, None))
    if probe.status is ProbeStatus.REPLY:
        assert probe.rtt_ns is not None
        if probe.address in FORGER.values():
            return "the forger was believed"
        if probe.address != responder:
            return f"somebody else's answer, not that of {responder}"
        if arrived_ns is None or probe.rtt_ns != arrived_ns - ledger.sent_ns[place]:
            return f"not the answer that came at {arrived_ns}"
        return None
    if probe.status is ProbeStatus.TIMEOUT and arrived_ns is not None and arrived_ns < ended_ns:
        return f"the answer had come {(ended_ns - arrived_ns) / 1e6:.3f} ms before the end"
    return None


def sizes_of(parts: Sequence[Part]) -> str:
    """The memory of a run in one line, in MB: before, at the end of each quarter, after."""
    total = parts[-1].probes
    ends = [next((part for part in parts[:-1] if 4 * part.probes >= n * total), None) for n in (1, 2, 3)]
    shown = [parts[0], *(part for part in ends if part is not None), *parts[-2:]]
    return ", ".join(f"{part.resident / 1e6:.1f}" for part in shown)


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def _resident() -> int:
    """Bytes of memory in use (proc(5), statm); 0 where the system doesn't tell."""
    path = Path("/proc/self/statm")
    return (
        int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0
    )
