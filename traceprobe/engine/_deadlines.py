"""When time alone will change something: the next give-up, the end of lingering, the pace, the overall end.

The driver asks after nearly everything that happens, but what happens seldom brings the moment forward. So
it is worked out when it is asked for and something has changed since, and there is a cheaper question: may
it be earlier than what is being waited for already?

Owns no probe and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.engine._states import GIVEN_UP

if TYPE_CHECKING:
    from traceprobe.engine._path import Path
    from traceprobe.engine._send_queue import SendQueue
    from traceprobe.engine._silence import SilenceEstimator
    from traceprobe.engine._states import ProbeRecord


class Deadlines:
    """The moments that a trace waits for.

    Args:
        path: Its hops.
        silence: How long each of them is waited for.
        queue: The probes that wait to be handed out.
        started_ns: When it started, monotonic nanoseconds.
        overall_ns: When it ends whatever happens; None for never.
    """

    __slots__ = ("_earliest_ns", "_path", "_queue", "_silence", "_started_ns", "overall_ns", "stale")

    def __init__(
        self,
        path: Path,
        silence: SilenceEstimator,
        queue: SendQueue,
        *,
        started_ns: int,
        overall_ns: int | None,
    ) -> None:
        self._path = path
        self._silence = silence
        self._queue = queue
        self._started_ns = started_ns
        self.overall_ns = overall_ns
        """When the trace ends whatever happens; None for never."""
        self.stale = True
        """Something has changed since the earliest one was worked out."""
        self._earliest_ns: int | None = None

    def earliest_ns(self, now: int) -> int | None:
        """The next of all moments; None if there is none.

        Args:
            now: The latest time that was told. A moment from which the pace lets a probe go is none any more
                once it has come.
        """
        if self.stale:
            self.stale = False
            self._earliest_ns = self._work_out(now)
        return self._earliest_ns

    def may_be_before(self, moment_ns: int, first_sent_ns: int | None) -> bool:
        """Whether the next moment may be earlier than this one, told without looking at every hop.

        False is certain.
        """
        path = self._path
        if path.complete or self._queue.not_before_ns is not None or first_sent_ns is None:
            return True
        if self.overall_ns is not None and self.overall_ns < moment_ns:
            return True
        # No wait ever becomes shorter, but for those of a hop that something behind it has answered for.
        silence, wait_ns = self._silence, moment_ns - first_sent_ns
        if wait_ns <= silence.known_tail_wait_ns and path.first_open > silence.farthest:
            return False
        return silence.shortest_wait_ns(path.first_open) < wait_ns

    def due_ns(self, record: ProbeRecord) -> int:
        """When a probe that was sent is given up."""
        assert record.sent_ns is not None
        since_ns = max(record.sent_ns, self._path.hop_of(record).accepted_ns)
        return since_ns + self._silence.wait_ns(record.ttl)

    def lingers_until_ns(self) -> int:
        """When every silent probe has been waited for as long as is now known to be right.

        What came after a probe was given up may have shown that it was given up early. It stays so, but
        the trace does not end before its reply has had that time to come late.
        """
        latest_ns = self._started_ns
        for hop in self._path.up_to(self._path.ending.ttl):
            if hop.gave_up:
                for record in hop.records:
                    if record.state is GIVEN_UP:
                        latest_ns = max(latest_ns, self.due_ns(record))
        return latest_ns

    def _work_out(self, now: int) -> int | None:
        path, silence = self._path, self._silence
        moments = [] if self.overall_ns is None else [self.overall_ns]
        if path.complete:
            moments.append(self.lingers_until_ns())
        # In the tail all hops are waited for alike; there they are told apart by nothing but their sending.
        in_order = path.sent_in_order
        farthest_ttl, tail_wait_ns = silence.farthest_ttl, silence.tail_wait_ns()
        for hop in path.awaited():
            if hop.pending and (since_ns := hop.awaited_since_ns(in_order=in_order)) is not None:
                if hop.ttl <= farthest_ttl:
                    moments.append(since_ns + silence.wait_ns(hop.ttl))
                    continue
                moments.append(since_ns + tail_wait_ns)
                if in_order:  # what lies behind it in the tail was sent later
                    break
        opens = self._queue.not_before_ns
        if opens is not None and opens > now and self._queue.has_room_for_next(path.ending.ttl):
            moments.append(opens)
        return min(moments, default=None)
