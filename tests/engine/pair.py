"""The engine and its reference side by side, compared after everything that happens to them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.engine.conversation import DESTINATION, START, TRACE_ID
from tests.engine.reference import Reference
from traceprobe.engine import TracerouteEngine
from traceprobe.errors import SendError
from traceprobe.model import HopRevised, HopSettled, ProbeSent, ProbeStatus, ReplyReceived, SentProbe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.engine import TraceStrategy
    from traceprobe.model import Event, Hop, Probe, ProbeId, Reply

STATUS = {
    "answered": ProbeStatus.REPLY,
    "given up": ProbeStatus.TIMEOUT,
    "refused": ProbeStatus.SEND_ERROR,
    "cancelled": ProbeStatus.CANCELLED,
}


def never(position: int) -> bool:
    return False


class EagerEngine(TracerouteEngine):
    """Never passes a look at the path over, and takes no short cut to what follows."""

    def __init__(self, config: TracerouteConfig, destination: IPv4Address | IPv6Address) -> None:
        super().__init__(config, destination, START, trace_id=TRACE_ID)
        self._path.settled_in_turn = never  # type: ignore[method-assign]

    def reply_received(self, reply: Reply, now: int) -> None:
        """Draw every conclusion, after judging the end anew."""
        super().reply_received(reply, now)
        if not self.finished:
            self._path.ending.stale = True
            self._advance(reply.received_ns)


class Pair:
    """Whatever is told to the engine is told to the reference; then both must see the same trace."""

    def __init__(self, config: TracerouteConfig, *, compare: bool = True) -> None:
        destination = ip_address(DESTINATION)
        self.config = config
        self.engine: TraceStrategy = TracerouteEngine(config, destination, START, trace_id=TRACE_ID)
        self.unwatched: TraceStrategy = TracerouteEngine(config, destination, START, trace_id=TRACE_ID)
        """Lives through the same, but is told in batches, and nobody asks for its events before the end."""
        self.eager: TraceStrategy = EagerEngine(config, destination)
        """Looks at the whole path after every answer, whether or not anything can follow from it."""
        self.reference = Reference(config, destination, START) if compare else None
        self.sent: dict[ProbeId, tuple[Probe, int]] = {}
        self.handed_out: list[Probe] = []
        self.events: list[Event] = []
        self.settled: dict[int, Hop] = {}
        self.contradicted = False
        """A hop was announced that is not in the path any more: only a late or contrary reply does that."""
        self.released: list[ProbeId] = []
        self._farthest_taken = (0, 0)
        self._told_late: list[Event] = []
        self._released_late: list[ProbeId] = []

    # --- what happens ---------------------------------------------------------------------------------

    def take(self, now: int, limit: int | None = None) -> list[Probe]:
        """Hand out what is due."""
        due = self.engine.has_probes_due(now)
        most = self.engine.most_probes_due()
        probes = self.engine.probes_to_send(now, limit)
        assert len(probes) <= most or not due
        assert self.unwatched.probes_to_send(now, limit) == probes
        assert self.eager.probes_to_send(now, limit) == probes
        places = [(probe.ttl, probe.attempt) for probe in probes]
        assert due == bool(probes) or limit == 0
        assert places == sorted(places)
        if self.reference is not None:
            expected = self.reference.due(now)
            assert due == bool(expected)
            assert places == expected[:limit]
            self.reference.handed_out(probes, now)
        taken = {probe.id for probe in self.handed_out}
        assert not any(probe.id in taken for probe in probes), "a probe is handed out once"
        self.handed_out += probes
        self.check(now)
        return probes

    def report(self, probe: Probe, now: int, error: int | None = None, sent_ns: int | None = None) -> None:
        """Report a probe as sent or refused."""
        self.report_batch([(probe, error)], now, sent_ns)

    def report_batch(
        self, batch: Iterable[tuple[Probe, int | None]], now: int, sent_ns: int | None = None
    ) -> None:
        """Report probes as sent, or as refused for a reason: one by one, and together."""
        sent_ns = now if sent_ns is None else sent_ns
        reports = []
        for probe, error in batch:
            refusal = None if error is None else SendError(error)
            reports.append(SentProbe(probe.id, sent_ns, sent_ns, error=refusal))
            if error is None:
                self.sent[probe.id] = (probe, sent_ns)
            self.engine.probe_sent(reports[-1], now)
            self.eager.probe_sent(reports[-1], now)
            if self.reference is not None:
                self.reference.probe_sent(reports[-1], now)
                self._compare(self.reference, now)
        self.unwatched.batch_sent(reports, now)
        self.check(now)

    def hear(self, *replies: Reply, now: int) -> None:
        """Replies are reported: one by one, and together."""
        for reply in replies:
            self.engine.reply_received(reply, now)
            self.eager.reply_received(reply, now)
            if self.reference is not None:
                self.reference.reply_received(reply, now)
                self._compare(self.reference, now)
        self.unwatched.replies_received(replies, now)
        self.check(now)

    def look_at_the_clock(self, now: int) -> None:
        """Time has passed."""
        self.engine.deadline_reached(now)
        self.unwatched.deadline_reached(now)
        self.eager.deadline_reached(now)
        if self.reference is not None:
            self.reference.deadline_reached(now)
        deadline = self.engine.next_deadline()
        assert deadline is None or deadline > now, "a driver would spin"
        self.check(now)

    def cancel(self, now: int) -> None:
        """The trace is cut short."""
        self.engine.cancel(now)
        self.unwatched.cancel(now)
        self.eager.cancel(now)
        if self.reference is not None:
            self.reference.cancel(now)
        self.check(now)

    # --- what must hold -------------------------------------------------------------------------------

    def check(self, now: int) -> None:
        """Everything that holds at any time."""
        self._listen()
        engine, config = self.engine, self.config
        for figure in ("outstanding", "stop_reason", "decided_ns", "probes_sent", "replies", "counts"):
            assert getattr(self.unwatched, figure) == getattr(engine, figure), figure
        assert 0 <= engine.outstanding <= engine.probes_sent
        if config.max_in_flight is not None:
            assert engine.outstanding <= config.max_in_flight
        assert engine.finished == (engine.stop_reason is not None) == (engine.decided_ns is not None)
        deadline = engine.next_deadline()
        assert deadline is None or engine.may_be_due_before(deadline + 1), "False is certain"
        self.released += engine.released()
        assert len(set(self.released)) == len(self.released), "released once"
        if engine.finished:
            self._check_the_end()
        if self.reference is not None:
            self._compare(self.reference, now)

    def _listen(self) -> None:
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)
            assert self.eager.next_event() == event, "nothing that could be concluded was overlooked"
            if isinstance(event, HopSettled):
                assert event.hop.ttl not in self.settled, "a hop settles once"
                self.settled[event.hop.ttl] = event.hop
            elif isinstance(event, HopRevised):
                assert event.hop.ttl in self.settled, "what is revised had settled"
                self.settled[event.hop.ttl] = event.hop
        assert self.eager.next_event() is None
        assert self.eager.decided_ns == self.engine.decided_ns

    def _check_the_end(self) -> None:
        engine = self.engine
        self._told_late += self.unwatched.take_events()
        assert self._told_late == self.events, "events say the same, whenever they are asked for"
        assert self.unwatched.hops() == engine.hops()
        self._released_late += self.unwatched.released()
        assert self._released_late == self.released
        listed = [hop.ttl for hop in engine.hops()]
        assert listed == list(range(self.config.first_ttl, listed[-1] + 1))
        assert listed[-1] <= self.config.max_ttl
        assert engine.outstanding == 0
        assert engine.next_deadline() is None
        assert set(listed) <= set(self.settled), "every hop of the result has settled"
        self.contradicted = set(self.settled) != set(listed)
        for hop in engine.hops():
            assert self.settled[hop.ttl] == hop, "the last word on a hop is the result"
        assert set(self.released) == set(self.sent), "everything is given back"

    def _compare(self, reference: Reference, now: int) -> None:
        engine = self.engine
        assert engine.stop_reason == reference.stop_reason
        assert engine.decided_ns == reference.decided_ns
        assert engine.next_deadline() == reference.next_deadline()
        assert engine.outstanding == sum(entry.state == "sent" for entry in reference.entries)
        assert dict(engine.counts) == reference.counts
        assert engine.has_probes_due(now) == bool(reference.due(now))
        if engine.finished:
            assert [hop.ttl for hop in engine.hops()][-1] == reference.last_listed
        for ttl in reference.ttls:
            found = {probe.attempt: probe for probe in engine.hop(ttl).probes}
            for entry in reference.at(ttl):
                status = STATUS.get(entry.state)
                if status is None:
                    assert entry.attempt not in found
                    continue
                probe = found[entry.attempt]
                assert (probe.status, probe.late) == (status, entry.late)
                assert probe.address == (None if entry.reply is None else entry.reply.address)
                if entry.state == "given up":
                    assert probe.waited_ns == max(0, entry.given_up_ns - entry.sent_ns)

    def answered_once(self) -> None:
        """Each answered probe was announced once, each sent one too."""
        answered = [event.probe.id for event in self.events if isinstance(event, ReplyReceived)]
        sent = [event.probe.id for event in self.events if isinstance(event, ProbeSent)]
        assert len(set(answered)) == len(answered) == self.engine.replies
        assert len(set(sent)) == len(sent)
