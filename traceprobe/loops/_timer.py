"""One timer for all alarms of an event loop, finer than the loop's own.

A kernel whose event loops count in milliseconds may have timers that are descriptors; the loop watches one
as it watches a socket. It belongs to those who have joined: the first opens it, the last one closes it, and
it is set for the earliest moment that anybody waits for. Knows no kernel: who makes a clock brings the timer.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

_FEW: Final = 64
"""So many appointments are not worth clearing up."""
_UNKNOWN: Final = -1


class TimerDescriptor(Protocol):
    """A timer that is readable from a moment on."""

    def fileno(self) -> int:
        """The descriptor to watch."""
        ...

    def set(self, deadline_ns: int | None) -> None:
        """Be readable from this moment on (monotonic nanoseconds) and not before; None for never."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


OpenTimer: TypeAlias = "Callable[[], TimerDescriptor]"
"""Opens one; raises ``OSError`` if there is none to be had."""


class Appointment:
    """What is to be called at a moment; None when it has been, or when nobody wants it any more."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call


class SharedTimer:
    """The timer of one event loop; see :class:`SharedTimers`.

    Args:
        loop: The running event loop, or trio's token.
        descriptor: The timer; it is the shared timer's own from now on.
        now_ns: The clock that deadlines are given by.
        forget: Called when nobody needs it any more.
    """

    __slots__ = (
        "_armed_ns",
        "_descriptor",
        "_forget",
        "_heap",
        "_loop",
        "_now_ns",
        "_numbers",
        "_users",
        "_wanted",
    )

    def __init__(
        self,
        loop: object,
        descriptor: TimerDescriptor,
        now_ns: Callable[[], int],
        forget: Callable[[], None],
    ) -> None:
        self._loop: Any = loop
        self._descriptor = descriptor
        self._now_ns = now_ns
        self._forget = forget
        self._users = 0
        self._heap: list[tuple[int, int, Appointment]] = []
        self._numbers = count()
        self._wanted = 0
        """How many of the appointments somebody still wants."""
        self._armed_ns: int | None = None
        if hasattr(self._loop, "add_reader"):
            self._loop.add_reader(descriptor.fileno(), self._rang)
        else:
            import trio

            trio.lowlevel.spawn_system_task(self._serve, name=self._serve)

    def join(self) -> None:
        """One user more."""
        self._users += 1

    def leave(self) -> None:
        """One user less; the last one closes it."""
        self._users -= 1
        if self._users:
            return
        self._forget()
        # At once: the number of the descriptor may be given to another.
        if hasattr(self._loop, "remove_reader"):
            self._loop.remove_reader(self._descriptor.fileno())
        else:
            import trio

            trio.lowlevel.notify_closing(self._descriptor.fileno())
        self._descriptor.close()

    def set(self, deadline_ns: int, call: Callable[[], None]) -> Appointment:
        """Have something called as soon as a moment has come (monotonic nanoseconds)."""
        appointment = Appointment(call)
        heapq.heappush(self._heap, (deadline_ns, next(self._numbers), appointment))
        self._wanted += 1
        self._arm()
        return appointment

    def take_back(self, appointment: Appointment) -> None:
        """Forget an appointment, whether it has been kept or not."""
        if appointment.call is None:
            return
        appointment.call = None
        self._wanted -= 1
        # The timer stays set: who takes one back mostly makes another at once.
        if len(self._heap) > _FEW + 2 * self._wanted:
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)

    def _arm(self) -> None:
        heap = self._heap
        while heap and heap[0][2].call is None:
            heapq.heappop(heap)
        earliest = heap[0][0] if heap else None
        if earliest != self._armed_ns:
            self._armed_ns = earliest
            self._descriptor.set(earliest)

    def _rang(self) -> None:
        if not self._users:
            return  # it was given back in the same turn of the event loop, before this was run
        heap, now = self._heap, self._now_ns()
        while heap and heap[0][0] <= now:
            appointment = heapq.heappop(heap)[2]
            if (call := appointment.call) is not None:
                appointment.call = None
                self._wanted -= 1
                call()
        self._armed_ns = _UNKNOWN  # set anew in any case, or else it would stay readable
        self._arm()

    async def _serve(self) -> None:
        import trio

        try:
            while self._users:
                await trio.lowlevel.wait_readable(self._descriptor.fileno())
                self._rang()
        except trio.ClosedResourceError:
            return


class SharedTimers:
    """The shared timers of all event loops that use one clock.

    Args:
        open_timer: Opens a timer.
        now_ns: The clock that deadlines are given by.
    """

    __slots__ = ("_by_loop", "_now_ns", "_open_timer")

    def __init__(self, open_timer: OpenTimer, now_ns: Callable[[], int]) -> None:
        self._open_timer = open_timer
        self._now_ns = now_ns
        self._by_loop: dict[object, SharedTimer] = {}

    def join(self, loop: object) -> SharedTimer | None:
        """Use the timer of the running event loop until :meth:`SharedTimer.leave`.

        Returns:
            The timer; None if there is none to be had, so that the event loop's own must do.
        """
        timer = self._by_loop.get(loop)
        if timer is None:
            try:
                descriptor = self._open_timer()
            except OSError:
                return None
            try:
                timer = SharedTimer(loop, descriptor, self._now_ns, lambda: self._forget(loop))
            except RuntimeError:  # an event loop that knows no readiness
                descriptor.close()
                return None
            self._by_loop[loop] = timer
        timer.join()
        return timer

    def _forget(self, loop: object) -> None:
        del self._by_loop[loop]
