"""Opens and configures the sockets of Linux: options of the trace, buffers, time stamps, source addresses.

Whatever the kernel refuses is told in terms of the configuration: which field, which value, what would
have been accepted. Nothing is ignored silently.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily
from traceprobe.errors import ConfigError, NoUsableSocketError, PrivilegeError
from traceprobe.ffi import linux
from traceprobe.model import TimestampSource
from traceprobe.sockets._addresses import family_number, zone_index
from traceprobe.sockets._modes import source_address, traffic_class

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig

_WITH_PORTS: Final = (socket.IPPROTO_UDP, socket.IPPROTO_TCP)
_NUMBER: Final = struct.Struct("=I")
_UNUSED_PORT: Final = 9  # discard (RFC 863); connecting a UDP socket sends nothing

REPLY_COST: Final = 4352
"""Bytes of receive buffer that a waiting reply is charged with where it costs most: a page for its data
and the kernel's own structures (``skb->truesize``); virtual devices charge a fifth of it."""

_STAMPING: Final = (
    linux.SOF_TIMESTAMPING_TX_SOFTWARE
    | linux.SOF_TIMESTAMPING_RX_SOFTWARE
    | linux.SOF_TIMESTAMPING_SOFTWARE
    | linux.SOF_TIMESTAMPING_OPT_TSONLY
)


def open_socket(family: AddressFamily, kind: socket.SocketKind, protocol: int) -> socket.socket:
    """Open a non-blocking socket.

    Raises:
        PrivilegeError: The process must not.
        NoUsableSocketError: This machine has no such sockets, or there is no descriptor left.
    """
    try:
        opened = socket.socket(family_number(family), kind | socket.SOCK_NONBLOCK, protocol)
    except PermissionError:
        raise _not_permitted(kind) from None
    except OSError as error:
        if error.errno in {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}:
            reason = f"this machine has no such sockets for IPv{family.value}"
        else:
            reason = f"the socket can't be opened: {error.strerror}"
        refused = NoUsableSocketError(reason)
        refused.errno = error.errno
        raise refused from None
    if family is AddressFamily.IPV6 and kind != socket.SOCK_RAW and protocol in _WITH_PORTS:
        # A port taken for IPv6 is not taken for IPv4.
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return opened


def _not_permitted(kind: socket.SocketKind) -> PrivilegeError:
    # What would help is looked for by those who need it only: the first probe shouldn't wait for it.
    from traceprobe.sockets.linux._remedies import capability_remedies, ping_group_range, ping_remedies

    if kind == socket.SOCK_RAW:
        return PrivilegeError(
            "raw sockets need CAP_NET_RAW, which this process does not have",
            remedies=capability_remedies("net_raw"),
        )
    first, last = ping_group_range() or (1, 0)
    allowed = "no group" if first > last else f"groups {first} to {last}"
    return PrivilegeError(
        f"ping sockets are open to {allowed}, and this process is of group {os.getegid()} "
        "(net.ipv4.ping_group_range)",
        remedies=ping_remedies(),
    )


def configure(opened: socket.socket, family: AddressFamily, config: TracerouteConfig) -> None:
    """Apply the options that every probe socket honours in the same way.

    Raises:
        ConfigError: The interface is not one of this machine.
        PrivilegeError: An option needs a privilege that the process lacks.
    """
    if config.interface is not None:
        _bind_to_interface(opened, config.interface)
    if config.mark is not None:
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _NUMBER.pack(config.mark))
        except PermissionError:
            from traceprobe.sockets.linux._remedies import capability_remedies

            raise PrivilegeError(
                f"mark={config.mark}: setting a firewall mark needs CAP_NET_ADMIN",
                remedies=capability_remedies("net_raw", "net_admin"),
            ) from None
    if config.dscp is not None or config.ecn is not None:
        level, option = (
            (socket.IPPROTO_IP, linux.IP_TOS)
            if family is AddressFamily.IPV4
            else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
        )
        opened.setsockopt(level, option, traffic_class(config))
    if config.dont_fragment is not None:
        _set_dont_fragment(opened, family, wanted=config.dont_fragment)


