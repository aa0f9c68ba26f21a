"""JSON, NDJSON and CSV: whole, valid against the shipped schemas, and harmless to look at."""

from __future__ import annotations

import csv
import io
import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from hypothesis import given

from tests.docs.markdown import Page
from tests.golden import check_golden
from tests.house.package import ROOT
from tests.model.samples import STARTED_AT_NS, TRANSIT, TYPICAL
from tests.model.strategies import results
from tests.render.samples import ALL, HOSTILE, HOSTILE_NAME
from traceprobe.config import TracerouteConfig
from traceprobe.model import (
    Event,
    HopEnriched,
    HopRevised,
    HopSettled,
    Knowledge,
    MplsLabel,
    Probe,
    ProbeId,
    ProbeSent,
    Reply,
    ReplyKind,
    ReplyReceived,
    Segment,
    TimestampSource,
    TraceFinished,
    TraceResult,
)
from traceprobe.render.csv import COLUMNS, result_to_csv
from traceprobe.render.json import result_to_json
from traceprobe.render.ndjson import event_line, started_line
from traceprobe.schema import event_schema, trace_schema

GOLDEN = Path(__file__).parent / "golden"

REGISTRY: referencing.Registry[Any] = referencing.Registry().with_resources(
    (str(schema["$id"]), referencing.Resource.from_contents(schema))
    for schema in (trace_schema(), event_schema())
)
EVENTS = jsonschema.Draft202012Validator(event_schema(), registry=REGISTRY)

PROBE = Probe(ProbeId(7), ip_address("203.0.113.80"), ttl=4, attempt=2)
REPLY = Reply(
    ProbeId(7),
    ReplyKind.TIME_EXCEEDED,
    ip_address("198.51.100.9"),
    rtt_ns=9_433_001,
    received_ns=1,
    timestamp_source=TimestampSource.KERNEL_RX,
    sent_at_ns=STARTED_AT_NS,
    icmp_type=11,
    icmp_code=0,
    reply_ttl=250,
    quoted_ttl=1,
    mpls=(MplsLabel(16001, 0, 1, 1),),
)
ALL_EVENTS: list[Event] = [
    ProbeSent(PROBE, 1),
    ReplyReceived(PROBE, REPLY, late=False),
    HopSettled(TYPICAL.hops[2]),
    HopRevised(TYPICAL.hops[4]),
    HopEnriched(
        TYPICAL.hops[3],
        ip_address("198.51.100.9"),
        Knowledge("ae1.core.transit.example", TRANSIT, Segment.TRANSIT),
    ),
    TraceFinished(TYPICAL),
]


def started() -> str:
    return started_line(
        TYPICAL.target,
        TYPICAL.address,
        protocol=TYPICAL.protocol,
        mode=TYPICAL.mode,
        port=TYPICAL.port,
        config=TracerouteConfig(),
    )


def plain_ascii(text: str) -> bool:
    return text.isascii() and all(line.isprintable() for line in text.split("\n"))


# --- JSON --------------------------------------------------------------------------------------------


@given(results())
def test_json_is_the_document_whole_and_shows_nothing_but_ascii(any_result: TraceResult) -> None:
    text = result_to_json(any_result)
    assert plain_ascii(text)
    assert text.endswith("}\n")
    assert TraceResult.from_json(text) == any_result


def test_hostile_names_stay_data_in_json() -> None:
    text = result_to_json(HOSTILE)
    assert plain_ascii(text)
    assert json.loads(text)["hops"][0]["hostname"] == HOSTILE_NAME


# --- NDJSON ------------------------------------------------------------------------------------------


def test_the_lines_of_a_trace_are_those_of_the_golden_page() -> None:
    check_golden(GOLDEN / "typical.ndjson", started() + "".join(map(event_line, ALL_EVENTS)))


def test_every_line_fits_the_shipped_schema() -> None:
    for line in (started(), *map(event_line, ALL_EVENTS)):
        assert line.endswith("\n")
        assert plain_ascii(line)
        EVENTS.validate(json.loads(line))


@given(results())
def test_the_last_line_holds_the_whole_result(any_result: TraceResult) -> None:
    line = event_line(TraceFinished(any_result))
    assert plain_ascii(line)
    assert line.count("\n") == 1
    document = json.loads(line)
    EVENTS.validate(document)
    assert document["event"] == "trace_finished"
    assert TraceResult.from_dict(document["result"]) == any_result


def test_the_schema_refuses_what_is_no_event() -> None:
    for document in ({"event": "probe_lost"}, {"event": "probe_sent", "ttl": 1}, {}):
        with pytest.raises(jsonschema.ValidationError):
            EVENTS.validate(document)


def test_every_event_is_explained() -> None:
    schema: Any = event_schema()
    kinds = [part["$ref"].rpartition("/")[2] for part in schema["oneOf"]]
    assert [row[0].strip("`") for row in Page(ROOT / "docs" / "json.md").table("event")] == kinds
    assert {json.loads(line)["event"] for line in (started(), *map(event_line, ALL_EVENTS))} == set(kinds)


# --- CSV ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["typical", "hostile"])
def test_rows_are_those_of_the_golden_page(name: str) -> None:
    check_golden(GOLDEN / f"{name}.csv", result_to_csv(ALL[name]))


@given(results())
def test_there_is_a_row_for_each_probe_and_no_cell_is_a_formula(any_result: TraceResult) -> None:
    text = result_to_csv(any_result)
    header, *rows = csv.reader(io.StringIO(text))
    assert tuple(header) == COLUMNS
    assert len(rows) == sum(len(hop.probes) for hop in any_result.hops)
    assert text.count("\n") == len(rows) + 1
    for row in rows:
        assert len(row) == len(COLUMNS)
        assert not any(re.match(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]", cell) for cell in row)
    for row, probe in zip(rows, (probe for hop in any_result.hops for probe in hop.probes), strict=True):
        cells = dict(zip(header, row, strict=True))
        assert cells["status"] == probe.status.value
        assert cells["address"] == ("" if probe.address is None else str(probe.address))
        assert (None if not cells["rtt_ms"] else round(float(cells["rtt_ms"]) * 1e6)) == probe.rtt_ns
