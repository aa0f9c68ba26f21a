"""The measurements run, and say what they measured. How fast it was is not a matter of tests."""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from benchmarks import goals, history, peers
from benchmarks.__main__ import main
from benchmarks.figures import percentile, spread
from benchmarks.report import to_markdown
from benchmarks.system_calls import is_wait, split_at_marks
from benchmarks.traces import _FAST
from benchmarks.worlds import TARGET, InternetWorld, hops_compared, long_path, many_targets, missing_worlds
from tests.kernel import inside
from tests.rigs.require import require
from tests.rigs.tun import Outcome
from tests.rigs.tun.simulated import load_scenario
from traceprobe import TimingConfig

if TYPE_CHECKING:
    from pathlib import Path


def measure(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    file = tmp_path / "figures.json"
    assert main(["-n", "1", "--loops", "asyncio", "--json", str(file), *arguments]) == 0
    document: dict[str, Any] = json.loads(file.read_text())
    return document


@pytest.mark.tun
def test_the_simulated_internet_fills_every_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("tun", missing_worlds("tun"))
    log = tmp_path / "history.jsonl"
    document = measure(tmp_path, "--only", "tun", "--modes", "raw", "--no-peers", "--history", str(log))
    ours = document["sections"]["tun"]["rows"][0]
    assert ours["label"] == "traceprobe asyncio, raw"
    assert (ours["probes"], ours["right"], ours["wrong"], ours["missed"]) == (90, 30, 0, 0)
    assert all(ours[name]["median"] > 0 for name in ("submit_us", "overhead_us", "wall_ms", "cpu_ms"))
    assert ours["first_reply_us"]["p99"] >= ours["first_reply_us"]["median"] > 0
    assert {"median", "p99"} == set(ours["rtt_error_us"])
    assert {goal["goal"] for goal in document["goals"]} == {"1", "3"}
    assert "| traceprobe asyncio, raw |" in capsys.readouterr().out
    (entry,) = history.read(log)
    assert entry["figures"]["tun/rows/traceprobe asyncio, raw/probes"] == 90


@pytest.mark.netns
def test_peers_trace_beside_us_in_the_chain(tmp_path: Path) -> None:
    require("netns", missing_worlds("chain"))
    require("traceroute", None if peers.PEERS[0].path() else "there is no 'traceroute' program")
    fast = tuple(peer for peer in peers.PEERS if peer.name.startswith("traceroute"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.traces.PEERS", fast)
        patch.setattr("benchmarks.traces.LIBRARIES", ())
        document = measure(tmp_path, "--only", "chain", "--modes", "raw")
    rows = document["sections"]["chain"]["rows"]
    assert [row["label"] for row in rows if row["group"] == "peer"] == [peer.name for peer in fast]
    assert all((row["right"], row["wrong"], row["missed"]) == (13, 0, 0) for row in rows)
    assert rows[0]["probes"] == 90
    assert "2a" in {goal["goal"] for goal in document["goals"]}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loops and modes have other names")
def test_the_machine_itself_can_always_be_traced(tmp_path: Path) -> None:
    require("netns", missing_worlds("chain"))
    document = measure(tmp_path, "--only", "loopback", "--no-peers")
    assert [row["right"] for row in document["sections"]["loopback"]["rows"]] == [1, 1]


@pytest.mark.parametrize(
    "wrong", [["--loops", "curio"], ["--modes", "raw,smoke"], ["-n", "0"], ["--only", "moon"]]
)
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)


# --- judging -----------------------------------------------------------------------------------------


def started(importing: float, helping: float) -> dict[str, Any]:
    rows = [
        {"label": "import traceprobe", "beyond_python_ms": importing},
        {"label": "--help", "wall_ms": spread([helping])},
    ]
    return {"start": {"rows": rows}}


def test_each_goal_is_met_or_missed() -> None:
    met = goals.verdicts(started(goals.IMPORT_MS - 1, goals.HELP_MS - 1))
    assert [verdict.met for verdict in met] == [True, True]
    missed = goals.verdicts(started(goals.IMPORT_MS, goals.HELP_MS - 1))
    assert [verdict.what for verdict in missed if not verdict.met] == [
        "import traceprobe, beyond bare Python"
    ]
    assert goals.verdicts({"start": {"error": "not here"}}) == []


def test_an_untrue_reason_to_stop_is_a_missed_goal() -> None:
    row = {
        "label": "traceprobe asyncio, raw",
        "group": "traceprobe",
        "loop": "asyncio",
        "fast": False,
        "wall_ms": spread([1000.0]),
        "stop_reasons": ["destination_reached"],
    }
    (wall, reason) = goals.verdicts({"blackhole": {"rows": [row]}})
    assert (wall.met, reason.met) == (True, False)


def test_peers_that_could_not_run_are_judged_by_what_they_say_of_themselves() -> None:
    ours = {"label": "traceprobe asyncio, raw", "group": "traceprobe", "wall_ms": spread([4.0])}
    slow = {"label": "mtr", "group": "peer", "wall_ms": spread([39.0])}
    judged = {verdict.what: verdict.met for verdict in goals.verdicts({"chain": {"rows": [ours, slow]}})}
    assert judged == {
        "under mtr": True,
        "times faster than mtr": False,
        "times faster than ftr's own floor of 35 ms (not run)": False,
    }


def test_the_report_names_what_was_missed_and_skipped() -> None:
    section = {"title": "Somewhere", "error": "no root"}
    machine = {"system": "Linux", "kernel": "6", "processors": 2, "python": "3"}
    document = {"machine": machine, "repetitions": 1, "sections": {"chain": section}}
    missed = [goals.Verdict("6", "importing", "< 30 ms", "31 ms", met=False)]
    text = to_markdown(document, missed)
    assert "Not measured: no root." in text
    assert "| 6 | importing | < 30 ms | 31 ms | **missed** |" in text
    assert "0 met, 1 missed." in text


# --- counting ----------------------------------------------------------------------------------------


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.99), percentile(values, 0.5), percentile([7.0], 0.99)) == (99.0, 50.0, 7.0)


