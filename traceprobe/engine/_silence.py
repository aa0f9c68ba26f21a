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

    Everything is kept as it is asked for, as the extreme over a TTL and all that lies behind it, so that
    a reply costs one walk towards the near end, which stops where it changes nothing any more, and a
    wait costs nothing.
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
        self._slowest_from_here: list[int | None] = [None] * count
        self._fastest_from_here: list[int | None] = [None] * count
        self._jitter_ns = 0
        self._tail_wait_ns = min(self._cap_ns, self._tail_floor_ns)
        """What is waited for where nothing has answered."""

    def observe(self, ttl: int, rtt_ns: int) -> bool:
        """Take in one round-trip time; returns whether any wait may have changed by it."""
        # A clock that was stepped can make a round trip negative; nothing is faster than no time at all.
        if rtt_ns < 0:
            rtt_ns = 0
        here = ttl - self._first_ttl
        slowest_here = self._slowest_here[here]
        if slowest_here is None or rtt_ns > slowest_here:
            self._slowest_here[here] = rtt_ns
        jitter_before = self._jitter_ns
        lifted = self._lift_slowest(here, rtt_ns)
        self._lower_fastest(here, rtt_ns)
        self._note_jitter(here)
        if lifted:
            slowest = self._slowest_from_here[0] or 0
            self._tail_wait_ns = min(self._cap_ns, max(self._tail_floor_ns, int(self._tail_factor * slowest)))
        return lifted or self._jitter_ns > jitter_before

    def _lift_slowest(self, here: int, rtt_ns: int) -> bool:
        slowest_from_here = self._slowest_from_here
        for position in range(here, -1, -1):
            slowest = slowest_from_here[position]
            if slowest is not None and slowest >= rtt_ns:
                return position < here
            slowest_from_here[position] = rtt_ns
        return True

    def _lower_fastest(self, here: int, rtt_ns: int) -> None:
        fastest_from_here = self._fastest_from_here
        for position in range(here, -1, -1):
            fastest = fastest_from_here[position]
            if fastest is not None and fastest <= rtt_ns:
                break
            fastest_from_here[position] = rtt_ns
            self._note_jitter(position)

    def _note_jitter(self, position: int) -> None:
        # Slowest only grows and fastest only shrinks, so the jitter of every hop only grows.
        slowest, fastest = self._slowest_here[position], self._fastest_from_here[position]
        if slowest is not None and fastest is not None and slowest - fastest > self._jitter_ns:
            self._jitter_ns = slowest - fastest

    def is_interior(self, ttl: int) -> bool:
        """Whether something has answered at this TTL or farther on."""
        return self._slowest_from_here[ttl - self._first_ttl] is not None

    def wait_ns(self, ttl: int) -> int:
        """How long after its sending a probe of this TTL is given up."""
        slowest = self._slowest_from_here[ttl - self._first_ttl]
        if slowest is None:
            return self._tail_wait_ns
        wait = int(self._interior_factor * slowest + self._jitter_factor * self._jitter_ns)
        return min(self._cap_ns, max(self._interior_floor_ns, wait))
