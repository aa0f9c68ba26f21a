"""Run a target under atheris and libFuzzer: ``python -m tests.fuzz TARGET [--seconds N]``.

The parent runs each target in a process of its own, because libFuzzer ends its process, and sums up. It
imports nothing of the package: in the child, what is imported is instrumented on its way in.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

PROJECT: Final = Path(__file__).parents[2]
EVERYTHING: Final = "everything"
LONGEST: Final = 4096
"""Bytes of an input; whatever goes wrong with more goes wrong with fewer."""
_DONE: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_TALK: Final = re.compile(r"\n(?:==|#\d|INFO:|WARNING:)")
"""How lines of libFuzzer begin."""
_COVERAGE: Final = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")


class Outcome(NamedTuple):
    """What one run of a target came to."""

    target: str
    executions: int
    edges: int
    """Places of the package that were reached (coverage counters of libFuzzer)."""
    features: int
    """The same, with how often each was passed."""
    inputs: int
    """How many inputs show all of that."""
    finding: str | None
    """The input that ended the run, in hexadecimal digits; None if nothing was found."""
    traceback: str
    """Where it ended."""


def fuzz(target: str, *, seconds: int = 0, seed: int = 1, corpus: Path | None = None) -> Outcome:
    """Run one target.

    Args:
        target: A name in ``tests.fuzz.targets.TARGETS``, or ``everything``; ``module:function`` for others.
        seconds: For how long; 0 runs until something is found or the process is interrupted.
        seed: Where chance begins.
        corpus: A folder that keeps what was learnt, for the next run; None forgets it.
    """
    with tempfile.TemporaryDirectory(prefix="traceprobe-fuzz-") as folder:
        learnt = corpus or Path(folder, "corpus")
        learnt.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "tests.fuzz", "--child", target, str(learnt)),
            *(f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-seed={seed}"),
            *(
                "-print_final_stats=1",
                "-rss_limit_mb=4096",
                "-timeout=25",
                f"-artifact_prefix={folder}/found-",
            ),
        ]
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, errors="replace", check=False
        )
        talk = done.stdout + done.stderr
        found = sorted(Path(folder).glob("found-*"))
        finding = found[0].read_bytes().hex() if found else None
        if done.returncode and finding is None:
            raise RuntimeError(f"fuzzing {target} ended with status {done.returncode}:\n{talk}")
    executed = _DONE.search(talk)
    edges, features, inputs = max(
        ((int(one), int(two), int(three)) for one, two, three in _COVERAGE.findall(talk)), default=(0, 0, 0)
    )
    traceback = _TALK.split(talk.partition("Uncaught Python exception")[2], maxsplit=1)[0].strip(" =:\n")
    return Outcome(target, int(executed[1]) if executed else 0, edges, features, inputs, finding, traceback)


def _child(target: str, arguments: list[str]) -> None:
    """Fuzz in this process, which ends with it."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(
        include=["traceprobe", "maxminddb.reader", "maxminddb.decoder", "aioice.stun"]
    ):
        module_name, _, function = target.rpartition(":")
        module = importlib.import_module(module_name or "tests.fuzz.targets")
        seeds = importlib.import_module("tests.fuzz.seeds")
    run = getattr(module, function) if module_name or target == EVERYTHING else module.TARGETS[target]
    learnt = Path(arguments[0])
    for number, data in enumerate(_seeds(seeds, module, target)):
        (learnt / f"seed-{number:04}").write_bytes(data)
    atheris.Setup([sys.argv[0], *arguments], run, enable_python_coverage=True)
    atheris.Fuzz()


def _seeds(seeds: Any, module: Any, target: str) -> list[bytes]:
    if target == EVERYTHING:
        names = list(module.TARGETS)
        return [bytes([index]) + data for index, name in enumerate(names) for data in seeds.corpus(name)]
    return list(seeds.corpus(target)) if ":" not in target else [b"seed"]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--child"]:
        _child(given[1], given[2:])
        return 0
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = [*TARGETS, EVERYTHING, "all"]
    parser.add_argument("target", nargs="?", choices=names, default="all", help="all: one after the other")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; 0: until stopped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="a folder that keeps what was learnt")
    parser.add_argument("--write-corpus", action="store_true", help="make the committed corpus anew, and end")
    options = parser.parse_args(given)
    if options.write_corpus:
        from tests.fuzz.seeds import write

        write()
        return 0
    wanted = list(TARGETS) if options.target == "all" else [options.target]
    print("target           executions  per second   edges  features  inputs  finding", flush=True)
    findings = 0
    for target in wanted:
        keep = None if options.corpus is None else options.corpus / target
        outcome = fuzz(target, seconds=options.seconds, seed=options.seed, corpus=keep)
        rate = f"{outcome.executions / options.seconds:10.0f}" if options.seconds else "         -"
        print(
            f"{target:15} {outcome.executions:11}  {rate}  {outcome.edges:6}  {outcome.features:8}  "
            f"{outcome.inputs:6}  {outcome.finding or 'none'}",
            flush=True,
        )
        if outcome.finding is not None:
            findings += 1
            print(outcome.traceback, file=sys.stderr, flush=True)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