def _bind_to_interface(opened: socket.socket, name: str) -> None:
    names = [known for _, known in socket.if_nameindex()]
    if name not in names:
        raise ConfigError("interface", name, f"an interface of this machine: {', '.join(names)}")
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(name) + b"\0")
    except PermissionError:
        from traceprobe.sockets.linux._remedies import capability_remedies

        raise PrivilegeError(
            f"interface={name!r}: choosing an interface needs CAP_NET_RAW before Linux 5.7",
            remedies=capability_remedies("net_raw"),
        ) from None


def _set_dont_fragment(opened: socket.socket, family: AddressFamily, *, wanted: bool) -> None:
    # PROBE sets the bit and does not believe the path MTU learnt before: a probe that is too big shall
    # get to the router that says so.
    if family is AddressFamily.IPV4:
        value = linux.IP_PMTUDISC_PROBE if wanted else linux.IP_PMTUDISC_DONT
        opened.setsockopt(socket.IPPROTO_IP, linux.IP_MTU_DISCOVER, value)
        return
    value = linux.IPV6_PMTUDISC_PROBE if wanted else linux.IPV6_PMTUDISC_DONT
    opened.setsockopt(socket.IPPROTO_IPV6, linux.IPV6_MTU_DISCOVER, value)
    opened.setsockopt(socket.IPPROTO_IPV6, linux.IPV6_DONTFRAG, int(wanted))


def bind(opened: socket.socket, family: AddressFamily, config: TracerouteConfig, port: int = 0) -> int:
    """Bind a socket to the source address and a port.

    Args:
        opened: The socket.
        family: Its address family.
        config: Names the source address.
        port: Port to bind to; 0 lets the kernel choose.

    Returns:
        The port (the ICMP identifier of a ping socket) that it has now.

    Raises:
        ConfigError: The source address is not of this machine, or the port is taken.
        FamilyMismatchError: The source address is of the other family.
        PrivilegeError: The port is reserved to programs with privileges.
    """
    name = _bind_address(family, source_address(family, config), port)
    try:
        opened.bind(name)
    except PermissionError:
        from traceprobe.sockets.linux._remedies import capability_remedies

        raise PrivilegeError(
            f"source_port={port}: ports this low need CAP_NET_BIND_SERVICE",
            remedies=(*capability_remedies("net_raw", "net_bind_service"), "choose a port of 1024 or more"),
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError("source_port", port, "a port that no other socket has taken") from None
        raise ConfigError("source", config.source, f"an address of this machine ({error.strerror})") from None
    return int(opened.getsockname()[1])


def _bind_address(
    family: AddressFamily, source: IPv4Address | IPv6Address | None, port: int
) -> tuple[str, int] | tuple[str, int, int, int]:
    if family is AddressFamily.IPV4:
        return ("" if source is None else str(source), port)
    if not isinstance(source, ipaddress.IPv6Address):
        return ("", port, 0, 0)
    return (str(source).partition("%")[0], port, 0, _zone_of_source(source))


def _zone_of_source(source: ipaddress.IPv6Address) -> int:
    try:
        return zone_index(source)
    except OSError:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise ConfigError("source", str(source), f"an address on one of the interfaces {names}") from None


def size_buffer(opened: socket.socket, wanted: int) -> int:
    """Ask for a receive buffer.

    Returns:
        The bytes that were really granted, the kernel's own share included (socket(7)).
    """
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    granted = opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if granted < wanted:
        try:
            opened.setsockopt(socket.SOL_SOCKET, linux.SO_RCVBUFFORCE, wanted)
        except PermissionError:
            return granted
        granted = opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return granted


def ask_for_stamps(opened: socket.socket) -> TimestampSource:
    """Ask for the kernel's time stamps, in both directions if it has them.

    Returns:
        The best source of round-trip times that the socket has now.
    """
    try:
        opened.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPING, _STAMPING | linux.SOF_TIMESTAMPING_OPT_ID)
    except OSError:
        try:
            opened.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
        except OSError:
            return TimestampSource.USER
        return TimestampSource.KERNEL_RX
    return TimestampSource.KERNEL_TX_RX


