"""The command: ``python -m tests.hostile [--lanes 3] [--only mtr] [--kinds]``.

It needs root, and traces inside network namespaces of its own. Each lane is an internet for itself, so that
no tool sees what was meant for another.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.hostile.rows import ROWS, kinds_for, row_of
from tests.hostile.tools import TOOLS, versions_of
from tests.kernel.hostile import HOPS, ROUTERS, Hostile
from tests.rigs.tun.simulated import SimulatedInternet, missing_internet
from traceprobe.testing.topology import Topology

if TYPE_CHECKING:
    from tests.hostile.tools import Lines, Tool

    Counts = dict[str, tuple[int, int]]


def count(shown: Lines, version: int, target: str) -> tuple[int, int]:
    """False hops and missed hops of what a tool has shown."""
    truth = {(ttl, ROUTERS[version].format(ttl)) for ttl in range(1, HOPS)} | {(HOPS, target)}
    # The target may be shown more than once: it answers whatever comes that far.
    false = {(ttl, address) for ttl, address in shown - truth if address != target or ttl < HOPS}
    return len(false), len(truth - shown)


def measure(tool: Tool, version: int, internet: SimulatedInternet) -> Counts:
    """What a tool shows of each kind."""
    network = Hostile(version, kinds_for(tool.protocol, version))
    network.load(internet)
    shown = tool.trace(internet, network.targets, version)
    return {
        kind.name: count(lines, version, target)
        for kind, target, lines in zip(network.kinds, network.targets, shown, strict=True)
    }


def write_table(protocol: str, results: dict[tuple[Tool, int], Counts], *, by_kind: bool) -> list[str]:
    """The table of a protocol: false hops / missed hops, both families together."""
    tools = [tool for tool in TOOLS if tool.protocol == protocol and any(one is tool for one, _ in results)]
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    names: dict[str, None] = {}
    for (tool, version), counts in results.items():
        for kind, (false, missed) in counts.items() if tool.protocol == protocol else ():
            row = f"{kind} ({version})" if by_kind else row_of(kind)
            names[row] = None
            sums[row, tool.name][0] += false
            sums[row, tool.name][1] += missed
    order = list(names) if by_kind else [row for row in ROWS if row in names]
    lines = [
        f"| {protocol.upper()} | {' | '.join(tool.name for tool in tools)} |",
        "|---" * (len(tools) + 1) + "|",
    ]
    for row in order:
        cells = ["{} / {}".format(*sums[row, tool.name]) for tool in tools]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    traces = [
        sum(len(counts) for (one, _), counts in results.items() if one is tool) * HOPS for tool in tools
    ]
    totals = [
        f"{sum(sums[row, tool.name][0] for row in order)} / {sum(sums[row, tool.name][1] for row in order)}"
        for tool in tools
    ]
    cells = [f"**{total}** of {hops}" for total, hops in zip(totals, traces, strict=True)]
    return [*lines, f"| all | {' | '.join(cells)} |"]


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--lanes", type=int, default=3, help="how many internets at a time")
    parser.add_argument("--only", help="only tools whose name begins with this")
    parser.add_argument("--kinds", action="store_true", help="a row for each kind and family")
    options = parser.parse_args()
    reason = missing_internet()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 2
    chosen = []
    for tool in TOOLS:
        if options.only is not None and not tool.name.startswith(options.only):
            continue
        if (missing := tool.missing()) is not None:
            print(f"{tool.name}: {missing}", file=sys.stderr)
            continue
        chosen += [(tool, version) for version in tool.versions]
    with ExitStack() as stack:
        lanes: SimpleQueue[SimulatedInternet] = SimpleQueue()
        for _ in range(options.lanes):
            internet = stack.enter_context(SimulatedInternet(Topology()))
            internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
            lanes.put(internet)

        def run(order: tuple[Tool, int]) -> Counts:
            lane = lanes.get()
            try:
                return measure(*order, lane)
            finally:
                lanes.put(lane)
                print(f"{order[0].name} by {order[0].protocol} over IPv{order[1]}", file=sys.stderr)

        with ThreadPoolExecutor(options.lanes) as executor:
            results = dict(zip(chosen, executor.map(run, chosen), strict=True))
        print(", ".join(versions_of(lanes.get())))
    for protocol in ("icmp", "udp", "tcp"):
        print("", *write_table(protocol, results, by_kind=options.kinds), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
