"""Results as comma-separated values: a header, and a row for each probe.

Spreadsheets take a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return for a
formula. A host name can begin so; such a cell gets an apostrophe in front, which makes it text.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from traceprobe.model import NOTHING_KNOWN
from traceprobe.model._document import milliseconds, timestamp
from traceprobe.render.sanitize import clean_name, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceprobe.model import Hop, InterfaceInformation, Knowledge, ProbeResult, Responder, TraceResult

__all__ = ["COLUMNS", "result_to_csv"]

COLUMNS: Final = (
    "target",
    "target_address",
    "ttl",
    "attempt",
    "status",
    "late",
    "address",
    "hostname",
    "asn",
    "asn_name",
    "asn_prefix",
    "asn_country",
    "asn_origins",
    "country",
    "city",
    "exchange",
    "exchange_member_asn",
    "segment",
    "segment_reason",
    "rtt_ms",
    "sent_at",
    "waited_ms",
    "timestamp_source",
    "reply",
    "icmp_type",
    "icmp_code",
    "reply_ttl",
    "quoted_ttl",
    "return_path_length",
    "forward_path_length",
    "nat",
    "ttl_zero_forwarding",
    "mtu",
    "mpls",
    "interfaces",
    "extensions",
    "changes",
    "flow",
    "error",
)
"""Empty cells stand for what is not known.

``mpls`` is ``label:tc:s:ttl``, outermost first; ``interfaces`` is ``role`` and what else is told, as
``key=value``; ``extensions`` is ``class:type:payload``; ``changes`` is ``field=sent>seen``. Each of several
is behind a blank, each interface behind a semicolon. ``forward_path_length``, ``nat`` and
``ttl_zero_forwarding`` are the hop's.
"""

# The full-width forms are turned into the ASCII ones by some spreadsheets.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def result_to_csv(result: TraceResult) -> str:
    """The whole result (RFC 4180, but with plain line feeds)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for hop in result.hops:
        responders = {responder.address: responder for responder in hop.responders}
        for probe in hop.probes:
            responder = None if probe.address is None else responders.get(probe.address)
            writer.writerow(map(_cell, _row(result, hop, probe, responder)))
    return stream.getvalue()


def _row(result: TraceResult, hop: Hop, probe: ProbeResult, responder: Responder | None) -> Iterator[object]:
    yield clean_name(result.target)
    yield clean_name(str(result.address))
    yield hop.ttl
    yield probe.attempt
    yield probe.status.value
    yield _flag(probe.late)
    yield None if probe.address is None else clean_name(str(probe.address))
    yield from _known(NOTHING_KNOWN if responder is None else responder.knowledge)
    yield milliseconds(probe.rtt_ns)
    yield None if probe.sent_at_ns is None else timestamp(probe.sent_at_ns)
    yield milliseconds(probe.waited_ns)
    yield None if probe.timestamp_source is None else probe.timestamp_source.value
    yield None if probe.reply is None else probe.reply.value
    yield probe.icmp_type
    yield probe.icmp_code
    yield probe.reply_ttl
    yield probe.quoted_ttl
    yield probe.return_path_length
    yield hop.forward_path_length
    yield None if hop.nat is None else _flag(hop.nat)
    yield _flag(hop.ttl_zero_forwarding)
    yield probe.mtu
    yield " ".join(f"{entry.label}:{entry.tc}:{entry.s}:{entry.ttl}" for entry in probe.mpls)
    yield "; ".join(map(_interface, probe.interfaces))
    yield " ".join(f"{each.class_num}:{each.c_type}:{each.payload.hex()}" for each in probe.extensions)
    yield " ".join(
        f"{change.field.value}={clean_name(str(change.sent))}>{clean_name(str(change.seen))}"
        for change in probe.changes
    )
    yield probe.flow
    yield None if probe.error is None else clean_name(probe.error)


def _known(knowledge: Knowledge) -> Iterator[object]:
    """What look-ups told: ``hostname`` to ``segment_reason``."""
    asn, exchange = knowledge.asn, knowledge.exchange
    yield _name(knowledge.hostname)
    yield None if asn is None else asn.number
    yield None if asn is None else _text(asn.name)
    yield None if asn is None else _name(asn.prefix)
    yield None if asn is None else _name(asn.country)
    yield None if asn is None else " ".join(map(str, asn.origins))
    yield _name(knowledge.country)
    yield _text(knowledge.city)
    yield None if exchange is None else _text(exchange.name)
    yield None if exchange is None else exchange.member_asn
    yield None if knowledge.segment is None else knowledge.segment.value
    yield None if knowledge.segment_reason is None else knowledge.segment_reason.value


def _name(text: str | None) -> str | None:
    return None if text is None else clean_name(text)


def _text(text: str | None) -> str | None:
    return None if text is None else clean_text(text)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _interface(interface: InterfaceInformation) -> str:
    facts = {
        "index": interface.index,
        "address": interface.address,
        "name": interface.name,
        "mtu": interface.mtu,
    }
    told = (f"{key}={clean_name(str(value))}" for key, value in facts.items() if value is not None)
    return " ".join((interface.role.value, *told))


def _cell(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return "'" + text if text.startswith(_FORMULA) else text
