"""What follows from what is known of a path: announcements, what is not needed any more, and the end.

After each report the path is looked at anew. Hops that have become certain are announced, and revised if
something contradicts them later; probes beyond the destination are cancelled; the trace is over when every
hop up to the end has settled, and silent probes have been waited for as long as is right.

Draws conclusions. What is known, it is told by the strategy that inherits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.engine._deadlines import Deadlines
from traceprobe.engine._path import Path
from traceprobe.engine._send_queue import SendQueue
from traceprobe.engine._silence import SilenceEstimator, to_ns
from traceprobe.engine._states import COUNTED_AS, PENDING, QUEUED, SENT, Trigger
from traceprobe.engine._tally import Tally
from traceprobe.model import HopRevised, StopReason

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.engine._hop_state import HopState
    from traceprobe.engine._states import ProbeRecord
    from traceprobe.model import ProbeId, Reply


class Conclusions(Tally):
    """One trace, as far as it draws conclusions.

    Args:
        config: How to trace.
        now: The start, monotonic nanoseconds; the overall time-out counts from here.
        trace_id: Number of the trace within the process.
    """

    def __init__(self, config: TracerouteConfig, now: int, trace_id: int) -> None:
        super().__init__(Path(config, trace_id), now)
        timing = config.timing
        self._config = config
        self._first_ttl = config.first_ttl
        self._overall_deadline_ns = (
            None if timing.overall_timeout is None else now + to_ns(timing.overall_timeout)
        )
        self._ending = self._path.ending
        self._queue = SendQueue(
            list(self._path.records), window=config.max_in_flight, interval_ns=to_ns(timing.send_interval)
        )
        self._silence = SilenceEstimator(timing, config.first_ttl, config.max_ttl)
        self._deadlines = Deadlines(
            self._path, self._silence, self._queue, started_ns=now, overall_ns=self._overall_deadline_ns
        )
        self._kept_until = config.max_ttl
        """Probes beyond this TTL are cancelled."""
        self._overtaking: dict[ProbeId, Reply] = {}
        """Replies that came before the report of their probe's sending."""

    def _advance(self, moment_ns: int) -> None:
        """Draw every conclusion that what happened at this moment allows."""
        path, ending = self._path, self._ending
        certain = path.advance()
        self._deadlines.stale = True
        # Only the destination's answer is final. Other ends may be contradicted by what is still on
        # its way, so what lies beyond them is kept until the trace is over.
        destination_ttl = ending.destination_ttl
        if destination_ttl is not None and destination_ttl < self._kept_until:
            for hop in path.hops[destination_ttl - self._first_ttl + 1 :]:
                if hop.ttl <= self._kept_until:
                    self._drop(hop)
            self._kept_until = destination_ttl
        for hop in certain:
            if hop.quotes_zero:
                self._announce(hop)
            else:
                self._notes.append(hop)
        if path.complete:
            completed_ns, lingers_until = path.completed_ns, self._deadlines.lingers_until_ns()
            if lingers_until <= max(moment_ns, completed_ns):
                self._finish(ending.reason, max(completed_ns, lingers_until), ending.ttl)

    def _revise(self, hop: HopState) -> None:
        """Tell that a hop has changed that was announced; one that quotes TTL 0 changes with the next."""
        before = self._path.preceding(hop)
        if before is not None and before.announced and before.quotes_zero:
            shown = self._path.snapshot(before)
            if shown.ttl_zero_forwarding != before.shown_forwarding_zero:
                before.shown_forwarding_zero = shown.ttl_zero_forwarding
                self._notes.append(HopRevised(shown))
        if hop.announced:
            shown = self._path.snapshot(hop)
            hop.shown_forwarding_zero = shown.ttl_zero_forwarding
            self._notes.append(HopRevised(shown))

    def _announce(self, hop: HopState) -> None:
        if hop.quotes_zero:  # what is shown of it hangs on the next one as well
            self._notes.hop_will_change(hop)
            assert hop.announced_as is not None
            hop.shown_forwarding_zero = hop.announced_as.ttl_zero_forwarding
        self._notes.append(hop)

    def _drop(self, hop: HopState) -> None:
        if hop.pending:
            hop.changed()
        for record in hop.records:
            self._cancel(record)

    def _cut_short(self, reason: StopReason, moment_ns: int) -> None:
        end = self._path.end_so_far()
        if reason is StopReason.TIMEOUT:
            for hop in self._path.up_to(end):
                for record in hop.outstanding():
                    record.move(Trigger.GIVE_UP)
                    hop.gave_up = True
                    record.given_up_ns = moment_ns
                    self._count_outstanding(-1)
                    self._queue.in_flight -= 1
        self._finish(reason, moment_ns, end)

    def _finish(self, reason: StopReason, decided_ns: int, end: int) -> None:
        self.finished = True
        self._stop_reason, self._decided_ns, self._listed_until = reason, decided_ns, end
        for hop in self._path.hops:
            if hop.pending:
                self._drop(hop)
        # None of these is looked at again, so that it need not be noted that they have been released.
        self._released += [
            record.probe_id
            for record in self._path.records
            if record.sent_ns is not None and not record.released
        ]
        for hop in self._path.up_to(end):
            if not hop.announced:
                hop.announced = True
                self._announce(hop)

    def _cancel(self, record: ProbeRecord) -> None:
        if record.state in PENDING:
            if record.state is SENT:
                self._count_outstanding(-1)
            if record.state is QUEUED:
                self._queue.has_gaps = True
            else:
                self._queue.in_flight -= 1
            record.move(Trigger.CANCEL)
            self._drop_overtaking(record)
        self._release(record)

    def _drop_overtaking(self, record: ProbeRecord) -> None:
        """A reply that came before its probe was reported will not be looked at any more."""
        if self._overtaking.pop(record.probe_id, None) is not None:
            self._counts[COUNTED_AS[record.state]] += 1

    def _release(self, record: ProbeRecord) -> None:
        if record.sent_ns is not None and not record.released:
            record.released = True
            self._released.append(record.probe_id)
