"""What bytes and addresses are called in the codecs, and how any buffer becomes a view of bytes.

Nothing in here copies: a view stays valid, and shows later changes, as long as its buffer does.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Anything that the codecs read from."""

IPAddress: TypeAlias = IPv4Address | IPv6Address
"""An address of either family."""


def as_view(data: Buffer) -> memoryview:
    """View a buffer as single bytes, without copying where its layout allows."""
    view = memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    # A view of wider items would count items where lengths on the wire count bytes.
    return memoryview(view.tobytes())
