"""How long silence is waited for: the two estimators of :class:`~traceprobe.config.TimingConfig`.

A probe that is not answered is either lost, or on its way, or meant for a router that never answers;
only time tells. What has answered so far says how much time is enough:

* Behind an *interior* hop something has answered, so the path is known to lead through it, and the
  round trip to it is hardly longer than the round trip through it to what lies behind. "Hardly" is the
  jitter: how much slower some hop has been than itself or something behind it.
* Behind a hop in the *tail* nothing has answered. It may be the first one behind a satellite link, so
  the round trips seen so far bound nothing, and the wait is generous.

Owns round-trip times by TTL and the waits that follow from them. Knows no probes and no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceprobe.config import TimingConfig

NS_PER_SECOND = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Seconds of the configuration as whole nanoseconds."""
    return round(seconds * NS_PER_SECOND)


class SilenceEstimator:
    """Waits by TTL, from the round-trip times seen so far.

    Replies come much more often than anybody asks how long to wait. So a round trip is only put down, and
    what follows from it is worked out when it is asked for.

    Attributes:
        note: Put one round trip down, by two calls: the position of its TTL, counted from the first one, and
            nanoseconds. ``farthest`` has to be no less than that position by then. Nothing is kept of it but
            two numbers, since a thousand traces may note at once.
    """

    def __init__(self, timing: TimingConfig, first_ttl: int, last_ttl: int) -> None:
        self._cap_ns = to_ns(timing.probe_timeout)
        self._interior_floor_ns = to_ns(timing.interior_floor)
        self._interior_factor = timing.interior_factor
        self._jitter_factor = timing.interior_jitter_factor
        self._tail_floor_ns = to_ns(timing.tail_floor)
        self._tail_factor = timing.tail_factor
        self._first_ttl = first_ttl
        count = last_ttl - first_ttl + 1
        self._slowest_here: list[int | None] = [None] * count
        self._fastest_from_here: list[int | None] = [None] * count
        self._slowest_from_here: list[int | None] = [None] * count
        self._is_stale = False
        """Whether the last of these does not yet hold what was seen since."""
        self._slowest = 0
        self.farthest: int = -1
        """Position of the last TTL that something has answered at; who notes a round trip moves it on."""
        self._jitter_ns = 0
        self.known_tail_wait_ns: int = self._bounded(None)
        """How long the tail was waited for when somebody asked last; it only grows."""
        self._noted: list[int] = []
        """What nothing has been made of yet, oldest first: positions and round trips by turns."""
        self.note = self._noted.append

    def observe(self, ttl: int, rtt_ns: int) -> bool:
        """Take in one round-trip time; returns whether any wait may have changed by it."""
        position = ttl - self._first_ttl
        slowest = self._slowest_from(position)
        jitter_before = self._jitter_ns
        self.farthest = max(self.farthest, position)
        self.note(position)
        self.note(rtt_ns)
        self._take_in()
        return slowest is None or rtt_ns > slowest or self._jitter_ns > jitter_before

    def _take_in(self) -> None:
        """Make of the round trips what can be said of each by itself."""
        slowest_here, fastest_from_here, overall = self._slowest_here, self._fastest_from_here, self._slowest
        noted = iter(self._noted)
        for here, rtt_ns in zip(noted, noted, strict=True):
            # A clock that was stepped can make a round trip negative; nothing is faster than no time at all.
            if rtt_ns < 0:
                rtt_ns = 0
            if rtt_ns > overall:
                overall = rtt_ns
            slowest = slowest_here[here]
            if slowest is None or rtt_ns > slowest:
                slowest_here[here] = slowest = rtt_ns
                self._is_stale = True
            fastest = fastest_from_here[here]
            if fastest is None or rtt_ns < fastest:
                # Mostly something nearer has answered before, and faster.
                nearer = fastest_from_here[here - 1] if here else None
                if fastest is None and slowest == rtt_ns and nearer is not None and nearer <= rtt_ns:
                    fastest_from_here[here] = rtt_ns
                else:
                    self._lower_fastest(here, rtt_ns)
            elif slowest - fastest > self._jitter_ns:
                self._jitter_ns = slowest - fastest
        self._noted.clear()
        self._slowest = overall

    def _lower_fastest(self, here: int, rtt_ns: int) -> None:
        """Carry a round trip towards the near end, as far as it is faster than anything seen behind there."""
        fastest_from_here, slowest_here = self._fastest_from_here, self._slowest_here
        for position in range(here, -1, -1):
            fastest = fastest_from_here[position]
            if fastest is not None and fastest <= rtt_ns:
                break
            fastest_from_here[position] = rtt_ns
            # Slowest only grows and fastest only shrinks, so the jitter of every hop only grows.
            slowest = slowest_here[position]
            if slowest is not None and slowest - rtt_ns > self._jitter_ns:
                self._jitter_ns = slowest - rtt_ns

    def is_interior(self, ttl: int) -> bool:
        """Whether something has answered at this TTL or farther on."""
        return ttl - self._first_ttl <= self.farthest

    @property
    def farthest_ttl(self) -> int:
        """The last TTL that something has answered at; what lies behind it is the tail."""
        return self._first_ttl + self.farthest

    def tail_wait_ns(self) -> int:
        """How long after its sending a probe in the tail is given up."""
        if self._noted:
            self._take_in()
        self.known_tail_wait_ns = wait_ns = self._bounded(None)
        return wait_ns

    def wait_ns(self, ttl: int) -> int:
        """How long after its sending a probe of this TTL is given up."""
        return self._bounded(self._slowest_from(ttl - self._first_ttl))

    def shortest_wait_ns(self, here: int) -> int:
        """The shortest of the waits for a position and all that lies behind it, at once."""
        tail = self.tail_wait_ns()
        if here > self.farthest:
            return tail
        # What lies behind a TTL is part of its slowest, so the shortest interior wait is the farthest one.
        return min(tail, self._bounded(self._slowest_here[self.farthest]))

    def _bounded(self, slowest: int | None) -> int:
        if slowest is None:
            wait = max(self._tail_floor_ns, int(self._tail_factor * self._slowest))
        else:
            allowance = self._jitter_factor * self._jitter_ns
            wait = max(self._interior_floor_ns, int(self._interior_factor * slowest + allowance))
        return min(self._cap_ns, wait)

    def _slowest_from(self, position: int) -> int | None:
        if self._noted:
            self._take_in()
        if self._is_stale:
            self._is_stale = False
            slowest: int | None = None
            for place in range(self.farthest, -1, -1):
                here = self._slowest_here[place]
                if here is not None and (slowest is None or here > slowest):
                    slowest = here
                self._slowest_from_here[place] = slowest
        return self._slowest_from_here[position]
