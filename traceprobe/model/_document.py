"""Results as plain values, and back: the JSON contract of schema version 1.

The contract is an interface of its own: its names and their order are written down here, by hand, and
don't follow when an attribute of the model is renamed. ``schema/trace-v1.schema.json`` describes the
same document to other programs. A breaking change gets another ``schema_version``.

Writing never fails for a result that traceprobe made. Reading checks everything: any other value ends
in a ``ConfigError`` that says where in the document it stands. Fields that this version doesn't know
are ignored, so that it reads what a later one adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe._version import __version__
from traceprobe.config import FlowStrategy, Protocol
from traceprobe.model._document_knowledge import (
    asn_from,
    asn_to_document,
    errors_from,
    errors_to_document,
    exchange_to_document,
    knowledge_to_document,
    responder_from,
    responder_to_document,
)
from traceprobe.model._document_reader import Reader
from traceprobe.model._document_reply import (
    change_from,
    changes_to_document,
    extension_from,
    extensions_to_document,
    interface_from,
    interfaces_to_document,
    mpls_from,
    mpls_to_document,
)
from traceprobe.model._document_types import (
    AsnDocument,
    ChangeDocument,
    EnrichmentErrorDocument,
    ExchangeDocument,
    ExtensionDocument,
    HopDocument,
    InterfaceDocument,
    KnowledgeDocument,
    MplsDocument,
    ProbeDocument,
    ResponderDocument,
    RttDocument,
    TimingsDocument,
    TraceDocument,
)
from traceprobe.model._hop import Hop, ProbeResult, ProbeStatus, RttStatistics, wall_time
from traceprobe.model._reply import ReplyKind, TimestampSource
from traceprobe.model._result import TraceResult, TraceTimings
from traceprobe.model._stop_reason import StopReason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SCHEMA_VERSION",
    "AsnDocument",
    "ChangeDocument",
    "EnrichmentErrorDocument",
    "ExchangeDocument",
    "ExtensionDocument",
    "HopDocument",
    "InterfaceDocument",
    "KnowledgeDocument",
    "MplsDocument",
    "ProbeDocument",
    "ResponderDocument",
    "RttDocument",
    "TimingsDocument",
    "TraceDocument",
    "changes_to_document",
    "extensions_to_document",
    "from_document",
    "hop_to_document",
    "interfaces_to_document",
    "knowledge_to_document",
    "milliseconds",
    "mpls_to_document",
    "timestamp",
    "to_document",
]

SCHEMA_VERSION = 1
"""Grows when a field goes away, changes its meaning or becomes null where it was not."""

_NS_PER_SECOND = 1_000_000_000
_NS_PER_MS = 1_000_000


# --- writing -----------------------------------------------------------------------------------------


def milliseconds(ns: int | None) -> float | None:
    """Nanoseconds as milliseconds; ``round(milliseconds(ns) * 1_000_000)`` gives them back."""
    return None if ns is None else ns / _NS_PER_MS


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 text in UTC, with microseconds and ``Z``."""
    return wall_time(ns).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_document(result: TraceResult) -> TraceDocument:
    """The whole result, in the order of the contract."""
    return {
        "schema_version": SCHEMA_VERSION,
        "traceprobe": __version__,
        "target": result.target,
        "address": str(result.address),
        "source": _text(result.source),
        "protocol": result.protocol.value,
        "mode": result.mode,
        "flow": result.flow.value,
        "port": result.port,
        "started_at": timestamp(result.started_at_ns),
        "duration_ms": result.duration_ns / _NS_PER_MS,
        "reached": result.reached,
        "stop_reason": result.stop_reason.value,
        "timings": _timings_to_document(result.timings),
        "discarded": dict(result.discarded),
        "public_address": _text(result.public_address),
        "isp": asn_to_document(result.isp),
        "enrichment_errors": errors_to_document(result.enrichment_errors),
        "hops": [hop_to_document(hop) for hop in result.hops],
    }


