"""What the path did to a probe: the mutable fields of a quoted datagram against what was sent.

Reports only what differs for certain: fields that the kernel fills in as it likes are compared where the
socket knows how, and bytes that a router may have filled up with zeros count as not shown (RFC 4884
section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.model import Change, ChangedField

if TYPE_CHECKING:
    from traceprobe.packets import QuotedDatagram
    from traceprobe.sockets.codec._template import SentHeader, Template

_DONT_FRAGMENT: Final = 2
_MORE_FRAGMENTS: Final = 1
_ECN_BITS: Final = 2
_ECN_MASK: Final = 3
_VERSION_AND_LENGTH: Final = 0x4500
"""First word of an IPv4 header without options (RFC 791 section 3.1), traffic class left out."""
_ONE_HOP: Final = 0x100
"""What a hop takes off the word that holds the TTL."""
_EXPECTED_TTL: Final = 1
_SHOWN_BYTES: Final = 16


def header_changes(
    template: Template,
    known: SentHeader,
    label: int | None,
    quoted: QuotedDatagram,
    expired_ttl: int | None,
    header_size: int,
) -> list[Change]:
    """Compare a quoted IP header.

    Args:
        template: What was sent.
        known: What is known of the header that the kernel wrote.
        label: The flow label that was sent, if it is known.
        quoted: The quote.
        expired_ttl: TTL that the probe was sent with, if the message says that it has expired.
        header_size: Bytes of the IP header that was sent.
    """
    changes: list[Change] = []
    if expired_ttl is not None and quoted.ttl != _EXPECTED_TTL:
        changes.append(Change(ChangedField.TTL, expired_ttl, quoted.ttl))
    sent_class = known.traffic_class
    if sent_class is not None and quoted.traffic_class != sent_class:
        seen_class = quoted.traffic_class
        if sent_class >> _ECN_BITS != seen_class >> _ECN_BITS:
            changes.append(Change(ChangedField.DSCP, sent_class >> _ECN_BITS, seen_class >> _ECN_BITS))
        if sent_class & _ECN_MASK != seen_class & _ECN_MASK:
            changes.append(Change(ChangedField.ECN, sent_class & _ECN_MASK, seen_class & _ECN_MASK))
    sent_length = header_size + len(template.buffer)
    # The first fragment of what this machine may have cut up itself says nothing about the path.
    if quoted.total_length != sent_length and not quoted.flags & _MORE_FRAGMENTS:
        changes.append(Change(ChangedField.TOTAL_LENGTH, sent_length, quoted.total_length))
    if quoted.version == 4:
        _compare_ipv4(known, quoted, changes)
    elif label is not None and quoted.flow_label is not None and quoted.flow_label != label:
        changes.append(Change(ChangedField.FLOW_LABEL, label, quoted.flow_label))
    sent_source = template.source_number
    if sent_source is not None and int(quoted.source) != sent_source:
        changes.append(
            Change(ChangedField.SOURCE, str(template.source).partition("%")[0], str(quoted.source))
        )
    return changes


def _compare_ipv4(known: SentHeader, quoted: QuotedDatagram, changes: list[Change]) -> None:
    flags = quoted.flags
    dont_fragment = known.dont_fragment
    if dont_fragment is not None and bool(flags & _DONT_FRAGMENT) is not dont_fragment:
        changes.append(Change(ChangedField.DONT_FRAGMENT, int(dont_fragment), int(not dont_fragment)))
    identification, checksum = quoted.identification or 0, quoted.header_checksum or 0
    sent_identification = known.identification
    if sent_identification is not None and identification != sent_identification:
        changes.append(Change(ChangedField.IDENTIFICATION, sent_identification, identification))
    source, destination = int(quoted.source), int(quoted.destination)
    total = (
        _VERSION_AND_LENGTH
        + quoted.traffic_class
        + quoted.total_length
        + identification
        + (flags << 13 | quoted.fragment_offset)
        + (quoted.ttl << 8 | quoted.protocol)
        + (source >> 16)
        + (source & 0xFFFF)
        + (destination >> 16)
        + (destination & 0xFFFF)
    )
    # A router may quote the header before or after it has taken its hop off; 0 is no checksum at all.
    if checksum and (total + checksum) % 0xFFFF not in {0, _ONE_HOP, 0xFFFF - _ONE_HOP}:
        fitting = 0xFFFF - (total % 0xFFFF or 0xFFFF)
        changes.append(Change(ChangedField.IP_CHECKSUM, fitting, checksum))


def is_unchanged(
    template: Template,
    known: SentHeader,
    label: int | None,
    quoted: QuotedDatagram,
    expired: bool,
    header_size: int,
) -> bool:
    """Whether a quoted IP header is just what was sent: the ordinary case, in a few comparisons.

    Says False as well where it takes a closer look to tell.

    Args:
        template: What was sent.
        known: What is known of the header that the kernel wrote.
        label: The flow label that was sent, if it is known.
        quoted: The quote.
        expired: Whether the message says that the probe's TTL has expired.
        header_size: Bytes of the IP header that was sent.
    """
    (
        version,
        source,
        _,
        ttl,
        traffic_class,
        protocol,
        length,
        identification,
        flags,
        offset,
        checksum,
        seen_label,
        _,
    ) = quoted
    number = template.source_number
    if (
        number is None
        or int(source) != number
        or traffic_class != known.traffic_class
        or length != header_size + len(template.buffer)
        or (expired and ttl != _EXPECTED_TTL)
    ):
        return False
    if version == 6:
        return seen_label == label
    if known.dont_fragment is not None or offset or identification is None or checksum is None:
        return False
    fixed = template.header_sum
    if not fixed:
        fixed = template.header_sum = ipv4_header_sum(template, traffic_class, protocol, length)
    return (fixed + identification + (flags << 13) + (ttl << 8) + checksum) % 0xFFFF == 0


def ipv4_header_sum(template: Template, traffic_class: int, protocol: int, length: int) -> int:
    """Add up the words of an IPv4 header that are the same for all probes of a template.

    Args:
        template: Says the addresses, the source among them.
        traffic_class: DSCP and ECN bits.
        protocol: Protocol number.
        length: Bytes of the datagram.
    """
    source, destination = template.source_number or 0, template.address
    return (
        _VERSION_AND_LENGTH
        + traffic_class
        + length
        + protocol
        + (source >> 16)
        + (source & 0xFFFF)
        + (destination >> 16)
        + (destination & 0xFFFF)
    )


def compare_payload(template: Template, start: int, shown: memoryview) -> Change | None:
    """Compare the payload behind what identifies a probe.

    Args:
        template: What was sent.
        start: Where in its segment the bytes shown begin, at most where the identifying part ends.
        shown: The bytes.
    """
    sent = template.tail
    if sent is None:
        sent = template.tail = bytes(template.buffer[template.token_end :])
    begin = template.token_end - start
    tail = shown[begin : begin + len(sent)]
    size = len(tail)
    if tail == sent or not size:
        return None
    sent = sent[:size]
    if tail == sent:
        return None
    seen = bytes(tail)
    if sent.startswith(seen.rstrip(b"\0")):
        return None
    first = next(place for place in range(size) if seen[place] != sent[place])
    part = slice(first, first + _SHOWN_BYTES)
    return Change(ChangedField.PAYLOAD, sent[part].hex(), seen[part].hex())
