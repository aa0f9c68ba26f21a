"""The command: ``python -m tests.soak [--probes 1000000]``.

The status is 1 if anything was crossed, missed or left behind, or if memory went on growing. Stopped with
Ctrl-C or SIGTERM it tells how far it got.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import tracemalloc
from typing import Final

import anyio

from tests.soak.run import FLAT, PARTS, Part, Report, sizes_of, soak

LINES: Final = 12
"""Lines of the program that are named with what they hold."""


class Watch:
    """Prints how things stand, and looks at what grows if it is asked to."""

    def __init__(self, probes: int, *, traced: bool) -> None:
        self._probes = probes
        self._traced = traced
        self._begun = time.monotonic()
        self._before: tracemalloc.Snapshot | None = None

    def looked(self, part: Part, report: Report) -> None:
        """Take note of a part."""
        crossed = f"{report.crossed} crossed  {report.missed} missed  {time.monotonic() - self._begun:5.0f} s"
        print(f"{part}  {crossed}", flush=True)
        place = part.probes * PARTS // self._probes
        if self._traced and (place == PARTS if self._before is not None else place >= PARTS // 4):
            now = tracemalloc.take_snapshot()
            if self._before is not None:
                for line in now.compare_to(self._before, "lineno")[:LINES]:
                    print(f"  {line}", flush=True)
            self._before = now


async def _run(options: argparse.Namespace) -> Report:
    report = Report()
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def stop() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    scope.cancel()

        if sys.platform != "win32":
            tasks.start_soon(stop)
        looked = Watch(options.probes, traced=options.traced).looked
        report = await soak(
            options.probes, traces=options.traces, seed=options.seed, scope=scope, looked=looked
        )
        tasks.cancel_scope.cancel()
    return report


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--probes", type=int, default=1_000_000)
    parser.add_argument("--traces", type=int, default=2000, help="at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--traced", action="store_true", help="say what grows between the first quarter and the end (slow)"
    )
    options = parser.parse_args(arguments)
    if options.traced:
        tracemalloc.start()
    started = time.monotonic()
    report = anyio.run(_run, options)
    first, last = report.parts[0], report.parts[-1]
    print(
        f"probes {report.probes}  traces {report.traces} ({report.at_once} at once)  "
        f"{report.virtual_seconds:.1f} s of virtual time in {time.monotonic() - started:.0f} s"
        f"{'  stopped early' if report.stopped else ''}\n"
        f"genuine replies {report.genuine}  forged or damaged ones {report.forged}\n"
        f"answered {report.answered} ({report.late} late)  crossed {report.crossed}  missed {report.missed}\n"
        f"descriptors {first.descriptors} -> {last.descriptors}  tasks {first.tasks} -> {last.tasks}\n"
        f"memory in MB, before, at each quarter and after: {sizes_of(report.parts)}\n"
        f"refused {report.refused}"
    )
    if report.growth is not None and not options.traced:  # what tracing keeps grows with every part
        size, share = report.growth
        print(
            f"memory in the last quarter less that in the second: {size / 1e6:+.1f} MB, {share:+.1%} "
            f"({'flat' if report.is_flat else 'NOT FLAT'}: less than {FLAT:.0%})"
        )
    for fault in report.faults:
        print(fault, file=sys.stderr)
    bad = report.crossed or report.missed or any(report.left_behind) or not (report.is_flat or options.traced)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
