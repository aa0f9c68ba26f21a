"""Files and own addresses on the command line, over the demonstration network: what is shown of them."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.enrich.files import write_database, write_snapshot
from traceprobe.cli import main
from traceprobe.schema import trace_schema

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "EVIL\x1b[2J\u202e<script>"
NETWORKS: dict[str, dict[str, object]] = {
    "198.51.100.0/26": {"autonomous_system_number": 64500, "autonomous_system_organization": "EXAMPLE-ISP"},
    "203.0.113.128/25": {"autonomous_system_number": 64510, "autonomous_system_organization": HOSTILE},
}
EXCHANGES = {
    "ix": [{"id": 1, "name": "EXAMPLE-IX", "city": "Frankfurt", "country": "DE"}],
    "ixlan": [{"id": 1, "ix_id": 1}],
    "ixpfx": [{"ixlan_id": 1, "prefix": "203.0.113.64/27"}],
    "netixlan": [{"asn": 64520, "ipaddr4": "203.0.113.66"}],
}


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The demonstration, with both kinds of file and an own address."""
    database = write_database(tmp_path / "asn.mmdb", NETWORKS)
    snapshot = write_snapshot(tmp_path / "peeringdb.json", EXCHANGES)
    files = ["--asn-db", str(database), "--ixp-db", str(snapshot), "--own-address", "198.51.100.1"]
    return ["demo", "-4", "-n", *files]


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    output = capfd.readouterr()
    assert output.err == ""
    return output.out


def test_lines_name_networks_exchanges_and_segments(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    text = printed(capfd, *options)
    lines = {line.split("  ms  ")[0].split()[0]: line for line in text.splitlines() if "  ms  " in line}
    (metro,) = [line for line in lines.values() if "198.51.100.22" in line]
    assert metro.endswith("198.51.100.22 [AS64500 EXAMPLE-ISP]  ISP")
    (exchange,) = [line for line in lines.values() if "203.0.113.66" in line]
    assert "203.0.113.66 at EXAMPLE-IX (AS64520)  TRANSIT" in exchange
    (target,) = [line for line in lines.values() if "203.0.113.200" in line]
    assert target.endswith("203.0.113.200 [AS64510 EVIL?[2J?<script>]  DESTINATION")
    assert "This machine is seen as 198.51.100.1, AS64500 EXAMPLE-ISP." in text
    assert "\x1b" not in text
    assert "After a late answer or look-up" not in text


def test_in_full_the_reasons_are_told(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    text = printed(capfd, *options, "-v")
    assert "AS64500 EXAMPLE-ISP, prefix 198.51.100.0/26" in text
    assert "ISP: Its network is the one that connects this machine." in text
    assert "on 203.0.113.64/27 of EXAMPLE-IX in Frankfurt, DE, used by AS64520" in text
    assert "announced by nobody" in text


def test_json_tells_all_of_it(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    document: Any = json.loads(printed(capfd, *options, "--json"))
    jsonschema.Draft202012Validator(trace_schema()).validate(document)
    hops = {hop["address"]: hop for hop in document["hops"]}
    assert hops["203.0.113.66"]["exchange"]["member_asn"] == 64520
    assert hops["203.0.113.66"]["segment_reason"] == "exchange"
    assert hops["203.0.113.200"]["asn"]["name"] == HOSTILE
    assert document["public_address"] == "198.51.100.1"
    assert document["isp"]["number"] == 64500


def test_events_tell_it_as_it_comes(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    events = [json.loads(line) for line in printed(capfd, *options, "--ndjson").splitlines()]
    learnt = [event for event in events if event["event"] == "hop_enriched"]
    told = {event["address"]: event for event in [*learnt, *events[-1]["result"]["hops"]]}
    assert told["203.0.113.66"]["exchange"]["name"] == "EXAMPLE-IX"
    assert told["198.51.100.22"]["segment"] == "ISP"


def test_cells_hold_it_too(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(capfd, *options, "--csv"))))
    (row,) = [row for row in rows if row["address"] == "203.0.113.66" and row["attempt"] == "1"]
    assert (row["exchange"], row["exchange_member_asn"], row["segment"]) == ("EXAMPLE-IX", "64520", "TRANSIT")
    (row,) = [row for row in rows if row["address"] == "203.0.113.200" and row["attempt"] == "1"]
    assert (row["asn_prefix"], row["segment_reason"]) == ("203.0.113.128/25", "target_address")


def test_in_the_demonstration_the_public_address_is_the_source(capfd: pytest.CaptureFixture[str]) -> None:
    text = printed(capfd, "demo", "--public-address")
    assert "DESTINATION" in text


@pytest.mark.parametrize("option", ["--asn-db", "--ixp-db"])
def test_a_missing_file_is_told_in_one_line(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "absent")
    assert main(["demo", option, path]) == 5
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert path in output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--asn-db", ""], "--asn-db"),
        (["--own-address", "here"], "--own-address"),
        (["--no-asn", "--asn-db", "asn.mmdb"], "not allowed with"),
    ],
)
def test_bad_use_is_status_2(arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(["demo", *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert words in capfd.readouterr().err
