"""The path while it is traced: every hop, where it ends as far as is known, and what has become certain.

A hop is certain when its probes have all ended and the path is known to lead through every hop before
it: a time-exceeded came from there, or nothing more is awaited there. The trace is over when every hop
up to the end has settled.

Owns the hops and three marks that only ever move towards the far end, so that all passes over the hops
together cost no more than one. Knows no time: why a probe ended is decided elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attr

from traceprobe.config import FlowStrategy
from traceprobe.engine._ending import Ending
from traceprobe.engine._hop_state import HopState
from traceprobe.engine._states import plan
from traceprobe.model import ProbeId, make_probe_id
from traceprobe.model._route_facts import forwards_ttl_zero

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.engine._states import ProbeRecord
    from traceprobe.model import Hop, Knowledge


class Path:
    """All probes and hops of one trace."""

    def __init__(self, config: TracerouteConfig, trace_id: int) -> None:
        self._flow_by_attempt = config.flow is FlowStrategy.DUBLIN
        self._first_ttl = config.first_ttl
        self.first_id: ProbeId = make_probe_id(trace_id, 0)
        """The identities of the probes count up from here, in the order of ``records``."""
        ttls, queries = range(config.first_ttl, config.max_ttl + 1), config.queries
        flows = [self._flow_of(attempt) for attempt in range(1, queries + 1)]
        self.records: list[ProbeRecord] = plan(self.first_id, ttls, flows)
        """Every probe; the planned ones in TTL-major order, then retries."""
        self.hops: list[HopState] = HopState.each(ttls, self.records, queries)
        """Every hop from the first TTL to the last that is configured."""
        self.ending: Ending = Ending(
            self.hops, flow=config.flow, gap_limit=config.gap_limit, stop_on_loop=config.stop_on_loop
        )
        self.first_open: int = 0
        """Position of the first hop that anything may be awaited of; all before it have settled."""
        self._frontier = 0
        """Position of the first hop that the path may still end at."""
        self._first_uncertain = 0
        """Position of the first hop that has not become certain."""
        self.complete: bool = False
        """Every hop up to the end has settled, but for those that are certain not to be any."""
        self.farthest_tried: int = config.first_ttl
        """The farthest TTL that the kernel took or refused a probe for."""
        self.quotes_zero: bool = False
        """Some hop has answered with a quoted TTL of 0, so that what is shown of it hangs on the next one."""
        self.sent_in_order: bool = True
        """No probe was taken before one that is listed before it."""
        self.last_taken: int = -1
        """Place in ``records`` of the probe that was reported as taken last."""

    def find(self, probe_id: ProbeId) -> ProbeRecord | None:
        """The probe of this identity; None if it is not one of this trace's."""
        index = probe_id - self.first_id
        return self.records[index] if 0 <= index < len(self.records) else None

    def hop_of(self, record: ProbeRecord) -> HopState:
        """The hop that a probe is meant for."""
        return self.hops[record.ttl - self._first_ttl]

    def up_to(self, ttl: int) -> Sequence[HopState]:
        """The hops from the first to this TTL."""
        return self.hops[: ttl - self._first_ttl + 1]

    def add_retry(self, hop: HopState) -> ProbeRecord:
        """Plan one more probe for a hop."""
        attempt, identity = len(hop.records) + 1, ProbeId(self.first_id + len(self.records))
        (record,) = plan(identity, (hop.ttl,), (self._flow_of(attempt),), first_attempt=attempt)
        self.records.append(record)
        hop.add(record)
        return record

    def leads_through(self, position: int) -> bool:
        """The TTL of a probe ran out at a hop that has not settled; returns whether anything follows from it.

        What follows can only be that hops behind it are certain now: those that have settled, if no other
        one lies between.
        """
        if position != self._frontier:
            return False
        self._frontier = beyond = position + 1
        return beyond < len(self.hops) and ((hop := self.hops[beyond]).on_the_way or hop.settled)

    def settled_in_turn(self, position: int) -> bool:
        """A hop has settled; returns whether it has become certain by that, and nothing else follows.

        So it is where replies come in the order of the path: everything before the hop has settled, the one
        behind it has not, and no end of the path is in sight. It is what ``advance`` would find, for a
        fifth of the cost.
        """
        hops, beyond, ending = self.hops, position + 1, self.ending
        if (
            position != self.first_open
            or position != self._first_uncertain
            or self._frontier <= position
            or ending.stale
            or ending.ttl - self._first_ttl <= position
            or ending.length is not None
            or hops[beyond].settled
            or hops[position].quotes_zero
        ):
            return False
        hops[position].announced = True
        self.first_open = self._first_uncertain = beyond
        return True

    def advance(self) -> list[HopState]:
        """Draw every conclusion that the hops allow; returns the hops that have become certain by it."""
        ending, hops, first_ttl = self.ending, self.hops, self._first_ttl
        if ending.stale:
            ending.judge()
        count, place = len(hops), self.first_open
        while place < count and hops[place].settled:
            place += 1
        self.first_open = first_open = place
        place = self._frontier
        while place < count and ((hop := hops[place]).on_the_way or hop.settled):
            place += 1
        self._frontier = stop = place  # which has not settled
        last, no_loop_before = ending.ttl - first_ttl, ending.no_loop_before - first_ttl
        if last < stop:
            stop = last + 1
        if no_loop_before < stop:
            stop = no_loop_before + 1
        certain: list[HopState] = []
        first_uncertain = place = self._first_uncertain
        while place < stop:
            hop = hops[place]
            if not hop.announced and hop.settled and not (hop.quotes_zero and self._waits_for_next(hop)):
                hop.announced = True
                certain.append(hop)
            if hop.announced and place == first_uncertain:
                first_uncertain = place + 1
            place += 1
        self._first_uncertain = first_uncertain
        length = ending.length
        self.complete = first_open > last or (
            length is not None and first_open > length - first_ttl and hops[last].settled
        )
        return certain

    @property
    def completed_ns(self) -> int:
        """When the last probe up to the end was answered, given up or refused."""
        return max(hop.settled_ns for hop in self.up_to(self.ending.ttl))

    def awaited(self) -> Sequence[HopState]:
        """The hops that the trace waits for: up to the end, less the settled ones at the beginning.

        Those between the end that is certain and the lowest TTL that it answered at are none.
        """
        last = self.ending.ttl - self._first_ttl
        length = self.ending.length
        if length is None:
            return self.hops[self.first_open : last + 1]
        return [*self.hops[self.first_open : length - self._first_ttl + 1], self.hops[last]]

    def snapshot(
        self, hop: HopState, knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None = None
    ) -> Hop:
        """A hop as it stands, with what the next one tells of it."""
        shown = hop.hop(knowledge)
        if not hop.quotes_zero:
            return shown
        following = self._following(hop)
        if not forwards_ttl_zero(shown, None if following is None else following.hop(None)):
            return shown
        return attr.evolve(shown, ttl_zero_forwarding=True)

    def preceding(self, hop: HopState) -> HopState | None:
        """The hop before one."""
        position = hop.ttl - self._first_ttl
        return self.hops[position - 1] if position else None

    def _following(self, hop: HopState) -> HopState | None:
        position = hop.ttl - self._first_ttl + 1
        return self.hops[position] if position < len(self.hops) else None

    def _waits_for_next(self, hop: HopState) -> bool:
        """Whether only the next hop can tell who has answered here."""
        following = self._following(hop)
        return following is not None and following.ttl <= self.ending.ttl and not following.settled

    def end_so_far(self) -> int:
        """The last TTL that there is anything to say about: the end if known, else the farthest tried."""
        return self.ending.ttl if self.ending.known else self.farthest_tried

    def _flow_of(self, attempt: int) -> int:
        """Dublin follows one path with each attempt.

        The others need no number: Paris has one flow, and the classic way, where every probe differs, is the
        socket's own doing.
        """
        return attempt - 1 if self._flow_by_attempt else 0
