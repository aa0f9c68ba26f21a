"""Importing traceprobe costs next to nothing: what is heavy is loaded when it is first needed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.house.package import ROOT

HEAVY = frozenset({
    "aiodns",
    "asyncio",
    "cffi",
    "dns",
    "httpx2",
    "maxminddb",
    "multiprocessing",
    "pycares",
    "pycparser",
    "rich",
    "trio",
})


def loaded_by(*arguments: str) -> set[str]:
    """The top-level modules that a fresh interpreter imports for a command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment["PYTHONPATH"] = str(ROOT)
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def bare() -> set[str]:
    """What the interpreter and the environment it runs in load by themselves."""
    return loaded_by("-c", "pass")


def test_import_loads_nothing_of_weight() -> None:
    loaded = loaded_by("-c", "import traceprobe") - bare()
    assert "traceprobe" in loaded
    assert not loaded & (HEAVY | {"anyio", "attr", "attrs"})


@pytest.mark.parametrize(
    "name",
    [
        "TracerouteConfig",
        "TimingConfig",
        "TraceResult",
        "TraceprobeError",
        "PrivilegeError",
        "Probe",
    ],
)
def test_a_value_class_loads_nothing_heavy(name: str) -> None:
    assert not (loaded_by("-c", f"from traceprobe import {name}") - bare()) & (HEAVY | {"anyio", "socket"})


@pytest.mark.parametrize("name", ["trace", "trace_async", "open_trace", "Tracer"])
def test_the_functions_load_no_event_loop_and_no_resolver(name: str) -> None:
    assert not (loaded_by("-c", f"from traceprobe import {name}") - bare()) & HEAVY


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_line_answers_without_loading_anything_heavy(option: str) -> None:
    assert not (loaded_by("-m", "traceprobe", option) - bare()) & (HEAVY | {"anyio"})


def test_a_heavy_import_would_be_seen() -> None:
    assert "asyncio" in loaded_by("-c", "import asyncio")
