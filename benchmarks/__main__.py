"""The measurements: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import inside, rivals
from benchmarks.figures import Figures, beyond_slowest, figures_of, lateness
from benchmarks.report import missed_goals, to_markdown
from tests.rigs.require import missing_module
from tests.rigs.tun import SimulatedInternet
from tests.rigs.tun.simulated import load_scenario, missing_internet

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPS = ("asyncio", "uvloop", "trio")
MODES: dict[str, dict[str, Any]] = {
    "raw": {"mode": "linux_raw"},
    "raw-udp": {"mode": "linux_raw", "protocol": "udp"},
    "ping": {"mode": "linux_ping"},
    "udp": {"mode": "linux_udp"},
}
TARGETS = {4: "203.0.113.9", 6: "2001:db8:9::9"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if ``--check`` is on and a goal is missed, 2 if nothing can be measured here."""
    options = _parse(arguments)
    if (reason := missing_internet()) is not None:
        print(f"can't measure here: {reason}", file=sys.stderr)
        return 2
    loops = [loop for loop in options.loops if loop == "asyncio" or missing_module(loop) is None]
    document: dict[str, Any] = {
        "machine": {
            "kernel": platform.release(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "repetitions": options.repetitions,
    }
    with SimulatedInternet(load_scenario("thirty_hops"), vigilant=True) as internet:
        internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        document["thirty_hops"], document["lateness_us"] = _thirty_hops(internet, options, loops)
        document["completion"] = _completion(internet, options, loops)
    print(to_markdown(document))
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return int(options.check and bool(missed_goals(document["thirty_hops"])))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-n", "--repetitions", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--loops", default=list(LOOPS), help=f"default: {','.join(LOOPS)}", type=_words)
    parser.add_argument("--modes", default=list(MODES), help=f"default: {','.join(MODES)}", type=_words)
    parser.add_argument(
        "-6", dest="version", action="store_const", const=6, default=4, help="trace over IPv6"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args(arguments)
    for given, known in ((options.loops, LOOPS), (options.modes, MODES)):
        if unknown := set(given) - set(known):
            parser.error(f"there are only {', '.join(known)}, not {', '.join(sorted(unknown))}")
    if options.repetitions < 1:
        parser.error("at least one repetition is needed")
    return options


def _words(text: str) -> list[str]:
    return text.split(",")


def _thirty_hops(
    internet: SimulatedInternet, options: argparse.Namespace, loops: list[str]
) -> tuple[list[dict[str, Any]], tuple[float, float, float]]:
    """Thirty hops, three probes each, round trips of up to 120 ms."""
    rows: list[Figures] = []
    late = []
    target = TARGETS[options.version]
    for loop in loops:
        for mode in options.modes:
            internet.reset()
            measured = internet.call(inside.repeat, target, MODES[mode], options.repetitions, backend=loop)
            log = internet.log()
            late.append(lateness(log))
            rows.append(figures_of(f"{loop}, {mode}", measured, log))
    for protocol in ("icmp", "udp"):
        internet.reset()
        rival = rivals.traceroute(internet, target, protocol, options.repetitions)
        if rival is not None:
            rows.append(figures_of(f"traceroute -N 90, {protocol}", rival, internet.log()))
    worst = (median(one[0] for one in late), max(one[1] for one in late), max(one[2] for one in late))
    return [row.to_dict() for row in rows], worst


def _completion(
    internet: SimulatedInternet, options: argparse.Namespace, loops: list[str]
) -> list[dict[str, Any]]:
    """How long traces take that have to decide when to stop waiting."""
    rows = []
    for scenario in ("three_silent", "slow_target"):
        topology = load_scenario(scenario)
        internet.load(topology)
        slowest = max(station.rtt for station in topology.paths[0].stations(0.0, lambda *_: 0))
        for loop in loops:
            measured = internet.call(
                inside.repeat, TARGETS[options.version], {}, options.repetitions, backend=loop
            )
            log = internet.log()
            internet.reset()
            durations = [(run["end_ns"] - run["start_ns"]) / 1e9 for run in measured["runs"]]
            rows.append({
                "scenario": scenario,
                "loop": loop,
                "slowest_rtt_ms": slowest * 1e3,
                "median_ms": median(durations) * 1e3,
                "worst_ms": max(durations) * 1e3,
                "beyond_ms": median(beyond_slowest(run, log) for run in measured["runs"]),
                "reached": sum(run["reached"] for run in measured["runs"]),
                "runs": len(durations),
            })
    return rows


if __name__ == "__main__":
    sys.exit(main())
