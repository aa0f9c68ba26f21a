"""Immutable values that travel through the house: probes, replies, hops, results and events.

They know nothing of how they were got: no sockets, no clocks, no event loops.
"""

from traceprobe.model._events import (
    Event,
    HopEnriched,
    HopRevised,
    HopSettled,
    ProbeSent,
    ReplyReceived,
    TraceFinished,
)
from traceprobe.model._hop import (
    Hop,
    ProbeResult,
    ProbeStatus,
    RttStatistics,
)
from traceprobe.model._knowledge import (
    NOTHING_KNOWN,
    Asn,
    EnrichmentError,
    Exchange,
    Knowledge,
    Responder,
    Segment,
    SegmentReason,
)
from traceprobe.model._probe import (
    PROBE_INDEX_BITS,
    Probe,
    ProbeId,
    SentProbe,
    make_probe_id,
    trace_of,
)
from traceprobe.model._reply import (
    Change,
    ChangedField,
    ExtensionObject,
    InterfaceInformation,
    InterfaceRole,
    MplsLabel,
    Reply,
    ReplyKind,
    TimestampSource,
    answers_for,
)
from traceprobe.model._result import (
    StopReason,
    TraceResult,
    TraceTimings,
)

__all__ = [
    "NOTHING_KNOWN",
    "PROBE_INDEX_BITS",
    "Asn",
    "Change",
    "ChangedField",
    "EnrichmentError",
    "Event",
    "Exchange",
    "ExtensionObject",
    "Hop",
    "HopEnriched",
    "HopRevised",
    "HopSettled",
    "InterfaceInformation",
    "InterfaceRole",
    "Knowledge",
    "MplsLabel",
    "Probe",
    "ProbeId",
    "ProbeResult",
    "ProbeSent",
    "ProbeStatus",
    "Reply",
    "ReplyKind",
    "ReplyReceived",
    "Responder",
    "RttStatistics",
    "Segment",
    "SegmentReason",
    "SentProbe",
    "StopReason",
    "TimestampSource",
    "TraceFinished",
    "TraceResult",
    "TraceTimings",
    "answers_for",
    "make_probe_id",
    "trace_of",
]
