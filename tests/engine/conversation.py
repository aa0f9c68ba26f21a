"""A talk between an engine and the network, written down in milliseconds of virtual time.

The test plays the network and the clock::

    talk = Conversation(max_ttl=3, queries=1)
    assert talk.sends() == [1, 2, 3]
    talk.at(10).hears(1, "10.0.0.1")
    talk.at(20).hears(3, DESTINATION, ReplyKind.ECHO_REPLY)
    assert talk.gives_up_at == 30.0
    talk.waits()
    assert talk.said("settled") == [1, 2, 3]
"""

from __future__ import annotations

import itertools
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Self

from traceprobe.config import TimingConfig, TracerouteConfig
from traceprobe.engine import TracerouteEngine
from traceprobe.errors import SendError
from traceprobe.model import (
    HopRevised,
    HopSettled,
    ProbeSent,
    Reply,
    ReplyKind,
    ReplyReceived,
    SentProbe,
    TimestampSource,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from traceprobe.config import TraceOptions
    from traceprobe.model import Event, Hop, Probe, ProbeResult

MS: Final = 1_000_000
START: Final = 5_000 * MS
"""Monotonic clock when every talk begins: time does not start at zero."""
EPOCH: Final = 1_800_000_000_000_000_000
"""Wall clock at the same moment."""
DESTINATION: Final = "198.51.100.9"
TRACE_ID: Final = 7

STEADY: Final = TimingConfig(
    interior_floor=0.015, interior_factor=1.5, interior_jitter_factor=1.0, tail_floor=1.0, tail_factor=3.0
)
"""Round numbers to reckon with in one's head; what the defaults are is another test's business."""


def reply_to(
    probe: Probe,
    sent_ns: int,
    received_ns: int,
    address: str,
    kind: ReplyKind = ReplyKind.TIME_EXCEEDED,
    *,
    rtt_ns: int | None = None,
    sent_at_ns: int | None = None,
    quoted_ttl: int | None = None,
) -> Reply:
    """What a socket would make of an answer."""
    return Reply(
        probe.id,
        kind,
        ip_address(address),
        received_ns - sent_ns if rtt_ns is None else rtt_ns,
        received_ns,
        TimestampSource.SIMULATED,
        sent_at_ns=sent_at_ns,
        quoted_ttl=quoted_ttl,
    )


def _word_for(event: Event) -> str:
    if isinstance(event, ReplyReceived):
        return "late" if event.late else "answered"
    return {ProbeSent: "sent", HopSettled: "settled", HopRevised: "revised"}[type(event)]


def _ttl_of(event: Event) -> int:
    if isinstance(event, HopSettled | HopRevised):
        return event.hop.ttl
    assert isinstance(event, ProbeSent | ReplyReceived)
    return event.probe.ttl


class Conversation:
    """One engine, and the test in the roles of network, driver and clock."""

    def __init__(self, destination: str = DESTINATION, **options: object) -> None:
        given: TraceOptions = options  # type: ignore[assignment]
        config = TracerouteConfig(timing=STEADY).with_options(given)
        self.engine = TracerouteEngine(config, ip_address(destination), START, trace_id=TRACE_ID)
        self.now = START
        self.events: list[Event] = []
        self.probes: dict[tuple[int, int], Probe] = {}
        self.sent_ns: dict[tuple[int, int], int] = {}

    # --- time -----------------------------------------------------------------------------------------

    def at(self, ms: float) -> Self:
        """Move the clock to a moment after the start."""
        moment = START + round(ms * MS)
        assert moment >= self.now, "time does not run backwards"
        self.now = moment
        return self

    @property
    def gives_up_at(self) -> float | None:
        """The engine's next deadline, milliseconds after the start."""
        deadline = self.engine.next_deadline()
        return None if deadline is None else (deadline - START) / MS

    @property
    def only_a_reply_counts(self) -> bool:
        """Whether time alone changes nothing."""
        return self.engine.next_deadline() is None

    def looks_at_the_clock(self) -> Self:
        """Tell the engine the time, as a driver does that was woken by its timer."""
        self.engine.deadline_reached(self.now)
        deadline = self.engine.next_deadline()
        assert deadline is None or deadline > self.now, "a driver would spin"
        return self

    def waits(self) -> Self:
        """Let time pass until the engine's next deadline."""
        deadline = self.engine.next_deadline()
        assert deadline is not None, "nothing to wait for"
        self.now = max(self.now, deadline)
        return self.looks_at_the_clock()

    def waits_for_the_end(self) -> Self:
        """Let time pass until the trace is over, sending what becomes due."""
        for _ in itertools.count():
            if self.engine.finished:
                return self
            if not self.sends():
                self.waits()
        return self

    # --- probes ---------------------------------------------------------------------------------------

    def takes(self, limit: int | None = None) -> list[Probe]:
        """Have probes handed out, without reporting anything of them yet."""
        due = self.engine.has_probes_due(self.now)
        probes = self.engine.probes_to_send(self.now, limit)
        assert bool(probes) == (due and limit != 0)
        for probe in probes:
            self.probes[probe.ttl, probe.attempt] = probe
        return probes

    def reports(self, probes: Collection[Probe], error: int | None = None) -> None:
        """Report probes as sent now, or as refused."""
        for probe in probes:
            self.sent_ns[probe.ttl, probe.attempt] = self.now
            refusal = None if error is None else SendError(error)
            wall_ns = EPOCH + self.now - START
            self.engine.probe_sent(SentProbe(probe.id, self.now, wall_ns, error=refusal), self.now)

    def sends(self, limit: int | None = None, *, refuse: Collection[int] = (), error: int = 101) -> list[int]:
        """Send what is due; probes of the TTLs in ``refuse`` fail. Returns the TTLs, in order."""
        probes = self.takes(limit)
        for probe in probes:
            self.reports([probe], error if probe.ttl in refuse else None)
        return [probe.ttl for probe in probes]

    # --- replies --------------------------------------------------------------------------------------

    def hears(
        self,
        ttl: int,
        address: str | None = None,
        kind: ReplyKind = ReplyKind.TIME_EXCEEDED,
        *,
        attempt: int = 1,
        rtt: float | None = None,
        stamped: float | None = None,
        sent_at_ns: int | None = None,
        quoted: int | None = None,
    ) -> Self:
        """A reply: from the TTL's own router if no address is given, arriving now unless stamped earlier."""
        probe = self.probes[ttl, attempt]
        sent_ns = self.sent_ns.get((ttl, attempt), self.now)
        received_ns = self.now if stamped is None else START + round(stamped * MS)
        rtt_ns = None if rtt is None else round(rtt * MS)
        address = address or f"10.0.0.{ttl}"
        reply = reply_to(
            probe,
            sent_ns,
            received_ns,
            address,
            kind,
            rtt_ns=rtt_ns,
            sent_at_ns=sent_at_ns,
            quoted_ttl=quoted,
        )
        self.engine.reply_received(reply, self.now)
        return self

    def hears_destination(self, ttl: int, *, attempt: int = 1, rtt: float | None = None) -> Self:
        """The destination's echo reply."""
        return self.hears(ttl, DESTINATION, ReplyKind.ECHO_REPLY, attempt=attempt, rtt=rtt)

    # --- what the engine says -------------------------------------------------------------------------

    def _listen(self) -> None:
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)

    def said(self, word: str) -> list[int]:
        """The TTLs of all ``sent``, ``answered``, ``late``, ``settled`` or ``revised`` events so far."""
        self._listen()
        return [_ttl_of(event) for event in self.events if _word_for(event) == word]

    @property
    def settled(self) -> list[int]:
        """TTLs in the order of their HopSettled events."""
        return self.said("settled")

    def last_event(self) -> Event:
        """The most recent event."""
        self._listen()
        return self.events[-1]

    @property
    def listed(self) -> list[int]:
        """The TTLs of the result."""
        return [hop.ttl for hop in self.engine.hops()]

    @property
    def path(self) -> list[str | None]:
        """The addresses of the result."""
        return [None if hop.address is None else str(hop.address) for hop in self.engine.hops()]

    def hop(self, ttl: int) -> Hop:
        """A hop as it stands."""
        return self.engine.hop(ttl)

    def probe(self, ttl: int, attempt: int = 1) -> ProbeResult:
        """How a probe has ended."""
        return next(result for result in self.hop(ttl).probes if result.attempt == attempt)
