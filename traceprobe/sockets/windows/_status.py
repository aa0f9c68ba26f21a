"""What the numbers of Windows say about a probe: the same kinds of reply, and the same errors, as elsewhere.

``iphlpapi`` tells what came back as an IP_STATUS (ipexport.h), which often stands for several ICMP codes;
where it does, the code is not known. What went wrong on this machine comes as IP_STATUS, as an error of
Windows or of Winsock, or as an NTSTATUS, depending on when it was found out; their ranges don't meet.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily
from traceprobe.errors import SendError
from traceprobe.ffi import windows
from traceprobe.model import ReplyKind

if TYPE_CHECKING:
    from collections.abc import Mapping


class Meaning(NamedTuple):
    """What an IP_STATUS says of a probe."""

    kind: ReplyKind | None
    """None if it says nothing about the path."""
    icmp_type: int | None
    icmp_code: int | None
    """None if the status stands for several codes."""


_IPV4: Final[Mapping[int, Meaning]] = {
    windows.IP_SUCCESS: Meaning(ReplyKind.ECHO_REPLY, 0, 0),
    windows.IP_DEST_NET_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 3, None),
    windows.IP_DEST_HOST_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 3, None),
    windows.IP_DEST_PROT_UNREACHABLE: Meaning(ReplyKind.PROTOCOL_UNREACHABLE, 3, 2),
    windows.IP_DEST_PORT_UNREACHABLE: Meaning(ReplyKind.PORT_UNREACHABLE, 3, 3),
    windows.IP_DEST_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 3, None),
    windows.IP_PACKET_TOO_BIG: Meaning(ReplyKind.PACKET_TOO_BIG, 3, 4),
    windows.IP_BAD_ROUTE: Meaning(ReplyKind.UNREACHABLE, 3, 5),
    windows.IP_TTL_EXPIRED_TRANSIT: Meaning(ReplyKind.TIME_EXCEEDED, 11, 0),
    windows.IP_TIME_EXCEEDED: Meaning(ReplyKind.TIME_EXCEEDED, 11, None),
    windows.IP_TTL_EXPIRED_REASSEM: Meaning(None, 11, 1),
    windows.IP_PARAM_PROBLEM: Meaning(ReplyKind.PARAMETER_PROBLEM, 12, None),
    windows.IP_SOURCE_QUENCH: Meaning(None, 4, 0),
    windows.IP_ICMP_ERROR: Meaning(None, None, None),
}

# The same numbers mean something else for IPv6, where ICMPv6 has other codes (RFC 4443 section 3).
_IPV6: Final[Mapping[int, Meaning]] = {
    windows.IP_SUCCESS: Meaning(ReplyKind.ECHO_REPLY, 129, 0),
    windows.IP_DEST_NET_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 1, 0),
    windows.IP_DEST_PROT_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 1, 1),
    windows.IP_DEST_SCOPE_MISMATCH: Meaning(ReplyKind.UNREACHABLE, 1, 2),
    windows.IP_DEST_HOST_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 1, 3),
    windows.IP_DEST_PORT_UNREACHABLE: Meaning(ReplyKind.PORT_UNREACHABLE, 1, 4),
    windows.IP_DEST_UNREACHABLE: Meaning(ReplyKind.UNREACHABLE, 1, None),
    windows.IP_PACKET_TOO_BIG: Meaning(ReplyKind.PACKET_TOO_BIG, 2, 0),
    windows.IP_TTL_EXPIRED_TRANSIT: Meaning(ReplyKind.TIME_EXCEEDED, 3, 0),
    windows.IP_TIME_EXCEEDED: Meaning(ReplyKind.TIME_EXCEEDED, 3, None),
    windows.IP_TTL_EXPIRED_REASSEM: Meaning(None, 3, 1),
    windows.IP_BAD_HEADER: Meaning(ReplyKind.PARAMETER_PROBLEM, 4, 0),
    windows.IP_UNRECOGNIZED_NEXT_HEADER: Meaning(ReplyKind.PROTOCOL_UNREACHABLE, 4, 1),
    windows.IP_PARAM_PROBLEM: Meaning(ReplyKind.PARAMETER_PROBLEM, 4, None),
    windows.IP_ICMP_ERROR: Meaning(None, None, None),
}

_MEANINGS: Final = {AddressFamily.IPV4: _IPV4, AddressFamily.IPV6: _IPV6}

# What this machine says of itself, in the words of errno.
_FAILURES: Final[Mapping[int, tuple[int, str]]] = {
    windows.IP_BUF_TOO_SMALL: (errno.ENOBUFS, "the buffer for the reply is too small"),
    windows.IP_DEST_NET_UNREACHABLE: (errno.ENETUNREACH, "there is no route"),
    windows.IP_DEST_HOST_UNREACHABLE: (errno.EHOSTUNREACH, "the host can't be reached"),
    windows.IP_DEST_PROT_UNREACHABLE: (errno.EACCES, "it is forbidden"),
    windows.IP_DEST_UNREACHABLE: (errno.ENETUNREACH, "it can't be reached"),
    windows.IP_DEST_SCOPE_MISMATCH: (errno.EHOSTUNREACH, "the address is of another scope than the source"),
    windows.IP_NO_RESOURCES: (errno.ENOBUFS, "Windows has no resources left"),
    windows.IP_BAD_OPTION: (errno.EINVAL, "an option is wrong"),
    windows.IP_HW_ERROR: (errno.EIO, "the hardware failed"),
    windows.IP_PACKET_TOO_BIG: (errno.EMSGSIZE, "the packet is too big, and must not be fragmented"),
    windows.IP_BAD_REQ: (errno.EINVAL, "the request is wrong"),
    windows.IP_BAD_ROUTE: (errno.EHOSTUNREACH, "the route is wrong"),
    windows.IP_BAD_DESTINATION: (errno.EHOSTUNREACH, "the destination is no address to send to"),
    windows.IP_GENERAL_FAILURE: (errno.EIO, "it could not be sent"),
    windows.ERROR_NOT_ENOUGH_MEMORY: (errno.ENOMEM, "Windows has no memory left"),
    windows.ERROR_INVALID_PARAMETER: (errno.EINVAL, "Windows does not accept a parameter"),
    windows.ERROR_CALL_NOT_IMPLEMENTED: (errno.ENOSYS, "this Windows can't do that"),
    windows.ERROR_INVALID_NETNAME: (errno.EHOSTUNREACH, "the destination is no address to send to"),
    windows.ERROR_NETWORK_UNREACHABLE: (errno.ENETUNREACH, "there is no route"),
    windows.ERROR_HOST_UNREACHABLE: (errno.EHOSTUNREACH, "the host can't be reached"),
    windows.ERROR_NO_SYSTEM_RESOURCES: (errno.ENOBUFS, "Windows has no resources left"),
    windows.STATUS_NO_MEMORY: (errno.ENOMEM, "too many requests are pending"),
    windows.STATUS_INSUFFICIENT_RESOURCES: (errno.ENOBUFS, "Windows has no resources left"),
    windows.STATUS_CANCELLED: (errno.ECANCELED, "it was cancelled"),
    windows.WSAEACCES: (errno.EACCES, "it is forbidden"),
    windows.WSAEINVAL: (errno.EINVAL, "Winsock does not accept a parameter"),
    windows.WSAEMSGSIZE: (errno.EMSGSIZE, "the packet is too big"),
    windows.WSAEADDRINUSE: (errno.EADDRINUSE, "the address is in use"),
    windows.WSAEADDRNOTAVAIL: (errno.EADDRNOTAVAIL, "there is no such address here"),
    windows.WSAENETUNREACH: (errno.ENETUNREACH, "there is no route"),
    windows.WSAENOBUFS: (errno.ENOBUFS, "Windows has no resources left"),
    windows.WSAEHOSTUNREACH: (errno.EHOSTUNREACH, "the host can't be reached"),
}

_FIRST_NTSTATUS: Final = 0xC0000000


def meaning_of(family: AddressFamily, status: int) -> Meaning | None:
    """What an answer from the network says; None if the status is no such answer."""
    return _MEANINGS[family].get(status)


def failure_of(code: int, detail: str) -> SendError:
    """The error that a number stands for: an IP_STATUS, an error of Windows or Winsock, or an NTSTATUS.

    Args:
        code: The number.
        detail: Where the probe was to go.
    """
    number, words = _FAILURES.get(code, (errno.EIO, "it could not be sent"))
    shown = f"{code:#010x}" if code >= _FIRST_NTSTATUS else str(code)
    return SendError(number, f"{detail}: {words} (Windows error {shown})")
