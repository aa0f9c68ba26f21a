"""Where the time of a warm trace goes: ``python -m benchmarks.profile --help``; as root.

Traces the 30 hops of the simulated internet under cProfile, and prints the functions that take the most
time of their own, with calls and microseconds for each probe. The profiler itself makes every call dearer:
what counts are calls, and shares.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from benchmarks import inside
from benchmarks.traces import LOOPS, MODES, privileges_of
from benchmarks.worlds import InternetWorld, missing_worlds

if TYPE_CHECKING:
    from collections.abc import Sequence

_SORTS = ("own", "total", "calls")


def table(profile: dict[str, Any], *, sort: str, lines: int) -> str:
    """The functions that take most, as text."""
    column = {"calls": 1, "own": 2, "total": 3}[sort]
    functions = sorted(profile["functions"], key=lambda row: -row[column])[:lines]
    probes = profile["probes"]
    whole = sum(row[2] for row in profile["functions"])
    calls = sum(row[1] for row in profile["functions"])
    each = f"{calls / probes:.1f} calls and {whole / probes * 1e6:.1f} us each (with the profiler)"
    text = [
        f"{probes} probes, {each}; waiting is left out",
        f"{'calls/probe':>12}{'own us/probe':>14}{'own %':>8}{'total us/probe':>16}  function",
    ]
    for name, count, own, total in functions:
        share = f"{own / probes * 1e6:14.2f}{100 * own / whole:8.1f}{total / probes * 1e6:16.2f}"
        text.append(f"{count / probes:12.2f}{share}  {name}")
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile and print; 2 if the simulated internet can't run here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--loop", choices=LOOPS, default="asyncio", help="default: asyncio")
    parser.add_argument("--mode", choices=sorted(MODES), default="raw", help="default: raw")
    parser.add_argument("--held", action="store_true", help="one tracer makes all traces")
    parser.add_argument("-n", "--repetitions", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--sort", choices=_SORTS, default="own", help="default: own")
    parser.add_argument("--lines", type=int, default=40, metavar="N", help="default: 40")
    options = parser.parse_args(arguments)
    if (reason := missing_worlds("tun")) is not None:
        print(f"can't profile here: {reason}", file=sys.stderr)
        return 2
    trace_options, _ = MODES[options.mode]
    with InternetWorld("thirty_hops", "") as world:
        profile = world.call(
            inside.profiled,
            world.target,
            trace_options,
            options.repetitions,
            options.held,
            backend=options.loop,
            privileges=privileges_of(options.mode),
        )
    print(table(profile, sort=options.sort, lines=options.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
