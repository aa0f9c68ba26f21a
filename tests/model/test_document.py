"""The JSON contract: exact text, identity both ways, the shipped schemas, and every kind of bad document."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from tests.golden import check_golden
from tests.model.samples import TYPICAL, cancelled, hop, result, unsent
from tests.model.strategies import results
from traceprobe.errors import ConfigError
from traceprobe.model import (
    ChangedField,
    InterfaceRole,
    ReplyKind,
    Segment,
    SegmentReason,
    StopReason,
    TimestampSource,
    TraceResult,
    _document_types,
)
from traceprobe.schema import event_schema, trace_schema

GOLDEN = Path(__file__).parent / "golden" / "trace-v1.json"
VALIDATOR = jsonschema.Draft202012Validator(trace_schema())


def test_the_document_is_exactly_the_contract() -> None:
    check_golden(GOLDEN, TYPICAL.to_json(indent=2) + "\n")


@given(results())
def test_a_result_survives_its_document_and_its_text(original: TraceResult) -> None:
    document = original.to_dict()
    assert TraceResult.from_dict(document) == original
    assert TraceResult.from_json(original.to_json()) == original
    assert TraceResult.from_json(original.to_json().encode("ascii")).to_dict() == document
    assert pickle.loads(pickle.dumps(TraceResult.from_dict(document))) == original


@given(results())
def test_every_document_fits_the_shipped_schema(original: TraceResult) -> None:
    VALIDATOR.validate(original.to_dict())
    VALIDATOR.validate(json.loads(original.to_json()))


@pytest.mark.parametrize("schema", [trace_schema(), event_schema()], ids=["trace", "event"])
def test_the_schemas_are_valid_and_closed(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("properties") and "required" in node and "type" in node:
                assert node["additionalProperties"] is False
                assert sorted(node["required"]) == sorted(node["properties"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(schema)


def test_schema_and_typed_dictionaries_name_the_same_fields_in_the_same_order() -> None:
    schema: Any = trace_schema()
    definitions = schema["$defs"]
    for described, typed in [
        (schema, _document_types.TraceDocument),
        (definitions["timings"], _document_types.TimingsDocument),
        (definitions["hop"], _document_types.HopDocument),
        (definitions["hop"]["properties"]["rtt_ms"]["anyOf"][0], _document_types.RttDocument),
        (definitions["responder"], _document_types.ResponderDocument),
        (definitions["asn"], _document_types.AsnDocument),
        (definitions["exchange"], _document_types.ExchangeDocument),
        (definitions["enrichment_error"], _document_types.EnrichmentErrorDocument),
        (definitions["probe"], _document_types.ProbeDocument),
        (definitions["mpls"]["items"], _document_types.MplsDocument),
        (definitions["interfaces"]["items"], _document_types.InterfaceDocument),
        (definitions["extensions"]["items"], _document_types.ExtensionDocument),
        (definitions["changes"]["items"], _document_types.ChangeDocument),
    ]:
        assert list(described["properties"]) == list(typed.__annotations__)


def test_the_schema_knows_every_word_of_the_model() -> None:
    schema: Any = trace_schema()
    assert schema["properties"]["stop_reason"]["enum"] == [reason.value for reason in StopReason]
    assert schema["$defs"]["reply_kind"]["enum"] == [kind.value for kind in ReplyKind]
    assert schema["$defs"]["segment"]["enum"] == [*(segment.value for segment in Segment), None]
    assert schema["$defs"]["segment_reason"]["enum"] == [*(reason.value for reason in SegmentReason), None]
    assert schema["$defs"]["timestamp_source"]["enum"] == [source.value for source in TimestampSource]
    interface, change = (schema["$defs"][name]["items"]["properties"] for name in ("interfaces", "changes"))
    assert interface["role"]["enum"] == [role.value for role in InterfaceRole]
    assert change["field"]["enum"] == [field.value for field in ChangedField]


def test_silence_and_failure_are_null_and_never_made_up() -> None:
    document = result(
        hop(1, None, None), hop(2, unsent(), cancelled()), stop_reason=StopReason.CANCELLED
    ).to_dict()
    quiet, failed = document["hops"]
    assert (quiet["address"], quiet["addresses"], quiet["rtt_ms"], quiet["loss"]) == (None, [], None, 1.0)
    assert quiet["probes"][0]["waited_ms"] == 1000.0
    assert (failed["sent"], failed["received"], failed["loss"]) == (0, 0, None)
    assert [probe["error"] for probe in failed["probes"]] == ["ENETUNREACH", None]
    assert failed["probes"][0]["sent_at"] is None
    assert document["reached"] is False
    VALIDATOR.validate(document)


def test_unknown_fields_are_ignored() -> None:
    document: Any = TYPICAL.to_dict()
    document["added_later"] = 1
    document["hops"][0]["added_later"] = {}
    document["hops"][3]["asn"]["added_later"] = None
    assert TraceResult.from_dict(document) == TYPICAL


def test_a_document_may_be_made_of_tuples_and_integers() -> None:
    document: Any = TYPICAL.to_dict()
    document["hops"] = tuple(document["hops"])
    document["hops"][2]["probes"][0]["waited_ms"] = 1000
    document["hops"][2]["loss"] = 1
    assert TraceResult.from_dict(document) == TYPICAL


ALL_FIELDS = [
    "schema_version", "traceprobe", "target", "address", "source", "protocol", "mode", "flow", "port",
    "started_at", "duration_ms", "reached", "stop_reason", "timings", "discarded", "public_address",
    "isp", "enrichment_errors", "hops", "isp.number", "isp.origins", "enrichment_errors[0].reason",
    "timings.submit_ms", "timings.first_reply_ms", "timings.overhead_ms", "timings.probes_sent",
    "timings.replies",
    *(
        f"hops[3].{name}"
        for name in (
            "ttl", "address", "addresses", "hostname", "asn", "announced", "segment", "segment_reason",
            "country", "city", "exchange", "enrichment_errors", "responders", "sent", "received", "loss",
            "rtt_ms", "probes",
        )
    ),
    *(
        f"hops[3].responders[0].{name}"
        for name in (
            "address", "hostname", "asn", "announced", "segment", "segment_reason", "country", "city",
            "exchange", "enrichment_errors", "replies",
        )
    ),
    *(
        f"hops[3].responders[0].asn.{name}"
        for name in ("number", "prefix", "country", "registry", "name", "origins")
    ),
    *(
        f"hops[3].responders[0].exchange.{name}"
        for name in ("name", "prefix", "city", "country", "member_asn")
    ),
    *(f"hops[3].responders[0].enrichment_errors[0].{name}" for name in ("enricher", "reason")),
    *(
        f"hops[3].probes[0].{name}"
        for name in (
            "attempt", "flow", "status", "late", "address", "rtt_ms", "sent_at", "timestamp_source", "reply",
            "icmp_type", "icmp_code", "reply_ttl", "quoted_ttl", "return_path_length", "mpls", "interfaces",
            "extensions", "changes", "mtu", "waited_ms", "error",
        )
    ),
    *(f"hops[3].probes[0].mpls[1].{name}" for name in ("label", "tc", "s", "ttl")),
    *(
        f"hops[3].probes[0].interfaces[0].{name}"
        for name in ("role", "index", "address", "name", "mtu")
    ),
    *(f"hops[3].probes[0].extensions[0].{name}" for name in ("class_num", "c_type", "payload")),
    *(f"hops[3].probes[0].changes[0].{name}" for name in ("field", "sent", "seen")),
]  # fmt: skip


def descend(document: Any, path: str) -> tuple[Any, str]:
    """The object that holds the field at a path, and the field's name in it."""
    *parents, last = path.replace("[", ".#").replace("]", "").split(".")
    for step in parents:
        document = document[int(step[1:])] if step.startswith("#") else document[step]
    return document, last


