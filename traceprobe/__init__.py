"""See the path a packet takes: a fast, typed, asynchronous traceroute library.

The names below are the whole public interface, with :mod:`traceprobe.testing` for test suites. They
are imported when they are first used, so that ``import traceprobe`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe._late import import_when_asked
from traceprobe._version import __version__ as __version__

if TYPE_CHECKING:
    from traceprobe.api import open_trace as open_trace
    from traceprobe.api import trace as trace
    from traceprobe.api import trace_async as trace_async
    from traceprobe.config import AddressFamily as AddressFamily
    from traceprobe.config import EnrichmentConfig as EnrichmentConfig
    from traceprobe.config import FlowStrategy as FlowStrategy
    from traceprobe.config import Mode as Mode
    from traceprobe.config import Protocol as Protocol
    from traceprobe.config import TimingConfig as TimingConfig
    from traceprobe.config import TraceOptions as TraceOptions
    from traceprobe.config import TracerouteConfig as TracerouteConfig
    from traceprobe.enrich import Enricher as Enricher
    from traceprobe.enrich import Resolver as Resolver
    from traceprobe.enrich import TextAnswer as TextAnswer
    from traceprobe.enrich import TextResolver as TextResolver
    from traceprobe.errors import AbiError as AbiError
    from traceprobe.errors import BusyError as BusyError
    from traceprobe.errors import ClosedError as ClosedError
    from traceprobe.errors import ConfigError as ConfigError
    from traceprobe.errors import DataFileError as DataFileError
    from traceprobe.errors import FamilyMismatchError as FamilyMismatchError
    from traceprobe.errors import NameResolutionError as NameResolutionError
    from traceprobe.errors import NoUsableSocketError as NoUsableSocketError
    from traceprobe.errors import PacketError as PacketError
    from traceprobe.errors import PrivilegeError as PrivilegeError
    from traceprobe.errors import ResolverError as ResolverError
    from traceprobe.errors import SendError as SendError
    from traceprobe.errors import TraceprobeError as TraceprobeError
    from traceprobe.errors import UnsupportedOption as UnsupportedOption
    from traceprobe.errors import UsageError as UsageError
    from traceprobe.loops import Alarm as Alarm
    from traceprobe.loops import Clock as Clock
    from traceprobe.model import Asn as Asn
    from traceprobe.model import Change as Change
    from traceprobe.model import ChangedField as ChangedField
    from traceprobe.model import EnrichmentError as EnrichmentError
    from traceprobe.model import Event as Event
    from traceprobe.model import Exchange as Exchange
    from traceprobe.model import ExtensionObject as ExtensionObject
    from traceprobe.model import Hop as Hop
    from traceprobe.model import HopEnriched as HopEnriched
    from traceprobe.model import HopRevised as HopRevised
    from traceprobe.model import HopSettled as HopSettled
    from traceprobe.model import InterfaceInformation as InterfaceInformation
    from traceprobe.model import InterfaceRole as InterfaceRole
    from traceprobe.model import Knowledge as Knowledge
    from traceprobe.model import MplsLabel as MplsLabel
    from traceprobe.model import Probe as Probe
    from traceprobe.model import ProbeId as ProbeId
    from traceprobe.model import ProbeResult as ProbeResult
    from traceprobe.model import ProbeSent as ProbeSent
    from traceprobe.model import ProbeStatus as ProbeStatus
    from traceprobe.model import Reply as Reply
    from traceprobe.model import ReplyKind as ReplyKind
    from traceprobe.model import ReplyReceived as ReplyReceived
    from traceprobe.model import Responder as Responder
    from traceprobe.model import RttStatistics as RttStatistics
    from traceprobe.model import Segment as Segment
    from traceprobe.model import SegmentReason as SegmentReason
    from traceprobe.model import SentProbe as SentProbe
    from traceprobe.model import StopReason as StopReason
    from traceprobe.model import TimestampSource as TimestampSource
    from traceprobe.model import TraceFinished as TraceFinished
    from traceprobe.model import TraceResult as TraceResult
    from traceprobe.model import TraceTimings as TraceTimings
    from traceprobe.sockets import ModeReport as ModeReport
    from traceprobe.sockets import ModeStatus as ModeStatus
    from traceprobe.sockets import ProbeSocketFactory as ProbeSocketFactory
    from traceprobe.sockets.protocol import AsyncProbeSocket as AsyncProbeSocket
    from traceprobe.sockets.protocol import SocketCapabilities as SocketCapabilities
    from traceprobe.sockets.protocol import SocketFactory as SocketFactory
    from traceprobe.tracer import Trace as Trace
    from traceprobe.tracer import Tracer as Tracer

_HOMES: Final = {
    "traceprobe.api": (
        "open_trace",
        "trace",
        "trace_async",
    ),
    "traceprobe.config": (
        "AddressFamily",
        "EnrichmentConfig",
        "FlowStrategy",
        "Mode",
        "Protocol",
        "TimingConfig",
        "TraceOptions",
        "TracerouteConfig",
    ),
    "traceprobe.enrich": (
        "Enricher",
        "Resolver",
        "TextAnswer",
        "TextResolver",
    ),
    "traceprobe.errors": (
        "AbiError",
        "BusyError",
        "ClosedError",
        "ConfigError",
        "DataFileError",
        "FamilyMismatchError",
        "NameResolutionError",
        "NoUsableSocketError",
        "PacketError",
        "PrivilegeError",
        "ResolverError",
        "SendError",
        "TraceprobeError",
        "UnsupportedOption",
        "UsageError",
    ),
    "traceprobe.loops": (
        "Alarm",
        "Clock",
    ),
    "traceprobe.model": (
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
    ),
    "traceprobe.sockets": (
        "ModeReport",
        "ModeStatus",
        "ProbeSocketFactory",
    ),
    "traceprobe.sockets.protocol": (
        "AsyncProbeSocket",
        "SocketCapabilities",
        "SocketFactory",
    ),
    "traceprobe.tracer": (
        "Trace",
        "Tracer",
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AbiError",
    "AddressFamily",
    "Alarm",
    "Asn",
    "AsyncProbeSocket",
    "BusyError",
    "Change",
    "ChangedField",
    "Clock",
    "ClosedError",
    "ConfigError",
    "DataFileError",
    "Enricher",
    "EnrichmentConfig",
    "EnrichmentError",
    "Event",
    "Exchange",
    "ExtensionObject",
    "FamilyMismatchError",
    "FlowStrategy",
    "Hop",
    "HopEnriched",
    "HopRevised",
    "HopSettled",
    "InterfaceInformation",
    "InterfaceRole",
    "Knowledge",
    "Mode",
    "ModeReport",
    "ModeStatus",
    "MplsLabel",
    "NameResolutionError",
    "NoUsableSocketError",
    "PacketError",
    "PrivilegeError",
    "Probe",
    "ProbeId",
    "ProbeResult",
    "ProbeSent",
    "ProbeSocketFactory",
    "ProbeStatus",
    "Protocol",
    "Reply",
    "ReplyKind",
    "ReplyReceived",
    "Resolver",
    "ResolverError",
    "Responder",
    "RttStatistics",
    "Segment",
    "SegmentReason",
    "SendError",
    "SentProbe",
    "SocketCapabilities",
    "SocketFactory",
    "StopReason",
    "TextAnswer",
    "TextResolver",
    "TimestampSource",
    "TimingConfig",
    "Trace",
    "TraceFinished",
    "TraceOptions",
    "TraceResult",
    "TraceTimings",
    "TraceprobeError",
    "Tracer",
    "TracerouteConfig",
    "UnsupportedOption",
    "UsageError",
    "__version__",
    "open_trace",
    "trace",
    "trace_async",
]

if not TYPE_CHECKING:  # a checker must see the names above and no others
    __getattr__ = import_when_asked(__name__, _HOME_OF)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
