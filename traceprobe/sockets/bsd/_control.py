"""What a kernel says about a received datagram, out of its control messages.

Type, size and alignment of each are the system's own. The TTL of IPv4 comes in one byte, the hop limit of
IPv6 in an ``int``; half of the systems count microseconds in four bytes and leave what follows undefined.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.ffi.bsd import CONTROL_HEADER, aligned

if TYPE_CHECKING:
    from traceprobe.ffi.bsd import BsdAbi

_NS: Final = 1_000_000_000
_US: Final = 1000
_INT: Final = Struct("=i")
_TIMEVAL: Final = {4: Struct("=qI"), 8: Struct("=qq")}
_TIMESPEC: Final = Struct("=qq")

CONTROL_SIZE: Final = 256
"""Bytes that all control messages asked for fit into."""


class Control(NamedTuple):
    """What the kernel knows of a datagram beside its bytes."""

    stamp_ns: int | None = None
    """When it arrived, on the wall clock."""
    ttl: int | None = None
    """TTL or hop limit that it arrived with."""


class ControlReader:
    """Reads the control messages of one system.

    Args:
        abi: The system.
    """

    def __init__(self, abi: BsdAbi) -> None:
        self._alignment = abi.control_alignment
        self._header = aligned(CONTROL_HEADER.size, abi.control_alignment)
        self._micro = (abi.sol_socket, abi.scm_timestamp)
        self._nano = (abi.sol_socket, abi.scm_realtime)
        self._ttl = (abi.ipproto_ip, abi.ip_recvttl)
        self._hop_limit = (abi.ipproto_ipv6, abi.ipv6_hoplimit)
        self._timeval = _TIMEVAL[abi.microseconds_size]

    def read(self, control: memoryview) -> Control:
        """Read the control messages of one datagram; what is unknown or cut short is skipped."""
        stamp_ns = ttl = None
        place, end, header = 0, len(control), self._header
        while place + header <= end:
            length, level, kind = CONTROL_HEADER.unpack_from(control, place)
            if length < header or place + length > end:
                break
            start, size, what = place + header, length - header, (level, kind)
            if what == self._micro and size >= self._timeval.size:
                seconds, fraction = self._timeval.unpack_from(control, start)
                stamp_ns = seconds * _NS + fraction * _US
            elif what == self._nano and size >= _TIMESPEC.size:
                seconds, fraction = _TIMESPEC.unpack_from(control, start)
                stamp_ns = seconds * _NS + fraction
            elif what == self._ttl and size >= 1:
                ttl = control[start]
            elif what == self._hop_limit and size >= _INT.size:
                (ttl,) = _INT.unpack_from(control, start)
            place += aligned(length, self._alignment)
        return Control(stamp_ns, ttl)
