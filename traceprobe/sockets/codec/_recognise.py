"""The shortcut for ordinary replies to echo and UDP probes: which probe it is that nothing has happened to.

Identity must agree exactly, as everywhere. What is compared in addition, with the bytes that left, is all the
rest: so that there is nothing to tell of what the path did to the probe. Whatever is different in anything is
for the codec itself, which tells all there is to tell; what is recognised here would come out there the same,
at many times the cost.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Final

from traceprobe.config import AddressFamily
from traceprobe.sockets.codec._changes import ipv4_header_sum
from traceprobe.sockets.codec._ledger import ProbeCodec
from traceprobe.sockets.codec._ordinary import (
    BUT_FOR_ONE_HOP,
    ECHO_REPLY,
    ECHO_REPLY_IPV6,
    ECHOED,
    EXPIRED,
    EXPIRED_BUT_SUM,
    EXPIRED_IPV6,
    FRAGMENT_OFFSET,
    ICMP_AT,
    IPV6_ECHOED,
    IPV6_READERS,
    IPV6_TIME_EXCEEDED,
    LAST_HOP,
    LONGEST_SEGMENT,
    NO_LABEL,
    PLAIN_IPV4,
    READERS,
    TIME_EXCEEDED,
)
from traceprobe.sockets.codec._template import IP_HEADER, TOKEN_SIZE, TRANSPORT_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceprobe.model import ProbeId
    from traceprobe.packets import IpProtocol
    from traceprobe.sockets.codec._ordinary import Ordinary
    from traceprobe.sockets.codec._template import Template

_CHECKSUM_AT: Final = 2
_IDENTIFIER_AT: Final = 4
_NUMBER_AT: Final = 6
_ECHO_REPLY: Final = b"\0\0"
"""Type and code (IPv4)."""
_IPV4_TTL_AT: Final = 8  # RFC 791 section 3.1
_IPV4_SOURCE_AT: Final = 12
_QUOTED_HEAD: Final = Struct("!BBH")
_ADDRESSES: Final = Struct("!II")
_NO_QUOTE: Final = (b"", -1, b"")
"""Equal to nothing: quotes of this template need a closer look."""


class Recogniser(ProbeCodec):
    """The part of a codec that recognises ordinary replies.

    For probes whose identifier is the last word of their transport header: the sequence number of an echo
    request, the checksum of an UDP datagram. Probes with another one need a closer look, all of them.
    """

    _ip_protocol: ClassVar[Mapping[AddressFamily, IpProtocol]]
    """What their IP headers say that they are."""
    _echoed: ClassVar[bool] = False
    """Whether the destination sends them back."""

    def recognise_each(
        self, view: memoryview, step: int, lengths: Sequence[int]
    ) -> list[tuple[ProbeId, bytes, int, Ordinary] | None]:
        """Recognise what nearly all messages are, without taking them apart.

        That is an IPv4 time-exceeded without extensions that quotes an outstanding probe with nothing
        changed, or an echo reply that brings one back whole. Whatever is different in anything is left to
        :meth:`resolve`, which tells all there is to tell; what this recognises would come out there the
        same, at many times the cost.

        Args:
            view: Where the datagrams stand, each from the first byte of its IPv4 header on.
            step: How far apart.
            lengths: How many bytes each has.

        Returns:
            For each the probe, source address (packed) and TTL of the datagram, and what it says; None for
            those that need a closer look.
        """
        probe_of, outstanding, readers = self._probes.get, self._identifiers, READERS
        found: list[tuple[ProbeId, bytes, int, Ordinary] | None] = []
        start = -step
        for length in lengths:
            start += step
            read = readers[length]
            if read is None:
                found.append(None)
                continue
            outer, reply_ttl, sender, header, head, word, hop, header_sum, addresses, quote = read(
                view, start
            )
            known = probe_of(quote[_NUMBER_AT] << 8 | quote[_NUMBER_AT + 1])
            if known is not None:
                probe, template, _, segment = known
                if (
                    (head, hop, addresses) == (template.quote or self._expect_quote(template))
                    and outer == PLAIN_IPV4
                    and not word & FRAGMENT_OFFSET
                    # Identification and flags at once: words of 32 bits sum up as their halves do.
                    and (template.header_sum + word + header_sum) % 0xFFFF == BUT_FOR_ONE_HOP
                    and probe in outstanding
                    and (
                        (quote == segment and header == EXPIRED)
                        or _quotes_a_part(view[start + ICMP_AT : start + length], header, quote, segment)
                    )
                ):
                    found.append((probe, sender, reply_ttl, TIME_EXCEEDED))
                    continue
            found.append(self._recognise_echo(view, start, length) if header[0] == ECHO_REPLY else None)
        return found

    def _recognise_echo(
        self, view: memoryview, start: int, length: int
    ) -> tuple[ProbeId, bytes, int, Ordinary] | None:
        message = bytes(view[start + ICMP_AT : start + length])
        found = self._probes.get(message[_NUMBER_AT] << 8 | message[_NUMBER_AT + 1])
        if found is None or not self._echoed or self.family is not AddressFamily.IPV4:
            return None
        probe, template, _, segment = found
        if (
            view[start] != PLAIN_IPV4
            or message[:_CHECKSUM_AT] != _ECHO_REPLY
            # Identifier, sequence number and the whole payload: all but type and checksum.
            or message[_IDENTIFIER_AT:] != segment[_IDENTIFIER_AT:]
            # Less than a whole token does not vouch for whoever sends it.
            or len(template.token) < TOKEN_SIZE
            or probe not in self._identifiers
            or int.from_bytes(message, "big") % 0xFFFF
        ):
            return None
        sender = start + _IPV4_SOURCE_AT
        return probe, bytes(view[sender : sender + 4]), view[start + _IPV4_TTL_AT], ECHOED

    def recognise_ipv6(self, view: memoryview, start: int, length: int) -> tuple[ProbeId, Ordinary] | None:
        """The same for an ICMPv6 message, whose checksum the kernel has verified.

        Args:
            view: Where the message stands.
            start: Its first byte.
            length: How many bytes it has.
        """
        read = IPV6_READERS[length]
        if read is None:
            return self._recognise_ipv6_echo(bytes(view[start : start + min(length, LONGEST_SEGMENT + 1)]))
        kind, unused, word, payload_length, hop, addresses, quote = read(view, start)
        if kind == ECHO_REPLY_IPV6:
            return self._recognise_ipv6_echo(bytes(view[start : start + length]))
        found = self._probes.get(quote[_NUMBER_AT] << 8 | quote[_NUMBER_AT + 1])
        if found is None:
            return None
        probe, template, _, segment = found
        if template.label is None:
            word &= NO_LABEL
        if (
            (word, payload_length, hop, addresses) != (template.quote or self._expect_ipv6_quote(template))
            or (kind, unused) != EXPIRED_IPV6
            or not segment.startswith(quote)
            or probe not in self._identifiers
        ):
            return None
        return probe, IPV6_TIME_EXCEEDED

    def _recognise_ipv6_echo(self, message: bytes) -> tuple[ProbeId, Ordinary] | None:
        if len(message) < TRANSPORT_HEADER or message[:_CHECKSUM_AT] != ECHO_REPLY_IPV6:
            return None
        found = self._probes.get(message[_NUMBER_AT] << 8 | message[_NUMBER_AT + 1])
        if found is None or not self._echoed:
            return None
        probe, template, _, segment = found
        if (
            message[_IDENTIFIER_AT:] != segment[_IDENTIFIER_AT:]
            or len(template.token) < TOKEN_SIZE
            or probe not in self._identifiers
        ):
            return None
        return probe, IPV6_ECHOED

    def _expect_ipv6_quote(self, template: Template) -> tuple[bytes | int, ...]:
        """What :meth:`recognise_ipv6` compares quoted IP headers with; worked out once for each template."""
        traffic_class, label = self.sent_header.traffic_class, template.label
        # A label that varies with each probe is for those to compare who know how.
        varies = label is not None and not self._constant
        if template.source is None or traffic_class is None or varies:
            template.quote = _NO_QUOTE
        else:
            template.quote = (
                6 << 28 | traffic_class << 20 | (label or 0),
                len(template.buffer),
                self._ip_protocol[AddressFamily.IPV6] << 8 | LAST_HOP,
                template.source.packed + template.packed,
            )
        return template.quote

    def _expect_quote(self, template: Template) -> tuple[bytes | int, ...]:
        """What :meth:`recognise_each` compares quoted IP headers with; worked out once for each template."""
        source, traffic_class = template.source_number, self.sent_header.traffic_class
        if (
            self.family is not AddressFamily.IPV4
            or source is None
            or traffic_class is None
            or self.sent_header.dont_fragment is not None
        ):
            template.quote = _NO_QUOTE
            return _NO_QUOTE
        length = IP_HEADER[self.family] + len(template.buffer)
        protocol = self._ip_protocol[AddressFamily.IPV4]
        template.header_sum = ipv4_header_sum(template, traffic_class, protocol, length)
        template.quote = (
            _QUOTED_HEAD.pack(PLAIN_IPV4, traffic_class, length),
            LAST_HOP << 8 | protocol,
            _ADDRESSES.pack(source, template.address),
        )
        return template.quote


def _quotes_a_part(message: memoryview, header: bytes, quote: bytes, segment: bytes) -> bool:
    """Whether an intact time-exceeded message quotes no more of a probe than its beginning."""
    return (
        segment.startswith(quote)
        and header[:_CHECKSUM_AT] + header[_IDENTIFIER_AT:] == EXPIRED_BUT_SUM
        and int.from_bytes(message, "big") % 0xFFFF == 0
    )
