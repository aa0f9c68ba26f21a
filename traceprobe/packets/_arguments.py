"""What the codecs take: buffers to read, addresses, and the bounds of what fits on the wire.

Nothing in here copies: a view stays valid, and shows later changes, as long as its buffer does.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from traceprobe.errors import PacketError, UsageError

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Anything that the codecs read from."""

IPAddress: TypeAlias = IPv4Address | IPv6Address
"""An address of either family."""


def as_view(data: Buffer) -> memoryview:
    """View a buffer as single bytes, without copying where its layout allows."""
    view = data if type(data) is memoryview else memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    # A view of wider items would count items where lengths on the wire count bytes.
    return memoryview(view.tobytes())


def check_bits(*fields: tuple[str, int, int, int]) -> None:
    """Refuse fields that don't fit on the wire.

    Args:
        fields: Name, value, width in bits and offset of each.

    Raises:
        PacketError: A value is negative or too wide.
    """
    for name, value, bits, offset in fields:
        if value < 0 or value >> bits:
            raise PacketError(f"{name} {value} does not fit into {bits} bits", offset)


def check_version(version: int) -> None:
    """Refuse an IP version that there is no codec for.

    Raises:
        UsageError: It is neither 4 nor 6.
    """
    if version not in {4, 6}:
        raise UsageError(f"version={version!r}: must be 4 or 6")


def check_families(version: int, *addresses: IPAddress) -> None:
    """Refuse addresses that can't stand in a header of an IP version.

    Raises:
        PacketError: One is of the other family.
    """
    for address in addresses:
        if address.version != version:
            raise PacketError(f"{address} is no IPv{version} address")
