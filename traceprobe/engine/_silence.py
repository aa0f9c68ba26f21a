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
    """Waits by TTL, from the round-trip times seen; recomputed in one pass over the TTLs when asked."""

    def __init__(self, timing: TimingConfig, first_ttl: int, last_ttl: int) -> None:
        self._cap_ns = to_ns(timing.probe_timeout)
        self._interior_floor_ns = to_ns(timing.interior_floor)
        self._interior_factor = timing.interior_factor
        self._jitter_factor = timing.interior_jitter_factor
        self._tail_floor_ns = to_ns(timing.tail_floor)
        self._tail_factor = timing.tail_factor
        self._first_ttl = first_ttl
        count = last_ttl - first_ttl + 1
        self._fastest_ns: list[int | None] = [None] * count
        self._slowest_ns: list[int | None] = [None] * count
        self._farthest_answered = first_ttl - 1
        self._jitter_ns = 0
        self._waits_ns: list[int] = [0] * count
        self._stale = True

    def observe(self, ttl: int, rtt_ns: int) -> None:
        """Take in one round-trip time."""
        # A clock that was stepped can make a round trip negative; as evidence it is worth nothing less.
        rtt_ns = max(0, rtt_ns)
        position = ttl - self._first_ttl
        fastest, slowest = self._fastest_ns[position], self._slowest_ns[position]
        if fastest is None or rtt_ns < fastest:
            self._fastest_ns[position] = rtt_ns
            self._stale = True
        if slowest is None or rtt_ns > slowest:
            self._slowest_ns[position] = rtt_ns
            self._stale = True
        self._farthest_answered = max(self._farthest_answered, ttl)

    def is_interior(self, ttl: int) -> bool:
        """Whether something has answered at this TTL or farther on."""
        return ttl <= self._farthest_answered

    @property
    def jitter_ns(self) -> int:
        """How much slower a hop has been than itself or something behind it."""
        if self._stale:
            self._refresh()
        return self._jitter_ns

    def wait_ns(self, ttl: int) -> int:
        """How long after its sending a probe of this TTL is given up."""
        if self._stale:
            self._refresh()
        return self._waits_ns[ttl - self._first_ttl]

    def _refresh(self) -> None:
        """Walk from the far end to the near one: what counts for a TTL is what lies at it or behind it."""
        slowest_from_here: list[int] = []
        slowest_farther = jitter = 0
        fastest_farther: int | None = None
        for fastest, slowest in zip(reversed(self._fastest_ns), reversed(self._slowest_ns), strict=True):
            if fastest is not None and slowest is not None:
                slowest_farther = max(slowest_farther, slowest)
                fastest_farther = fastest if fastest_farther is None else min(fastest_farther, fastest)
                jitter = max(jitter, slowest - fastest_farther)
            slowest_from_here.append(slowest_farther)
        slowest_from_here.reverse()
        tail = min(self._cap_ns, max(self._tail_floor_ns, int(self._tail_factor * slowest_farther)))
        allowance = self._jitter_factor * jitter
        interior_count = self._farthest_answered - self._first_ttl + 1
        self._jitter_ns = jitter
        self._waits_ns = [
            min(self._cap_ns, max(self._interior_floor_ns, int(self._interior_factor * slowest + allowance)))
            if position < interior_count
            else tail
            for position, slowest in enumerate(slowest_from_here)
        ]
        self._stale = False
