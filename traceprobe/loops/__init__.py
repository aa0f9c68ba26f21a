"""How to wait on asyncio, uvloop and trio with the fewest wake-ups; the clock of the real network.

Knows nothing of packets and traces.
"""

from traceprobe.loops._clock import Alarm, Clock
from traceprobe.loops._datagrams import connected_udp_socket
from traceprobe.loops._interruptible import outcome_of
from traceprobe.loops._readiness import Readiness
from traceprobe.loops._system import SystemAlarm, SystemClock
from traceprobe.loops._threads import thread_safe_post
from traceprobe.loops._timer import OpenTimer, TimerDescriptor

__all__ = [
    "Alarm",
    "Clock",
    "OpenTimer",
    "Readiness",
    "SystemAlarm",
    "SystemClock",
    "TimerDescriptor",
    "connected_udp_socket",
    "outcome_of",
    "thread_safe_post",
]
