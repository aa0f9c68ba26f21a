"""The clock of the real network, on any event loop that anyio knows.

Where the kernel has timers that are descriptors, alarms ring by one of them, to the microsecond. Elsewhere
the event loops' own timers have to do, and those are rounded: uvloop's to the nearest millisecond, so that
one may fire before its time; and asyncio counts by ``time.monotonic``, which Windows moves on only every
15.6 ms before Python 3.13. An alarm never rings early: what is left is waited for again, rounded up to the
loop's grain.

A trace waits on its alarm again and again, so alarms use what the event loops themselves have, a fifth of the
cost of a cancel scope with an event in it: a future and a timer, or on trio the rescheduling of a task.
Both are ended by a cancellation as any wait is.
"""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from traceprobe.loops._timer import SharedTimers

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from traceprobe.loops._timer import OpenTimer, SharedTimer

if sys.platform == "win32":
    # QueryPerformanceCounter, on all versions of Python: as monotonic, and fine-grained.
    from time import perf_counter_ns as _now_ns
else:
    from time import monotonic_ns as _now_ns

_NS = 1_000_000_000
_GRAINS_PER_SECOND = 1000
"""Event loops count their timers in milliseconds (``epoll_wait(2)``)."""


class SystemAlarm:
    """One waiter's alarm on the running event loop; see :class:`~traceprobe.loops.Alarm`.

    Args:
        timers: Where event loops have their shared timers; None if this kernel has no such thing.
    """

    __slots__ = ("_loop", "_ring", "_rung", "_timer", "_timers")

    def __init__(self, timers: SharedTimers | None = None) -> None:
        self._timers = timers
        self._timer: SharedTimer | None = None
        """The one that it has joined."""
        self._loop: Any = None
        """The event loop, or trio's token; known as soon as somebody has waited."""
        self._ring: Callable[[], None] | None = None
        """Lets whoever waits go on."""
        self._rung = False

    async def wait(self, deadline_ns: int | None) -> None:
        """Wait until ``wake`` is called or the monotonic clock reaches ``deadline_ns``."""
        if self._rung:
            self._rung = False
            await anyio.lowlevel.checkpoint()
            return
        if deadline_ns is not None and deadline_ns <= _now_ns():
            await anyio.lowlevel.checkpoint()
            return
        if self._loop is None:
            self._loop = anyio.lowlevel.current_token().native_token
        if deadline_ns is not None and self._timer is None and self._timers is not None:
            self._timer = self._timers.join(self._loop)
        try:
            if hasattr(self._loop, "create_future"):
                await self._wait_for_future(self._loop, deadline_ns)
            else:
                await self._wait_on_trio(deadline_ns)
        finally:
            self._ring = None
        self._rung = False

    async def _wait_for_future(self, loop: asyncio.AbstractEventLoop, deadline_ns: int | None) -> None:
        future = loop.create_future()

        def ring() -> None:
            if not future.done():
                future.set_result(None)

        self._ring = ring
        if deadline_ns is None:
            await future
            return
        if self._timer is not None:
            appointment = self._timer.set(deadline_ns, ring)
            try:
                await future
            finally:
                self._timer.take_back(appointment)
            return

        timer: asyncio.TimerHandle

        def time_came() -> None:
            nonlocal timer
            if (left := _seconds_until(deadline_ns)) > 0:
                timer = loop.call_later(left, time_came)
            else:
                ring()

        timer = loop.call_later(_seconds_until(deadline_ns), time_came)
        try:
            await future
        finally:
            timer.cancel()

    async def _wait_on_trio(self, deadline_ns: int | None) -> None:
        import trio

        task = trio.lowlevel.current_task()
        is_asleep = True

        def ring() -> None:
            nonlocal is_asleep
            if is_asleep:
                is_asleep = False
                trio.lowlevel.reschedule(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal is_asleep
            is_asleep = False
            return trio.lowlevel.Abort.SUCCEEDED

        self._ring = ring
        if deadline_ns is None:
            await trio.lowlevel.wait_task_rescheduled(abort)
            return
        if self._timer is not None:
            appointment = self._timer.set(deadline_ns, ring)
            try:
                await trio.lowlevel.wait_task_rescheduled(abort)
            finally:
                self._timer.take_back(appointment)
            return
        while (seconds := _seconds_until(deadline_ns)) > 0:
            is_asleep = True
            with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
                await trio.lowlevel.wait_task_rescheduled(abort)
            if not scope.cancelled_caught:
                return

    def wake(self) -> None:
        """Ring now."""
        self._rung = True
        if self._ring is not None:
            self._ring()

    def close(self) -> None:
        """Leave the timer."""
        if self._timer is not None:
            self._timer.leave()
            self._timer = None


def _seconds_until(deadline_ns: int) -> float:
    """How long to wait for a moment, in grains of the event loops' timers; not above 0 if it has come."""
    return math.ceil((deadline_ns - _now_ns()) * _GRAINS_PER_SECOND / _NS) / _GRAINS_PER_SECOND


class SystemClock:
    """``CLOCK_MONOTONIC`` and ``CLOCK_REALTIME``; see :class:`~traceprobe.loops.Clock`.

    On Windows the performance counter stands for the former, as nanoseconds. Both are the functions of the
    ``time`` module themselves: clocks are read at every turn, and a method around them would double the cost.

    Args:
        open_timer: Opens a timer that is a descriptor; None if the kernel has none.
    """

    __slots__ = ("_timers",)

    def __init__(self, open_timer: OpenTimer | None = None) -> None:
        self._timers = None if open_timer is None else SharedTimers(open_timer, _now_ns)

    if TYPE_CHECKING:

        def monotonic_ns(self) -> int:
            """``CLOCK_MONOTONIC`` in nanoseconds (clock_gettime(2)); on Windows the performance counter."""
            ...

        def realtime_ns(self) -> int:
            """``CLOCK_REALTIME`` in nanoseconds since the epoch (clock_gettime(2))."""
            ...

    else:
        monotonic_ns = staticmethod(_now_ns)
        realtime_ns = staticmethod(time.time_ns)

    def alarm(self) -> SystemAlarm:
        """Make an alarm for one waiter."""
        return SystemAlarm(self._timers)
