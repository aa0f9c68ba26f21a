"""What is known of an address as plain values, and back: its part of the JSON contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.model._knowledge import NOTHING_KNOWN, Asn, Knowledge, Responder, Segment

if TYPE_CHECKING:
    from traceprobe.model._document_reader import Reader
    from traceprobe.model._document_types import AsnDocument, ResponderDocument


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
    }


def responder_to_document(responder: Responder) -> ResponderDocument:
    """One responder, as it stands in ``responders``."""
    return {
        "address": str(responder.address),
        "hostname": responder.hostname,
        "asn": asn_to_document(responder.asn),
        "segment": None if responder.segment is None else responder.segment.value,
        "replies": responder.replies,
    }


def responder_from(reader: Reader) -> Responder:
    """Read one responder."""
    asn = reader.optional(reader.inside, "asn")
    knowledge = Knowledge(
        hostname=reader.optional(reader.text, "hostname"),
        asn=None
        if asn is None
        else Asn(
            number=asn.whole("number", 0, 0xFFFFFFFF),
            prefix=asn.optional(asn.text, "prefix"),
            country=asn.optional(asn.text, "country"),
            registry=asn.optional(asn.text, "registry"),
            name=asn.optional(asn.text, "name"),
        ),
        segment=reader.optional_member("segment", Segment),
    )
    return Responder(
        address=reader.address("address"),
        replies=reader.whole("replies", 1),
        knowledge=NOTHING_KNOWN if knowledge == NOTHING_KNOWN else knowledge,
    )
