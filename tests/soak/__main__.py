"""The command: ``python -m tests.soak [--probes 1000000]``; status 1 if anything was crossed or missed."""

from __future__ import annotations

import argparse
import sys
import time

import anyio

from tests.soak.run import Report, soak


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--probes", type=int, default=1_000_000)
    parser.add_argument("--traces", type=int, default=2000, help="at once")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    started = time.monotonic()

    async def run() -> Report:
        return await soak(options.probes, traces=options.traces, seed=options.seed)

    report = anyio.run(run)
    megabytes = ", ".join(f"{size / 1e6:.1f}" for size in report.memory)
    print(
        f"probes {report.probes}  traces {report.traces} ({report.at_once} at once)  "
        f"{report.virtual_seconds:.1f} s of virtual time in {time.monotonic() - started:.0f} s\n"
        f"genuine replies {report.genuine}  forged or damaged ones {report.forged}\n"
        f"answered {report.answered} ({report.late} late)  crossed {report.crossed}  missed {report.missed}\n"
        f"descriptors {report.descriptors[0]} -> {report.descriptors[1]}  "
        f"tasks {report.tasks[0]} -> {report.tasks[1]}\n"
        f"memory in MB, before, on the way and after: {megabytes}\n"
        f"refused {report.refused}"
    )
    for fault in report.faults:
        print(fault, file=sys.stderr)
    return 1 if report.crossed or report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
