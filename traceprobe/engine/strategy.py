"""What every probing strategy offers to the tracer that drives it.

A strategy decides and never acts: it is told what happened and when, and asked what to do next. It
does no input or output, reads no clock and waits for nothing; every ``now`` is an argument, integer
nanoseconds of the monotonic clock. Traceroute is one strategy.

The driver's loop::

    strategy.probes_to_send(now)  -> send them -> strategy.batch_sent(reports, now)
    replies came                  -> strategy.replies_received(replies, now)
    strategy.next_deadline()      -> wait until then, or for a reply -> strategy.deadline_reached(now)
    after each of these           -> strategy.next_event() until None, strategy.released()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.errors import SendError
    from traceprobe.model import (
        Event,
        Hop,
        Knowledge,
        Probe,
        ProbeId,
        Reply,
        SentProbe,
        StopReason,
    )


class TraceStrategy(Protocol):
    """Decides which probes are due, what a reply changes and when the trace is over.

    Any method may be called once the trace has finished; nothing changes any more then, but for
    ``probe_sent``, which still has to be told of every probe that was handed out.
    """

    def probes_to_send(self, now: int, limit: int | None = None) -> list[Probe]:
        """Hand out the probes that are due, at most ``limit`` (None: all), in the order of sending.

        Each probe is handed out once; ``probe_sent`` must be told what became of it.
        """
        ...

    def has_probes_due(self, now: int) -> bool:
        """Whether ``probes_to_send(now)`` would hand anything out. Cheap."""
        ...

    def most_probes_due(self) -> int:
        """How many ``probes_to_send`` would hand out at most, if any are due. Cheap."""
        ...

    def probe_sent(self, sent: SentProbe, now: int) -> None:
        """Take in that the kernel took a probe that was handed out, or refused it.

        Raises:
            UsageError: The probe was never handed out.
        """
        ...

    def batch_sent(self, reports: Iterable[SentProbe], now: int) -> None:
        """Take in what became of a batch, as if ``probe_sent`` had been told of one after the other.

        Raises:
            UsageError: One of the probes was never handed out.
        """
        ...

    def reply_received(self, reply: Reply, now: int) -> None:
        """Take in a reply. One that can't change anything any more is counted in ``counts``."""
        ...

    def replies_received(self, replies: Iterable[Reply], now: int) -> None:
        """Take in what has come at once, as if ``reply_received`` had been told of one after the other."""
        ...

    def next_deadline(self) -> int | None:
        """When time alone will change something: ``deadline_reached`` or ``probes_to_send`` has work then.

        Probes that are due already are no deadline; ``has_probes_due`` tells of them.

        Returns:
            Monotonic nanoseconds, or None if only a report or a reply can change anything.
        """
        ...

    def deadline_reached(self, now: int) -> None:
        """Give up everything whose time has come. Harmless if called early."""
        ...

    def cancel(self, now: int) -> None:
        """End the trace with what is known."""
        ...

    def next_event(self) -> Event | None:
        """Remove and return the oldest event; None if there is none."""
        ...

    def take_events(self) -> list[Event]:
        """Remove and return all events, oldest first."""
        ...

    def may_be_due_before(self, moment_ns: int) -> bool:
        """Whether ``next_deadline`` may be earlier than a moment; False is certain. Cheaper than asking."""
        ...

    def released(self) -> list[ProbeId]:
        """Probes that were sent and whose replies are of no interest any more; each is listed once.

        Those beyond the end of the path as soon as it is final, all others when the trace is over. A
        probe that was cancelled between being handed out and being reported as sent is listed after
        that report.
        """
        ...

    @property
    def outstanding(self) -> int:
        """How many probes are sent, and neither answered nor given up nor cancelled."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the trace is over."""
        ...

    @property
    def stop_reason(self) -> StopReason | None:
        """Why it is over; None while it is not."""
        ...

    @property
    def started_ns(self) -> int:
        """When it started, monotonic nanoseconds."""
        ...

    @property
    def decided_ns(self) -> int | None:
        """When the reply arrived, or the giving up was due, that decided the end; None before it."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """How many replies changed nothing, by reason."""
        ...

    @property
    def first_sent_ns(self) -> int | None:
        """When the first probe was handed to the kernel; None if none was."""
        ...

    @property
    def last_sent_ns(self) -> int | None:
        """When the last probe was handed to the kernel; None if none was."""
        ...

    @property
    def probes_sent(self) -> int:
        """How many probes the kernel took."""
        ...

    @property
    def replies(self) -> int:
        """How many probes were answered."""
        ...

    @property
    def source(self) -> IPv4Address | IPv6Address | None:
        """The address that the probes came from, where a socket told it."""
        ...

    @property
    def first_send_error(self) -> SendError | None:
        """Why the kernel refused the first probe that it refused; None if it refused none."""
        ...

    @property
    def all_sends_failed(self) -> bool:
        """Whether the kernel refused probes and took none."""
        ...

    def hops(self, knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None = None) -> tuple[Hop, ...]:
        """Every TTL from the first to the end as it stands; probes that are still open are left out."""
        ...

    def hop(self, ttl: int, knowledge: Mapping[IPv4Address | IPv6Address, Knowledge] | None = None) -> Hop:
        """One TTL as it stands.

        Raises:
            UsageError: The TTL is not one of the trace's.
        """
        ...
