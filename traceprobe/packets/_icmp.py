"""ICMP (RFC 792) and ICMPv6 (RFC 4443): echoes and errors, both ways.

Errors carry a quoted datagram and, since RFC 4884, possibly an extension structure behind it. Here the two
are told apart; what the objects of an extension say is none of this module's business.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.errors import PacketError, UsageError
from traceprobe.packets._arguments import as_view, check_bits, check_families, check_version
from traceprobe.packets._checksum import internet_checksum, ones_complement_sum, pseudo_header_sum
from traceprobe.packets._constants import IpProtocol
from traceprobe.packets._extension_place import EXTENSION_HEADER_SIZE, MIN_EXTENDED_QUOTE, end_of_quote
from traceprobe.packets._quote import QuotedDatagram, parse_quoted_ipv4, parse_quoted_ipv6

if TYPE_CHECKING:
    from traceprobe.packets._arguments import Buffer, IPAddress

_HEADER: Final = struct.Struct("!BBHI")
_ECHO: Final = struct.Struct("!BBHHH")
_HEADER_SIZE: Final = 8
_SHORTEST: Final = 4
"""Type, code and checksum are all that every message has (RFC 4443 section 2.1)."""
_NOTHING: Final = memoryview(b"")

# Types and codes, as ``_codes`` has them; its enumerations take longer to make than a packet.
_ECHO_REPLY: Final = 0  # RFC 792
_UNREACHABLE: Final = 3  # RFC 792
_FRAGMENTATION_NEEDED: Final = 4  # its code: RFC 792, RFC 1191
_ECHO_REQUEST: Final = 8  # RFC 792
_PARAMETER_PROBLEM: Final = 12  # RFC 792
_POINTER: Final = 0  # its code: RFC 792
_PACKET_TOO_BIG: Final = 2  # RFC 4443 section 3.2
_PARAMETER_PROBLEM_V6: Final = 4  # RFC 4443 section 3.4
_ECHO_REQUEST_V6: Final = 128  # RFC 4443 section 4.1
_ECHO_REPLY_V6: Final = 129  # RFC 4443 section 4.2

# Whether an error can have an extension structure (RFC 4884 section 4).
_ERRORS: Final[dict[int, dict[int, bool]]] = {
    4: {
        _UNREACHABLE: True,
        4: False,  # source quench
        5: False,  # redirect
        11: True,  # time exceeded
        _PARAMETER_PROBLEM: True,
    },
    6: {
        1: True,  # destination unreachable
        _PACKET_TOO_BIG: False,
        3: True,  # time exceeded
        _PARAMETER_PROBLEM_V6: False,
    },
}
# Echo types, and whether they are requests.
_ECHOES: Final[dict[int, dict[int, bool]]] = {
    4: {_ECHO_REQUEST: True, _ECHO_REPLY: False},
    6: {_ECHO_REQUEST_V6: True, _ECHO_REPLY_V6: False},
}


class EchoMessage(NamedTuple):
    """An echo request or reply (RFC 792, RFC 4443 section 4)."""

    is_request: bool
    identifier: int
    sequence: int
    payload: memoryview
    """A view of the bytes that were parsed, not a copy."""


class IcmpError(NamedTuple):
    """An error message about a datagram."""

    type: int
    code: int
    rest: int
    """Bytes 4 to 8 of the message as one number; what they mean depends on type and code."""
    quoted: QuotedDatagram
    """The datagram that the error is about."""
    extension: memoryview
    """An RFC 4884 extension structure from its header on, not verified; empty if there is none."""

    @property
    def mtu(self) -> int | None:
        """Next-hop MTU in bytes (RFC 1191 section 4, RFC 4443 section 3.2); None if the message has none."""
        if self.quoted.version == 6:
            return self.rest or None if self.type == _PACKET_TOO_BIG else None
        if self.type == _UNREACHABLE and self.code == _FRAGMENTATION_NEEDED:
            return self.rest & 0xFFFF or None  # routers older than RFC 1191 send 0
        return None

    @property
    def pointer(self) -> int | None:
        """Offset in the datagram at which a parameter problem lies; None if the message has none."""
        if self.quoted.version == 6:
            return self.rest if self.type == _PARAMETER_PROBLEM_V6 else None
        if self.type == _PARAMETER_PROBLEM and self.code == _POINTER:
            return self.rest >> 24
        return None


class IcmpOther(NamedTuple):
    """A message that is neither an echo nor an error known here."""

    type: int
    code: int


def parse_icmp(
    version: int,
    data: Buffer,
    *,
    pseudo: tuple[IPAddress, IPAddress] | None = None,
    verify: bool = False,
) -> EchoMessage | IcmpError | IcmpOther:
    """Parse an ICMP or ICMPv6 message.

    Args:
        version: IP version, 4 or 6.
        data: The message, from the first byte of the ICMP header.
        pseudo: Source and destination address of the datagram, for the ICMPv6 checksum.
        verify: Check the checksum too; kernels have already done so.

    Raises:
        PacketError: It is cut short, its checksum is wrong, or the quoted datagram of an error is none.
        UsageError: ``version`` is neither 4 nor 6, or an ICMPv6 message is to be verified without
            ``pseudo``.
    """
    check_version(version)
    view = as_view(data)
    length = len(view)
    if length < _SHORTEST:
        raise PacketError(f"ICMP header cut short: {length} bytes", length)
    if verify:
        _verify(version, view, pseudo)
    kind = view[0]
    extensible = _ERRORS[version].get(kind)
    if extensible is not None:
        return _parse_error(version, view, length, extensible)
    is_request = _ECHOES[version].get(kind)
    if is_request is None:
        return IcmpOther(kind, view[1])
    if length < _HEADER_SIZE:
        raise PacketError(f"ICMP echo header cut short: {length} of 8 bytes", length)
    _, _, _, identifier, sequence = _ECHO.unpack_from(view)
    return EchoMessage(is_request, identifier, sequence, view[_HEADER_SIZE:])


def _verify(version: int, view: memoryview, pseudo: tuple[IPAddress, IPAddress] | None) -> None:
    initial = 0
    if version == 6:
        if pseudo is None:
            raise UsageError("pseudo=None: an ICMPv6 checksum can't be verified without the addresses")
        initial = pseudo_header_sum(*pseudo, IpProtocol.ICMPV6, len(view))
    if ones_complement_sum(view, initial) != 0xFFFF:
        raise PacketError(f"ICMP checksum {view[2] << 8 | view[3]:#06x} is wrong", 2)


def _parse_error(version: int, view: memoryview, length: int, extensible: bool) -> IcmpError:
    if length < _HEADER_SIZE:
        raise PacketError(f"ICMP error header cut short: {length} of 8 bytes", length)
    kind, code, _, rest = _HEADER.unpack_from(view)
    end = length
    extension = _NOTHING
    if extensible:
        # RFC 4884 section 4: 32-bit words in byte 5 of ICMP, 64-bit words in byte 4 of ICMPv6.
        quoted = (rest >> 16 & 0xFF) * 4 if version == 4 else (rest >> 24) * 8
        if quoted or length >= _HEADER_SIZE + MIN_EXTENDED_QUOTE + EXTENSION_HEADER_SIZE:
            end = end_of_quote(version, view, _HEADER_SIZE, quoted)
            if length - end >= EXTENSION_HEADER_SIZE:
                extension = view[end:]
    parse = parse_quoted_ipv4 if version == 4 else parse_quoted_ipv6
    return IcmpError(kind, code, rest, parse(view, _HEADER_SIZE, end), extension)


def build_icmp_echo(
    version: int,
    *,
    identifier: int,
    sequence: int,
    payload: Buffer = b"",
    request: bool = True,
    source: IPAddress | None = None,
    destination: IPAddress | None = None,
) -> bytes:
    """Build an echo request or reply.

    Args:
        version: IP version, 4 or 6.
        identifier: Identifier field.
        sequence: Sequence number field.
        payload: Data behind the header.
        request: A request, else a reply.
        source: Source address; ICMPv6 needs both for its checksum. Without them the checksum stays 0, to
            be filled in by the kernel (RFC 3542 section 3.1).
        destination: Destination address.

    Raises:
        PacketError: A field does not fit, or the addresses for ICMPv6 are not of that version.
        UsageError: ``version`` is neither 4 nor 6.
    """
    check_version(version)
    kind: int
    if version == 4:
        kind = _ECHO_REQUEST if request else _ECHO_REPLY
    else:
        kind = _ECHO_REQUEST_V6 if request else _ECHO_REPLY_V6
    check_bits(("identifier", identifier, 16, 4), ("sequence", sequence, 16, 6))
    return _finish(version, kind, 0, identifier << 16 | sequence, payload, source, destination)


def build_icmp_error(
    version: int,
    *,
    type: int,  # noqa: A002 - the field's name in the RFCs
    code: int,
    rest: int = 0,
    quoted: Buffer,
    extension: Buffer = b"",
    source: IPAddress | None = None,
    destination: IPAddress | None = None,
) -> bytes:
    """Build an error message.

    Args:
        version: IP version, 4 or 6.
        type: Type field.
        code: Code field.
        rest: Bytes 4 to 8 as one number: an MTU, a pointer, a gateway.
        quoted: The datagram that the error is about, already cut to what shall be quoted of it.
        extension: An RFC 4884 extension structure. If given, the quote is padded and the length field set.
        source: Source address; ICMPv6 needs both for its checksum, which stays 0 without them.
        destination: Destination address.

    Raises:
        PacketError: A field does not fit, the type can't have an extension, the quote is too long for
            the length field, or the addresses for ICMPv6 are not of that version.
        UsageError: ``version`` is neither 4 nor 6.
    """
    check_version(version)
    body = as_view(quoted)
    if extension:
        unit, shift, place = (4, 16, 5) if version == 4 else (8, 24, 4)
        if not _ERRORS[version].get(type):
            raise PacketError(f"ICMPv{version} type {type} can have no extension")
        padding = max(MIN_EXTENDED_QUOTE - len(body), -len(body) % unit)
        words = (len(body) + padding) // unit
        check_bits(("length of the quote in words", words, 8, place))
        rest = rest & ~(0xFF << shift) | words << shift
        body = memoryview(b"".join((body, bytes(padding), extension)))
    return _finish(version, type, code, rest, body, source, destination)


def _finish(
    version: int,
    kind: int,
    code: int,
    rest: int,
    body: Buffer,
    source: IPAddress | None,
    destination: IPAddress | None,
) -> bytes:
    body = as_view(body)
    check_bits(("type", kind, 8, 0), ("code", code, 8, 1), ("rest of the header", rest, 32, 4))
    message = bytearray(_HEADER_SIZE + len(body))
    _HEADER.pack_into(message, 0, kind, code, 0, rest)
    message[_HEADER_SIZE:] = body
    if version == 4:
        message[2:4] = internet_checksum(message).to_bytes(2, "big")
    elif source is not None and destination is not None:
        check_families(6, source, destination)
        initial = pseudo_header_sum(source, destination, IpProtocol.ICMPV6, len(message))
        message[2:4] = internet_checksum(message, initial).to_bytes(2, "big")
    return bytes(message)
