"""A running trace as lines of JSON, for programs that don't want to wait for its end.

One event is one line; ``event-v1.schema.json`` describes them:

==================  =================================================================================
``trace_started``   first line: target, address, protocol, mode, port, TTLs and probes per hop
``probe_sent``      the kernel took a probe: TTL, attempt, flow
``reply_received``  a probe was answered: all that the reply told
``hop_settled``     nothing more is awaited of this hop: the hop, as it stands in the result
``hop_revised``     a late reply changed a hop that had settled: the hop again
``hop_enriched``    a look-up taught something about an address: what it taught, and the hop again
``trace_finished``  last line, once, however the trace ended: the whole result
==================  =================================================================================

As in :mod:`traceprobe.render.json`, data stays as it is and the text is printable ASCII.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from traceprobe._version import __version__
from traceprobe.model import HopEnriched, HopRevised, HopSettled, ProbeSent, ReplyReceived, TraceFinished
from traceprobe.model._document import (
    SCHEMA_VERSION,
    changes_to_document,
    extensions_to_document,
    hop_to_document,
    interfaces_to_document,
    knowledge_to_document,
    milliseconds,
    mpls_to_document,
)
from traceprobe.model._route_facts import return_path_length
from traceprobe.render.sanitize import escape_del

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import Protocol, TracerouteConfig
    from traceprobe.model import Event

    Fields: TypeAlias = Mapping[str, object]

__all__ = ["event_line", "started_line"]


def started_line(
    target: str,
    address: IPv4Address | IPv6Address,
    *,
    protocol: Protocol,
    mode: str,
    port: int | None,
    config: TracerouteConfig,
) -> str:
    """The first line, with its line break."""
    return _line({
        "event": "trace_started",
        "schema_version": SCHEMA_VERSION,
        "traceprobe": __version__,
        "target": target,
        "address": str(address),
        "protocol": protocol.value,
        "mode": mode,
        "port": port,
        "first_ttl": config.first_ttl,
        "max_ttl": config.max_ttl,
        "queries": config.queries,
    })


def event_line(event: Event) -> str:
    """The line of one event, with its line break."""
    return _line(_fields(event))


def _line(fields: Fields) -> str:
    return escape_del(json.dumps(fields, allow_nan=False, separators=(",", ":"))) + "\n"


def _fields(event: Event) -> Fields:
    if isinstance(event, ProbeSent):
        return {"event": "probe_sent", **_probe(event)}
    if isinstance(event, ReplyReceived):
        return _reply(event)
    if isinstance(event, HopSettled):
        return {"event": "hop_settled", "hop": hop_to_document(event.hop)}
    if isinstance(event, HopRevised):
        return {"event": "hop_revised", "hop": hop_to_document(event.hop)}
    if isinstance(event, HopEnriched):
        return _enriched(event)
    return _finished(event)


def _probe(event: ProbeSent | ReplyReceived) -> Fields:
    probe = event.probe
    return {"ttl": probe.ttl, "attempt": probe.attempt, "flow": probe.flow}


def _reply(event: ReplyReceived) -> Fields:
    reply = event.reply
    return {
        "event": "reply_received",
        **_probe(event),
        "late": event.late,
        "address": str(reply.address),
        "rtt_ms": milliseconds(reply.rtt_ns),
        "timestamp_source": reply.timestamp_source.value,
        "reply": reply.kind.value,
        "icmp_type": reply.icmp_type,
        "icmp_code": reply.icmp_code,
        "reply_ttl": reply.reply_ttl,
        "quoted_ttl": reply.quoted_ttl,
        "return_path_length": return_path_length(reply.reply_ttl),
        "mpls": mpls_to_document(reply.mpls),
        "interfaces": interfaces_to_document(reply.interfaces),
        "extensions": extensions_to_document(reply.extensions),
        "changes": changes_to_document(reply.changes),
        "mtu": reply.mtu,
    }


def _enriched(event: HopEnriched) -> Fields:
    return {
        "event": "hop_enriched",
        "address": str(event.address),
        **knowledge_to_document(event.knowledge),
        "hop": hop_to_document(event.hop),
    }


def _finished(event: TraceFinished) -> Fields:
    return {"event": "trace_finished", "result": event.result.to_dict()}
