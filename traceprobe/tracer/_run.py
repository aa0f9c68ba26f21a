"""Drives one trace: engine and socket on one side, readers of its events on the other.

One task, one wait: on an alarm that rings at the engine's next deadline, or earlier when a reply or a
freed window changes what is awaited. Whenever a deadline seems to have come, the socket is drained
before it is judged, so that a reply that arrived in time counts however late this task got its turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from traceprobe.errors import SendError
from traceprobe.model import (
    HopEnriched,
    HopRevised,
    HopSettled,
    ReplyReceived,
    StopReason,
    TraceFinished,
    TraceResult,
    TraceTimings,
)
from traceprobe.tracer._knowledge import PathKnowledge
from traceprobe.tracer._log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import Protocol, TracerouteConfig
    from traceprobe.engine import TracerouteEngine
    from traceprobe.enrich import Enricher, EnrichmentPipeline, PathJudge
    from traceprobe.model import Event, Hop, Knowledge, ProbeId, Reply, SentProbe
    from traceprobe.tracer._hub import SocketHub

_NS = 1_000_000_000

_FIRST_REPORTS = 9
"""Probes that are reported as sent before anything else is done: three each to the three nearest hops."""


class TraceRun:
    """One trace from its first probe to its result.

    Args:
        target: What was asked for.
        config: How to trace.
        engine: Decides; belongs to this run alone.
        hub: The socket and its other users; the run must be attached to it already.
        pipeline: Makes the look-ups.
        enrichers: Which look-ups to make.
        make_judge: Makes whoever tells the parts of the path apart; None for not at all.
        trace_id: Number of the trace within the tracer, part of every probe's identity.
        destination: The address that is traced.
    """

    def __init__(
        self,
        target: str,
        config: TracerouteConfig,
        engine: TracerouteEngine,
        hub: SocketHub,
        pipeline: EnrichmentPipeline,
        enrichers: Sequence[Enricher],
        make_judge: Callable[[], PathJudge] | None,
        trace_id: int,
        destination: IPv4Address | IPv6Address,
    ) -> None:
        self.trace_id = trace_id
        self.destination = destination
        self.scope = anyio.CancelScope()
        self.is_done: bool = False
        """It is over, and its result or error is there."""
        self._done: anyio.Event | None = None
        """Made for whoever waits for that from outside; most wait for ``main``."""
        self.knowledge = PathKnowledge(pipeline, enrichers, make_judge, self._learnt, self._looked_up)
        self._knows = self.knowledge.is_wanted
        """Events tell what is known, so that they have to be made as things happen."""
        self.log = EventLog(self._known_events if self._knows else engine.take_events)
        self.result: TraceResult | None = None
        self.error: Exception | None = None
        self._target = target
        self._config = config
        self._engine = engine
        self._hub = hub
        self._clock = hub.clock
        self._alarm = hub.clock.alarm()
        self._armed_for: int | None = None
        self._waiting = False
        self._queued = False
        """It stands in the queue of those that want to send, and is called when its turn comes."""
        self._sent: list[ProbeId] = []
        self._untold: list[ProbeId] = []
        """Those whose sending the engine has not been told of."""
        self._settled: set[int] = set()
        self._socket_error: Exception | None = None
        self._discarded_before = hub.discarded()
        self._started_ns = self._clock.monotonic_ns()
        self._started_at_ns = self._clock.realtime_ns()
        self._ended_ns: int | None = None
        self._accepted_ns: int | None = None
        self._first_reply_ns: int | None = None

    @property
    def mode(self) -> str:
        """The way of probing in use."""
        return self._hub.socket.capabilities.mode

    @property
    def protocol(self) -> Protocol:
        """The transport that the probes are made of."""
        return self._hub.socket.capabilities.protocol

    @property
    def port(self) -> int | None:
        """Destination port of the probes (the first one, where the flow varies by port)."""
        return self._config.port or self._hub.socket.capabilities.default_port

    def outcome(self) -> TraceResult:
        """The result of a trace that is over; raises what went wrong."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result

    def hop(self, ttl: int) -> Hop:
        """One hop as it stands."""
        return self._engine.hop(ttl, self.knowledge.known)

    # --- what the hub calls ---------------------------------------------------------------------------

    def replies_came(self, replies: Sequence[Reply], now: int) -> None:
        """Take replies in, straight from the receiver."""
        if self._ended_ns is not None:
            return
        if self._first_reply_ns is None:
            self._first_reply_ns = now - min(reply.received_ns for reply in replies)
        self._engine.replies_received(replies, now)
        self._publish()
        if self._waiting:
            self._wake_if_changed(now)

    def socket_failed(self, error: Exception) -> None:
        """The socket can't be used any more."""
        self._socket_error = error
        self._alarm.wake()

    def turn_came(self) -> None:
        """The window has room now."""
        self._queued = False
        if self._waiting:
            self._alarm.wake()

    # --- the task ---------------------------------------------------------------------------------------

    async def main(self) -> None:
        """Run the trace to its end; what goes wrong is kept in ``error``, never raised."""
        try:
            with self.scope:
                await self._drive()
                self._end()
                if self._knows and self.error is None:
                    await self._wait_for_enrichment()
        except Exception as error:
            self.error = error
        finally:
            try:
                self._close()
            except Exception as error:
                self.error, self.result = self.error or error, None
            finally:
                # Whoever leaves the trace waits for this, and can't be cancelled: it comes whatever fails.
                self.log.close(self.error, last=None if self.result is None else TraceFinished(self.result))
                self.is_done = True
                if self._done is not None:
                    self._done.set()

    async def wait(self) -> None:
        """Wait until it is over."""
        if self.is_done:
            await anyio.lowlevel.checkpoint()
            return
        if self._done is None:
            self._done = anyio.Event()
        await self._done.wait()

    async def _drive(self) -> None:
        engine = self._engine
        await self._send_what_is_due()
        self.knowledge.begin(engine.source)
        while not engine.finished:
            self._armed_for = self._deadline()
            self._waiting = True
            await self._alarm.wait(self._armed_for)
            self._waiting = False
            self._check_socket()
            now = self._clock.monotonic_ns()
            deadline = engine.next_deadline()
            if deadline is not None and deadline <= now:
                self._hub.drain()
                engine.deadline_reached(now)
                self._publish()
            await self._send_what_is_due()

    def _check_socket(self) -> None:
        if self._socket_error is not None:
            raise self._socket_error

    def _deadline(self) -> int | None:
        moments = (self._engine.next_deadline(), self._hub.window.next_ns(self))
        return min((moment for moment in moments if moment is not None), default=None)

    async def _send_what_is_due(self) -> None:
        engine, window = self._engine, self._hub.window
        while True:
            now = self._clock.monotonic_ns()
            self._queued = False
            if not engine.has_probes_due(now):
                window.withdraw(self)
                return
            room = window.grant(self, engine.most_probes_due(), now)
            if not room:
                self._queued = True
                return
            probes = engine.probes_to_send(now, room)
            sent = await self._hub.socket.send_probes(probes)
            self._untold = [probe.id for probe in probes]
            self._sent += self._untold
            if sent:
                last = sent[-1]
                if last.error is None:
                    self._accepted_ns = last.accepted_ns or last.sent_ns
            await self._take_reports(sent)
            now = self._clock.monotonic_ns()
            wants_more = engine.most_probes_due() if engine.has_probes_due(now) else 0
            window.sent(self, len(probes), now, wants_more=wants_more)

    async def _take_reports(self, sent: Sequence[SentProbe]) -> None:
        """Tell the engine what was sent.

        The nearest routers may have answered before that is done. So where somebody waits to see it, their
        probes are reported first, what has come is delivered, and the readers get their turn, before the
        rest is reported. A reply that overtakes the report of its probe is kept by the engine until then.
        """
        now = self._clock.monotonic_ns()
        engine, hub = self._engine, self._hub
        if self.log.is_awaited and len(sent) > _FIRST_REPORTS:
            engine.batch_sent(sent[:_FIRST_REPORTS], now)
            del self._untold[:_FIRST_REPORTS]
            hub.look()
            self._publish()
            await anyio.lowlevel.checkpoint()
            engine.batch_sent(sent[_FIRST_REPORTS:], now)
            self._untold.clear()
        else:
            engine.batch_sent(sent, now)
            self._untold.clear()
            # Stamps of the sending have come by now, too. What is read here need not wake the process.
            hub.drain()
        self._publish()

    # --- events -----------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Hand on what the engine has decided, and give up what it has lost interest in."""
        engine = self._engine
        released = engine.released()
        if released:
            self._hub.socket.release(released)
        self._hub.window.update(self, engine.outstanding)
        log = self.log
        if self._knows:
            log.pull()
        if log.is_awaited:
            log.announce()

    def _known_events(self) -> Iterator[Event]:
        """What has happened, with what is known of its addresses; what isn't is asked for."""
        for event in self._engine.take_events():
            if isinstance(event, ReplyReceived):
                self.knowledge.has_answered(event.reply.address, event.probe.ttl)
            elif isinstance(event, HopSettled):
                self._settled.add(event.hop.ttl)
                if self.knowledge.known:
                    yield HopSettled(self.hop(event.hop.ttl))
                    continue
            elif isinstance(event, HopRevised) and self.knowledge.known:
                yield HopRevised(self.hop(event.hop.ttl))
                continue
            yield event

    def _learnt(
        self, address: IPv4Address | IPv6Address, ttls: AbstractSet[int], knowledge: Knowledge
    ) -> None:
        for ttl in sorted(ttls & self._settled):
            self.log.append(HopEnriched(self.hop(ttl), address, knowledge))

    def _looked_up(self) -> None:
        self.log.announce()
        if self._ended_ns is not None and not self.knowledge.is_waiting:
            self._alarm.wake()

    def _wake_if_changed(self, now: int) -> None:
        engine = self._engine
        # Who stands in the queue is called; unless there is nothing left that it could send.
        if engine.finished or engine.has_probes_due(now) is not self._queued:
            self._alarm.wake()
        elif self._armed_for is None:
            if engine.next_deadline() is not None:
                self._alarm.wake()
        elif engine.may_be_due_before(self._armed_for):
            deadline = engine.next_deadline()
            if deadline is not None and deadline < self._armed_for:
                self._alarm.wake()

    # --- the end ------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._ended_ns = self._clock.monotonic_ns()
        self._publish()
        refusal = self._engine.first_send_error
        if refusal is not None and self._engine.all_sends_failed:
            self.error = SendError(refusal.code, f"not a single probe to {self.destination} could be sent")

    async def _wait_for_enrichment(self) -> None:
        knowledge, patience = self.knowledge, self._config.timing.enrichment_timeout
        assert self._ended_ns is not None
        deadline = self._ended_ns + round(patience * _NS)
        while knowledge.is_waiting and self._clock.monotonic_ns() < deadline:
            await self._alarm.wait(deadline)
        knowledge.give_up(f"no answer {patience:g} s after the end of the trace")

    def _close(self) -> None:
        """Give everything back; never waits."""
        left = self._sent
        try:
            if self._ended_ns is None:
                self._engine.cancel(self._clock.monotonic_ns())
                self._ended_ns = self._clock.monotonic_ns()
                self._publish()
            left = self._untold  # the engine has released the others
        finally:
            self._alarm.close()
            self._hub.window.leave(self)
            self._hub.detach(self)
            self._hub.leases -= 1
            if left:
                self._hub.socket.release(left)
        if self.error is None and self._socket_error is not None and not self._engine.finished:
            self.error = self._socket_error
        if self._knows:
            self.knowledge.close("the trace was ended before there was an answer")
            self.log.finish_source()
        if self.error is None:
            self.result = self._make_result()

    def _make_result(self) -> TraceResult:
        engine = self._engine
        capabilities = self._hub.socket.capabilities
        assert self._ended_ns is not None
        discarded = self._hub.discarded()
        for reason, count in self._discarded_before.items():
            discarded[reason] = discarded.get(reason, 0) - count
        for reason, count in engine.counts.items():
            discarded[reason] = discarded.get(reason, 0) + count
        judge = self.knowledge.judge
        overhead_ns = None if engine.decided_ns is None else max(0, self._ended_ns - engine.decided_ns)
        return TraceResult(
            target=self._target,
            address=self.destination,
            source=engine.source,
            protocol=capabilities.protocol,
            mode=capabilities.mode,
            flow=capabilities.flow,
            port=self.port,
            started_at_ns=self._started_at_ns // 1000 * 1000,
            duration_ns=self._ended_ns - self._started_ns,
            stop_reason=engine.stop_reason or StopReason.CANCELLED,
            timings=TraceTimings(
                submit=_seconds_between(engine.first_sent_ns, self._accepted_ns),
                first_reply=None if self._first_reply_ns is None else max(0, self._first_reply_ns) / _NS,
                overhead=None if overhead_ns is None else overhead_ns / _NS,
                probes_sent=engine.probes_sent,
                replies=engine.replies,
            ),
            discarded={"unmatched": 0} | {reason: n for reason, n in sorted(discarded.items()) if n},
            public_address=None if judge is None else judge.public_address,
            isp=None if judge is None else judge.isp,
            enrichment_errors=() if judge is None else judge.errors,
            hops=engine.hops(self.knowledge.known),
        )


def _seconds_between(began_ns: int | None, ended_ns: int | None) -> float | None:
    return None if began_ns is None or ended_ns is None else (ended_ns - began_ns) / _NS
