"""Who may send how much, when many traces share one socket.

Two limits: a window of probes in flight, so that replies never overflow the receive buffer nor probes
run out of wire identifiers, and a rate in packets per second. Turns go round: a trace that has used
its turn queues up behind the others. Sans-IO: time is an argument.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

_NS = 1_000_000_000
_ROUNDING = 1e-6
"""Share of a packet that floating-point rounding may cost: a packet that is due to the nanosecond goes."""


class Sender(Protocol):
    """One trace, as the window sees it."""

    @property
    def destination(self) -> Hashable:
        """Where its probes go."""
        ...

    def turn_came(self) -> None:
        """There may be room now."""
        ...


class RateLimit:
    """A token bucket: at most ``per_second`` packets a second, ``burst`` seconds' worth of them at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._cost_ns = _NS / per_second
        self._depth_ns = max(burst * _NS, self._cost_ns)
        self._paid_until_ns = 0.0
        """When all that was sent would be paid for, if it had been sent at the rate; at most one depth
        ahead of now."""

    def available(self, now: int) -> int:
        """How many packets may be sent now."""
        return max(0, int((now + self._depth_ns - max(self._paid_until_ns, now)) / self._cost_ns + _ROUNDING))

    def spend(self, count: int, now: int) -> None:
        """Say that packets have been sent."""
        self._paid_until_ns = max(self._paid_until_ns, now) + count * self._cost_ns

    def next_ns(self) -> int:
        """When the next packet may be sent; may be past."""
        return math.ceil(self._paid_until_ns + self._cost_ns - self._depth_ns)


class Window:
    """Probes in flight on one socket, and the queue of traces that want to send more.

    Args:
        size: Most probes in flight.
        per_destination: Most probes in flight towards one destination; None for no such limit.
        rate: Shared by all sockets of a tracer; None for no limit.
    """

    def __init__(
        self, size: int, *, per_destination: int | None = None, rate: RateLimit | None = None
    ) -> None:
        self.size = size
        self._per_destination = per_destination
        self._rate = rate
        self._total = 0
        self._in_flight: Counter[Sender] = Counter()
        self._towards: Counter[Hashable] = Counter()
        self._queue: dict[Sender, None] = {}

    @property
    def in_flight(self) -> int:
        """Probes in flight."""
        return self._total

    def grant(self, sender: Sender, now: int) -> int:
        """How many probes a trace may send now.

        With 0 it stands in the queue and is called when its turn comes, unless only the rate holds it
        back: see :meth:`next_ns`.
        """
        self._queue.setdefault(sender)
        if self._head() is not sender:
            return 0
        room = self.size - self._total
        if self._per_destination is not None:
            room = min(room, self._per_destination - self._towards[sender.destination])
        room = max(1, room // len(self._queue))
        return room if self._rate is None else min(room, self._rate.available(now))

    def next_ns(self, sender: Sender) -> int | None:
        """When the rate lets a trace send; None if something else holds it back, or nothing does."""
        if self._rate is None or sender not in self._queue or self._head() is not sender:
            return None
        return self._rate.next_ns()

    def sent(self, sender: Sender, count: int, now: int, *, wants_more: bool) -> None:
        """A trace has used its turn."""
        if self._rate is not None:
            self._rate.spend(count, now)
        self._queue.pop(sender, None)
        if wants_more:
            self._queue[sender] = None
        self._call_head()

    def withdraw(self, sender: Sender) -> None:
        """A trace wants no turn any more."""
        if sender in self._queue:
            del self._queue[sender]
            self._call_head()

    def update(self, sender: Sender, outstanding: int) -> None:
        """Say how many probes of a trace are in flight."""
        change = outstanding - self._in_flight[sender]
        if change:
            self._in_flight[sender] = outstanding
            self._total += change
            self._towards[sender.destination] += change
            if change < 0:
                self._call_head()

    def leave(self, sender: Sender) -> None:
        """A trace is over."""
        self._queue.pop(sender, None)
        self._total -= self._in_flight[sender]
        self._towards[sender.destination] -= self._in_flight.pop(sender, 0)
        if not self._towards[sender.destination]:
            del self._towards[sender.destination]
        self._call_head()

    def _head(self) -> Sender | None:
        """The trace whose turn it is: the first one that there is room for."""
        if self._total >= self.size:
            return None
        if self._per_destination is None:
            return next(iter(self._queue), None)
        limit = self._per_destination
        return next((s for s in self._queue if self._towards[s.destination] < limit), None)

    def _call_head(self) -> None:
        head = self._head()
        if head is not None:
            head.turn_came()
