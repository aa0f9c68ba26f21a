"""Where a quoted datagram ends and an RFC 4884 extension structure begins.

Compliant routers say so in a length field. Those older than the RFC, and quotes that a kernel hands out
without the ICMP header, leave it to be found out: at one fixed place, and only with a right checksum.
What the structure's objects say is read in ``_extensions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.packets._arguments import as_view, check_version
from traceprobe.packets._checksum import ones_complement_sum
from traceprobe.packets._ip_layout import IPV6_HEADER_SIZE, MIN_IPV4_HEADER

if TYPE_CHECKING:
    from traceprobe.packets._arguments import Buffer

MIN_EXTENDED_QUOTE: Final = 128
"""RFC 4884 sections 4.1 to 4.5: a quote with an extension behind it is padded to at least this size."""
EXTENSION_HEADER_SIZE: Final = 4
EXTENSION_VERSION: Final = 2


def find_extension(version: int, payload: Buffer, skipped: int, *, quoted_length: int = 0) -> memoryview:
    """Find the extension structure behind a quote of which the first bytes are missing.

    An error queue shows what lies behind the headers of the quoted datagram, and with it the extension
    structure; the ICMP header, where its place would be told, it keeps to itself.

    Args:
        version: IP version of the ICMP message, 4 or 6.
        payload: What there is of the quote, to the end of the message.
        skipped: Offset of the payload's first byte inside the quoted datagram.
        quoted_length: Bytes of the whole quote by the message's length field, if it is known; 0 looks for
            the structure at the fixed place of RFC 4884 section 5.5.

    Returns:
        A view of the structure, which is the end of ``payload``; empty if there is none.

    Raises:
        UsageError: ``version`` is neither 4 nor 6.
    """
    check_version(version)
    view = as_view(payload)
    end = end_of_quote(version, view, -skipped, quoted_length)
    return view[end:] if len(view) - end >= EXTENSION_HEADER_SIZE else view[len(view) :]


def end_of_quote(version: int, view: memoryview, start: int, quoted: int) -> int:
    """Where the quoted datagram ends, by a message's length field (in bytes) and what stands there.

    Args:
        version: IP version of the message.
        view: The message, or what there is of it.
        start: Where in it the quoted datagram begins; negative if its front is missing.
        quoted: Bytes of the quote that the message claims.
    """
    length = len(view)
    end = start + quoted
    if quoted >= MIN_EXTENDED_QUOTE and 0 <= end <= length:
        return end
    # A length that can't be one: too small for a padded quote, or beyond the message. Routers that know
    # nothing of RFC 4884 may leave anything in this byte, so only a right checksum is believed.
    smallest = MIN_IPV4_HEADER if version == 4 else IPV6_HEADER_SIZE
    if quoted >= smallest and end >= 0 and is_extension(view[end:]):
        return end
    # Implementations older than RFC 4884 leave the length 0 and put the extension at a fixed place
    # (section 5.5).
    end = start + MIN_EXTENDED_QUOTE
    return end if end >= 0 and is_extension(view[end:]) else length


def is_extension(view: memoryview) -> bool:
    """Whether bytes are an extension structure with a right checksum (RFC 4884 section 7).

    A checksum of 0 is none at all, so it proves nothing.
    """
    return (
        len(view) >= EXTENSION_HEADER_SIZE
        and view[0] >> 4 == EXTENSION_VERSION
        and any(view[2:4])
        and ones_complement_sum(view) == 0xFFFF
    )
