"""How to wait on asyncio, uvloop and trio with the fewest wake-ups; the clock of the real network.

Knows nothing of packets and traces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe._late import import_when_asked
from traceprobe.loops._readiness import Readiness
from traceprobe.loops._system import SystemAlarm, SystemClock

if TYPE_CHECKING:
    from traceprobe.loops._clock import Alarm as Alarm
    from traceprobe.loops._clock import Clock as Clock
    from traceprobe.loops._datagrams import connected_udp_socket as connected_udp_socket
    from traceprobe.loops._interruptible import outcome_of as outcome_of
    from traceprobe.loops._threads import thread_safe_post as thread_safe_post
    from traceprobe.loops._timer import OpenTimer as OpenTimer
    from traceprobe.loops._timer import TimerDescriptor as TimerDescriptor

_LATE: Final = {
    "Alarm": "traceprobe.loops._clock",
    "Clock": "traceprobe.loops._clock",
    "OpenTimer": "traceprobe.loops._timer",
    "TimerDescriptor": "traceprobe.loops._timer",
    "connected_udp_socket": "traceprobe.loops._datagrams",
    "outcome_of": "traceprobe.loops._interruptible",
    "thread_safe_post": "traceprobe.loops._threads",
}
"""What a trace hardly ever needs, and where it is: imported when somebody asks for it."""

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

if not TYPE_CHECKING:
    __getattr__ = import_when_asked(__name__, _LATE)
