"""The doctor: what is open, what isn't and why, what would help, and a status that scripts can use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import traceprobe
from tests.cli.conftest import Outcome
from tests.golden import check_golden
from traceprobe import AddressFamily, Mode, ModeReport, ModeStatus, Protocol
from traceprobe.cli._exit import ExitStatus

GOLDEN = Path(__file__).parent / "golden"
Run = Callable[..., Outcome]
Report = Callable[[ModeReport], None]

RAW = "raw sockets need CAP_NET_RAW, which this process does not have"
RERUN = "sudo setpriv --reuid=1000 --ambient-caps=+net_raw " + "python " * 30 + "-m traceprobe doctor"
PING = "ping sockets are open to no group, and this process is of group 1000"


def report(*usable: tuple[Mode, Protocol, int]) -> ModeReport:
    """A report of Linux's ways of probing, some of them usable."""
    trouble = {
        Mode.LINUX_RAW: (RAW, (RERUN, "choose mode 'linux_udp'\x1b[2J")),
        Mode.LINUX_PING: (PING, ('sudo sysctl -w net.ipv4.ping_group_range="1000 1000"',)),
        Mode.LINUX_UDP: ("this kernel has no IPv6", ()),
    }
    statuses = []
    for family in AddressFamily:
        for mode, protocol in (
            (Mode.LINUX_RAW, Protocol.ICMP),
            (Mode.LINUX_PING, Protocol.ICMP),
            (Mode.LINUX_RAW, Protocol.UDP),
            (Mode.LINUX_UDP, Protocol.UDP),
        ):
            is_usable = (mode, protocol, family.value) in usable
            reason, remedies = (None, ()) if is_usable else trouble[mode]
            statuses.append(ModeStatus(mode, protocol, family, is_usable, reason, remedies))
    return ModeReport(tuple(statuses))


RAW_ICMP = (Mode.LINUX_RAW, Protocol.ICMP)
RAW_UDP = (Mode.LINUX_RAW, Protocol.UDP)
UDP = (Mode.LINUX_UDP, Protocol.UDP)
REPORTS = {
    "everything": report(
        *((mode, protocol, version) for mode, protocol in (RAW_ICMP, RAW_UDP, UDP) for version in (4, 6))
    ),
    "unprivileged": report((*UDP, 4), (*UDP, 6)),
    "mixed": report((*RAW_ICMP, 4), (*UDP, 6)),
    "nothing": report(),
    "elsewhere": ModeReport(()),
}


@pytest.fixture
def with_report(monkeypatch: pytest.MonkeyPatch) -> Report:
    """Let the factory report something else."""

    def use(wanted: ModeReport) -> None:
        monkeypatch.setattr(traceprobe.ProbeSocketFactory, "report", lambda *_: wanted)

    return use


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_is_that_of_the_golden_page(name: str, run: Run, with_report: Report) -> None:
    with_report(REPORTS[name])
    outcome = run("doctor")
    check_golden(GOLDEN / f"doctor_{name}.txt", outcome.out)
    usable = bool(REPORTS[name].usable)
    assert outcome.status == (ExitStatus.REACHED if usable else ExitStatus.NO_SOCKET)
    assert outcome.err == ""


def test_a_remedy_is_never_cut_short(run: Run, with_report: Report) -> None:
    with_report(REPORTS["unprivileged"])
    assert f"{RERUN}\n" in run("doctor").out


def test_a_family_or_a_protocol_can_be_asked_for(run: Run, with_report: Report) -> None:
    with_report(REPORTS["mixed"])
    header = run("doctor", "-4").out.splitlines()[2]
    assert header.split() == ["way", "probes", "IPv4"]
    assert run("doctor", "-4", "-U").status == ExitStatus.NO_SOCKET
    assert run("doctor", "-6", "-U").status == ExitStatus.REACHED
    assert "UDP" not in run("doctor", "-I").out
    assert run("doctor", "-T").status == ExitStatus.NO_SOCKET


@pytest.mark.parametrize("name", REPORTS)
def test_json_says_the_same(name: str, run: Run, with_report: Report) -> None:
    with_report(REPORTS[name])
    outcome = run("doctor", "--json")
    document = json.loads(outcome.out)
    assert document["schema_version"] == 1
    assert [
        (way["mode"], way["protocol"], way["family"], way["usable"], way["reason"], tuple(way["remedies"]))
        for way in document["ways"]
    ] == [
        (s.mode.value, s.protocol.value, s.family.value, s.usable, s.reason, s.remedies)
        for s in REPORTS[name].statuses
    ]
    for family in AddressFamily if REPORTS[name].statuses else ():
        best = REPORTS[name].best(family)
        assert document["plain_trace"][f"ipv{family.value}"] == (
            None if best is None else {"mode": best.mode.value, "protocol": best.protocol.value}
        )
    assert outcome.out.isascii()


def test_what_it_says_of_this_machine_is_what_a_trace_meets(run: Run) -> None:
    document = json.loads(run("doctor", "--json", "-4").out)
    for way in document["ways"]:
        mode = ("--mode", way["mode"], f"--{way['protocol']}")
        outcome = run("127.0.0.1", "-n", "--no-asn", "-q", "1", "-m", "1", *mode, "--json")
        if way["usable"]:
            assert outcome.status == ExitStatus.REACHED
            assert json.loads(outcome.out)["mode"] == way["mode"]
        else:
            assert outcome.status in {ExitStatus.NO_SOCKET, ExitStatus.USAGE}
            assert way["reason"] in outcome.err
