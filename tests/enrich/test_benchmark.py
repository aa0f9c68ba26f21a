"""The measurement of look-ups works, and checks what it measures; how long they take is not asked here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.rigs.require import missing_module

ROOT = Path(__file__).parents[2]


def test_look_ups_are_measured_on_every_loop() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.enrichment", "-n", "1", "--delay", "0.01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    loops = [loop for loop in ("asyncio", "uvloop", "trio") if loop == "asyncio" or not missing_module(loop)]
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[3:]]
    assert [row[0] for row in rows] == loops
    # Two look-ups one after the other; nothing is known before the first of them has ended.
    for _, *totals, first in rows:
        assert min(map(float, totals)) >= 20
        assert float(first) >= 10
