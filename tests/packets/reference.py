"""Checksums computed the slow way, after the C code of RFC 1071 section 4.1, to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceprobe.packets import IPAddress


def slow_checksum(data: bytes) -> int:
    """Checksum over bytes whose checksum field is 0; over bytes with a right one it is 0."""
    total = 0
    for index in range(0, len(data) - 1, 2):
        total += (data[index] << 8) + data[index + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(source: IPAddress, destination: IPAddress, protocol: int, length: int) -> bytes:
    """The bytes of a pseudo-header, as RFC 768 and RFC 8200 section 8.1 draw them."""
    addresses = source.packed + destination.packed
    if source.version == 4:
        return addresses + bytes([0, protocol]) + length.to_bytes(2, "big")
    return addresses + length.to_bytes(4, "big") + bytes([0, 0, 0, protocol])


def extension_structure(objects: bytes, *, checksum: bool = True, version: int = 2) -> bytes:
    """An RFC 4884 extension structure around objects that are already encoded."""
    header = bytes([version << 4, 0, 0, 0])
    if not checksum:
        return header + objects
    return header[:2] + slow_checksum(header + objects).to_bytes(2, "big") + objects
