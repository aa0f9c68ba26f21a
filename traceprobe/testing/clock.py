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
from traceprobe.testing._soon import call_soon, current_task, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Participant", "Timer", "VirtualAlarm", "VirtualClock"]

_NS = 1_000_000_000

STARTS_AT_NS = 1_767_225_600 * _NS
"""Wall clock of a simulation at its beginning: 2026-01-01T00:00:00Z."""

_TURNS_BEFORE_A_JUMP = 6
"""Turns of the event loop, none of which a participant uses to do anything, before time moves on: so many
tasks can a look-up's answer go through, say, to reach the trace that asked for it. On trio, which runs what
is ready in random order, half as many."""


class Timer:
    """A call at a time of the virtual clock; made by :meth:`VirtualClock.call_at`."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

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


class Participant:
    """Somebody that the clock waits for. Gone when it is collected as garbage."""

    __slots__ = ("__weakref__", "_clock", "_key", "_task")

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._key = clock._new_key()
        self._task: object = None

    def __del__(self) -> None:
        self._clock._forget(self._key)

    def works(self) -> None:
        """It is busy, on behalf of the running task."""
        self._clock._begin_work(self._key, current_task())

    def waits(self, cares: Callable[[], bool] | None = None) -> None:
        """The running task goes to wait.

        Args:
            cares: Whether it wants time to pass; None: always.
        """
        self._task = current_task()
        self._clock._begin_wait(self._key, self._task, cares)

    def wakes(self) -> None:
        """What it waited for has come: busy from now on, though its task still has to get its turn."""
        self._clock._begin_work(self._key, self._task)

    def leaves(self) -> None:
        """It will not wait again, as far as it knows now."""
        self._clock._forget(self._key)
        self._clock.nudge()


class VirtualAlarm:
    """An alarm of the virtual clock; see :class:`~traceprobe.loops.Alarm`."""

    __slots__ = ("_clock", "_closed", "_event", "_participant", "_rung")

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._participant = Participant(clock)
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
        self._order = itertools.count()
        self._keys = itertools.count()
        self._busy: dict[int, object] = {}
        self._busy_of_task: dict[object, set[int]] = {}
        self._waiting: dict[int, Callable[[], bool] | None] = {}
        self._stands_in_for: dict[int, tuple[object, set[int]]] = {}
        self._watch = 0

    def __repr__(self) -> str:
        return (
            f"<VirtualClock at {self._now / _NS:.6f} s: {len(self._busy)} busy, {len(self._waiting)} waiting,"
            f" {len(self._events)} to come>"
        )

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

    def call_at(self, at_ns: int, callback: Callable[[], None]) -> Timer:
        """Call a function when virtual time reaches ``at_ns``; calls for one instant in the order made."""
        timer = Timer(callback)
        heapq.heappush(self._events, (at_ns, next(self._order), timer))
        return timer

    def nudge(self) -> None:
        """Look in a few turns of the event loop whether the clock may move."""
        if self._busy:
            self._forget_ended_tasks()
        if not self._busy:
            self._watch += 1
            self._watch_loop(self._watch, _TURNS_BEFORE_A_JUMP)

    # --- for participants -------------------------------------------------------------------------------

    def _new_key(self) -> int:
        return next(self._keys)

    def _is_busy(self, key: int) -> bool:
        return key in self._busy

    def _begin_work(self, key: int, task: object) -> None:
        self._remove(key)
        self._busy[key] = task
        self._busy_of_task.setdefault(task, set()).add(key)
        self._end_substitution(key)

    def _begin_wait(self, key: int, task: object, cares: Callable[[], bool] | None) -> None:
        self._remove(key)
        others = self._busy_of_task.pop(task, None)
        if others:
            for other in others:
                del self._busy[other]
            self._stands_in_for[key] = (task, others)
        self._waiting[key] = cares
        self.nudge()

    def _forget(self, key: int) -> None:
        self._remove(key)
        self._end_substitution(key)

    def _remove(self, key: int) -> None:
        self._waiting.pop(key, None)
        if key in self._busy:
            task = self._busy.pop(key)
            keys = self._busy_of_task[task]
            keys.discard(key)
            if not keys:
                del self._busy_of_task[task]
        elif self._stands_in_for:
            for _, others in self._stands_in_for.values():
                others.discard(key)

    def _forget_ended_tasks(self) -> None:
        """Who was busy in a task that is over will not tell that it is done."""
        while self._busy_of_task:
            # A live one keeps the clock from moving anyway; whatever stands behind it is looked at later.
            task = next(iter(self._busy_of_task))
            if task is None or not has_ended(task):
                return
            for key in self._busy_of_task.pop(task):
                del self._busy[key]

    def _end_substitution(self, key: int) -> None:
        """The task goes on that waited through one participant: all that it was busy with is busy again."""
        task, others = self._stands_in_for.pop(key, (None, ()))
        for other in others:
            self._busy[other] = task
            self._busy_of_task.setdefault(task, set()).add(other)

    def _watch_loop(self, watch: int, turns: int) -> None:
        # A participant that did anything meanwhile has begun a new watch, or will when it goes to wait.
        if watch != self._watch or self._busy:
            return
        if turns:
            call_soon(lambda: self._watch_loop(watch, turns - 1))
        else:
            self._advance()

    def _advance(self) -> None:
        while not self._busy and self._someone_cares():
            at_ns = self._next_event_ns()
            if at_ns is None:
                return
            self._now = max(self._now, at_ns)
            # All that happens at one instant happens before anybody reacts to it.
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2].fire()

    def _someone_cares(self) -> bool:
        return any(cares is None or cares() for cares in self._waiting.values())

    def _next_event_ns(self) -> int | None:
        while self._events and not self._events[0][2].active:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else None
