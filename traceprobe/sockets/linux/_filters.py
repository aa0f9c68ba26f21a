"""Filters that keep foreign ICMP off a raw socket: by type, and by whose packet a message is about.

The kernel hands every raw ICMP socket a copy of all ICMP that the machine receives. What these filters
reject never wakes the process. A message about a packet of ours is let through by the identifier that its
quote shows or, if a translator has changed that, by the cookie in the payload.
"""

from __future__ import annotations

import functools
from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily, Protocol
from traceprobe.ffi.linux import FILTER_LAYOUT, FILTER_VALUE, FilterInstruction, pack_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Classic BPF (kernel documentation, networking/filter). Loads go to A and count from X.
_LOAD_BYTE: Final = 0x50
_LOAD_HALF: Final = 0x48
_LOAD_WORD: Final = 0x40
_SET_X: Final = 0x01
_SET_X_TO_HEADER_LENGTH: Final = 0xB1  # X = 4 * (byte & 0xf), the length of an IPv4 header
_AND: Final = 0x54
_SHIFT_LEFT: Final = 0x64
_ADD_X: Final = 0x0C
_MOVE_A_TO_X: Final = 0x07
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_SUBTRACT: Final = 0x14
_RETURN: Final = 0x06
_WHOLE_PACKET: Final = 0xFFFFFFFF

_MASK4: Final = Struct("=I")
_MASK6: Final = Struct("=8I")

_ICMP_HEADER: Final = 8
_IPV6_HEADER: Final = 40
_IPV4_PROTOCOL_AT: Final = 9
_IPV6_NEXT_HEADER_AT: Final = 6
_IPV6_EXTENSIONS: Final = (0, 43, 44, 60)  # hop-by-hop, routing, fragment, destination options (RFC 8200)
_ECHO_REPLY: Final = {AddressFamily.IPV4: 0, AddressFamily.IPV6: 129}
_ERRORS: Final = {AddressFamily.IPV4: (3, 11, 12), AddressFamily.IPV6: (1, 2, 3, 4)}
_PROTOCOL: Final = {
    (AddressFamily.IPV4, Protocol.ICMP): 1,
    (AddressFamily.IPV6, Protocol.ICMP): 58,
    (AddressFamily.IPV4, Protocol.UDP): 17,
    (AddressFamily.IPV6, Protocol.UDP): 17,
    (AddressFamily.IPV4, Protocol.TCP): 6,
    (AddressFamily.IPV6, Protocol.TCP): 6,
}
# Where the identifier of a probe stands in its transport header: the ICMP identifier, the source port.
_IDENTIFIER_AT: Final = {Protocol.ICMP: 4, Protocol.UDP: 0, Protocol.TCP: 0}

# RFC 9293 section 3.1
_TCP_DESTINATION_PORT_AT: Final = 2
_TCP_FLAGS_AT: Final = 13
_SYN_RST_ACK: Final = 0x16
_ACK: Final = 0x10
_SYN_ACK: Final = 0x12
_RST_ACK: Final = 0x14

_SOME_IDENTIFIER: Final = -1
_SOME_COOKIE: Final = -2
"""Stand in an outline where each socket has a value of its own."""

REJECT_ALL: Final = pack_filter((FilterInstruction(_RETURN, 0, 0, 0),))
"""For a socket that only sends."""

ACKNOWLEDGED: Final[tuple[FilterInstruction, ...]] = (
    FilterInstruction(_LOAD_BYTE, 0, 0, _TCP_FLAGS_AT),
    FilterInstruction(_AND, 0, 0, _ACK),
    FilterInstruction(_JUMP_IF_EQUAL, 1, 0, 0),
    FilterInstruction(_RETURN, 0, 0, _WHOLE_PACKET),
    FilterInstruction(_RETURN, 0, 0, 0),
)
"""For a connection that is begun: passes segments that acknowledge something, seen from the TCP header on.
A bare SYN, for which nobody has to know our sequence number, would open the connection from the other side
(RFC 9293 section 3.5), and spoil the round-trip time that the kernel measures."""


@functools.cache
def type_filter(family: AddressFamily, protocol: Protocol) -> bytes:
    """Value of ``ICMP_FILTER`` (raw(7)) or of ``ICMP6_FILTER`` (RFC 3542 section 3.2).

    Lets errors through, and echo replies if the probes are echo requests. A set bit rejects its type.
    """
    passed: Iterable[int] = _ERRORS[family]
    if protocol is Protocol.ICMP:
        passed = (*passed, _ECHO_REPLY[family])
    if family is AddressFamily.IPV4:
        return _MASK4.pack(0xFFFFFFFF & ~sum(1 << number for number in passed))
    words = [0xFFFFFFFF] * 8
    for number in passed:
        words[number >> 5] &= ~(1 << (number & 31))
    return _MASK6.pack(*words)


def packet_filter(
    family: AddressFamily,
    protocol: Protocol,
    identifier: int,
    cookie: bytes,
    cookie_at: int,
    *,
    count: int = 1,
) -> bytes:
    """The program for ``SO_ATTACH_FILTER`` on a raw ICMP socket, as the kernel reads it.

    Reading behind the end of a packet rejects it, so a short quote passes by its identifier only.

    Args:
        family: Address family of the socket.
        protocol: What the probes are made of.
        identifier: ICMP identifier or source port of all probes, or the first of them.
        cookie: Four bytes that all probes carry.
        cookie_at: Where, counted from the transport header.
        count: How many identifiers there are, from the first one on.
    """
    outline, places = _packed_outline(family, protocol, cookie_at, count)
    values = {_SOME_IDENTIFIER: identifier, _SOME_COOKIE: int.from_bytes(cookie, "big")}
    program = bytearray(outline)
    for place, which in places:
        FILTER_VALUE.pack_into(program, place, values[which])
    return bytes(program)


