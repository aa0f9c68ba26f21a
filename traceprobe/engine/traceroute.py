"""Traceroute as a strategy: probe every TTL at once, and finish as early as is right.

Replies come in any order: the destination's answer to TTL 15 may precede the one to TTL 10. So nothing
is concluded from order. Each report updates one hop; then the path is looked at anew, hops that have
become certain are announced, and the trace is over when every hop up to the end has settled.

What is certain can still be contradicted by a late reply, or by load balancing over paths of different
lengths; the result is right then, and ``HopRevised`` tells of a hop that changed.

Knows neither sockets nor clocks nor wire identifiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.engine._conclusions import Conclusions
from traceprobe.engine._hop_state import Meaning, meaning_of
from traceprobe.engine._states import (
    COUNTED_AS,
    GIVEN_UP,
    QUEUED,
    QUEUED_THEN_HANDED_OUT,
    SENT,
    SENT_THEN_ANSWERED,
    SUBMITTED,
    SUBMITTED_THEN_TAKEN,
    ProbeState,
    Trigger,
)
from traceprobe.errors import UsageError
from traceprobe.model import Probe, ReplyKind, StopReason
from traceprobe.model._probe import open_probe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.engine._hop_state import HopState
    from traceprobe.engine._states import ProbeRecord
    from traceprobe.model import Reply, SentProbe

_TIME_EXCEEDED: Final = ReplyKind.TIME_EXCEEDED
_ON_THE_WAY: Final = Meaning.ON_THE_WAY


class TracerouteEngine(Conclusions):
    """One trace to one destination; see :class:`~traceprobe.engine.TraceStrategy` for how to drive it.

    Args:
        config: How to trace.
        destination: Where to.
        now: The start, monotonic nanoseconds; the overall time-out counts from here.
        trace_id: Number of the trace within the process, part of every probe's identity.
    """

    def __init__(
        self,
        config: TracerouteConfig,
        destination: IPv4Address | IPv6Address,
        now: int,
        *,
        trace_id: int = 0,
    ) -> None:
        super().__init__(config, now, trace_id)
        self._destination = destination
        self._latest_now = self._latest_reply_ns = now

    # --- what the driver asks ------------------------------------------------------------------------

    def probes_to_send(self, now: int, limit: int | None = None) -> list[Probe]:
        """Hand out the probes that are due, at most ``limit`` (None: all), in TTL-major order.

        None goes beyond the known end of the path. The window (``max_in_flight``) counts probes from
        here until they are answered, given up, cancelled or refused.
        """
        if not self._may_send(now):
            return []
        records = self._queue.take(now, self._ending.ttl, limit)
        if records:
            self._deadlines.stale = True
        config = self._config
        destination, size, port = self._destination, config.packet_size, config.port
        timeout = config.timing.probe_timeout
        probes: list[Probe] = []
        for record in records:  # which are all queued: that is how the queue chose them
            record.state = QUEUED_THEN_HANDED_OUT
            record.probe = probe = open_probe()
            probe.id = record.probe_id
            probe.destination = destination
            probe.ttl = record.ttl
            probe.attempt = record.attempt
            probe.flow = record.flow
            probe.size = size
            probe.port = port
            probe.timeout = timeout
            probe.__class__ = Probe
            probes.append(probe)
        return probes

    def has_probes_due(self, now: int) -> bool:
        """Whether ``probes_to_send(now)`` would hand anything out."""
        queue = self._queue
        if queue.is_empty:
            return False
        opens = queue.not_before_ns
        return (
            self._may_send(now)
            and (opens is None or opens <= now)
            and queue.has_room_for_next(self._ending.ttl)
        )

    def most_probes_due(self) -> int:
        """How many ``probes_to_send`` would hand out at most, if any are due."""
        return self._queue.at_most(self._ending.ttl)

    def next_deadline(self) -> int | None:
        """When time alone will change something: a give-up, the send interval, the overall time-out.

        Returns:
            Monotonic nanoseconds; None if only a report or a reply can change anything. Probes that
            are due already are no deadline: ``has_probes_due`` tells of them.
        """
        return None if self.finished else self._deadlines.earliest_ns(self._latest_now)

    def may_be_due_before(self, moment_ns: int) -> bool:
        """Whether ``next_deadline`` may be earlier than a moment, told without looking at every hop.

        False is certain. The driver asks this after every reply, to know whether it has to wait anew.
        """
        return self._deadlines.may_be_before(moment_ns, self._first_sent_ns)

    # --- what the driver tells -----------------------------------------------------------------------

    def probe_sent(self, sent: SentProbe, now: int) -> None:
        """Take in that the kernel took a probe, or refused it.

        Raises:
            UsageError: The probe was never handed out, or was reported before.
        """
        self.batch_sent((sent,), now)

    def batch_sent(self, reports: Iterable[SentProbe], now: int) -> None:
        """Take in what became of a batch, as if each had been reported by itself.

        Raises:
            UsageError: One of the probes was never handed out, or was reported before; what stands behind it
                has not been taken in.
        """
        if now > self._latest_now:
            self._latest_now = now
        self._deadlines.stale = True
        path, overtaking, note = self._path, self._overtaking, self._notes.append
        first_id, records, count = path.first_id, path.records, len(path.records)
        last_index, last_ns, taken = path.last_taken, self._last_sent_ns, 0
        try:
            for sent in reports:
                index = sent.probe_id - first_id
                if not 0 <= index < count:
                    raise UsageError(f"probe {sent.probe_id} is not one of this trace's")
                record = records[index]
                if record.ttl > path.farthest_tried:
                    path.farthest_tried = record.ttl
                if record.state is not SUBMITTED or sent.error is not None:
                    self._not_sent_after_all(record, sent)
                    count = len(records)
                    continue
                record.state = SUBMITTED_THEN_TAKEN
                record.sent_ns = sent_ns = sent.sent_ns
                record.sent_at_ns = sent.sent_at_ns
                note(record)
                taken += 1
                if self._source is None:
                    self._source = sent.source
                if sent_ns != last_ns:  # equal for most of a batch
                    path.sent_in_order &= last_ns is None or sent_ns > last_ns
                    last_ns = self._note_sending(sent_ns)
                if index < last_index:
                    path.sent_in_order = False
                last_index = index
                if overtaking and (early := overtaking.pop(sent.probe_id, None)) is not None:
                    self.reply_received(early, now)
        finally:
            path.last_taken = last_index
            self._probes_sent += taken
            self._count_outstanding(taken)

    def _not_sent_after_all(self, record: ProbeRecord, sent: SentProbe) -> None:
        """The kernel refused a probe, or it took one that was cancelled meanwhile."""
        cancelled = record.state is ProbeState.CANCELLED and record.probe is not None
        if not cancelled:
            record.move(Trigger.TAKEN if sent.error is None else Trigger.REFUSED)
        elif record.sent_ns is not None:
            raise UsageError(f"probe {sent.probe_id} was reported as sent before")
        if sent.error is not None:
            self._count_refused(sent.error)
            record.error = sent.error.code
            if not cancelled:
                self._drop_overtaking(record)
                self._ended(self._path.hop_of(record), sent.sent_ns)
                self._advance(sent.sent_ns)
            return
        self._count_taken(sent)
        record.sent_ns = sent.sent_ns
        if not self.finished:  # afterwards the result stays as it is
            hop = self._path.hop_of(record)
            if hop.announced:
                self._notes.hop_will_change(hop)
            record.sent_at_ns = sent.sent_at_ns
            hop.changed()
            self._notes.append(record)
        self._release(record)

    def reply_received(self, reply: Reply, now: int) -> None:
        """Take in a reply, in whatever state its probe is.

        One that reached the machine before its probe was given up is in time, whenever it is reported.
        """
        self.replies_received((reply,), now)

    def replies_received(self, replies: Iterable[Reply], now: int) -> None:
        """Take in what has come at once, as if each reply had come by itself, in this order."""
        if now > self._latest_now:
            self._latest_now = now
        self._deadlines.stale = True
        path, ending = self._path, self._ending
        first_id, records, first_ttl, hops = path.first_id, path.records, self._first_ttl, path.hops
        count = len(records)
        silence, note = self._silence, self._notes.append
        note_rtt = silence.note
        answered, latest_ns = 0, 0
        for reply in replies:
            index = reply.probe_id - first_id
            if not 0 <= index < count or (record := records[index]).state is not SENT or self.finished:
                self._came_unasked(path.find(reply.probe_id), reply)
                continue
            record.state = SENT_THEN_ANSWERED
            record.reply = reply
            note(reply)
            answered += 1
            position = record.ttl - first_ttl
            note_rtt(position)
            note_rtt(reply.rtt_ns)
            received_ns = reply.received_ns
            if received_ns > latest_ns:
                latest_ns = received_ns
            hop = hops[position]
            if (
                reply.address is hop.address
                and hop.on_the_way
                and reply.kind is _TIME_EXCEEDED
                and (reply.quoted_ttl == 0) is hop.quotes_zero
            ):
                # As most do, it says what the hop's first answer said; so what `HopState.answer` would do is
                # done in place. Nothing follows from it, unless it was the last thing that was awaited there,
                # or the trace only waits for it to be late enough.
                hop.shown = None
                hop.answered += 1
                if received_ns > hop.settled_ns:
                    hop.settled_ns = received_ns
                hop.pending = pending = hop.pending - 1
                follows = path.complete
                if not pending:
                    hop.settled = True
                elif not follows and not path.quotes_zero:
                    continue
            else:
                if position > silence.farthest:
                    silence.farthest = position
                on_the_way = reply.kind is _TIME_EXCEEDED
                meaning = _ON_THE_WAY if on_the_way else meaning_of(reply, self._destination)
                telling = hop.answer(reply, meaning, awaited=True)
                if telling:
                    ending.answered(hop, reply, meaning)
                follows = path.complete or (telling and (ending.stale or path.leads_through(position)))
                path.quotes_zero |= hop.quotes_zero
            if path.quotes_zero:
                self._revise(hop)
            if follows or (hop.settled and not path.settled_in_turn(position)):
                self._advance(received_ns)
            elif hop.settled:
                note(hop)
        self._replies += answered
        self._count_outstanding(-answered)
        self._queue.in_flight -= answered
        if latest_ns > self._latest_reply_ns:
            self._latest_reply_ns = latest_ns

    def _came_unasked(self, record: ProbeRecord | None, reply: Reply) -> None:
        """Take in a reply that nobody waits for, or does not wait for yet."""
        if record is None:
            self._counts["unmatched"] += 1
        elif self.finished:
            self._counts["after_end"] += 1
        elif record.state is GIVEN_UP and record.ttl <= self._kept_until:
            in_time = record.given_up_ns is not None and reply.received_ns <= record.given_up_ns
            self._answered_after_all(record, reply, Trigger.REPLY if in_time else Trigger.LATE_REPLY)
        elif record.state in {ProbeState.GIVEN_UP, ProbeState.CANCELLED}:
            self._counts[COUNTED_AS[ProbeState.CANCELLED]] += 1
            # It says nothing new of the path, but it does of how long replies take.
            self._note_rtt(record.ttl, reply)
        elif record.state is SUBMITTED and record.probe_id not in self._overtaking:
            self._overtaking[record.probe_id] = reply
        elif record.state is SUBMITTED:
            self._counts[COUNTED_AS[ProbeState.ANSWERED]] += 1
        else:
            self._counts[COUNTED_AS[record.state]] += 1

    def deadline_reached(self, now: int) -> None:
        """Give up exactly the probes whose deadline is not after ``now``; end at the overall time-out."""
        self._note_now(now)
        if self.finished:
            return
        overall = self._overall_deadline_ns
        horizon = now if overall is None else min(now, overall)
        overdue = [
            (record, due)
            for hop in self._path.awaited()
            for record in hop.outstanding()
            if (due := self._deadlines.due_ns(record)) <= horizon
        ]
        self._count_outstanding(-len(overdue))
        for record, due in overdue:
            hop = self._path.hop_of(record)
            record.move(Trigger.GIVE_UP)
            hop.gave_up = True
            # A deadline turns out to lie in the past when a reply shows that the hop is an interior
            # one. The probe was awaited until that reply.
            record.given_up_ns = min(horizon, max(due, self._latest_reply_ns))
            self._ended(hop, record.given_up_ns)
        self._advance(horizon)
        if overall is not None and now >= overall and not self.finished:
            if self._path.complete:
                self._finish(self._ending.reason, overall, self._ending.ttl)
            else:
                self._cut_short(StopReason.TIMEOUT, overall)

    def cancel(self, now: int) -> None:
        """End the trace with what is known; what is outstanding is cancelled."""
        self._note_now(now)
        if not self.finished:
            self._cut_short(StopReason.CANCELLED, now)

    def _note_now(self, now: int) -> None:
        if now > self._latest_now:
            self._latest_now = now
            # The moment from which the pace lets a probe go is a deadline only until it has come.
            if self._queue.not_before_ns is not None:
                self._deadlines.stale = True

    # --- one probe -----------------------------------------------------------------------------------

    def _note_rtt(self, ttl: int, reply: Reply) -> None:
        if self._silence.observe(ttl, reply.rtt_ns):
            self._deadlines.stale = True
        if reply.received_ns > self._latest_reply_ns:
            self._latest_reply_ns = reply.received_ns

    def _answered_after_all(self, record: ProbeRecord, reply: Reply, trigger: Trigger) -> None:
        """A probe that had been given up has its answer."""
        hop = self._path.hop_of(record)
        if hop.announced:
            self._notes.hop_will_change(hop)
        record.move(trigger)
        record.reply = reply
        self._notes.append(reply)
        self._replies += 1
        self._note_rtt(record.ttl, reply)
        self._deadlines.stale = True
        meaning = meaning_of(reply, self._destination)
        if hop.answer(reply, meaning, awaited=False):
            self._ending.answered(hop, reply, meaning)
        self._path.quotes_zero |= hop.quotes_zero
        self._withdraw_retry(hop)
        self._revise(hop)
        self._advance(reply.received_ns)

    def _ended(self, hop: HopState, moment_ns: int) -> None:
        """A probe that was handed out has ended without an answer; its hop may have settled by that."""
        self._queue.in_flight -= 1
        hop.ended(moment_ns)
        if hop.pending:
            return
        if hop.gave_up and not hop.answered and self._may_retry(hop):
            self._queue.add_retry(self._path.add_retry(hop))
        else:
            hop.settled = True

    def _may_retry(self, hop: HopState) -> bool:
        attempts = self._config.queries + self._config.retries
        return len(hop.records) < attempts and self._silence.is_interior(hop.ttl)

    def _withdraw_retry(self, hop: HopState) -> None:
        """A late reply has come: the hop is not silent, and a retry that still waits is not needed."""
        last = hop.records[-1]
        if last.attempt > self._config.queries and last.state is QUEUED:
            last.move(Trigger.CANCEL)
            hop.withdraw(last)
            hop.settled = not hop.pending

    def _may_send(self, now: int) -> bool:
        overdue = self._overall_deadline_ns is not None and now >= self._overall_deadline_ns
        return not self.finished and not overdue
