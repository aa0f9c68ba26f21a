"""What a trace counts as it goes along: sendings, replies, refusals, and replies that changed nothing."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.errors import SendError
    from traceprobe.model import SentProbe


class Tally:
    """Figures of one trace; the read-only half of a strategy that needs no decision."""

    def __init__(self) -> None:
        self._first_sent_ns: int | None = None
        self._last_sent_ns: int | None = None
        self._source: IPv4Address | IPv6Address | None = None
        self._first_send_error: SendError | None = None
        self._probes_sent = 0
        self._replies = 0
        self._counts: Counter[str] = Counter()

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

    def _count_taken(self, sent: SentProbe) -> None:
        self._probes_sent += 1
        first, last = self._first_sent_ns, self._last_sent_ns
        self._first_sent_ns = sent.sent_ns if first is None else min(first, sent.sent_ns)
        self._last_sent_ns = sent.sent_ns if last is None else max(last, sent.sent_ns)
        if self._source is None:
            self._source = sent.source

    def _count_refused(self, error: SendError) -> None:
        if self._first_send_error is None:
            self._first_send_error = error
