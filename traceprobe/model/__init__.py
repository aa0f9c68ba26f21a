"""Immutable values that travel through the house: probes, replies, hops, results and events.

They know nothing of how they were got: no sockets, no clocks, no event loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe._late import import_when_asked
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
    EnrichmentError,
    Knowledge,
    Responder,
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
    Reply,
    ReplyKind,
    TimestampSource,
    answers_for,
)
from traceprobe.model._stop_reason import StopReason

if TYPE_CHECKING:
    from traceprobe.model._extension_objects import ExtensionObject as ExtensionObject
    from traceprobe.model._extension_objects import InterfaceInformation as InterfaceInformation
    from traceprobe.model._extension_objects import InterfaceRole as InterfaceRole
    from traceprobe.model._extension_objects import MplsLabel as MplsLabel
    from traceprobe.model._networks import Asn as Asn
    from traceprobe.model._networks import Exchange as Exchange
    from traceprobe.model._networks import Segment as Segment
    from traceprobe.model._networks import SegmentReason as SegmentReason
    from traceprobe.model._result import TraceResult as TraceResult
    from traceprobe.model._result import TraceTimings as TraceTimings

_LATE: Final = {
    "ExtensionObject": "traceprobe.model._extension_objects",
    "InterfaceInformation": "traceprobe.model._extension_objects",
    "InterfaceRole": "traceprobe.model._extension_objects",
    "MplsLabel": "traceprobe.model._extension_objects",
    "Asn": "traceprobe.model._networks",
    "Exchange": "traceprobe.model._networks",
    "Segment": "traceprobe.model._networks",
    "SegmentReason": "traceprobe.model._networks",
    "TraceResult": "traceprobe.model._result",
    "TraceTimings": "traceprobe.model._result",
}
"""What nobody needs before the first reply, or at all: imported when somebody asks for it."""

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

if not TYPE_CHECKING:
    __getattr__ = import_when_asked(__name__, _LATE)
