"""Drives engines over sockets: leases, receivers, routing of replies, pacing, cancellation, clean-up.

Knows nothing of packet bytes.
"""

from traceprobe.tracer._trace import Trace
from traceprobe.tracer._tracer import Tracer

__all__ = ["Trace", "Tracer"]
