"""How each kernel behaves where they differ: one row per system, read by code that knows no names.

What the headers say stands in ``ffi.bsd``; this is what they don't say. It was measured on running kernels
(FreeBSD, NetBSD) or read in kernel source (OpenBSD, DragonFly, macOS); ``docs/bsd.md`` tells which is which.
Three things hold on all of them, and so have no column: a control message can't set the TTL of an IPv4
datagram (FreeBSD takes it and ignores it), lengths in IP headers that come from a raw socket mean nothing,
and a bit of ``ICMP6_FILTER`` that is set lets its type pass.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.config import AddressFamily
from traceprobe.ffi.bsd import ABIS, BsdAbi

if TYPE_CHECKING:
    from collections.abc import Mapping


class TtlMethod(Enum):
    """How the TTL or hop limit of a datagram is set.

    Attributes:
        OPTION: By an option of the socket, before the datagram is sent.
        CONTROL: By a control message that goes with the datagram.
        HEADER: In an IP header that is handed over with the datagram.
    """

    OPTION = "option"
    CONTROL = "control"
    HEADER = "header"


_BY_CONTROL: Final = {AddressFamily.IPV4: TtlMethod.OPTION, AddressFamily.IPV6: TtlMethod.CONTROL}
_BY_OPTION: Final = dict.fromkeys(AddressFamily, TtlMethod.OPTION)


@attrs.frozen(kw_only=True)
class BsdSystem:
    """One row of the table."""

    abi: BsdAbi
    title: str
    """Name for people."""
    raw_ttl: Mapping[AddressFamily, TtlMethod] = _BY_CONTROL
    """How raw sockets are told."""
    dgram_ttl: Mapping[AddressFamily, TtlMethod] = _BY_CONTROL
    """How datagram sockets are told."""
    header_in_host_order: bool
    """Byte order of ``ip_len`` and ``ip_off`` in a header that is handed over with the datagram; the wrong
    one is refused with ``EINVAL``."""
    batches: bool
    """Whether ``sendmmsg`` and ``recvmmsg`` are system calls. FreeBSD's are loops in the C library."""
    dgram_icmp: bool = False
    """Whether ICMP can be had without privileges, by ``SOCK_DGRAM`` sockets."""
    low_ports_sysctl: str | None = None
    """Parameter that says which ports are reserved to root."""
    root_remedy: str = "run it where root may open raw sockets: something confines this process"
    """What helps root, when even root is refused."""

    @property
    def name(self) -> str:
        """Name of the system, as in the table of its headers."""
        return self.abi.name


FREEBSD: Final = BsdSystem(
    abi=ABIS["freebsd"],
    title="FreeBSD",
    header_in_host_order=False,  # since FreeBSD 11
    batches=False,
    low_ports_sysctl="net.inet.ip.portrange.reservedhigh",
    root_remedy="on the host of this jail: jail -m name=JAIL allow.raw_sockets=1",
)
NETBSD: Final = BsdSystem(
    abi=ABIS["netbsd"],
    title="NetBSD",
    # IP_TTL has no effect on a raw socket: everything leaves with 255.
    raw_ttl={AddressFamily.IPV4: TtlMethod.HEADER, AddressFamily.IPV6: TtlMethod.CONTROL},
    header_in_host_order=True,
    batches=True,
    low_ports_sysctl="net.inet.ip.lowportmax",
)
OPENBSD: Final = BsdSystem(
    abi=ABIS["openbsd"],
    title="OpenBSD",
    header_in_host_order=False,
    batches=True,
)
DRAGONFLY: Final = BsdSystem(
    abi=ABIS["dragonfly"],
    title="DragonFly",
    header_in_host_order=True,
    batches=False,
    low_ports_sysctl="net.inet.ip.portrange.reservedhigh",
)
DARWIN: Final = BsdSystem(
    abi=ABIS["darwin"],
    title="macOS",
    # A control message with a datagram puts all IPv6 options of its socket out of force (rip6_output).
    raw_ttl=_BY_OPTION,
    dgram_ttl=_BY_OPTION,
    header_in_host_order=True,
    batches=False,
    dgram_icmp=True,
)

SYSTEMS: Final[Mapping[str, BsdSystem]] = {
    system.name: system for system in (FREEBSD, NETBSD, OPENBSD, DRAGONFLY, DARWIN)
}
