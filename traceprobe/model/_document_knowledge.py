"""What is known of an address as plain values, and back: its part of the JSON contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.model._knowledge import NOTHING_KNOWN, EnrichmentError, Knowledge, Responder
from traceprobe.model._networks import Asn, Exchange, Segment, SegmentReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.model._document_reader import Reader
    from traceprobe.model._document_types import (
        AsnDocument,
        EnrichmentErrorDocument,
        ExchangeDocument,
        KnowledgeDocument,
        ResponderDocument,
    )


def asn_to_document(asn: Asn | None) -> AsnDocument | None:
    """An autonomous system, as it stands in ``asn``."""
    if asn is None:
        return None
    return {
        "number": asn.number,
        "prefix": asn.prefix,
        "country": asn.country,
        "registry": asn.registry,
        "name": asn.name,
        "origins": list(asn.origins),
    }


def exchange_to_document(exchange: Exchange | None) -> ExchangeDocument | None:
    """An Internet exchange, as it stands in ``exchange``."""
    if exchange is None:
        return None
    return {
        "name": exchange.name,
        "prefix": exchange.prefix,
        "city": exchange.city,
        "country": exchange.country,
        "member_asn": exchange.member_asn,
    }


def errors_to_document(errors: Iterable[EnrichmentError]) -> list[EnrichmentErrorDocument]:
    """Look-ups that failed, as they stand in ``enrichment_errors``."""
    return [{"enricher": error.enricher, "reason": error.reason} for error in errors]


def knowledge_to_document(knowledge: Knowledge) -> KnowledgeDocument:
    """Everything that is known of an address."""
    return {
        "hostname": knowledge.hostname,
        "asn": asn_to_document(knowledge.asn),
        "announced": knowledge.announced,
        "segment": None if knowledge.segment is None else knowledge.segment.value,
        "segment_reason": None if knowledge.segment_reason is None else knowledge.segment_reason.value,
        "country": knowledge.country,
        "city": knowledge.city,
        "exchange": exchange_to_document(knowledge.exchange),
        "enrichment_errors": errors_to_document(knowledge.errors),
    }


def responder_to_document(responder: Responder) -> ResponderDocument:
    """One responder, as it stands in ``responders``."""
    return {
        "address": str(responder.address),
        **knowledge_to_document(responder.knowledge),
        "replies": responder.replies,
    }


def responder_from(reader: Reader) -> Responder:
    """Read one responder."""
    exchange = reader.optional(reader.inside, "exchange")
    knowledge = Knowledge(
        hostname=reader.optional(reader.text, "hostname"),
        asn=asn_from(reader, "asn"),
        announced=reader.optional(reader.flag, "announced"),
        segment=reader.optional_member("segment", Segment),
        segment_reason=reader.optional_member("segment_reason", SegmentReason),
        country=reader.optional(reader.text, "country"),
        city=reader.optional(reader.text, "city"),
        exchange=None if exchange is None else _exchange_from(exchange),
        errors=errors_from(reader),
    )
    return Responder(
        address=reader.address("address"),
        replies=reader.whole("replies", 1),
        knowledge=NOTHING_KNOWN if knowledge == NOTHING_KNOWN else knowledge,
    )


def asn_from(reader: Reader, key: str) -> Asn | None:
    """Read an autonomous system, or null."""
    asn = reader.optional(reader.inside, key)
    if asn is None:
        return None
    return Asn(
        number=asn.whole("number", 0, _MOST),
        prefix=asn.optional(asn.text, "prefix"),
        country=asn.optional(asn.text, "country"),
        registry=asn.optional(asn.text, "registry"),
        name=asn.optional(asn.text, "name"),
        origins=asn.wholes("origins", 0, _MOST),
    )


def errors_from(reader: Reader) -> tuple[EnrichmentError, ...]:
    """Read the look-ups that failed."""
    return tuple(
        EnrichmentError(error.text("enricher"), error.text("reason"))
        for error in reader.each("enrichment_errors")
    )


def _exchange_from(reader: Reader) -> Exchange:
    return Exchange(
        name=reader.text("name"),
        prefix=reader.text("prefix"),
        city=reader.optional(reader.text, "city"),
        country=reader.optional(reader.text, "country"),
        member_asn=reader.optional_whole("member_asn", 0, _MOST),
    )


_MOST = 0xFFFFFFFF
"""AS numbers are 32 bits wide (RFC 6793)."""
