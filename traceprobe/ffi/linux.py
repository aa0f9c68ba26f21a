"""Constants, structures and calls of Linux that Python's ``socket`` module lacks.

The layout of every structure comes from cffi and is compared once, when this module is loaded, with the
layouts that are known; a system that lays them out otherwise is refused with :class:`AbiError` instead of
being read wrongly. Knows nothing of the protocols whose options are numbered here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from struct import Struct, pack
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from traceprobe.errors import AbiError
from traceprobe.ffi._generated_linux import ffi

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

# --- numbers: <asm-generic/socket.h>, <linux/in.h>, <linux/in6.h>, <linux/icmp.h>, <linux/icmpv6.h> ------

_SOL_SOCKET: Final = 1
SO_ATTACH_FILTER: Final = 26
SO_RCVBUFFORCE: Final = 33
SO_TIMESTAMPNS: Final = 35
SO_TIMESTAMPING: Final = 37
SO_RXQ_OVFL: Final = 40
SO_MEMINFO: Final = 55
SCM_TS_OPT_ID: Final = 81
"""Control message that sets the number of a transmit time stamp; since Linux 6.13."""

IP_TTL: Final = 2
IP_TOS: Final = 1
IP_MTU_DISCOVER: Final = 10
IP_RECVERR: Final = 11
IP_RECVTTL: Final = 12
IP_RECVERR_RFC4884: Final = 26
IP_PMTUDISC_DONT: Final = 0
IP_PMTUDISC_DO: Final = 2
IP_PMTUDISC_PROBE: Final = 3

IPV6_MTU_DISCOVER: Final = 23
IPV6_RECVERR: Final = 25
IPV6_RECVERR_RFC4884: Final = 31
IPV6_RECVHOPLIMIT: Final = 51
IPV6_HOPLIMIT: Final = 52
IPV6_DONTFRAG: Final = 62
IPV6_PMTUDISC_DONT: Final = 0
IPV6_PMTUDISC_PROBE: Final = 3

SOL_RAW: Final = 255
ICMP_FILTER: Final = 1
SOL_ICMPV6: Final = 58
ICMPV6_FILTER: Final = 1

MSG_ERRQUEUE: Final = 0x2000
MSG_TRUNC: Final = 0x20
MSG_CTRUNC: Final = 0x08

# --- <linux/net_tstamp.h>, <linux/errqueue.h> ------------------------------------------------------------

SOF_TIMESTAMPING_TX_SOFTWARE: Final = 1 << 1
SOF_TIMESTAMPING_RX_SOFTWARE: Final = 1 << 3
SOF_TIMESTAMPING_SOFTWARE: Final = 1 << 4
SOF_TIMESTAMPING_OPT_ID: Final = 1 << 7
SOF_TIMESTAMPING_OPT_TSONLY: Final = 1 << 11

SO_EE_ORIGIN_LOCAL: Final = 1
SO_EE_ORIGIN_ICMP: Final = 2
SO_EE_ORIGIN_ICMP6: Final = 3
SO_EE_ORIGIN_TIMESTAMPING: Final = 4

# --- structures ------------------------------------------------------------------------------------------

StructLayout: TypeAlias = tuple[int, Mapping[str, int]]
"""Size of a structure in bytes, and the offset of each field."""

# Linux on every processor whose words have 64 bits. On the others the kernel's and the C library's idea
# of time differ in size, so that time stamps would need options of their own.
KNOWN_LAYOUTS: Final[Mapping[str, StructLayout]] = {
    "iovec": (16, {"iov_base": 0, "iov_len": 8}),
    "msghdr": (
        56,
        {
            "msg_name": 0,
            "msg_namelen": 8,
            "msg_iov": 16,
            "msg_iovlen": 24,
            "msg_control": 32,
            "msg_controllen": 40,
            "msg_flags": 48,
        },
    ),
    "mmsghdr": (64, {"msg_hdr": 0, "msg_len": 56}),
    "cmsghdr": (16, {"cmsg_len": 0, "cmsg_level": 8, "cmsg_type": 12}),
    "sockaddr_in": (16, {"sin_family": 0, "sin_port": 2, "sin_addr": 4, "sin_zero": 8}),
    "sockaddr_in6": (
        28,
        {"sin6_family": 0, "sin6_port": 2, "sin6_flowinfo": 4, "sin6_addr": 8, "sin6_scope_id": 24},
    ),
    "sock_extended_err": (
        16,
        {
            "ee_errno": 0,
            "ee_origin": 4,
            "ee_type": 5,
            "ee_code": 6,
            "ee_pad": 7,
            "ee_info": 8,
            "ee_data": 12,
        },
    ),
    "timespec": (16, {"tv_sec": 0, "tv_nsec": 8}),
    "itimerspec": (32, {"it_interval": 0, "it_value": 16}),
    "scm_timestamping": (48, {"ts": 0}),
    "sock_filter": (8, {"code": 0, "jt": 2, "jf": 3, "k": 4}),
    "sock_fprog": (16, {"len": 0, "filter": 8}),
}

CONTROL_HEADER: Final = Struct("=Qii")
"""``cmsghdr``: length with this header, level, type."""
EXTENDED_ERROR: Final = Struct("=IBBBBII")
"""``sock_extended_err``: errno, origin, type, code, padding, info, data."""
TIMESPEC: Final = Struct("=qq")
"""``timespec``: seconds, nanoseconds."""
SOCKADDR_IN: Final = Struct("=H2s4s8x")
"""``sockaddr_in``: family, port in network order, address."""
SOCKADDR_IN6: Final = Struct("=H2sI16sI")
"""``sockaddr_in6``: family, port in network order, flow information, address, scope."""
CONTROL_ALIGNMENT: Final = 8
"""Control messages begin at multiples of this (cmsg(3))."""
FILTER_LAYOUT: Final = Struct("=HBBI")
"""``sock_filter``: code, jumps, value."""
_FILTER_PROGRAM: Final = Struct("=H6xQ")

_STRUCTS: Final[Mapping[str, Struct]] = {
    "cmsghdr": CONTROL_HEADER,
    "sock_extended_err": EXTENDED_ERROR,
    "timespec": TIMESPEC,
    "sockaddr_in": SOCKADDR_IN,
    "sockaddr_in6": SOCKADDR_IN6,
    "sock_filter": FILTER_LAYOUT,
    "sock_fprog": _FILTER_PROGRAM,
}


def declared_layouts() -> dict[str, StructLayout]:
    """The layouts that this process has, computed by cffi from the declarations."""
    layouts: dict[str, StructLayout] = {}
    for name in KNOWN_LAYOUTS:
        kind = ffi.typeof(f"struct {name}")
        layouts[name] = (ffi.sizeof(kind), {field: place.offset for field, place in kind.fields})
    return layouts


def check_abi(layouts: Mapping[str, StructLayout]) -> None:
    """Compare layouts with those that are known.

    Raises:
        AbiError: One of them is another.
    """
    for name, known in KNOWN_LAYOUTS.items():
        if layouts[name] != known:
            raise AbiError(
                f"struct {name} has an unknown layout on this system: {layouts[name][0]} bytes, "
                f"{dict(layouts[name][1])}; known are {known[0]} bytes, {dict(known[1])}"
            )
    for name, packed in _STRUCTS.items():
        if packed.size != KNOWN_LAYOUTS[name][0]:
            raise AbiError(f"struct {name} is read as {packed.size} bytes, but has {KNOWN_LAYOUTS[name][0]}")


check_abi(declared_layouts())


# --- options that hold a pointer -------------------------------------------------------------------------


class FilterInstruction(NamedTuple):
    """One instruction of a socket filter (``struct sock_filter``)."""

    code: int
    if_true: int
    if_false: int
    value: int


def pack_filter(program: Sequence[FilterInstruction]) -> bytes:
    """A socket filter as the kernel reads it."""
    return pack("=" + FILTER_LAYOUT.format[1:] * len(program), *chain.from_iterable(program))


FILTER_VALUE: Final = Struct("=I")
"""What stands last in a packed instruction."""


def attach_filter(opened: socket.socket, program: Sequence[FilterInstruction] | bytes) -> None:
    """Let a socket receive only what a program, packed or not, passes (``SO_ATTACH_FILTER``, socket(7))."""
    packed = program if isinstance(program, bytes) else pack_filter(program)
    # The option holds a pointer to the instructions, which must live until the kernel has copied them.
    instructions = ffi.new("char[]", packed)
    count = len(packed) // FILTER_LAYOUT.size
    option = _FILTER_PROGRAM.pack(count, int(ffi.cast("uintptr_t", instructions)))
    opened.setsockopt(_SOL_SOCKET, SO_ATTACH_FILTER, option)
    ffi.release(instructions)
