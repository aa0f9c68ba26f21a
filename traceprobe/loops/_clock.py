"""Time, as the driver sees it: two clocks to read and alarms to wait on.

Protocols only: :mod:`traceprobe.loops` has the real one, :mod:`traceprobe.testing` a virtual one. All
absolute times are nanoseconds of ``CLOCK_MONOTONIC`` (or of the virtual clock).
"""

from __future__ import annotations

from typing import Protocol


class Alarm(Protocol):
    """One waiter's alarm: rings at an absolute time, or earlier when it is told to.

    A wake-up that comes while nobody waits is kept for the next ``wait``; several count as one.
    """

    async def wait(self, deadline_ns: int | None) -> None:
        """Wait until ``wake`` is called or the clock reaches ``deadline_ns``; None waits for ``wake`` only.

        Always returns to the event loop at least once.
        """
        ...

    def wake(self) -> None:
        """Ring now."""
        ...

    def close(self) -> None:
        """The waiter will not wait again."""
        ...


class Clock(Protocol):
    """The clock of a network, real or simulated."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never run backwards; only differences mean anything."""
        ...

    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch; may be stepped."""
        ...

    def alarm(self) -> Alarm:
        """Make an alarm for one waiter."""
        ...
