"""The decisions of a trace, without input, output or clocks (sans-IO).

:class:`TracerouteEngine` says which probes are due, what a reply changes, what has become certain, when
time alone will change something, and when the trace is over. It is one :class:`TraceStrategy`; the
tracer drives any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe._late import import_when_asked
from traceprobe.engine.traceroute import TracerouteEngine

if TYPE_CHECKING:
    from traceprobe.engine.strategy import TraceStrategy as TraceStrategy

__all__ = ["TraceStrategy", "TracerouteEngine"]

if not TYPE_CHECKING:
    # What only type checkers and writers of strategies need.
    __getattr__ = import_when_asked(__name__, {"TraceStrategy": "traceprobe.engine.strategy"})
