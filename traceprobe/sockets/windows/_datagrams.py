"""UDP probes that an ordinary socket sends: the system writes their header, and a network card may finish it.

A card that computes checksums gets datagrams with the sum of the pseudo-header in that field. A router on
this very machine, or the host of a virtual one, may quote them so. That is no change on the path, and no
identifier either; the word in front of the token still says which probe it is.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.model import ChangedField
from traceprobe.packets import IpProtocol, pseudo_header_sum
from traceprobe.sockets.codec import Refusal, UdpCodec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Change, ProbeId
    from traceprobe.sockets.codec._template import Template

_PORTS: Final = Struct("!HH")
_CHECKSUM: Final = slice(6, 8)
_HEADER: Final = 8


class SystemUdpCodec(UdpCodec):
    """A :class:`UdpCodec` for datagrams whose checksum may be filled in late."""

    def _resolve_quote(
        self, destination: IPv4Address | IPv6Address, transport: memoryview
    ) -> ProbeId | Refusal:
        outcome = super()._resolve_quote(destination, transport)
        if outcome is not Refusal.REWRITTEN or not self._constant:
            return outcome
        # What looks like another probe's checksum may be no checksum yet.
        source_port, port = _PORTS.unpack_from(transport)
        payload = transport[_HEADER:]
        template = self._token_in(payload)
        if source_port != self.source_port or template is None or template.port != port:
            return outcome
        return self._match(self._identifier_in(template, payload), destination, payload)

    def _transport_changes(
        self, probe: ProbeId, template: Template, transport: memoryview
    ) -> Sequence[Change]:
        changes = super()._transport_changes(probe, template, transport)
        if template.source is None or int.from_bytes(transport[_CHECKSUM]) != _unfinished(template):
            return changes
        return [change for change in changes if change.field is not ChangedField.TRANSPORT_CHECKSUM]


def _unfinished(template: Template) -> int:
    """What stands in the checksum's place as long as it is not computed: the sum of the pseudo-header."""
    assert template.source is not None
    total = pseudo_header_sum(template.source, template.destination, IpProtocol.UDP, len(template.buffer))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