@functools.cache
def _packed_outline(
    family: AddressFamily, protocol: Protocol, cookie_at: int, count: int
) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The outline as the kernel reads it, and where in it which values of a socket's own have to stand."""
    program = _outline(family, protocol, cookie_at, count)
    places = tuple(
        ((place + 1) * FILTER_LAYOUT.size - FILTER_VALUE.size, instruction.value)
        for place, instruction in enumerate(program)
        if instruction.value < 0
    )
    return pack_filter([each._replace(value=max(0, each.value)) for each in program]), places


def _outline(
    family: AddressFamily, protocol: Protocol, cookie_at: int, count: int
) -> tuple[FilterInstruction, ...]:
    """What the programs of all sockets of a kind have in common."""
    identifier_at = _IDENTIFIER_AT[protocol]
    program = _Program()

    def pass_if_ours(transport_at: int) -> None:
        program.add(_LOAD_HALF, transport_at + identifier_at)
        if count == 1:
            program.jump_if(_SOME_IDENTIFIER, "pass")
        else:
            program.add(_SUBTRACT, _SOME_IDENTIFIER)
            program.jump_if_at_least(count, None, otherwise="pass")
        program.add(_LOAD_WORD, transport_at + cookie_at)
        program.jump_if(_SOME_COOKIE, "pass", otherwise="reject")

    if family is AddressFamily.IPV4:
        # A raw IPv4 socket sees the IP header; both it and the quoted one can be of any length.
        program.add(_SET_X_TO_HEADER_LENGTH, 0)
    else:
        program.add(_SET_X, 0)
    if protocol is Protocol.ICMP:
        program.add(_LOAD_BYTE, 0)
        program.jump_if(_ECHO_REPLY[family], "echo")
    if family is AddressFamily.IPV4:
        program.add(_LOAD_BYTE, _ICMP_HEADER + _IPV4_PROTOCOL_AT)
        program.jump_if(_PROTOCOL[family, protocol], None, otherwise="reject")
        program.add(_LOAD_BYTE, _ICMP_HEADER)
        program.add(_AND, 0xF)
        program.add(_SHIFT_LEFT, 2)
        program.add(_ADD_X, 0)
        program.add(_MOVE_A_TO_X, 0)
        pass_if_ours(_ICMP_HEADER)
    else:
        program.add(_LOAD_BYTE, _ICMP_HEADER + _IPV6_NEXT_HEADER_AT)
        for extension in _IPV6_EXTENSIONS:
            # Too much for a filter to walk through; whose packet it is turns out later.
            program.jump_if(extension, "pass")
        program.jump_if(_PROTOCOL[family, protocol], None, otherwise="reject")
        pass_if_ours(_ICMP_HEADER + _IPV6_HEADER)
    if protocol is Protocol.ICMP:
        program.label("echo")
        pass_if_ours(0)
    program.label("pass")
    program.add(_RETURN, _WHOLE_PACKET)
    program.label("reject")
    program.add(_RETURN, 0)
    return tuple(program.assembled())


def segment_filter(family: AddressFamily, first_port: int, count: int) -> Sequence[FilterInstruction]:
    """The program for ``SO_ATTACH_FILTER`` on a raw TCP socket: passes what answers a SYN from some ports.

    Args:
        family: Address family of the socket.
        first_port: The lowest source port of the probes.
        count: How many source ports they have.
    """
    program = _Program()
    if family is AddressFamily.IPV4:
        program.add(_SET_X_TO_HEADER_LENGTH, 0)
    else:
        program.add(_SET_X, 0)  # a raw IPv6 socket gets no IP header
    program.add(_LOAD_HALF, _TCP_DESTINATION_PORT_AT)
    program.add(_SUBTRACT, first_port)
    program.jump_if_at_least(count, "reject")
    program.add(_LOAD_BYTE, _TCP_FLAGS_AT)
    program.add(_AND, _SYN_RST_ACK)
    program.jump_if(_SYN_ACK, "pass")
    program.jump_if(_RST_ACK, "pass", otherwise="reject")
    program.label("pass")
    program.add(_RETURN, _WHOLE_PACKET)
    program.label("reject")
    program.add(_RETURN, 0)
    return program.assembled()


class _Program:
    """A program whose jumps go forward to labels."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, str | None, str | None]] = []
        self._labels: dict[str, int] = {}

    def add(self, code: int, value: int) -> None:
        self._lines.append((code, value, None, None))

    def jump_if(self, value: int, target: str | None, *, otherwise: str | None = None) -> None:
        """Jump by whether A has a value; None goes on with the next instruction."""
        self._lines.append((_JUMP_IF_EQUAL, value, target, otherwise))

    def jump_if_at_least(self, value: int, target: str | None, *, otherwise: str | None = None) -> None:
        """Jump by whether A, which has no sign, is at least a value."""
        self._lines.append((_JUMP_IF_AT_LEAST, value, target, otherwise))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._lines)

    def assembled(self) -> list[FilterInstruction]:
        return [
            FilterInstruction(code, self._distance(place, hit), self._distance(place, miss), value)
            for place, (code, value, hit, miss) in enumerate(self._lines)
        ]

    def _distance(self, place: int, target: str | None) -> int:
        return 0 if target is None else self._labels[target] - place - 1
