"""The trace command over simulated networks: every form of output, every ending, every exit status."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.conftest import Outcome
from tests.golden import check_golden, without_duration
from tests.render.test_programs import EVENTS, REGISTRY
from traceprobe import Protocol, TraceResult
from traceprobe.cli._exit import ExitStatus
from traceprobe.schema import trace_schema
from traceprobe.testing import Balanced, Router, SimulatedNetwork, Target

GOLDEN = Path(__file__).parent / "golden"
Run = Callable[..., Outcome]
UseNetwork = Callable[..., None]

NAMES = {"example.net": ["203.0.113.9"], "six.example": ["2001:db8::9"]}


def network(**options: Any) -> SimulatedNetwork:
    return SimulatedNetwork.path(
        "203.0.113.9",
        [
            Router("192.168.1.1", rtt=0.0004, hostname="gateway.home.example"),
            None,
            Router("198.51.100.7", rtt=0.0123, hostname="evil\x1b[2J\u202e.example"),
            Target("203.0.113.9", rtt=0.0201, hostname="example.net"),
        ],
        names=NAMES,
        **options,
    )


def test_text_is_that_of_the_golden_page(run: Run, use_network: UseNetwork) -> None:
    use_network(network(), names=True)
    outcome = run("example.net")
    check_golden(GOLDEN / "trace.txt", without_duration(outcome.out))
    assert (outcome.status, outcome.err) == (ExitStatus.REACHED, "")


def test_the_word_trace_changes_nothing(run: Run, use_network: UseNetwork) -> None:
    use_network(network(), names=True)
    first = run("example.net")
    use_network(network(), names=True)
    assert run("trace", "example.net") == first


def test_json_is_one_valid_document_and_nothing_else(run: Run, use_network: UseNetwork) -> None:
    use_network(network(), names=True)
    outcome = run("--json", "example.net")
    assert (outcome.status, outcome.err) == (ExitStatus.REACHED, "")
    document = json.loads(outcome.out)
    jsonschema.Draft202012Validator(trace_schema(), registry=REGISTRY).validate(document)
    result = TraceResult.from_dict(document)
    assert [str(hop.address) for hop in result] == ["192.168.1.1", "None", "198.51.100.7", "203.0.113.9"]
    assert result.hops[2].hostname == "evil\x1b[2J\u202e.example"
    assert "\x1b" not in outcome.out


def test_ndjson_tells_everything_as_it_happens(run: Run, use_network: UseNetwork) -> None:
    use_network(network(), names=True)
    outcome = run("--ndjson", "example.net", "-q", "2", "-m", "6")
    assert (outcome.status, outcome.err) == (ExitStatus.REACHED, "")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    for event in events:
        EVENTS.validate(event)
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("trace_started", "trace_finished")
    assert kinds.count("trace_finished") == 1
    assert kinds.count("probe_sent") == 12
    assert kinds.count("hop_settled") == 4
    assert {"reply_received", "hop_enriched"} <= set(kinds)
    last = TraceResult.from_dict(events[-1]["result"])
    assert last.reached
    assert last.hops[0].hostname == "gateway.home.example"


def test_csv_has_a_row_for_each_probe(run: Run, use_network: UseNetwork) -> None:
    use_network(network(), names=True)
    outcome = run("--csv", "example.net", "-q", "2")
    assert (outcome.status, outcome.err) == (ExitStatus.REACHED, "")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [(row["ttl"], row["attempt"]) for row in rows] == [
        (str(ttl), str(attempt)) for ttl in range(1, 5) for attempt in (1, 2)
    ]
    assert rows[4]["hostname"] == "evil?[2J?.example"


def test_without_names_only_addresses_are_shown(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    assert "gateway" not in run("-n", "--no-asn", "example.net").out


def test_options_reach_the_wire(run: Run, use_network: UseNetwork) -> None:
    net = network()
    use_network(net)
    outcome = run("-U", "-p", "40000", "-f", "3", "-m", "4", "-q", "1", "--packet-size", "90", "example.net")
    assert outcome.out.startswith(
        "traceprobe to example.net (203.0.113.9), UDP port 40000, 1 probe per hop, at most 4 hops\n"
    )
    assert [packet.probe.ttl for packet in net.sent if packet.probe] == [3, 4]
    assert {len(packet.datagram) for packet in net.sent} == {90}


def test_several_responders_have_a_line_each(run: Run, use_network: UseNetwork) -> None:
    use_network(
        SimulatedNetwork.path(
            "203.0.113.9",
            [Balanced([["198.51.100.1"], ["198.51.100.2"]], per="packet"), "203.0.113.9"],
            seed=3,
        )
    )
    lines = run("-q", "6", "203.0.113.9").out.splitlines()[2:5]
    assert [line.split()[-1] for line in lines] == ["198.51.100.1", "198.51.100.2", "203.0.113.9"] or [
        line.split()[-1] for line in lines
    ] == ["198.51.100.2", "198.51.100.1", "203.0.113.9"]


def test_what_comes_late_is_told_at_the_end(run: Run, use_network: UseNetwork) -> None:
    # The first hop is given up long before it answers, since the second one is so much faster.
    slow, fast = Router("10.0.0.1", rtt=0.2), Router("10.0.0.2", rtt=0.02)
    use_network(SimulatedNetwork.path("203.0.113.9", [slow, fast, Target("203.0.113.9", rtt=0.9)]))
    lines = run("203.0.113.9").out.splitlines()
    assert lines[2:9] == [
        "  1        *         *         *",
        "  2   20.000    20.000    20.000  ms  10.0.0.2",
        "  3  900.000   900.000   900.000  ms  203.0.113.9",
        "",
        "After a late answer or look-up:",
        "  1  200.000~  200.000~  200.000~ ms  10.0.0.1",
        "",
    ]
    assert lines[-1] == "~ answered late, after it had been given up"


def test_a_line_waits_for_its_names_and_no_longer(run: Run, use_network: UseNetwork) -> None:
    use_network(network(resolver_delay=0.3), names=True)
    assert "gateway.home.example (192.168.1.1)\n" in run("example.net").out
    use_network(network(resolver_delay=60.0), names=True)
    outcome = run("example.net")
    assert "  ms  192.168.1.1\n" in outcome.out
    assert "After a late answer" not in outcome.out


def test_not_reached_is_status_1(run: Run, use_network: UseNetwork) -> None:
    use_network(
        SimulatedNetwork.path("203.0.113.9", ["192.168.1.1", None, Target("203.0.113.9", silent=True)])
    )
    outcome = run("203.0.113.9", "-m", "4")
    assert outcome.status == ExitStatus.NOT_REACHED
    assert "Did not reach 203.0.113.9 within 4 hops" in outcome.out


@pytest.mark.parametrize("form", ["--json", "--ndjson", "--csv"])
def test_the_status_does_not_depend_on_the_form(form: str, run: Run, use_network: UseNetwork) -> None:
    use_network(SimulatedNetwork.path("203.0.113.9", [Target("203.0.113.9", silent=True)]))
    assert run("203.0.113.9", "-m", "2", form).status == ExitStatus.NOT_REACHED


# --- what can't be done ------------------------------------------------------------------------------

BAD = {
    "zero TTL": (["-f", "0"], 2, "--first-ttl 0: must be a whole number from 1 to 255"),
    "TTL too large": (["-m", "256"], 2, "--max-ttl 256: must be"),
    "TTLs the wrong way round": (
        ["-f", "9", "-m", "3"],
        2,
        "--first-ttl 9: must be at most --max-ttl, which is 3",
    ),
    "TTL that is no number": (["-m", "ten"], 2, "--max-ttl ten: must be a whole number"),
    "TTL that is no whole number": (["-m", "1.5"], 2, "--max-ttl 1.5: must be a whole number"),
    "negative TTL": (["-m", "-5"], 2, "--max-ttl -5: must be a whole number"),
    "port zero": (["-U", "-p", "0"], 2, "--port 0: must be a whole number from 1 to 65535"),
    "port too large": (["-U", "-p", "65536"], 2, "--port 65536: must be"),
    "port for ICMP": (["-I", "-p", "80"], 2, "--port 80: must be left out for ICMP"),
    "no queries": (["-q", "0"], 2, "--queries 0: must be"),
    "too many queries": (["-q", "101"], 2, "--queries 101: must be"),
    "packet too small": (["--packet-size", "27"], 2, "--packet-size 27: must be"),
    "packet too small for the mode": (["--packet-size", "28"], 2, "--packet-size 28: must be"),
    "packet too large": (["--packet-size", "65536"], 2, "--packet-size 65536: must be"),
    "time-out not a number": (
        ["-w", "nan"],
        2,
        "--timeout nan: must be a finite number",
    ),
    "negative time-out": (["-w", "-1"], 2, "--timeout -1.0: must be"),
    "no time-out": (["-w", "0"], 2, "--timeout 0.0: must be"),
    "infinite time-out": (["-w", "inf"], 2, "--timeout inf: must be"),
    "no time for the whole": (["--overall-timeout", "0"], 2, "--overall-timeout 0.0: must be"),
    "negative interval": (["-z", "-0.1"], 2, "--send-interval -0.1: must be"),
    "window of nothing": (["-N", "0"], 2, "--max-in-flight 0: must be"),
    "source that is none": (["-s", "eth0"], 2, "--source eth0: must be"),
    "source of another family": (["-6", "-s", "192.0.2.1"], 2, "--source 192.0.2.1: must be an IPv6 address"),
    "a label where there is none": (
        ["--flow-label", "5"],
        2,
        "--flow-label 5: mode simulated has no support",
    ),
    "label too wide": (["--flow-label", "0x100000"], 2, "--flow-label 1048576: must be"),
    "code point too large": (["--dscp", "64"], 2, "--dscp 64: must be"),
    "no bits of congestion": (["--ecn", "4"], 2, "--ecn 4: must be"),
    "no pattern": (["--payload-pattern", ""], 2, "--payload-pattern '': must be"),
    "source port for ICMP": (["-I", "--sport", "5"], 2, "--source-port 5: must be"),
    "mark of a simulation": (["--mark", "1"], 2, "--mark 1: mode simulated has no support"),
}


@pytest.mark.parametrize(("arguments", "status", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_told_in_one_line(
    arguments: list[str], status: int, words: str, run: Run, use_network: UseNetwork
) -> None:
    use_network(network())
    outcome = run("example.net", *arguments)
    assert outcome.status == status
    assert outcome.out == ""
    assert words in outcome.err
    assert outcome.err.startswith("traceprobe: error: ")
    assert outcome.err.count("\n") == 1


def test_an_unknown_host_is_status_4(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    outcome = run("nowhere.example")
    assert (outcome.status, outcome.out) == (ExitStatus.NOT_RESOLVED, "")
    assert outcome.err.startswith("traceprobe: error: cannot resolve 'nowhere.example': ")
    assert outcome.err.splitlines()[1] == "tried: the system's resolver, for IPv4 and IPv6 addresses"


def test_a_name_without_the_family_is_status_4(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    outcome = run("-6", "example.net")
    assert outcome.status == ExitStatus.NOT_RESOLVED
    assert outcome.err.splitlines()[1] == "tried: the system's resolver, for IPv6 addresses"


def test_an_address_of_another_family_is_status_2(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    outcome = run("-6", "203.0.113.9")
    assert outcome.status == ExitStatus.USAGE
    assert "TARGET 203.0.113.9: must be an IPv6 address" in outcome.err


def test_whoever_meant_the_command_is_told_so(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    outcome = run("-4", "doctor")
    assert outcome.status == ExitStatus.NOT_RESOLVED
    assert "for the command, write it first: traceprobe doctor" in outcome.err


@pytest.mark.parametrize("option", ["-I", "-U"])
def test_an_explicit_protocol_never_turns_into_another(
    option: str, run: Run, use_network: UseNetwork
) -> None:
    denied = Protocol.ICMP if option == "-I" else Protocol.UDP
    use_network(network(denied=[denied]))
    outcome = run(option, "example.net")
    assert (outcome.status, outcome.out) == (ExitStatus.NO_SOCKET, "")
    assert f"error: no permission to probe with {denied.value}" in outcome.err
    assert "to mend it, one of:" in outcome.err
    assert run("example.net").status == ExitStatus.REACHED


def test_not_a_single_probe_sent_is_status_5(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    outcome = run("203.0.113.99")
    assert outcome.status == ExitStatus.FAILURE
    assert outcome.err == (
        "traceprobe: error: Network is unreachable: not a single probe to 203.0.113.99 could be sent; "
        "look at this machine's routing table\n"
    )
    assert "not sent: ENETUNREACH (no route to that network)" in outcome.out


def test_an_error_shows_nothing_hostile(run: Run, use_network: UseNetwork) -> None:
    use_network(network())
    outcome = run("\x1b[2J\u202eevil.example")
    assert outcome.status == ExitStatus.NOT_RESOLVED
    assert "\x1b" not in outcome.err
    assert "\u202e" not in outcome.err


def test_a_fault_of_the_program_shows_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import traceprobe

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(traceprobe, "open_trace", broken)
    with pytest.raises(ZeroDivisionError):
        run("example.net")
