"""What the headers of the BSDs and of macOS say: one table of numbers, layouts and signatures per system.

Data only, for processors whose words have 64 bits; everything is an argument, so that the table of any
system can be used on any other. Numbers are named as in C, in lower case; tests hold each of them against
the headers of the systems that cross compilers know. How kernels behave is not known here.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe._frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceprobe.ffi._layouts import StructLayout

# --- layouts that all of them share -----------------------------------------------------------------------

KNOWN_LAYOUTS: Final[Mapping[str, StructLayout]] = {
    "iovec": (16, {"iov_base": 0, "iov_len": 8}),
    "msghdr": (
        48,
        {
            "msg_name": 0,
            "msg_namelen": 8,
            "msg_iov": 16,
            "msg_iovlen": 24,
            "msg_control": 32,
            "msg_controllen": 40,
            "msg_flags": 44,
        },
    ),
    "cmsghdr": (12, {"cmsg_len": 0, "cmsg_level": 4, "cmsg_type": 8}),
    "sockaddr_in": (16, {"sin_len": 0, "sin_family": 1, "sin_port": 2, "sin_addr": 4, "sin_zero": 8}),
    "sockaddr_in6": (
        28,
        {
            "sin6_len": 0,
            "sin6_family": 1,
            "sin6_port": 2,
            "sin6_flowinfo": 4,
            "sin6_addr": 8,
            "sin6_scope_id": 24,
        },
    ),
    "timeval": (16, {"tv_sec": 0, "tv_usec": 8}),
    "timespec": (16, {"tv_sec": 0, "tv_nsec": 8}),
    "mmsghdr": (56, {"msg_hdr": 0, "msg_len": 48}),
}
"""Size of each structure in bytes, and the offset of each field. ``mmsghdr`` is missing on macOS."""

IOVEC: Final = Struct("=QQ")
"""``iovec``: address and size."""
MESSAGE: Final = Struct("=QI4xQi4xQIi8x")
"""``mmsghdr``: name and its size, vectors and their number, control and its size, flags; length last."""
CONTROL_HEADER: Final = Struct("=Iii")
"""``cmsghdr``: length with this header and its padding, level, type."""
SOCKADDR_IN: Final = Struct("=BB2s4s8x")
"""``sockaddr_in``: length, family, port in network order, address."""
SOCKADDR_IN6: Final = Struct("=BB2sI16sI")
"""``sockaddr_in6``: length, family, port in network order, flow information, address, scope."""

_UNSIGNED: Final = "int(int, struct mmsghdr *, unsigned int, {flags})"
_CLOSING_OPTION: Final = 0x80
_SIZED: Final = "ssize_t(int, struct mmsghdr *, size_t, int)"


@frozen(kw_only=True)
class BsdAbi:
    """Numbers and signatures of one system; None is what it doesn't have."""

    name: str

    # sys/socket.h
    af_inet: int = 2
    af_inet6: int
    sock_stream: int = 1
    sock_dgram: int = 2
    sock_raw: int = 3
    sol_socket: int = 0xFFFF
    so_linger: int = _CLOSING_OPTION
    so_rcvbuf: int = 0x1002
    so_error: int = 0x1007
    so_timestamp: int
    scm_timestamp: int
    so_ts_clock: int | None = None
    so_ts_realtime: int | None = None
    """Value of ``so_ts_clock`` for stamps of the wall clock in nanoseconds."""
    scm_realtime: int | None = None
    msg_dontwait: int = 0x80

    # netinet/in.h
    ipproto_ip: int = 0
    ipproto_icmp: int = 1
    ipproto_tcp: int = 6
    ipproto_udp: int = 17
    ipproto_ipv6: int = 41
    ipproto_icmpv6: int = 58
    ip_hdrincl: int = 2
    ip_tos: int = 3
    ip_ttl: int = 4
    ip_recvttl: int
    """The option, and the type of the control message that it brings: one byte."""
    ip_dontfrag: int | None = None
    ip_bound_if: int | None = None

    # netinet6/in6.h
    ipv6_unicast_hops: int = 4
    ipv6_v6only: int = 27
    ipv6_recvhoplimit: int = 37
    ipv6_hoplimit: int = 47
    ipv6_tclass: int = 61
    ipv6_dontfrag: int = 62
    ipv6_bound_if: int | None = None

    # netinet/icmp6.h, where it exists
    icmp6_filter: int = 18

    # sys/errno.h
    eperm: int = 1
    eacces: int = 13
    einval: int = 22
    eagain: int = 35
    einprogress: int = 36
    emsgsize: int = 40
    enoprotoopt: int = 42
    eprotonosupport: int = 43
    eafnosupport: int = 47
    eaddrinuse: int = 48
    enetdown: int = 50
    enetunreach: int = 51
    econnreset: int = 54
    enobufs: int = 55
    econnrefused: int = 61
    ehostdown: int = 64
    ehostunreach: int = 65

    # not numbers
    control_alignment: int
    """Control messages, and the data in them, begin at multiples of this."""
    microseconds_size: int
    """Bytes of ``timeval.tv_usec`` that count; padding follows."""
    sendmmsg: str | None = None
    """Type of the function, where there is one."""
    recvmmsg: str | None = None


