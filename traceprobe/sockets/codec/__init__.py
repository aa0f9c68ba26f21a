"""Wire identifiers and matching, sans-IO: shared by every socket that sees packets, simulated ones too.

A codec gives each probe an identifier that no other outstanding probe of its socket has, builds the
transport segment, and finds the probe again that a received message answers, or says why there is none.
Matching is exact: destination, protocol, identifier or ports, sequence number or checksum, and an
unguessable token wherever the message has room for it. What a message says beyond that, and what the path
did to the probe that it quotes, is read here as well.

Knows no sockets, no clocks, and nothing of what a trace makes of a reply.
"""

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
from traceprobe.sockets.codec._tcp import DEFAULT_TCP_PORT, SOURCE_PORTS, TcpCodec, connection_changes
from traceprobe.sockets.codec._template import SentHeader, of_one_trace
from traceprobe.sockets.codec._udp import DEFAULT_UDP_PORT, UdpCodec
from traceprobe.sockets.codec._udp_token import TokenUdpCodec

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
    "connection_changes",
    "error_kind",
    "of_one_trace",
    "read_answer",
    "read_extension",
]
