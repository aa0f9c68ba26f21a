"""The decisions of a trace, without input, output or clocks (sans-IO).

:class:`TracerouteEngine` says which probes are due, what a reply changes, what has become certain, when
time alone will change something, and when the trace is over. It is one :class:`TraceStrategy`; the
tracer drives any.
"""

from traceprobe.engine.strategy import TraceStrategy
from traceprobe.engine.traceroute import TracerouteEngine

__all__ = ["TraceStrategy", "TracerouteEngine"]
