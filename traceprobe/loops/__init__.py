"""How to wait on asyncio, uvloop and trio with the fewest wake-ups; the clock of the real network.

Knows nothing of packets and traces.
"""

from traceprobe.loops._clock import Alarm, Clock

__all__ = ["Alarm", "Clock"]
