"""In which order probes go out, and how many at once.

TTL-major order: all attempts of TTL 1, then those of TTL 2, and so on. A burst in this order meets
each router's ICMP rate limit with as few probes at a time as possible.

Owns the order, the window and the pace. Knows nothing of replies.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

from traceprobe.engine._states import QUEUED

if TYPE_CHECKING:
    from traceprobe.engine._states import ProbeRecord


_ttl_of = attrgetter("ttl")


class SendQueue:
    """The probes that wait to be handed out."""

    def __init__(self, planned: list[ProbeRecord], *, window: int | None, interval_ns: int) -> None:
        # The plan is in TTL-major order already; a cursor over it costs nothing. Retries are few.
        self._planned = planned
        self._next_planned = 0
        self._planned_count = len(planned)
        self._retries: list[ProbeRecord] = []
        self._window = window
        self._interval_ns = interval_ns
        self.in_flight = 0
        """Probes that were handed out and take up the window still; whoever ends one counts it down."""
        self.not_before_ns: int | None = None
        """When the pace lets the next probe go; None if nothing keeps it back."""
        self.has_gaps: bool = False
        """Probes were cancelled that had not been handed out; whoever does that says so."""
        self.is_empty: bool = not planned
        """Nothing waits to be handed out."""

    def add_retry(self, record: ProbeRecord) -> None:
        """Put in one more probe, to its place in the order."""
        heapq.heappush(self._retries, record)
        self.is_empty = False

    def at_most(self, end_ttl: int) -> int:
        """How many probes up to ``end_ttl`` may go at once, at most: some may have been cancelled."""
        if self._interval_ns:
            return 1
        planned, first, stop = self._planned, self._next_planned, self._planned_count
        if first < stop and planned[-1].ttl > end_ttl:
            stop = bisect_right(planned, end_ttl, lo=first, key=_ttl_of)
        count = stop - first + len(self._retries)
        return count if self._window is None else min(count, self._window - self.in_flight)

    def has_room_for_next(self, end_ttl: int) -> bool:
        """Whether there is a probe up to ``end_ttl`` and room for it in the window."""
        if self.is_empty:
            return False
        full = self._window is not None and self.in_flight >= self._window
        return not full and self._peek(end_ttl) is not None

    def take(self, now: int, end_ttl: int, limit: int | None) -> list[ProbeRecord]:
        """Remove and return what may go now, in order."""
        if self.not_before_ns is not None and now < self.not_before_ns:
            return []
        room = self._planned_count + len(self._retries) if limit is None else limit
        if self._window is not None:
            room = min(room, self._window - self.in_flight)
        if self._interval_ns:
            room = min(room, 1)
        taken = self._take_plain_run(end_ttl, room)
        while len(taken) < room and (record := self._peek(end_ttl)) is not None:
            if self._retries and record is self._retries[0]:
                heapq.heappop(self._retries)
            else:
                self._next_planned += 1
            taken.append(record)
        self.in_flight += len(taken)
        self.is_empty = self._next_planned == self._planned_count and not self._retries
        if taken and self._interval_ns:
            # Spacing, not rate: after a delay nothing is made up for in a burst.
            self.not_before_ns = now + self._interval_ns
        return taken

    def _take_plain_run(self, end_ttl: int, room: int) -> list[ProbeRecord]:
        """What the plan alone gives, up to the first probe that takes a closer look: mostly all there is."""
        taken: list[ProbeRecord] = []
        if not self._retries:
            taken = self._planned[self._next_planned : self._next_planned + max(0, room)]
            if self.has_gaps or (taken and taken[-1].ttl > end_ttl):
                fit = (r.state is QUEUED and r.ttl <= end_ttl for r in taken)
                taken = taken[: next((place for place, fits in enumerate(fit) if not fits), len(taken))]
            self._next_planned += len(taken)
        return taken

    def _peek(self, end_ttl: int) -> ProbeRecord | None:
        """The next probe in order that was not cancelled, if it lies within the end."""
        while self._retries and self._retries[0].state is not QUEUED:
            heapq.heappop(self._retries)
        while (
            self._next_planned < self._planned_count and self._planned[self._next_planned].state is not QUEUED
        ):
            self._next_planned += 1
        candidates = self._retries[:1]
        self.is_empty = self._next_planned == self._planned_count and not self._retries
        if self._next_planned < self._planned_count:
            candidates.append(self._planned[self._next_planned])
        record = min(candidates, default=None)
        return None if record is None or record.ttl > end_ttl else record
