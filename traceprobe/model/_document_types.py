"""The shape of a result's JSON document, for type checkers: the same as ``schema/trace-v1.schema.json``.

Durations whose name ends in ``_ms`` are milliseconds as ``float``, exact to the nanosecond. Lists are
never null; None stands for what is not known.
"""

from __future__ import annotations

from typing import TypedDict


class AsnDocument(TypedDict):
    """An autonomous system."""

    number: int
    prefix: str | None
    country: str | None
    registry: str | None
    name: str | None
    origins: list[int]


class ExchangeDocument(TypedDict):
    """An Internet exchange."""

    name: str
    prefix: str
    city: str | None
    country: str | None
    member_asn: int | None


class EnrichmentErrorDocument(TypedDict):
    """A look-up that failed."""

    enricher: str
    reason: str


class KnowledgeDocument(TypedDict):
    """What is known of an address; part of responders, hops and ``hop_enriched``."""

    hostname: str | None
    asn: AsnDocument | None
    announced: bool | None
    segment: str | None
    segment_reason: str | None
    country: str | None
    city: str | None
    exchange: ExchangeDocument | None
    enrichment_errors: list[EnrichmentErrorDocument]


class MplsDocument(TypedDict):
    """One entry of an MPLS label stack (RFC 4950 section 3)."""

    label: int
    tc: int
    s: int
    ttl: int


class InterfaceDocument(TypedDict):
    """What a responder tells about one of its interfaces (RFC 5837)."""

    role: str
    index: int | None
    address: str | None
    name: str | None
    mtu: int | None


class ExtensionDocument(TypedDict):
    """An extension object without a field of its own (RFC 4884 section 8); ``payload`` is hexadecimal."""

    class_num: int
    c_type: int
    payload: str


class ChangeDocument(TypedDict):
    """One field of a probe that differed when the responder saw it."""

    field: str
    sent: int | str
    seen: int | str


class RttDocument(TypedDict):
    """Round-trip times of a hop in milliseconds; ``stddev`` is the population's."""

    min: float
    avg: float
    max: float
    stddev: float


class ResponderDocument(TypedDict):
    """One address that answered at a hop."""

    address: str
    hostname: str | None
    asn: AsnDocument | None
    announced: bool | None
    segment: str | None
    segment_reason: str | None
    country: str | None
    city: str | None
    exchange: ExchangeDocument | None
    enrichment_errors: list[EnrichmentErrorDocument]
    replies: int


class ProbeDocument(TypedDict):
    """How one probe ended, and what its reply said."""

    attempt: int
    flow: int
    status: str
    late: bool
    address: str | None
    rtt_ms: float | None
    sent_at: str | None
    timestamp_source: str | None
    reply: str | None
    icmp_type: int | None
    icmp_code: int | None
    reply_ttl: int | None
    quoted_ttl: int | None
    return_path_length: int | None
    mpls: list[MplsDocument]
    interfaces: list[InterfaceDocument]
    extensions: list[ExtensionDocument]
    changes: list[ChangeDocument]
    mtu: int | None
    waited_ms: float | None
    error: str | None


class HopDocument(TypedDict):
    """One hop; silent if ``address`` is None.

    All but ``probes``, ``responders`` and ``ttl_zero_forwarding`` sums these two up.
    """

    ttl: int
    address: str | None
    addresses: list[str]
    hostname: str | None
    asn: AsnDocument | None
    announced: bool | None
    segment: str | None
    segment_reason: str | None
    country: str | None
    city: str | None
    exchange: ExchangeDocument | None
    enrichment_errors: list[EnrichmentErrorDocument]
    responders: list[ResponderDocument]
    sent: int
    received: int
    loss: float | None
    rtt_ms: RttDocument | None
    nat: bool | None
    forward_path_length: int | None
    ttl_zero_forwarding: bool
    probes: list[ProbeDocument]


class TimingsDocument(TypedDict):
    """How fast the trace itself was."""

    submit_ms: float | None
    first_reply_ms: float | None
    overhead_ms: float | None
    probes_sent: int
    replies: int


class TraceDocument(TypedDict):
    """The result of a trace."""

    schema_version: int
    traceprobe: str
    target: str
    address: str
    source: str | None
    protocol: str
    mode: str
    flow: str
    port: int | None
    started_at: str
    duration_ms: float
    reached: bool
    stop_reason: str
    timings: TimingsDocument
    discarded: dict[str, int]
    public_address: str | None
    isp: AsnDocument | None
    enrichment_errors: list[EnrichmentErrorDocument]
    hops: list[HopDocument]
