"""Virtual time: a clock that moves only when everybody waits for it, and then at once.

Who is waited for are *participants*: alarms and the receivers of simulated sockets. A participant is
busy or it waits. When the last busy one has gone to wait, the clock jumps to the next event (an alarm's
deadline, the arrival of a packet): nothing sleeps, nothing polls, and a trace that waits five seconds for
silent hops takes a millisecond. Whoever is woken counts as busy from the moment of the wake-up, long
before its task gets its turn, so the clock never runs away from it.

* An alarm is busy from its making, waits inside ``wait``, and is gone after ``close``, or once its
  waiter was cancelled.
* A receiver waits inside ``receive``, and is busy from being handed replies until it receives again.
* A participant whose task waits for something else on the same clock is not busy meanwhile, nor is one
  whose task has ended.

Before each jump the event loop makes a few turns, so that what the participants have set off in other
tasks (a look-up to start, an answer to hand on) comes before the next event.

Time does not pass for its own sake: without a waiting alarm, or a waiting receiver with probes
outstanding, nobody cares for the next event and the clock stands.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from traceprobe.errors import BusyError, ClosedError
from traceprobe.testing._roster import Participant, Roster

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timer", "VirtualAlarm", "VirtualClock"]

_NS = 1_000_000_000

_LEAST_ROOM = 1024
"""Events to come, cancelled ones included, below which nobody looks for those that were cancelled."""

STARTS_AT_NS = 1_767_225_600 * _NS
"""Wall clock of a simulation at its beginning: 2026-01-01T00:00:00Z."""


class Timer:
    """A call at a time of the virtual clock; made by :meth:`VirtualClock.call_at`."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def cancel(self) -> None:
        """Never call it."""
        self._callback = None

    def fire(self) -> None:
        """Call it now, unless it was called or cancelled before."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class VirtualAlarm:
    """An alarm of the virtual clock; see :class:`~traceprobe.loops.Alarm`."""

    __slots__ = ("_clock", "_closed", "_event", "_participant", "_rung")

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._participant = clock.participant()
        self._participant.works()
        self._event: anyio.Event | None = None
        self._rung = False
        self._closed = False

    async def wait(self, deadline_ns: int | None) -> None:
        """Wait until ``wake`` is called or virtual time reaches ``deadline_ns``.

        Raises:
            BusyError: Another task waits on this alarm.
            ClosedError: The alarm has been closed.
        """
        if self._closed:
            raise ClosedError("the alarm has been closed")
        if self._event is not None:
            raise BusyError("another task waits on this alarm")
        if self._rung or (deadline_ns is not None and deadline_ns <= self._clock.monotonic_ns()):
            self._participant.works()
            try:
                await anyio.lowlevel.checkpoint()
            except BaseException:
                self._participant.leaves()
                raise
            self._rung = False
            return
        self._event = event = anyio.Event()
        timer = None if deadline_ns is None else self._clock.call_at(deadline_ns, self._ring)
        try:
            self._participant.waits()
            await event.wait()
        except BaseException:
            self._participant.leaves()
            raise
        finally:
            self._event = None
            if timer is not None:
                timer.cancel()
        self._rung = False

    def wake(self) -> None:
        """Ring now."""
        if not self._closed:
            self._rung = True
            self._ring()

    def close(self) -> None:
        """The waiter will not wait again; the clock no longer waits for it."""
        if not self._closed:
            self._closed = True
            self._participant.leaves()

    def _ring(self) -> None:
        if self._event is not None and not self._event.is_set():
            self._event.set()
            self._participant.wakes()


class VirtualClock:
    """The clock of a simulation; see :class:`~traceprobe.loops.Clock`. Starts at 0.

    Args:
        starts_at_ns: Wall clock at the beginning, nanoseconds since the epoch.
    """

    def __init__(self, *, starts_at_ns: int = STARTS_AT_NS) -> None:
        self._starts_at_ns = starts_at_ns
        self._now = 0
        self._events: list[tuple[int, int, Timer]] = []
        self._room = _LEAST_ROOM
        self._order = itertools.count()
        self._roster = Roster(self._advance)

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now / _NS:.6f} s: {self._roster!r}, {len(self._events)} to come>"

    def monotonic_ns(self) -> int:
        """Virtual nanoseconds since the beginning."""
        return self._now

    def realtime_ns(self) -> int:
        """Virtual wall clock, nanoseconds since the epoch."""
        return self._starts_at_ns + self._now

    def alarm(self) -> VirtualAlarm:
        """Make an alarm for one waiter, who is waited for from now on."""
        return VirtualAlarm(self)

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time pass; always returns to the event loop at least once."""
        alarm = self.alarm()
        try:
            await alarm.wait(self._now + round(seconds * _NS))
        finally:
            alarm.close()

    # --- for the network --------------------------------------------------------------------------------

    def call_at(self, at_ns: int, callback: Callable[[], object]) -> Timer:
        """Call a function when virtual time reaches ``at_ns``; calls for one instant in the order made."""
        events = self._events
        if len(events) >= self._room:
            # What was cancelled may lie far ahead, and would pile up until then.
            events[:] = [event for event in events if event[2].active]
            heapq.heapify(events)
            self._room = max(_LEAST_ROOM, 2 * len(events))
        timer = Timer(callback)
        heapq.heappush(events, (at_ns, next(self._order), timer))
        return timer

    def participant(self) -> Participant:
        """Somebody new to wait for, who is neither busy nor waits yet."""
        return Participant(self._roster)

    def nudge(self) -> None:
        """Look in a few turns of the event loop whether the clock may move."""
        self._roster.nudge()

    def _advance(self) -> None:
        while not self._roster.busy and self._roster.cares:
            at_ns = self._next_event_ns()
            if at_ns is None:
                return
            self._now = max(self._now, at_ns)
            # All that happens at one instant happens before anybody reacts to it.
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2].fire()

    def _next_event_ns(self) -> int | None:
        while self._events and not self._events[0][2].active:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else None
