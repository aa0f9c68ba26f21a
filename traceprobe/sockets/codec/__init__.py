"""Wire identifiers and matching, sans-IO: shared by every socket that sees packets, simulated ones too.

A codec gives each probe an identifier that no other outstanding probe of its socket has, builds the
transport segment, and finds the probe again that a received message answers, or says why there is none.
Matching is exact: destination, protocol, identifier or ports, sequence number or checksum, and an
unguessable token wherever the message has room for it. What a message says beyond that, and what the path
did to the probe that it quotes, is read here as well.

Knows no sockets, no clocks, and nothing of what a trace makes of a reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe._late import import_when_asked
from traceprobe.sockets.codec._answer import (
    NO_EXTENSION,
    Answer,
    ExtensionValues,
    read_answer,
    read_extension,
)
from traceprobe.sockets.codec._icmp import IcmpCodec
from traceprobe.sockets.codec._kinds import error_kind
from traceprobe.sockets.codec._ledger import ProbeCodec
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import SentHeader, are_alike

if TYPE_CHECKING:
    from traceprobe.sockets.codec._tcp import DEFAULT_TCP_PORT as DEFAULT_TCP_PORT
    from traceprobe.sockets.codec._tcp import SOURCE_PORTS as SOURCE_PORTS
    from traceprobe.sockets.codec._tcp import TcpCodec as TcpCodec
    from traceprobe.sockets.codec._tcp import connection_changes as connection_changes
    from traceprobe.sockets.codec._udp import DEFAULT_UDP_PORT as DEFAULT_UDP_PORT
    from traceprobe.sockets.codec._udp import UdpCodec as UdpCodec
    from traceprobe.sockets.codec._udp_token import TokenUdpCodec as TokenUdpCodec

_LATE: Final = {
    "DEFAULT_TCP_PORT": "traceprobe.sockets.codec._tcp",
    "DEFAULT_UDP_PORT": "traceprobe.sockets.codec._udp",
    "SOURCE_PORTS": "traceprobe.sockets.codec._tcp",
    "TcpCodec": "traceprobe.sockets.codec._tcp",
    "TokenUdpCodec": "traceprobe.sockets.codec._udp_token",
    "UdpCodec": "traceprobe.sockets.codec._udp",
    "connection_changes": "traceprobe.sockets.codec._tcp",
}
"""What only some ways of probing need, and where it is: imported when one of them is opened."""

__all__ = [
    "DEFAULT_TCP_PORT",
    "DEFAULT_UDP_PORT",
    "NO_EXTENSION",
    "SOURCE_PORTS",
    "Answer",
    "ExtensionValues",
    "IcmpCodec",
    "ProbeCodec",
    "Refusal",
    "SentHeader",
    "TcpCodec",
    "TokenUdpCodec",
    "UdpCodec",
    "are_alike",
    "connection_changes",
    "error_kind",
    "read_answer",
    "read_extension",
]

if not TYPE_CHECKING:
    __getattr__ = import_when_asked(__name__, _LATE)
