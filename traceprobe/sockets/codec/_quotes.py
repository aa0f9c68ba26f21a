"""What a codec reads out of quotes beside whose they are: what the path changed, and against which label.

Split from the ledger, whose entries it looks up: knows templates and quotes, gives out no identifiers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from traceprobe.sockets.codec._changes import compare_payload, header_changes, is_unchanged
from traceprobe.sockets.codec._template import COOKIE_SIZE, IP_HEADER, TRANSPORT_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.config import AddressFamily
    from traceprobe.model import Change, Probe, ProbeId
    from traceprobe.packets import QuotedDatagram
    from traceprobe.sockets.codec._template import SentHeader, Template

_LABEL_MASK: Final = 0xFFFFF
_STATELESS_LABEL: Final = 0x80000
"""Linux keeps the lower half of the flow labels for leases (net.ipv6.flowlabel_state_ranges)."""


class QuoteReader(ABC):
    """The part of a codec that compares quotes with what was sent."""

    family: AddressFamily
    sent_header: SentHeader
    """What is known of the IP headers that the kernel writes; set by the socket."""
    labelled: bool
    """Whether probes have a flow label that :meth:`flow_labels` tells."""
    _constant: bool
    _label: int | None
    _probes: dict[int, tuple[ProbeId, Template, int, bytes]]
    _identifiers: dict[ProbeId, int]

    @abstractmethod
    def _transport_changes(
        self, probe: ProbeId, template: Template, transport: memoryview
    ) -> Sequence[Change]:
        """Compare a quoted transport header; the payload is compared elsewhere."""

    def _label_step(self, identifier: int, template: Template) -> int:  # noqa: ARG002 - depends on protocol
        """What is added to the first flow label for a probe whose flow is one of its own."""
        return identifier

    # --- flow labels --------------------------------------------------------------------------------------

    def _first_label(self, probe: Probe, digest: bytes) -> int:
        step = probe.flow if self._constant else 0
        if self._label is not None:
            return self._label + step & _LABEL_MASK
        # Routers that balance load may hash the label instead of ports and checksums.
        chosen = int.from_bytes(digest[-COOKIE_SIZE:])
        return _STATELESS_LABEL | (chosen + step & _LABEL_MASK >> 1)

    def flow_labels(self, probes: Sequence[Probe]) -> list[int]:
        """The IPv6 flow label of each probe, if this codec is ``labelled``; constant or varied as the flow.

        Args:
            probes: Probes that are outstanding.
        """
        labels = []
        for probe in probes:
            identifier = self._identifiers[probe.id]
            labels.append(self._label_of(identifier, self._probes[identifier][1]) or 0)
        return labels

    def _label_of(self, identifier: int, template: Template) -> int | None:
        label = template.label
        if label is None or self._constant:
            return label
        step = self._label_step(identifier, template)
        if self._label is not None:
            return label + step & _LABEL_MASK
        return _STATELESS_LABEL | (label + step & _LABEL_MASK >> 1)

    # --- what the path did ------------------------------------------------------------------------------

    def changes(self, probe: ProbeId, quoted: QuotedDatagram, *, time_exceeded: bool) -> tuple[Change, ...]:
        """What the path did to a probe, by the datagram that an ICMP error quotes.

        Args:
            probe: The probe that the error was resolved to.
            quoted: What it quotes.
            time_exceeded: Whether it says that the probe's TTL has expired.
        """
        identifier = self._identifiers.get(probe)
        if identifier is None:
            return ()
        _, template, ttl, _ = self._probes[identifier]
        header, known, transport = IP_HEADER[self.family], self.sent_header, quoted.transport
        changes: Sequence[Change] = ()
        label = self._label_of(identifier, template) if self.labelled else None
        if not is_unchanged(template, known, label, quoted, time_exceeded, header):
            expired_ttl = ttl if time_exceeded else None
            changes = header_changes(template, known, label, quoted, expired_ttl, header)
        return self._with_transport(changes, probe, template, transport)

    def transport_changes(self, probe: ProbeId, transport: memoryview) -> tuple[Change, ...]:
        """The same, where only the transport header and what is behind it are shown."""
        identifier = self._identifiers.get(probe)
        if identifier is None:
            return ()
        return self._with_transport((), probe, self._probes[identifier][1], transport)

    def _with_transport(
        self, changes: Sequence[Change], probe: ProbeId, template: Template, transport: memoryview
    ) -> tuple[Change, ...]:
        of_header = self._transport_changes(probe, template, transport)
        of_payload = compare_payload(template, 0, transport)
        if of_payload is None:
            return (*changes, *of_header) if changes or of_header else ()
        return (*changes, *of_header, of_payload)

    def payload_changes(self, probe: ProbeId, payload: memoryview) -> tuple[Change, ...]:
        """The same, where only what is behind the transport header is shown."""
        identifier = self._identifiers.get(probe)
        if identifier is None:
            return ()
        change = compare_payload(self._probes[identifier][1], TRANSPORT_HEADER, payload)
        return () if change is None else (change,)