FREEBSD: Final = BsdAbi(
    name="freebsd",
    af_inet6=28,
    so_timestamp=0x400,
    scm_timestamp=2,
    so_ts_clock=0x1017,
    so_ts_realtime=2,
    scm_realtime=5,
    ip_recvttl=65,
    ip_dontfrag=67,
    control_alignment=8,
    microseconds_size=8,
    sendmmsg=_SIZED,
    recvmmsg="ssize_t(int, struct mmsghdr *, size_t, int, const struct timespec *)",
)
NETBSD: Final = BsdAbi(
    name="netbsd",
    af_inet6=24,
    so_timestamp=0x2000,
    scm_timestamp=8,
    ip_recvttl=23,
    control_alignment=8,
    microseconds_size=4,
    sendmmsg=_UNSIGNED.format(flags="unsigned int"),
    recvmmsg="int(int, struct mmsghdr *, unsigned int, unsigned int, struct timespec *)",
)
OPENBSD: Final = BsdAbi(
    name="openbsd",
    af_inet6=24,
    so_timestamp=0x800,
    scm_timestamp=4,
    ip_recvttl=31,
    control_alignment=8,
    microseconds_size=8,
    sendmmsg=_UNSIGNED.format(flags="int"),
    recvmmsg="int(int, struct mmsghdr *, unsigned int, int, struct timespec *)",
)
# No compiler with the headers of DragonFly is at hand: sys/socket.h and netinet/in.h of its source.
DRAGONFLY: Final = BsdAbi(
    name="dragonfly",
    af_inet6=28,
    so_timestamp=0x400,
    scm_timestamp=2,
    ip_recvttl=65,
    control_alignment=8,
    microseconds_size=8,
)
DARWIN: Final = BsdAbi(
    name="darwin",
    af_inet6=30,
    so_timestamp=0x400,
    scm_timestamp=2,
    ip_recvttl=24,
    ip_dontfrag=28,
    ip_bound_if=25,
    # Its headers give these two the meanings of RFC 2292 unless __APPLE_USE_RFC_3542 is defined.
    ipv6_recvhoplimit=37,
    ipv6_tclass=36,
    ipv6_bound_if=125,
    control_alignment=4,
    microseconds_size=4,
)

ABIS: Final[Mapping[str, BsdAbi]] = {abi.name: abi for abi in (FREEBSD, NETBSD, OPENBSD, DRAGONFLY, DARWIN)}


def abi_for(name: str, machine: str) -> BsdAbi:
    """The table of a system on a processor.

    Args:
        name: Name of the system, as in the tables.
        machine: The processor by the name that uname(1) gives it.
    """
    abi = ABIS[name]
    if abi is NETBSD and machine in {"aarch64", "evbarm"}:
        return attrs.evolve(abi, control_alignment=16)
    return abi


def aligned(size: int, alignment: int) -> int:
    """A size rounded up to a multiple of an alignment."""
    return -(-size // alignment) * alignment