def hop_to_document(hop: Hop) -> HopDocument:
    """One hop, as it stands in ``hops``."""
    return {
        "ttl": hop.ttl,
        "address": _text(hop.address),
        "addresses": [str(address) for address in hop.addresses],
        "hostname": hop.hostname,
        "asn": asn_to_document(hop.asn),
        "announced": hop.announced,
        "segment": _text(hop.segment),
        "segment_reason": _text(hop.segment_reason),
        "country": hop.country,
        "city": hop.city,
        "exchange": exchange_to_document(hop.exchange),
        "enrichment_errors": errors_to_document(hop.enrichment_errors),
        "responders": [responder_to_document(responder) for responder in hop.responders],
        "sent": hop.sent,
        "received": hop.received,
        "loss": hop.loss,
        "rtt_ms": _statistics_to_document(hop.statistics),
        "nat": hop.nat,
        "forward_path_length": hop.forward_path_length,
        "ttl_zero_forwarding": hop.ttl_zero_forwarding,
        "probes": [_probe_to_document(probe) for probe in hop.probes],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _timings_to_document(timings: TraceTimings) -> TimingsDocument:
    return {
        "submit_ms": _seconds_to_ms(timings.submit),
        "first_reply_ms": _seconds_to_ms(timings.first_reply),
        "overhead_ms": _seconds_to_ms(timings.overhead),
        "probes_sent": timings.probes_sent,
        "replies": timings.replies,
    }


def _seconds_to_ms(seconds: float | None) -> float | None:
    # By way of whole nanoseconds: 0.0011 * 1000 would come out as 1.1000000000000001.
    return None if seconds is None else round(seconds * _NS_PER_SECOND) / _NS_PER_MS


def _statistics_to_document(statistics: RttStatistics | None) -> RttDocument | None:
    if statistics is None:
        return None
    return {
        "min": round(statistics.min * 1000, 6),
        "avg": round(statistics.avg * 1000, 6),
        "max": round(statistics.max * 1000, 6),
        "stddev": round(statistics.stddev * 1000, 6),
    }


def _probe_to_document(probe: ProbeResult) -> ProbeDocument:
    return {
        "attempt": probe.attempt,
        "flow": probe.flow,
        "status": probe.status.value,
        "late": probe.late,
        "address": _text(probe.address),
        "rtt_ms": milliseconds(probe.rtt_ns),
        "sent_at": None if probe.sent_at_ns is None else timestamp(probe.sent_at_ns),
        "timestamp_source": None if probe.timestamp_source is None else probe.timestamp_source.value,
        "reply": None if probe.reply is None else probe.reply.value,
        "icmp_type": probe.icmp_type,
        "icmp_code": probe.icmp_code,
        "reply_ttl": probe.reply_ttl,
        "quoted_ttl": probe.quoted_ttl,
        "return_path_length": probe.return_path_length,
        "mpls": mpls_to_document(probe.mpls),
        "interfaces": interfaces_to_document(probe.interfaces),
        "extensions": extensions_to_document(probe.extensions),
        "changes": changes_to_document(probe.changes),
        "mtu": probe.mtu,
        "waited_ms": milliseconds(probe.waited_ns),
        "error": probe.error,
    }


# --- reading -----------------------------------------------------------------------------------------


def from_document(document: Mapping[str, object]) -> TraceResult:
    """Rebuild a result; the opposite of :func:`to_document`.

    Raises:
        ConfigError: The document is of another schema version, or a field is missing, malformed or at
            odds with the others; ``field`` is its path, such as ``hops[3].probes[0].rtt_ms``.
    """
    reader = Reader.of(document)
    reader.constant("schema_version", SCHEMA_VERSION)
    reader.text("traceprobe")
    result = TraceResult(
        target=reader.text("target"),
        address=reader.address("address"),
        source=reader.optional(reader.address, "source"),
        protocol=reader.member("protocol", Protocol),
        mode=reader.text("mode"),
        flow=reader.member("flow", FlowStrategy),
        port=reader.optional_whole("port", 1, 0xFFFF),
        started_at_ns=reader.timestamp("started_at"),
        duration_ns=reader.nanoseconds("duration_ms"),
        stop_reason=reader.member("stop_reason", StopReason),
        timings=_timings_from(reader.inside("timings")),
        discarded=reader.counts("discarded"),
        public_address=reader.optional(reader.address, "public_address"),
        isp=asn_from(reader, "isp"),
        enrichment_errors=errors_from(reader),
        hops=tuple(_hop_from(hop) for hop in reader.each("hops")),
    )
    reader.agrees("reached", result.reached)
    return result


def _timings_from(reader: Reader) -> TraceTimings:
    return TraceTimings(
        submit=reader.optional(reader.seconds, "submit_ms"),
        first_reply=reader.optional(reader.seconds, "first_reply_ms"),
        overhead=reader.optional(reader.seconds, "overhead_ms"),
        probes_sent=reader.whole("probes_sent", 0),
        replies=reader.whole("replies", 0),
    )


def _hop_from(reader: Reader) -> Hop:
    hop = Hop(
        ttl=reader.whole("ttl", 1, 255),
        probes=tuple(_probe_from(probe) for probe in reader.each("probes")),
        responders=tuple(responder_from(responder) for responder in reader.each("responders")),
        ttl_zero_forwarding=reader.flag("ttl_zero_forwarding"),
    )
    # What only sums the probes and the responders up can't be told otherwise than they tell it.
    for name, value in hop_to_document(hop).items():
        if name not in {"ttl", "probes", "responders"}:
            reader.agrees(name, value)
    return hop


def _probe_from(reader: Reader) -> ProbeResult:
    probe = ProbeResult(
        attempt=reader.whole("attempt", 1),
        flow=reader.whole("flow", 0),
        status=reader.member("status", ProbeStatus),
        late=reader.flag("late"),
        address=reader.optional(reader.address, "address"),
        rtt_ns=reader.optional(reader.nanoseconds, "rtt_ms"),
        sent_at_ns=reader.optional(reader.timestamp, "sent_at"),
        waited_ns=reader.optional(reader.nanoseconds, "waited_ms"),
        timestamp_source=reader.optional_member("timestamp_source", TimestampSource),
        reply=reader.optional_member("reply", ReplyKind),
        icmp_type=reader.optional_whole("icmp_type", 0, 0xFF),
        icmp_code=reader.optional_whole("icmp_code", 0, 0xFF),
        reply_ttl=reader.optional_whole("reply_ttl", 0, 0xFF),
        quoted_ttl=reader.optional_whole("quoted_ttl", 0, 0xFF),
        mtu=reader.optional_whole("mtu", 0, 0xFFFFFFFF),
        mpls=tuple(map(mpls_from, reader.each("mpls"))),
        interfaces=tuple(map(interface_from, reader.each("interfaces"))),
        extensions=tuple(map(extension_from, reader.each("extensions"))),
        changes=tuple(map(change_from, reader.each("changes"))),
        error=reader.optional(reader.text, "error"),
    )
    reader.agrees("return_path_length", probe.return_path_length)
    return probe