def restart_stamp_numbers(opened: socket.socket) -> None:
    """Let the kernel count its transmit stamps from 0 again (networking/timestamping, OPT_ID)."""
    opened.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPING, _STAMPING)
    opened.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPING, _STAMPING | linux.SOF_TIMESTAMPING_OPT_ID)


@functools.cache
def stamps_can_be_numbered() -> bool:
    """Whether a control message can number a transmit stamp (``SCM_TS_OPT_ID``, since Linux 6.13).

    Asked without sending anything: broadcasts are refused to a socket that has not asked for them, but
    only after the control messages have been read.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.setsockopt(
                socket.SOL_SOCKET, linux.SO_TIMESTAMPING, _STAMPING | linux.SOF_TIMESTAMPING_OPT_ID
            )
            number = (socket.SOL_SOCKET, linux.SCM_TS_OPT_ID, _NUMBER.pack(0))
            asker.sendmsg([b""], [number], 0, ("255.255.255.255", _UNUSED_PORT))
    except OSError as error:
        return error.errno in {errno.EACCES, errno.ENETUNREACH}
    return False


def ask_for_errors(opened: socket.socket, family: AddressFamily) -> None:
    """Have ICMP errors put into the error queue, and RFC 4884 extensions checked where the kernel can."""
    if family is AddressFamily.IPV4:
        level, errors, extensions = socket.IPPROTO_IP, linux.IP_RECVERR, linux.IP_RECVERR_RFC4884
    else:
        level, errors, extensions = socket.IPPROTO_IPV6, linux.IPV6_RECVERR, linux.IPV6_RECVERR_RFC4884
    opened.setsockopt(level, errors, 1)
    with contextlib.suppress(OSError):  # since Linux 5.9; the bytes come either way
        opened.setsockopt(level, extensions, 1)


def ask_for_ttl(opened: socket.socket, family: AddressFamily) -> None:
    """Have the TTL or hop limit of whatever arrives told."""
    if family is AddressFamily.IPV4:
        opened.setsockopt(socket.IPPROTO_IP, linux.IP_RECVTTL, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, linux.IPV6_RECVHOPLIMIT, 1)


def ttl_control(family: AddressFamily) -> tuple[int, int]:
    """Level and type of the control message that sets the TTL or hop limit of one datagram."""
    if family is AddressFamily.IPV4:
        return socket.IPPROTO_IP, linux.IP_TTL
    return socket.IPPROTO_IPV6, linux.IPV6_HOPLIMIT


def find_source(
    family: AddressFamily, config: TracerouteConfig, destination: IPv4Address | IPv6Address
) -> IPv4Address | IPv6Address:
    """Ask the routing table for the source address towards a destination; sends nothing.

    Raises:
        OSError: There is no way to the destination.
    """
    with socket.socket(family_number(family), socket.SOCK_DGRAM) as asker:
        configure(asker, family, config)
        if isinstance(destination, ipaddress.IPv4Address):
            asker.connect((str(destination), _UNUSED_PORT))
        else:
            index = zone_index(destination)
            asker.connect((str(destination).partition("%")[0], _UNUSED_PORT, 0, index))
        name = asker.getsockname()
    if family is AddressFamily.IPV4:
        return ipaddress.IPv4Address(name[0])
    address = name[0].partition("%")[0]
    zone = destination.scope_id if isinstance(destination, ipaddress.IPv6Address) else None
    found = ipaddress.IPv6Address(address)
    return ipaddress.IPv6Address(f"{address}%{zone}") if zone and found.is_link_local else found
