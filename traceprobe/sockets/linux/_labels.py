"""IPv6 flow labels on Linux (ipv6(7), RFC 6437): who may set one, and how.

Ordinarily any label goes out as it stands in the socket address. As soon as one program of the network
namespace holds an exclusive lease on some label, every other one must be leased as well, by the very socket
that sends it.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily, FlowStrategy
from traceprobe.errors import NoUsableSocketError

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig

_IPV6_FLOWLABEL_MGR: Final = 32
_IPV6_FLOWINFO_SEND: Final = 33
_IPV6_AUTOFLOWLABEL: Final = 70
_GET: Final = 0
_SHARED_BY_ALL: Final = 255
_CREATE: Final = 1
_REQUEST: Final = struct.Struct("=16sIBBHHHI")
"""``struct in6_flowlabel_req`` (linux/in6.h): destination, label, action, share, flags, expiry, linger."""
_LOOPBACK: Final = "::1"
_PROBED_LABEL: Final = 0x80001
_UNUSED_PORT: Final = 9


def prepare_flow_labels(
    opened: socket.socket, family: AddressFamily, config: TracerouteConfig, flow: FlowStrategy
) -> bool:
    """Let a socket send flow labels, if it may.

    Args:
        opened: The socket that sends.
        family: Its address family.
        config: Names the flow label, if one was asked for.
        flow: The flow strategy in use.

    Returns:
        Whether labels stand in socket addresses from now on; else the kernel chooses them.

    Raises:
        NoUsableSocketError: The label that was asked for can't be had.
    """
    if family is AddressFamily.IPV4:
        return False
    if not _labels_are_free():
        if config.flow_label is None:
            return False
        if flow is not FlowStrategy.PARIS:
            raise NoUsableSocketError(
                f"flow_label={config.flow_label}: a program holds an exclusive lease on a flow label, so "
                "that labels can't be varied",
                remedies=("choose flow 'paris'", "leave flow_label out"),
            )
        _lease(opened, config.flow_label)
    opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FLOWINFO_SEND, 1)
    # Otherwise the kernel would choose a label where 0 is wanted.
    opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_AUTOFLOWLABEL, 0)
    return True


def _labels_are_free() -> bool:
    """Whether a label can be sent without a lease. Sends nothing."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
        asker.setsockopt(socket.IPPROTO_IPV6, _IPV6_FLOWINFO_SEND, 1)
        try:
            # The label is looked at before the route.
            asker.connect((_LOOPBACK, _UNUSED_PORT, _PROBED_LABEL, 0))
        except OSError as error:
            return error.errno != errno.EINVAL
    return True


def _lease(opened: socket.socket, label: int) -> None:
    request = _REQUEST.pack(
        socket.inet_pton(socket.AF_INET6, _LOOPBACK),
        socket.htonl(label),
        _GET,
        _SHARED_BY_ALL,
        _CREATE,
        0,  # for as long as the socket is open, and no longer than the kernel must
        0,
        0,
    )
    try:
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FLOWLABEL_MGR, request)
    except OSError as error:
        raise NoUsableSocketError(
            f"flow_label={label}: it can't be leased ({error.strerror})",
            remedies=("choose another flow label", "leave flow_label out"),
        ) from None
