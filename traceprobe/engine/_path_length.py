"""How long the path is, by what one probe shows: the TTL that it had left when the destination got it.

A destination that refuses a probe quotes it (``port unreachable`` and its like). A probe sent with TTL 30
and quoted with TTL 21 went through nine routers, so the destination is hop 10, whether or not the probes
of TTL 10 get an answer. Destinations that answer seldom leave a tail of hops that aren't any: silent ones
between the end of the path and the lowest TTL that was answered. Those need not be waited for.

The rule. A length counts as certain only as long as all of this holds:

* the flow is constant, so that all probes are meant to take one path;
* probes of two different TTLs at least have shown it, and none another one. Who sets TTLs to a value of
  his own, as some translators do, makes all quotes equal and so the lengths different;
* the router before the end has answered, and nobody but the destination at the end or behind it. A quote
  that was given back the TTL it was sent with makes every path one hop long, and this shows that it isn't;
* it is shorter than the lowest TTL at which the destination has answered; else there is nothing to save.

What is certain so is not final either, since packets may yet be balanced one by one: the hops in question
are not waited for, but what was sent to them keeps counting until the trace is over, and one answer of
another than the destination there brings them all back. So no hop gets lost by it that would have
answered before the end of the trace.

Owns the judgement. Changes no hop and no probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.config import FlowStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.engine._hop_state import HopState
    from traceprobe.model import Reply


class PathLength:
    """The evidence of one trace."""

    def __init__(self, hops: Sequence[HopState], flow: FlowStrategy | None) -> None:
        self._hops = hops
        self._first_ttl = hops[0].ttl
        self._constant = flow in {None, FlowStrategy.PARIS}
        self._shown_by: dict[int, set[int]] = {}
        """TTLs that were sent, by the length that their quotes show."""

    def note(self, ttl: int, reply: Reply) -> None:
        """Take in an answer of the destination."""
        if reply.quoted_ttl is not None:
            self._shown_by.setdefault(ttl - reply.quoted_ttl + 1, set()).add(ttl)

    def certain(self, destination_ttl: int) -> int | None:
        """The TTL that is certain to be the destination's own, below the one it answered at; else None."""
        if not self._constant or len(self._shown_by) != 1:
            return None
        ((length, ttls),) = self._shown_by.items()
        if len(ttls) < 2 or not self._first_ttl < length < destination_ttl:
            return None
        before = self._hops[length - self._first_ttl - 1]
        claimed = self._hops[length - self._first_ttl : destination_ttl - self._first_ttl]
        return length if before.on_the_way and not any(hop.answered for hop in claimed) else None