@pytest.mark.parametrize("path", ALL_FIELDS)
def test_a_missing_field_is_named_by_its_path(path: str) -> None:
    document = copy.deepcopy(TYPICAL.to_dict())
    holder, name = descend(document, path)
    del holder[name]
    with pytest.raises(ConfigError) as caught:
        TraceResult.from_dict(document)
    assert caught.value.field == path
    assert "is missing" in str(caught.value)


@pytest.mark.parametrize("path", ALL_FIELDS)
@pytest.mark.parametrize(
    "value", [b"bytes", 1 + 2j, {"a": "b"}, [["nested"]]], ids=lambda value: type(value).__name__
)
def test_a_value_of_the_wrong_kind_is_named_by_its_path(path: str, value: object) -> None:
    document = copy.deepcopy(TYPICAL.to_dict())
    holder, name = descend(document, path)
    holder[name] = value
    with pytest.raises(ConfigError) as caught:
        TraceResult.from_dict(document)
    # An object or a list where one belongs fails further in, at the first thing that is wrong with it.
    assert caught.value.field.startswith(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 2),
        ("schema_version", True),
        ("address", "203.0.113"),
        ("address", 3405803856),
        ("protocol", "sctp"),
        ("protocol", "ICMP"),
        ("port", 0),
        ("port", 65536),
        ("port", True),
        ("started_at", "2026-11-22T10:00:00Z"),
        ("started_at", "2026-11-22T10:00:00.000000+00:00"),
        ("started_at", "2026-13-22T10:00:00.000000Z"),
        ("started_at", "\uff12026-11-22T10:00:00.000000Z"),
        ("duration_ms", -0.001),
        ("duration_ms", float("nan")),
        ("duration_ms", float("inf")),
        ("duration_ms", 10**400),
        ("duration_ms", True),
        ("reached", False),
        ("reached", 1),
        ("stop_reason", "max_ttl"),
        ("discarded.unmatched", -1),
        ("timings.probes_sent", 1.0),
        ("timings.submit_ms", 1e300),
        ("hops[0].ttl", 0),
        ("hops[0].ttl", 256),
        ("hops[3].address", "198.51.100.10"),
        ("hops[3].address", None),
        ("hops[3].addresses", []),
        ("hops[3].hostname", "elsewhere.example"),
        ("hops[3].asn.number", 64501),
        ("hops[3].segment", "LAN"),
        ("hops[3].sent", 2),
        ("hops[3].received", 2.0),
        ("hops[3].loss", 0.5),
        ("hops[3].loss", False),
        ("hops[3].rtt_ms.avg", 9.5),
        ("hops[3].rtt_ms", None),
        ("hops[3].responders[0].replies", 0),
        ("hops[3].responders[0].asn.number", 2**32),
        ("hops[3].responders[0].segment", "lan"),
        ("hops[3].probes[0].attempt", 0),
        ("hops[3].probes[0].icmp_type", 256),
        ("hops[3].probes[0].mpls[0].label", 2**20),
        ("hops[3].probes[0].mpls[0].s", 2),
        ("hops[3].probes[0].late", "false"),
        ("hops[3].probes[0].return_path_length", 2),
        ("hops[3].probes[0].return_path_length", None),
        ("hops[3].probes[0].interfaces[0].role", "INCOMING"),
        ("hops[3].probes[0].interfaces[0].index", -1),
        ("hops[3].probes[0].interfaces[1].address", "198.51.100"),
        ("hops[3].probes[0].extensions[0].class_num", 256),
        ("hops[3].probes[0].extensions[0].payload", "0"),
        ("hops[3].probes[0].extensions[0].payload", "0x2a"),
        ("hops[3].probes[0].extensions[0].payload", "2A"),
        ("hops[3].probes[0].extensions[0].payload", "00 2a"),
        ("hops[3].probes[0].changes[0].field", "hop_limit"),
        ("hops[3].probes[0].changes[0].sent", -1),
        ("hops[3].probes[0].changes[0].seen", 46.0),
        ("hops[3].probes[0].changes[0].seen", None),
        ("hops[3].nat", False),
        ("hops[3].nat", None),
        ("hops[3].forward_path_length", 4),
        ("hops[3].ttl_zero_forwarding", None),
        ("hops[3].ttl_zero_forwarding", 0),
    ],
)
def test_a_value_out_of_bounds_or_at_odds_with_the_rest_is_named(path: str, value: object) -> None:
    document = copy.deepcopy(TYPICAL.to_dict())
    holder, name = descend(document, path)
    holder[name] = value
    with pytest.raises(ConfigError) as caught:
        TraceResult.from_dict(document)
    # What contradicts the rest is reported where the rest has it summed up.
    field = caught.value.field
    assert path.startswith(field) or (path, field) == ("stop_reason", "reached")


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "17", '"text"', "{", b"\xff\xfe{", '{"schema_version": 2}']
)
def test_what_is_no_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError):
        TraceResult.from_json(text)


def test_a_long_wrong_value_is_not_repeated_in_full() -> None:
    document: Any = TYPICAL.to_dict()
    document["started_at"] = "x" * 10_000
    with pytest.raises(ConfigError) as caught:
        TraceResult.from_dict(document)
    assert len(str(caught.value)) < 200
