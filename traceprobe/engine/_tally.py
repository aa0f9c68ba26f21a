"""What a trace counts as it goes along, and how it stands: the half of a strategy that decides nothing.

Sendings, refusals, replies and what they did not change, hops, events, the end and its reason, all to be
read only. The strategy that inherits it sets them.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from traceprobe.engine._notes import Notes
from traceprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.engine._path import Path
    from traceprobe.errors import SendError
    from traceprobe.model import Event, Hop, Knowledge, ProbeId, SentProbe, StopReason


class Tally:
    """Figures of one trace, and what there is to see of it.

    Args:
        path: Its hops.
        now: The start, monotonic nanoseconds.
    """

    outstanding: int
    """How many probes are sent, and neither answered nor given up nor cancelled."""
    finished: bool
    """Whether the trace is over."""

    def __init__(self, path: Path, now: int) -> None:
        self._path = path
        self._notes = Notes(path)
        self._listed_until: int | None = None
        """The last TTL of the result; None before the end."""
        self._started_ns = now
        self._decided_ns: int | None = None
        self._stop_reason: StopReason | None = None
        self.outstanding = 0
        self.finished = False
        self._first_sent_ns: int | None = None
        self._last_sent_ns: int | None = None
        self._source: IPv4Address | IPv6Address | None = None
        self._first_send_error: SendError | None = None
        self._probes_sent = 0
        self._replies = 0
        self._counts: Counter[str] = Counter()
        self._released: list[ProbeId] = []

    @property
    def stop_reason(self) -> StopReason | None:
        """Why it is over; None while it is not."""
        return self._stop_reason

    @property
    def started_ns(self) -> int:
        """When it started, monotonic nanoseconds."""
        return self._started_ns

    @property
    def decided_ns(self) -> int | None:
        """When the reply arrived, or the giving up was due, that decided the end; None before it."""
        return self._decided_ns

    @property
    def counts(self) -> Mapping[str, int]:
        """How many replies changed nothing, by reason.

        ``duplicate``: the probe was answered already. ``beyond_end``: it lies beyond the end of the
        path. ``unsent``: it was not sent. ``after_end``: the trace was over. ``unmatched``: it is not
        one of this trace's.
        """
        return MappingProxyType(self._counts)

    @property
    def first_sent_ns(self) -> int | None:
        """When the first probe was handed to the kernel, monotonic nanoseconds; None if none was."""
        return self._first_sent_ns

    @property
    def last_sent_ns(self) -> int | None:
        """When the last probe was handed to the kernel, monotonic nanoseconds; None if none was."""
        return self._last_sent_ns

    @property
    def probes_sent(self) -> int:
        """How many probes the kernel took."""
        return self._probes_sent

    @property
    def replies(self) -> int:
        """How many probes were answered."""
        return self._replies

    @property
    def source(self) -> IPv4Address | IPv6Address | None:
        """The address that the probes came from, where the socket told it."""
        return self._source

    @property
    def first_send_error(self) -> SendError | None:
        """Why the kernel refused the first probe that it refused; None if it refused none."""
        return self._first_send_error

    @property
    def all_sends_failed(self) -> bool:
        """Whether the kernel refused probes and took none."""
        return self._first_send_error is not None and not self._probes_sent

    def next_event(self) -> Event | None:
        """Remove and return the oldest event; None if there is none.

        They are ``ProbeSent``, ``ReplyReceived``, ``HopSettled`` and ``HopRevised``. Every hop of the
        result is in one ``HopSettled`` by the time that ``finished`` is true.
        """
        return self._notes.next_event()

    def take_events(self) -> list[Event]:
        """Remove and return all events, oldest first; what ``next_event`` returns one by one.

        They are made now: who lets them lie until somebody wants them has none made in vain.
        """
        return self._notes.take_events()

    @property
    def destination_ttl(self) -> int | None:
        """Lowest TTL at which the destination has answered; None if it has not."""
        return self._path.ending.destination_ttl

    def hops(self, knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None = None) -> tuple[Hop, ...]:
        """Every TTL from the first to the end as it stands; probes that are still open are left out.

        While no end is known, the farthest TTL that was tried counts as one.
        """
        end = self._path.end_so_far() if self._listed_until is None else self._listed_until
        return tuple(self._path.snapshot(hop, knowledge) for hop in self._path.up_to(end))

    def hop(self, ttl: int, knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None = None) -> Hop:
        """One TTL as it stands.

        Raises:
            UsageError: The TTL is not one of the trace's.
        """
        hops = self._path.hops
        if not hops[0].ttl <= ttl <= hops[-1].ttl:
            raise UsageError(f"TTL {ttl} is not traced: {hops[0].ttl} to {hops[-1].ttl} are")
        return self._path.snapshot(hops[ttl - hops[0].ttl], knowledge)

    def released(self) -> list[ProbeId]:
        """Probes that were sent and whose replies are of no interest any more; each is listed once.

        Those beyond the destination as soon as it has answered, all others when the trace is over.
        """
        released = self._released
        if released:
            self._released = []
        return released

    def _count_outstanding(self, change: int) -> None:
        """So many probes more are outstanding, or less."""
        self.outstanding += change

    def _count_taken(self, sent: SentProbe) -> None:
        self._probes_sent += 1
        if self._source is None:
            self._source = sent.source
        self._note_sending(sent.sent_ns)

    def _note_sending(self, sent_ns: int) -> int:
        """The kernel took a probe then; returns when it took the last one."""
        first, last = self._first_sent_ns, self._last_sent_ns
        if first is None or sent_ns < first:
            self._first_sent_ns = sent_ns
        if last is None or sent_ns > last:
            self._last_sent_ns = last = sent_ns
        return last

    def _count_refused(self, error: SendError) -> None:
        if self._first_send_error is None:
            self._first_send_error = error
