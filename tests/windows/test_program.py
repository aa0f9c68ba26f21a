"""The program on Windows: documents, text, the report of ``doctor``, UTF-8, Ctrl-C."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import traceprobe
from traceprobe.schema import trace_schema

if TYPE_CHECKING:
    from tests.windows.conftest import Lab, Target


def program(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end, its output going to pipes."""
    return python("-m", "traceprobe", *arguments)


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        **options,
    )


def test_the_document_is_what_the_schema_says(target: Target) -> None:
    done = program("-n", "--no-asn", "--json", target.address)
    assert (done.returncode, done.stderr) == (0, b"")
    document = json.loads(done.stdout.decode("utf-8"))
    jsonschema.Draft202012Validator(trace_schema()).validate(document)
    assert [hop["address"] for hop in document["hops"]] == list(target.hops)
    assert document["mode"] == "windows_icmp"


@pytest.mark.parametrize("form", ["--ndjson", "--csv"])
def test_other_forms_name_every_hop(target: Target, form: str) -> None:
    done = program("-n", "--no-asn", form, target.address)
    assert (done.returncode, done.stderr) == (0, b"")
    for address in target.hops:
        assert address in done.stdout.decode("utf-8")
    assert b"\r\r\n" not in done.stdout


def test_text_goes_to_a_pipe_without_escape_codes(target: Target) -> None:
    done = program("-n", "--no-asn", target.address)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    shown = [line.split()[-1] for line in done.stdout.decode("utf-8").splitlines() if " ms  " in line]
    assert shown == list(target.hops)


def test_the_report_says_what_works_here() -> None:
    done = program("doctor")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("utf-8")
    assert "windows_icmp  ICMP     open" in text
    assert "A plain trace takes windows_icmp with ICMP over IPv4" in text
    report = json.loads(program("doctor", "--json").stdout)
    assert report["plain_trace"]["ipv4"] == {"mode": "windows_icmp", "protocol": "icmp"}
    assert {way["mode"] for way in report["ways"]} == {"windows_icmp", "windows_raw"}
    for way in report["ways"]:
        assert way["usable"] or way["reason"]


def test_what_can_not_be_done_is_said_with_its_status(target: Target) -> None:
    for arguments, status in (
        (["--mode", "linux_raw", target.address], 2),
        (["-i", "Ethernet", "-I", target.address], 2),
        (["a..b"], 4),
        ([], 2),
    ):
        done = program(*arguments)
        assert (done.returncode, done.stdout) == (status, b"")
        assert done.stderr.startswith(b"traceprobe: error: ")
        assert b"Traceback" not in done.stderr


def test_a_target_that_is_not_reached_has_its_status(lab: Lab) -> None:
    done = program("-n", "--no-asn", "-m", "5", "-w", "0.3", lab.silent)
    assert (done.returncode, done.stderr) == (1, b"")


NAMES = """
import sys, traceprobe
from traceprobe.cli import main
from traceprobe.testing import Router, SimulatedNetwork

router = Router("10.0.0.1", hostname="m\\u00fcnchen\\u2192.example")
network = SimulatedNetwork.path("203.0.113.9", [router, "203.0.113.9"])
real = traceprobe.open_trace

def open_trace(target, **options):
    return real(target, **options | {"socket_factory": network, "resolver": network.resolver})

traceprobe.open_trace = open_trace
sys.exit(main(sys.argv[1:]))
"""


def test_names_go_to_a_pipe_in_utf_8() -> None:
    done = python("-c", NAMES, "--no-asn", "203.0.113.9")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "münchen→.example (10.0.0.1)" in done.stdout.decode("utf-8")


CTRL_C = """
import ctypes, sys, threading, traceprobe
from traceprobe.cli import main

entered = traceprobe.Trace.__aenter__

def press():
    # To everybody on this console; the program has one of its own.
    ctypes.windll.kernel32.GenerateConsoleCtrlEvent(0, 0)

async def enter(self):
    trace = await entered(self)
    threading.Timer(0.2, press).start()
    return trace

traceprobe.Trace.__aenter__ = enter
ctypes.windll.kernel32.SetConsoleCtrlHandler(None, False)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("form", [None, "--json"])
def test_ctrl_c_ends_a_trace_and_shows_what_is_known(lab: Lab, form: str | None) -> None:
    first = str(lab.silent_after)
    done = python(
        *("-c", CTRL_C, lab.silent, "-f", first, "-m", str(lab.silent_after + 1), "-q", "1", "-w", "3"),
        *("-n", "--no-asn"),
        *([form] if form else []),
        creationflags=getattr(subprocess, "CREATE_NEW_CONSOLE", 0),
    )
    assert (done.returncode, done.stderr.splitlines()) == (130, [b"traceprobe: interrupted"])
    if form is None:
        assert b"the trace was cut short" in done.stdout
        return
    result = traceprobe.TraceResult.from_json(done.stdout.decode("utf-8"))
    assert result.stop_reason is traceprobe.StopReason.CANCELLED
    assert str(result.hops[0].address) == lab.target.hops[lab.silent_after - 1]
    assert [probe.status.value for probe in result.hops[-1].probes] == ["cancelled"]
