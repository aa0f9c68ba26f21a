"""A running trace as lines that change: the hops that are not complete yet, and what is waited for.

Complete hops are written once, by :class:`~traceprobe.render.text.TextRenderer`, above these lines; a hop
moves up from here in the very row in which it stands. Rows are only added below, and figures have columns of
their own, so nothing jumps when an answer or a name comes late.

Knows events and lines. Where they go, and when, is the business of whoever draws them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.model import (
    Hop,
    HopEnriched,
    HopRevised,
    HopSettled,
    ProbeResult,
    ProbeSent,
    ProbeStatus,
    ReplyKind,
    ReplyReceived,
    answers_for,
)
from traceprobe.render._fit import fitted
from traceprobe.render._lines import hop_lines
from traceprobe.render._outstanding import Outstanding

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import Protocol, TracerouteConfig
    from traceprobe.model import Event
    from traceprobe.render._lines import Line
    from traceprobe.render.text import TextRenderer

__all__ = ["LiveView"]


class LiveView:
    """What is known of a running trace beyond the hops that are complete.

    Args:
        config: How the trace is made.
        destination: Where it goes to.
        protocol: What its probes are made of.
    """

    def __init__(
        self, config: TracerouteConfig, destination: IPv4Address | IPv6Address, protocol: Protocol
    ) -> None:
        self._queries = config.queries
        self._destination = destination
        self._outstanding = Outstanding(config, protocol)
        self._probes: dict[int, dict[int, ProbeResult]] = {}
        self._hops: dict[int, Hop] = {}
        self._shown_until: int | None = None
        """Behind this hop there is nothing of the path."""
        self._farthest = 0

    def take(self, event: Event) -> None:
        """Take in what happened."""
        self._outstanding.take(event)
        if isinstance(event, ProbeSent):
            probe = event.probe
            waits = ProbeResult(probe.attempt, probe.flow, ProbeStatus.CANCELLED)
            self._probes.setdefault(probe.ttl, {}).setdefault(probe.attempt, waits)
        elif isinstance(event, ReplyReceived):
            self._answered(event)
        elif isinstance(event, HopSettled | HopRevised | HopEnriched):
            self._hops[event.hop.ttl] = event.hop

    def _answered(self, event: ReplyReceived) -> None:
        probe, reply = event.probe, event.reply
        self._probes.setdefault(probe.ttl, {})[probe.attempt] = ProbeResult(
            probe.attempt,
            probe.flow,
            ProbeStatus.REPLY,
            late=event.late,
            address=reply.address,
            rtt_ns=reply.rtt_ns,
            timestamp_source=reply.timestamp_source,
            reply=reply.kind,
            icmp_type=reply.icmp_type,
            icmp_code=reply.icmp_code,
            reply_ttl=reply.reply_ttl,
            quoted_ttl=reply.quoted_ttl,
            mtu=reply.mtu,
            mpls=reply.mpls,
            interfaces=reply.interfaces,
            extensions=reply.extensions,
            changes=reply.changes,
        )
        self._farthest = max(self._farthest, probe.ttl)
        if reply.kind is ReplyKind.UNREACHABLE and not event.late:
            # So says the router at the end of the path, also to whatever was meant for hops behind it.
            self._shown_until = probe.ttl if self._shown_until is None else min(self._shown_until, probe.ttl)
        if answers_for(self._destination, reply.kind, reply.address):
            end = probe.ttl if self._shown_until is None else min(self._shown_until, probe.ttl)
            self._shown_until = end
            self._outstanding.end_at(end)

    def lines(
        self, renderer: TextRenderer, width: int, height: int, *, measure: Callable[[str], int] = len
    ) -> list[Line]:
        """The lines below those that are written already, each in one row of the terminal.

        Args:
            renderer: Has written the hops that are complete.
            width: Columns of the terminal.
            height: Most lines there may be.
            measure: How many columns a text takes.
        """
        end = self._farthest if self._shown_until is None else self._shown_until
        known = set(renderer.known)
        rows: list[Line] = []
        for ttl in range(renderer.next_ttl, end + 1):
            for line in hop_lines(self._hop(ttl), self._queries, known=known):
                rows += fitted(line, width, crop=True, measure=measure)
        room = max(0, height - 2)
        if len(rows) > room:
            left = len(rows) - room + 1
            rows = [*rows[: max(0, room - 1)], ((f"... and {left} more lines", "dim"),)]
        sentence = self._outstanding.sentence()
        if not sentence:
            return rows
        return [*rows, (), *fitted(((sentence, "dim"),), width, crop=True, measure=measure)]

    def _hop(self, ttl: int) -> Hop:
        if ttl in self._hops:
            return self._hops[ttl]
        sent = self._probes.get(ttl, {})
        attempts = range(1, max([self._queries, *sent]) + 1)
        waits = (ProbeResult(attempt, 0, ProbeStatus.CANCELLED) for attempt in attempts)
        return Hop.from_probes(ttl, [sent.get(each.attempt, each) for each in waits])
