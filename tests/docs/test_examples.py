"""Every example runs without arguments, on its own network in memory, and takes targets as arguments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.house.package import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "network.py")
EVERY_EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)

EXPECTED = {
    "simple.py": ["198.51.100.1", "no answer", "www.example.net (203.0.113.80): reached in 4 hops"],
    "streaming.py": ["www.example.net (203.0.113.80), by simulated", "That is far enough."],
    "events.py": [
        "sent      TTL 1, attempt 1",
        "late      TTL 3",
        "revised   3",
        "finished  far.example.org",
    ],
    "inventory.py": [
        "2  198.51.100.1  ISP  EXAMPLE-PROVIDER  Lyon",
        "inventory failed: two routers have this address",
        "5  203.0.113.99  DESTINATION",
    ],
    "many_targets.py": ["www.example.net (203", "db.example.net (203", "far.example.org (203"],
    "custom_socket.py": ["reached in 4 hops", "90  sent", "6  time_exceeded", "81  echo_reply"],
    "json_pipeline.py": ['"target": "www.example.net", "reached": true, "hops": 4, "silent": [3]'],
    "path_change.py": [
        "round 2: as before",
        "round 3: ALARM TTL 2: 198.51.100.1 -> 198.51.100.129",
        "round 4: as before",
    ],
    "web_service.py": [
        "200 application/x-ndjson",
        '{"ttl": 3, "address": null, "rtt": null}\n{"ttl": 4, "address": "203.0.113.80", "rtt": 0.0123}',
    ],
    "trio_program.py": ["www.example.net: 4  203.0.113.80", "far.example.org: 5  203.0.113.99"],
}


def run(example: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example as its head says."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "error", str(example), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@EVERY_EXAMPLE
def test_it_runs_on_its_own_network(example: Path) -> None:
    outcome = run(example)
    assert outcome.returncode == 0, outcome.stderr
    assert not outcome.stderr
    for text in EXPECTED[example.name]:
        assert text in outcome.stdout


@EVERY_EXAMPLE
def test_it_says_how_to_run_it(example: Path) -> None:
    assert f"``python examples/{example.name} [TARGET" in example.read_text(encoding="utf-8")


@EVERY_EXAMPLE
@pytest.mark.skipif(sys.platform != "linux", reason="probes its own kernel, which is known to work on Linux")
def test_it_traces_a_real_target(example: Path) -> None:
    # The machine itself: real sockets, and nothing leaves it. There is no need to rest between two rounds.
    outcome = run(example, "127.0.0.1", *(["0"] if example.name == "path_change.py" else []))
    assert outcome.returncode == 0, outcome.stderr
    assert not outcome.stderr
    expected = "round 4: as before" if example.name == "path_change.py" else "127.0.0.1"
    assert expected in outcome.stdout
    assert "simulated" not in outcome.stdout


@EVERY_EXAMPLE
def test_a_target_that_cannot_be_one_is_refused(example: Path) -> None:
    # Before anything is sent or looked up, and by the real network only.
    outcome = run(example, "")
    assert "target='': must be a host name or an IP address" in outcome.stdout + outcome.stderr


@EVERY_EXAMPLE
def test_it_can_be_read_at_one_sitting(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) < 90


def test_the_page_shows_every_one() -> None:
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{literalinclude\} \.\./examples/(\S+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted([*(path.name for path in EXAMPLES), "network.py"])


def test_there_are_at_least_ten() -> None:
    assert len(EXAMPLES) >= 10
    assert {example.name for example in EXAMPLES} == set(EXPECTED)