def test_hops_are_compared_with_the_truth() -> None:
    truth = ["192.0.2.1", None, "192.0.2.3"]
    assert hops_compared(["192.0.2.1", None, "192.0.2.3"], truth) == (3, 0, 0)
    assert hops_compared(["192.0.2.1", "192.0.2.9", None], truth) == (1, 1, 1)
    assert hops_compared(["192.0.2.1"], truth) == (1, 0, 1)
    assert hops_compared(["192.0.2.1", None, "192.0.2.3", None, "192.0.2.5"], truth) == (3, 1, 0)


def test_calls_are_counted_between_marks() -> None:
    output = """\
7 access("/traceprobe-benchmark", F_OK) = -1 ENOENT (No such file or directory)
7 epoll_wait(3, [], 1024, 1000) = 0
8 futex(0x7f, FUTEX_WAIT <unfinished ...>
7 epoll_wait(3, [], 1024, 0) = 0
8 <... futex resumed>) = 0
7 --- SIGCHLD ---
7 access("/traceprobe-benchmark", F_OK) = -1 ENOENT (No such file or directory)
7 close(3) = 0
"""
    (calls,) = split_at_marks(output)
    assert [name for name, _ in calls] == ["epoll_wait", "futex", "epoll_wait"]
    assert [is_wait(*call) for call in calls] == [True, False, False]


@pytest.mark.parametrize(
    ("rest", "waits"),
    [
        ("4, [], 1024, -1) = 0", True),
        ("4, [], 1024, 0, NULL, 8) = 0", False),
        ("4, [], 1024, 250, NULL, 8 <unfinished ...>", True),
        ("4, <unfinished ...>", True),
    ],
)
def test_a_wait_is_one_that_was_told_to(rest: str, waits: bool) -> None:
    assert is_wait("epoll_pwait", rest) is waits


# --- what the peers say ------------------------------------------------------------------------------


