"""Who may send how much, when many traces share one socket.

Two limits: a window of probes in flight, so that replies never overflow the receive buffer nor probes
run out of wire identifiers, and a rate in packets per second. Turns go round: a trace that has used
its turn queues up behind the others. A turn is worth having: a batch costs as much to send as many probes
do, so nobody is called for the one place that has just become free. Sans-IO: time is an argument.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

_NS = 1_000_000_000
_TURNS_IN_A_WINDOW = 16
"""Which share of the window is a turn that nobody need be given more of at once."""
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
        self._turn = max(1, size // _TURNS_IN_A_WINDOW)
        self._total = 0
        self._in_flight: dict[Sender, int] = {}
        self._towards: Counter[Hashable] = Counter()
        """Probes in flight by destination; counted only where there is a limit to them."""
        self._queue: dict[Sender, int] = {}
        """Who wants to send, and how much."""

    @property
    def in_flight(self) -> int:
        """Probes in flight."""
        return self._total

    def grant(self, sender: Sender, wanted: int, now: int) -> int:
        """How many of the probes that it wants to send a trace may send now.

        With 0 it stands in the queue and is called when its turn comes, unless only the rate holds it
        back: see :meth:`next_ns`.
        """
        queue = self._queue
        queue[sender] = wanted  # one that stands there already keeps its place
        if self._head() is not sender:
            return 0
        room = self.size - self._total
        if self._per_destination is not None:
            room = min(room, self._per_destination - self._towards[sender.destination])
        if len(queue) > 1:
            room = min(room, max(self._turn, room // len(queue)))
        room = min(room, wanted)
        return room if self._rate is None else min(room, self._rate.available(now))

    def next_ns(self, sender: Sender) -> int | None:
        """When the rate lets a trace send; None if something else holds it back, or nothing does."""
        if self._rate is None or sender not in self._queue or self._head() is not sender:
            return None
        return self._rate.next_ns()

    def sent(self, sender: Sender, count: int, now: int, *, wants_more: int) -> None:
        """A trace has used its turn, and wants to send so many more."""
        if self._rate is not None:
            self._rate.spend(count, now)
        self._queue.pop(sender, None)
        if wants_more:
            self._queue[sender] = wants_more
        self._call_head()

    def withdraw(self, sender: Sender) -> None:
        """A trace wants no turn any more."""
        if sender in self._queue:
            del self._queue[sender]
            self._call_head()

    def update(self, sender: Sender, outstanding: int) -> None:
        """Say how many probes of a trace are in flight."""
        change = outstanding - self._in_flight.get(sender, 0)
        if change:
            self._in_flight[sender] = outstanding
            self._total += change
            if self._per_destination is not None:
                self._towards[sender.destination] += change
            if change < 0 and self._queue:
                self._call_head()

    def leave(self, sender: Sender) -> None:
        """A trace is over."""
        self._queue.pop(sender, None)
        in_flight = self._in_flight.pop(sender, 0)
        self._total -= in_flight
        if self._per_destination is not None:
            self._towards[sender.destination] -= in_flight
            if not self._towards[sender.destination]:
                del self._towards[sender.destination]
        self._call_head()

    def _head(self) -> Sender | None:
        """The trace whose turn it is, if there is room for what it wants or for a whole turn.

        That much becomes free in the end, since every probe ends. It is the first one in the queue; where
        destinations are limited, the first one whose destination is not full, for whatever it has room for.
        """
        room, limit = self.size - self._total, self._per_destination
        if room <= 0:
            return None
        if limit is not None:
            return next((s for s in self._queue if self._towards[s.destination] < limit), None)
        for sender, wanted in self._queue.items():
            return sender if room >= wanted or room >= self._turn else None
        return None

    def _call_head(self) -> None:
        head = self._head()
        if head is not None:
            head.turn_came()
