"""ICMP extension structures (RFC 4884 section 7) and the objects in them that have a meaning here.

MPLS label stacks (RFC 4950) and interface information (RFC 5837) are decoded. Every other object is kept
as bytes, and so is one of a known kind whose payload makes no sense: nothing that a router says is lost.
Where in a message a structure stands is found out in ``_extension_place``.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.errors import PacketError
from traceprobe.packets._arguments import as_view, check_bits
from traceprobe.packets._checksum import internet_checksum, ones_complement_sum
from traceprobe.packets._extension_place import EXTENSION_HEADER_SIZE, EXTENSION_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.packets._arguments import Buffer, IPAddress

_OBJECT_HEADER: Final = struct.Struct("!HBB")
_OBJECT_HEADER_SIZE: Final = 4
_WORD: Final = struct.Struct("!I")
_ADDRESS_HEADER: Final = struct.Struct("!HH")
_ADDRESS_FAMILY_NUMBERS: Final = {1: 4, 2: 16}
"""Bytes of an address by its family (RFC 5837 section 4.2 refers to IANA's address family numbers)."""
_LONGEST_NAME: Final = 63
"""RFC 5837 section 4.3: 64 octets with the length octet."""

# C-Type of interface information, most significant bit first (RFC 5837 section 4.1): two bits of role,
# two reserved ones, then one for each sub-object, in the order that they follow each other in.
_ROLE_SHIFT: Final = 6
_HAS_INDEX: Final = 0x08
_HAS_ADDRESS: Final = 0x04
_HAS_NAME: Final = 0x02
_HAS_MTU: Final = 0x01


class ExtensionClass(IntEnum):
    """Class-Num of the objects that are decoded here (IANA's ICMP extension object classes)."""

    MPLS_LABEL_STACK = 1  # RFC 4950 section 3
    INTERFACE_INFORMATION = 2  # RFC 5837 section 4


class InterfaceObjectRole(IntEnum):
    """Which interface an object describes (RFC 5837 section 4.1)."""

    INCOMING = 0
    SUB_IP = 1
    OUTGOING = 2
    NEXT_HOP = 3


class LabelStackEntry(NamedTuple):
    """One entry of an MPLS label stack (RFC 4950 section 3, RFC 3032 section 2.1)."""

    label: int
    tc: int
    """Traffic class, three bits; called EXP before RFC 5462."""
    s: int
    """1 at the bottom of the stack."""
    ttl: int


class InterfaceObject(NamedTuple):
    """What a responder tells about one of its interfaces (RFC 5837); None is what it left out."""

    role: InterfaceObjectRole
    if_index: int | None = None
    address: IPAddress | None = None
    name: str | None = None
    """As the responder wrote it; what is no UTF-8 is replaced by U+FFFD."""
    mtu: int | None = None


class UnknownObject(NamedTuple):
    """An object that is not decoded."""

    class_num: int
    c_type: int
    payload: bytes


class Extensions(NamedTuple):
    """What an extension structure says."""

    mpls: tuple[LabelStackEntry, ...] = ()
    """The label stack that the datagram arrived with, outermost first."""
    interfaces: tuple[InterfaceObject, ...] = ()
    unknown: tuple[UnknownObject, ...] = ()


def parse_extensions(data: Buffer) -> Extensions:
    """Parse an extension structure.

    Args:
        data: The structure from its header on, such as ``IcmpError.extension``.

    Raises:
        PacketError: It is cut short, of another version than 2, its checksum is wrong (0 says that there
            is none), or the length of an object can't be right.
    """
    view = as_view(data)
    size = len(view)
    if size < EXTENSION_HEADER_SIZE:
        raise PacketError(f"extension header cut short: {size} of 4 bytes", size)
    if view[0] >> 4 != EXTENSION_VERSION:
        raise PacketError(f"extension structure of version {view[0] >> 4}", 0)
    if any(view[2:4]) and ones_complement_sum(view) != 0xFFFF:
        raise PacketError(f"extension checksum {view[2] << 8 | view[3]:#06x} is wrong", 2)
    labels: list[LabelStackEntry] = []
    interfaces: list[InterfaceObject] = []
    unknown: list[UnknownObject] = []
    offset = EXTENSION_HEADER_SIZE
    while offset < size:
        if size - offset < _OBJECT_HEADER_SIZE:
            raise PacketError(f"extension object cut short: {size - offset} of at least 4 bytes", offset)
        length, class_num, c_type = _OBJECT_HEADER.unpack_from(view, offset)
        if not _OBJECT_HEADER_SIZE <= length <= size - offset:
            raise PacketError(f"extension object of {length} bytes, with {size - offset} left", offset)
        payload = view[offset + _OBJECT_HEADER_SIZE : offset + length]
        offset += length
        if class_num == ExtensionClass.MPLS_LABEL_STACK and c_type == 1:
            stack = _label_stack(payload)
            if stack:
                labels += stack
                continue
        elif class_num == ExtensionClass.INTERFACE_INFORMATION:
            interface = _interface(c_type, payload)
            if interface is not None:
                interfaces.append(interface)
                continue
        unknown.append(UnknownObject(class_num, c_type, bytes(payload)))
    return Extensions(tuple(labels), tuple(interfaces), tuple(unknown))


def _label_stack(payload: memoryview) -> list[LabelStackEntry]:
    if len(payload) % 4:
        return []
    return [
        LabelStackEntry(entry >> 12, entry >> 9 & 7, entry >> 8 & 1, entry & 0xFF)
        for (entry,) in _WORD.iter_unpack(payload)
    ]


def _interface(c_type: int, payload: memoryview) -> InterfaceObject | None:
    """Decode an interface information object; None if its sub-objects don't fill it."""
    index = mtu = None
    address: IPAddress | None = None
    name = None
    rest = payload
    if c_type & _HAS_INDEX:
        if len(rest) < 4:
            return None
        (index,) = _WORD.unpack_from(rest)
        rest = rest[4:]
    if c_type & _HAS_ADDRESS:
        if len(rest) < 4:
            return None
        family, _ = _ADDRESS_HEADER.unpack_from(rest)
        width = _ADDRESS_FAMILY_NUMBERS.get(family)
        if width is None or len(rest) < 4 + width:
            return None
        packed = bytes(rest[4 : 4 + width])
        address = IPv4Address(packed) if width == 4 else IPv6Address(packed)
        rest = rest[4 + width :]
    if c_type & _HAS_NAME:
        length = rest[0] if rest else 0
        if not 1 <= length <= min(len(rest), 1 + _LONGEST_NAME):
            return None
        name = bytes(rest[1:length]).rstrip(b"\0").decode("utf-8", "replace")
        rest = rest[length:]
    if c_type & _HAS_MTU:
        if len(rest) < 4:
            return None
        (mtu,) = _WORD.unpack_from(rest)
        rest = rest[4:]
    # Padding is no contradiction; anything else says that the object was not what it was read as.
    if any(rest):
        return None
    return InterfaceObject(InterfaceObjectRole(c_type >> _ROLE_SHIFT), index, address, name, mtu)


def build_extensions(
    *,
    mpls: Iterable[LabelStackEntry] = (),
    interfaces: Iterable[InterfaceObject] = (),
    unknown: Iterable[UnknownObject] = (),
    checksum: bool = True,
) -> bytes:
    """Build an extension structure: the label stack in one object, then interfaces, then the others.

    Args:
        mpls: The label stack, outermost entry first.
        interfaces: Interface information.
        unknown: Objects that are encoded already.
        checksum: Compute the checksum; else it is 0, which says that there is none.

    Raises:
        PacketError: A field does not fit.
    """
    structure = bytearray(EXTENSION_HEADER_SIZE)
    structure[0] = EXTENSION_VERSION << 4
    stack = b"".join(map(_encode_entry, mpls))
    if stack:
        _append(structure, ExtensionClass.MPLS_LABEL_STACK, 1, stack)
    for interface in interfaces:
        c_type, payload = _encode_interface(interface)
        _append(structure, ExtensionClass.INTERFACE_INFORMATION, c_type, payload)
    for class_num, c_type, payload in unknown:
        _append(structure, class_num, c_type, payload)
    if checksum:
        structure[2:4] = internet_checksum(structure).to_bytes(2, "big")
    return bytes(structure)


def _append(structure: bytearray, class_num: int, c_type: int, payload: bytes) -> None:
    length = _OBJECT_HEADER_SIZE + len(payload)
    offset = len(structure)
    check_bits(
        ("length of an extension object", length, 16, offset),
        ("class number", class_num, 8, offset + 2),
        ("C-Type", c_type, 8, offset + 3),
    )
    structure += _OBJECT_HEADER.pack(length, class_num, c_type) + payload


def _encode_entry(entry: LabelStackEntry) -> bytes:
    label, tc, s, ttl = entry
    check_bits(
        ("MPLS label", label, 20, 0), ("traffic class", tc, 3, 2), ("S bit", s, 1, 2), ("TTL", ttl, 8, 3)
    )
    return _WORD.pack(label << 12 | tc << 9 | s << 8 | ttl)


def _encode_interface(interface: InterfaceObject) -> tuple[int, bytes]:
    role, index, address, name, mtu = interface
    c_type = role << _ROLE_SHIFT
    payload = bytearray()
    if index is not None:
        check_bits(("ifIndex", index, 32, 0))
        c_type |= _HAS_INDEX
        payload += _WORD.pack(index)
    if address is not None:
        c_type |= _HAS_ADDRESS
        payload += _ADDRESS_HEADER.pack(1 if address.version == 4 else 2, 0) + address.packed
    if name is not None:
        encoded = name.encode()
        if len(encoded) > _LONGEST_NAME:
            raise PacketError(f"interface name of {len(encoded)} bytes: at most {_LONGEST_NAME}")
        c_type |= _HAS_NAME
        padded = 1 + len(encoded) + -(1 + len(encoded)) % 4
        payload += bytes([padded]) + encoded.ljust(padded - 1, b"\0")
    if mtu is not None:
        check_bits(("MTU", mtu, 32, 0))
        c_type |= _HAS_MTU
        payload += _WORD.pack(mtu)
    return c_type, bytes(payload)
