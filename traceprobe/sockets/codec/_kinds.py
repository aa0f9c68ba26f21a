"""What an ICMP error says about its probe, in the same words for IPv4 and IPv6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily
from traceprobe.model import ReplyKind

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANY_CODE: Final = None

# (type, code) -> kind; a code of None stands for all the codes that have no line of their own.
# RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1. Code 1 of time exceeded (reassembly timed
# out), redirects and source quench say nothing about the path, so they have no kind.
_ICMP: Final[Mapping[tuple[int, int | None], ReplyKind]] = {
    (3, 2): ReplyKind.PROTOCOL_UNREACHABLE,
    (3, 3): ReplyKind.PORT_UNREACHABLE,
    (3, 4): ReplyKind.PACKET_TOO_BIG,
    (3, _ANY_CODE): ReplyKind.UNREACHABLE,
    (11, 0): ReplyKind.TIME_EXCEEDED,
    (12, _ANY_CODE): ReplyKind.PARAMETER_PROBLEM,
}

# RFC 4443 sections 3.1 to 3.4. An unrecognised next header is what IPv4 calls an unreachable protocol.
_ICMPV6: Final[Mapping[tuple[int, int | None], ReplyKind]] = {
    (1, 4): ReplyKind.PORT_UNREACHABLE,
    (1, _ANY_CODE): ReplyKind.UNREACHABLE,
    (2, _ANY_CODE): ReplyKind.PACKET_TOO_BIG,
    (3, 0): ReplyKind.TIME_EXCEEDED,
    (4, 1): ReplyKind.PROTOCOL_UNREACHABLE,
    (4, _ANY_CODE): ReplyKind.PARAMETER_PROBLEM,
}

_KINDS: Final = {AddressFamily.IPV4: _ICMP, AddressFamily.IPV6: _ICMPV6}


def error_kind(family: AddressFamily, icmp_type: int, icmp_code: int) -> ReplyKind | None:
    """Name an ICMP error by its type and code; None if it says nothing about the path."""
    kinds = _KINDS[family]
    return kinds.get((icmp_type, icmp_code)) or kinds.get((icmp_type, _ANY_CODE))
