"""One TCP connection attempt of Linux: its socket and options, and what the kernel says became of it.

Knows nothing of replies and round trips.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import MAX_TTL, AddressFamily, FlowStrategy
from traceprobe.errors import ConfigError, UsageError
from traceprobe.ffi import linux
from traceprobe.sockets._addresses import ipv6_address, zone_index
from traceprobe.sockets.linux import _options as options
from traceprobe.sockets.linux._filters import ACKNOWLEDGED
from traceprobe.sockets.linux._labels import prepare_flow_labels

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.model import Probe

_NO_LINGER: Final = struct.pack("=ii", 1, 0)
_TCP_SYNCNT: Final = 7
_TCP_INFO: Final = 11
_FEWEST_RETRIES: Final = 1
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_OPENING_STATES: Final = frozenset({2, 3})
"""``TCP_SYN_SENT``, ``TCP_SYN_RECV``."""
_CLOSED_STATE: Final = 7
_STATE_AT: Final = 0  # struct tcp_info, linux/tcp.h
_RTT_AT: Final = 68
_RETRANSMISSIONS_AT: Final = 100
_INFO_SIZE: Final = 104
_WORD: Final = struct.Struct("=I")
_US: Final = 1000

_LAST_PORT: Final = 0xFFFF


class Outcome(Enum):
    """What became of a connection attempt, apart from ICMP errors."""

    PENDING = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    FAILED = auto()
    """Nothing that the network said: the kernel has run out of patience."""


class Handshake(NamedTuple):
    """What the kernel measured of a connection that came about (``TCP_INFO``, tcp(7))."""

    rtt_ns: int
    """0 if it could not be measured."""
    retransmitted: bool
    """Whether the SYN was sent more than once."""


def open_connection(family: AddressFamily, config: TracerouteConfig) -> socket.socket:
    """Open a socket for one attempt, with all options but the TTL.

    Raises:
        PrivilegeError: The process must not set an option.
        NoUsableSocketError: There is no such socket, or no descriptor left.
        ConfigError: An option can't be used on this machine.
    """
    opened = options.open_socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        options.configure(opened, family, config)
        if config.dont_fragment and family is AddressFamily.IPV4:
            # Connections take the don't-fragment bit from DO only, not from PROBE.
            opened.setsockopt(socket.IPPROTO_IP, linux.IP_MTU_DISCOVER, linux.IP_PMTUDISC_DO)
        options.ask_for_errors(opened, family)
        options.ask_for_ttl(opened, family)
        with suppress(OSError):  # without it the process's own clock has to do
            opened.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        opened.setsockopt(socket.IPPROTO_TCP, _TCP_SYNCNT, _FEWEST_RETRIES)
        with suppress(OSError):  # some kernels keep filters to the privileged
            linux.attach_filter(opened, ACKNOWLEDGED)
        if config.source is not None:
            with suppress(OSError):  # spares ports: since Linux 4.2 the destination may tell them apart
                opened.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            options.bind(opened, family, config)
        if config.flow_label is not None:
            prepare_flow_labels(opened, family, config, FlowStrategy.PARIS)
    except BaseException:
        opened.close()
        raise
    return opened


def set_ttl(opened: socket.socket, family: AddressFamily, ttl: int) -> None:
    """Set the TTL or hop limit of all that a socket sends."""
    if family is AddressFamily.IPV4:
        opened.setsockopt(socket.IPPROTO_IP, linux.IP_TTL, ttl)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


def connect(
    opened: socket.socket, destination: IPv4Address | IPv6Address, port: int, label: int | None
) -> int:
    """Begin to connect.

    Returns:
        What connect(2) said, as an error number; 0 or EINPROGRESS is no error.
    """
    try:
        if isinstance(destination, IPv6Address):
            address = (str(destination).partition("%")[0], port, label or 0, zone_index(destination))
            return opened.connect_ex(address)
        return opened.connect_ex((str(destination), port))
    except OSError as error:  # the zone is no interface
        return error.errno or errno.EINVAL


def outcome_of(opened: socket.socket) -> Outcome:
    """What became of an attempt in whose error queue there is nothing."""
    code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == errno.ECONNREFUSED:
        return Outcome.REFUSED
    if code in {errno.ECONNRESET, errno.EPIPE}:
        return Outcome.ACCEPTED  # and reset at once
    if code:
        return Outcome.FAILED
    state = opened.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_SIZE)[_STATE_AT]
    if state == _CLOSED_STATE:
        return Outcome.FAILED  # by an ICMP error that says nothing about the path
    # Some services hang up at once; whatever comes behind the handshake, there was one.
    return Outcome.PENDING if state in _OPENING_STATES else Outcome.ACCEPTED


def handshake_of(opened: socket.socket) -> Handshake:
    """What the kernel measured of a connection."""
    info = opened.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_SIZE)
    if len(info) < _INFO_SIZE:
        return Handshake(0, False)
    (rtt_us,) = _WORD.unpack_from(info, _RTT_AT)
    (retransmissions,) = _WORD.unpack_from(info, _RETRANSMISSIONS_AT)
    return Handshake(rtt_us * _US, bool(retransmissions))


def source_of(opened: socket.socket) -> IPv4Address | IPv6Address | None:
    """The source address of an attempt."""
    try:
        name = opened.getsockname()
    except OSError:
        return None
    address = ip_address(name[0].partition("%")[0])
    if address.is_unspecified:
        return None
    return ipv6_address(address.packed, name[3]) if isinstance(address, IPv6Address) else address


def check_probe(probe: Probe, family: AddressFamily) -> None:
    """Refuse what can't be sent: the kernel makes the segment.

    Raises:
        ConfigError: A size was asked for, or a TTL or port that there isn't.
        UsageError: The destination is of the other family.
    """
    if probe.size is not None:
        raise ConfigError(
            "packet_size", probe.size, "None for mode 'linux_tcp', whose packets the kernel makes"
        )
    if not 1 <= probe.ttl <= MAX_TTL:
        raise ConfigError("ttl", probe.ttl, f"from 1 to {MAX_TTL}")
    if probe.port is not None and not 1 <= probe.port <= _LAST_PORT:
        raise ConfigError("port", probe.port, f"from 1 to {_LAST_PORT}")
    if probe.destination.version != family:
        raise UsageError(f"{probe.destination} is no IPv{family.value} address")
