"""The result of a trace. Its JSON document is made and read in :mod:`traceprobe.model._document`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attr

from traceprobe._frozen import frozen
from traceprobe.model._hop import printable, wall_time
from traceprobe.model._reply import answers_for
from traceprobe.model._stop_reason import StopReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import FlowStrategy, Protocol
    from traceprobe.model._document import TraceDocument
    from traceprobe.model._hop import Hop
    from traceprobe.model._knowledge import EnrichmentError
    from traceprobe.model._networks import Asn


@frozen(kw_only=True)
class TraceTimings:
    """How fast the trace itself was; durations in seconds, None where there was nothing to measure."""

    submit: float | None
    """First to last probe handed to the kernel."""
    first_reply: float | None
    """From the kernel's arrival stamp of the first reply to its delivery."""
    overhead: float | None
    """From the arrival (or the giving up) that decided the trace to its end."""
    probes_sent: int
    replies: int


@frozen(kw_only=True)
class TraceResult:
    """A finished trace, or what was known of it when it was cut short.

    Immutable and picklable; equal to another one if all that they tell is equal; sorted by when they began.
    """

    target: str
    """What was asked for: a name or an address."""
    address: IPv4Address | IPv6Address
    """The address that was traced."""
    source: IPv4Address | IPv6Address | None
    """The address that the probes came from, where known."""
    protocol: Protocol
    mode: str
    """The way of probing, such as ``linux_raw``."""
    flow: FlowStrategy
    port: int | None
    """Destination port (first one, where the flow varies by port); None for ICMP."""
    started_at_ns: int
    """Wall clock at the start, nanoseconds since the epoch, whole microseconds."""
    duration_ns: int
    stop_reason: StopReason
    timings: TraceTimings
    discarded: Mapping[str, int] = attr.field(hash=False)
    """Packets that were refused while the trace ran, by reason."""
    public_address: IPv4Address | IPv6Address | None = None
    """The address under which the Internet sees this machine, if it was looked for and found."""
    isp: Asn | None = None
    """The autonomous system that announces that address: who connects this machine."""
    enrichment_errors: tuple[EnrichmentError, ...] = ()
    """Look-ups about this machine and its network that failed."""
    hops: tuple[Hop, ...]
    """Every TTL from the first to the last that matters, silent ones included."""

    @property
    def reached(self) -> bool:
        """Whether the destination answered, also if the time was over or the trace was cut short then."""
        if self.stop_reason not in {StopReason.TIMEOUT, StopReason.CANCELLED}:
            return self.stop_reason is StopReason.DESTINATION_REACHED
        return any(
            probe.reply is not None
            and probe.address is not None
            and answers_for(self.address, probe.reply, probe.address)
            for probe in (self.hops[-1].probes if self.hops else ())
        )

    @property
    def started_at(self) -> datetime:
        """When the trace started (UTC)."""
        return wall_time(self.started_at_ns)

    @property
    def duration(self) -> float:
        """How long it took, in seconds."""
        return self.duration_ns / 1_000_000_000

    @property
    def destination_hop(self) -> Hop | None:
        """The hop at which the destination answered; None if it did not."""
        return self.hops[-1] if self.reached and self.hops else None

    def __iter__(self) -> Iterator[Hop]:
        """The hops, nearest first."""
        return iter(self.hops)

    def __len__(self) -> int:
        """How many hops there are, silent ones included."""
        return len(self.hops)

    def __lt__(self, other: object) -> bool:
        """Whether this trace began earlier than another one."""
        if not isinstance(other, TraceResult):
            return NotImplemented
        return self.started_at_ns < other.started_at_ns

    def __str__(self) -> str:
        """One line, such as ``example.com (192.0.2.9): reached in 12 hops, 48.1 ms``."""
        end = "reached" if self.reached else f"not reached ({self.stop_reason.value})"
        count = f"{len(self.hops)} hop" + ("" if len(self.hops) == 1 else "s")
        hop = self.destination_hop
        rtt = "" if hop is None or hop.rtt is None else f", {hop.rtt * 1000:.3f} ms"
        return printable(f"{self.target} ({self.address}): {end} in {count}{rtt}")

    def to_dict(self) -> TraceDocument:
        """The result as plain values: the JSON contract, with its ``schema_version``."""
        from traceprobe.model._document import to_document

        return to_document(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> TraceResult:
        """Rebuild a result from :meth:`to_dict` or from parsed JSON.

        Raises:
            ConfigError: The document is of another schema version, or a field is missing or malformed.
        """
        from traceprobe.model._document import from_document

        return from_document(document)

    def to_json(self, *, indent: int | None = None) -> str:
        """The result as a JSON document (RFC 8259), ASCII only."""
        import json

        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> TraceResult:
        """Rebuild a result from :meth:`to_json`.

        Raises:
            ConfigError: It is not a JSON document of this schema version.
        """
        import json

        from traceprobe.errors import ConfigError

        try:
            document = json.loads(text)
        except ValueError as error:
            raise ConfigError("text", text[:80], f"a JSON document ({error})") from None
        return cls.from_dict(document)

    def _repr_html_(self) -> str:
        from traceprobe.render.html import result_to_html

        return result_to_html(self)
