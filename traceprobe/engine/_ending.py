"""Where the path ends, as far as the replies tell.

Four things end a path before ``max_ttl``: the destination has answered, the routers run in a circle,
somebody says that nothing goes beyond, or too many hops in a row are silent. Each is judged anew
whenever something is learnt that bears on it, since replies come in any order and the last word
is right, not the first:

* ``destination``: the lowest TTL at which the destination answered. It only ever shrinks, and it beats
  everything else.
* ``loop``: the lowest TTL at which a cycle of at least two routers has been seen twice in full, judged
  on settled hops only. Two equal neighbours are no loop: some routers forward what they should drop.
* ``unreachable``: the lowest TTL with such a message beyond the farthest time-exceeded. A
  time-exceeded at the same TTL or behind it proves that other packets get past, over a parallel path
  for one, so the message does not stop the trace.
* ``gap``: so many settled TTLs in a row without any answer, with nothing answered behind them.

Where the destination answered may still be beyond where it is; see ``_path_length``.

Owns the judgement. Changes no hop and no probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.engine._hop_state import Meaning
from traceprobe.engine._path_length import PathLength
from traceprobe.model import StopReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import FlowStrategy
    from traceprobe.engine._hop_state import HopState
    from traceprobe.model import Reply


_ON_THE_WAY: Final = Meaning.ON_THE_WAY
_DESTINATION: Final = Meaning.DESTINATION
_REACHED: Final = StopReason.DESTINATION_REACHED
_MAX_TTL: Final = StopReason.MAX_TTL


class Ending:
    """The nearest end that the hops give evidence of, and why it is one."""

    def __init__(
        self,
        hops: Sequence[HopState],
        *,
        flow: FlowStrategy | None = None,
        gap_limit: int | None,
        stop_on_loop: bool,
    ) -> None:
        self._hops = hops
        self._length = PathLength(hops, flow)
        self._first_ttl = hops[0].ttl
        self._last_ttl = hops[-1].ttl
        self._gap_limit = gap_limit
        self._stop_on_loop = stop_on_loop
        self._farthest_on_the_way = self._first_ttl - 1
        self._farthest_answered = self._first_ttl - 1
        self._seen_at: dict[int, tuple[int, int]] = {}
        """Nearest and farthest TTL of each address, by its number: a quicker key than the address."""
        self._addresses_repeat = False
        self.destination_ttl: int | None = None
        """Lowest TTL at which the destination answered."""
        self.ttl: int = hops[-1].ttl
        """The last TTL that matters, as far as is known."""
        self.reason: StopReason = _MAX_TTL
        """Why it is the last."""
        self.no_loop_before: int = self.ttl
        """No loop can turn out to end before this TTL, whatever the outstanding probes bring."""
        self.length: int | None = None
        """The destination's own TTL, if that is certain and lower than the lowest one it answered at."""
        self.stale: bool = self._hangs_on_settling
        """To judge anew may find another end."""

    @property
    def _hangs_on_settling(self) -> bool:
        """Whether more than what was answered counts: what has settled, and how."""
        return self._gap_limit is not None or (self._stop_on_loop and self._addresses_repeat)

    @property
    def known(self) -> bool:
        """Whether there is evidence of an end before the configured one."""
        return self.reason is not _MAX_TTL

    def answered(self, hop: HopState, reply: Reply, meaning: Meaning) -> None:
        """Take in a reply that the hop has noted already, and that may tell where the path goes."""
        if hop.ttl > self._farthest_answered:
            self._farthest_answered = hop.ttl
        if meaning is _ON_THE_WAY:
            if hop.ttl > self._farthest_on_the_way:
                self._farthest_on_the_way = hop.ttl
            if hop.address is not None:
                address, ttl = int(hop.address), hop.ttl
                if address in self._seen_at:
                    self._note_again(address, ttl)
                else:
                    self._seen_at[address] = ttl, ttl
        elif meaning is _DESTINATION:
            self._length.note(hop.ttl, reply)
            if self.destination_ttl is None or hop.ttl < self.destination_ttl:
                self.destination_ttl = hop.ttl
        # One more router on the way ends nothing, and as long as no end is known it contradicts none.
        if meaning is not _ON_THE_WAY or self.reason is not _MAX_TTL or self._addresses_repeat:
            self.stale = True

    def _note_again(self, address: int, ttl: int) -> None:
        seen_at = self._seen_at[address]
        nearest, farthest = min(seen_at[0], ttl), max(seen_at[1], ttl)
        self._seen_at[address] = nearest, farthest
        # Only an address seen two or more TTLs apart can be part of a cycle.
        self._addresses_repeat |= farthest - nearest > 1

    def judge(self) -> None:
        """Weigh the evidence anew."""
        self.stale = self._hangs_on_settling
        last = self.no_loop_before = self._last_ttl
        if self.destination_ttl is not None:
            self.ttl, self.reason = self.destination_ttl, _REACHED
            self.length = self._length.certain(self.destination_ttl)
            return
        if self._stop_on_loop and self._addresses_repeat:
            suspected = self._loop_end(settled_only=False)
            if suspected is not None:
                self.no_loop_before = suspected
                confirmed = self._loop_end(settled_only=True)
                if confirmed is not None:
                    self.ttl, self.reason = confirmed, StopReason.LOOP
                    return
        if self._farthest_on_the_way < self._farthest_answered:
            for ttl in range(self._farthest_on_the_way + 1, self._farthest_answered + 1):
                if self._hops[ttl - self._first_ttl].unreachable:
                    self.ttl, self.reason = ttl, StopReason.UNREACHABLE
                    return
        if self._gap_limit is not None:
            end = self._farthest_answered + self._gap_limit
            start = self._farthest_answered + 1 - self._first_ttl
            run = self._hops[start : start + self._gap_limit]
            if end <= last and all(hop.settled and hop.silent for hop in run):
                self.ttl, self.reason = end, StopReason.GAP_LIMIT
                return
        self.ttl, self.reason = last, _MAX_TTL

    def _loop_end(self, *, settled_only: bool) -> int | None:
        position = second_cycle_end([
            hop.loop_address if hop.settled or not settled_only else None for hop in self._hops
        ])
        return None if position is None else self._first_ttl + position


def second_cycle_end(addresses: Sequence[IPv4Address | IPv6Address | None]) -> int | None:
    """Find where a cycle of at least two different addresses has been gone through twice.

    Returns:
        The lowest position at which a second pass is complete; None if there is none. A position
        without an address (None) belongs to no cycle.
    """
    count = len(addresses)
    best: int | None = None
    for length in range(2, count // 2 + 1):
        matching = 0
        for position in range(length, count if best is None else best):
            address = addresses[position]
            matching = matching + 1 if address is not None and address == addresses[position - length] else 0
            if matching >= length and len(set(addresses[position - length + 1 : position + 1])) > 1:
                best = position
                break
    return best