def test_the_output_of_peers_is_read() -> None:
    lines = (
        "to 203.0.113.9, 30 hops max\n 1  192.0.2.1  0.5 ms  0.25 ms *\n 2  * * *\n 3  203.0.113.9  1 ms\n"
    )
    assert peers.in_order(peers.read_lines(lines)) == ["192.0.2.1", None, "203.0.113.9"]
    assert peers.read_traceroute_rtts(lines) == [[1, 1, 500_000], [1, 2, 250_000], [3, 1, 1_000_000]]
    csv = (
        "Mtr_Version,Start_Time,Status,Host,Hop,Ip\nMTR.0.95,1,OK,h,1,192.0.2.1,0\nMTR.0.95,1,OK,h,2,???,0\n"
    )
    assert peers.read_mtr(csv) == {1: "192.0.2.1"}
    ftr = {"hops": [{"ttl": 1, "address": "192.0.2.1"}, {"ttl": 2, "address": None}]}
    assert peers.read_ftr("talk\n" + json.dumps(ftr)) == {1: "192.0.2.1"}
    trip = {"hops": [{"ttl": 1, "hosts": [{"ip": "192.0.2.1"}]}, {"ttl": 2, "hosts": []}]}
    assert peers.read_trip(json.dumps(trip)) == {1: "192.0.2.1"}
    windows = (
        "  1    <1 ms    <1 ms    <1 ms  192.0.2.1 \n  2     *        *        *     Request timed out.\n"
    )
    assert peers.in_order(peers.read_lines(windows)) == ["192.0.2.1"]


def test_a_peer_that_is_not_there_says_why() -> None:
    absent = peers.Peer("absent", ("no-such-program",), peers.read_lines, where=sys.platform)
    assert absent.missing() == "no-such-program is not installed"
    elsewhere = peers.Peer("elsewhere", ("tracert",), peers.read_lines, where="plan9")
    assert elsewhere.missing() == "it is compared with on plan9 only"


# --- what is traced ----------------------------------------------------------------------------------


def test_the_fast_preset_is_that_of_the_command_line() -> None:
    fast, default = attrs.asdict(TimingConfig.fast()), attrs.asdict(TimingConfig())
    assert {name: value for name, value in fast.items() if value != default[name]} == _FAST


def test_topologies_of_many_are_what_they_are_said_to_be() -> None:
    topology, targets = many_targets(1000)
    assert len(set(targets)) == 1000
    assert {len(list(path.stations(0.0, lambda *_: 0))) for path in topology.paths} == {30}
    (path,) = long_path(64).paths
    assert len(list(path.stations(0.0, lambda *_: 0))) == 64


@pytest.mark.tun
def test_the_presets_are_what_they_are_called() -> None:
    require("tun", missing_worlds("tun"))
    with InternetWorld("ethernet", "") as world:
        found = world.call(inside.trace, TARGET, {"mode": "linux_raw"}, backend="asyncio")
        assert inside.addresses(found) == world.truth
        world.internet.load(load_scenario("vpn"))
        large = {"mode": "linux_raw", "packet_size": 1450, "dont_fragment": True}
        found = world.call(inside.trace, TARGET, large, backend="asyncio")
        refused = found["hops"][-1]["probes"][0]
        assert (found["stop_reason"], refused["reply"], refused["mtu"]) == (
            "unreachable",
            "packet_too_big",
            1400,
        )
        found = world.call(inside.trace, TARGET, {**large, "packet_size": 1400}, backend="asyncio")
        assert found["reached"]


@pytest.mark.tun
def test_wireless_losses_come_in_bursts_and_answers_in_another_order() -> None:
    require("tun", missing_worlds("tun"))
    with InternetWorld("wifi", "") as world:
        for _ in range(5):
            world.call(
                inside.trace, TARGET, {"mode": "linux_raw", "max_ttl": 12, "queries": 10}, backend="asyncio"
            )
        log = world.log()
    lost = [probe.outcome is Outcome.LOST_FORWARD for probe in log.probes]
    runs = [len(list(run)) for is_lost, run in itertools.groupby(lost) if is_lost]
    assert runs
    assert all(run >= 3 for run in runs[:-1])
    arrivals = [reply.probe for reply in log.replies]
    assert arrivals != sorted(arrivals)
