"""A reply as a socket hands it out: matched to its probe, timed, and free of wire identifiers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from traceprobe._frozen import frozen
from traceprobe.model._quick import build_quickly

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model._extension_objects import ExtensionObject, InterfaceInformation, MplsLabel
    from traceprobe.model._probe import ProbeId


class ReplyKind(StrEnum):
    """What a reply says about its probe, the same words for IPv4 and IPv6."""

    ECHO_REPLY = "echo_reply"
    TIME_EXCEEDED = "time_exceeded"
    PORT_UNREACHABLE = "port_unreachable"
    PROTOCOL_UNREACHABLE = "protocol_unreachable"
    UNREACHABLE = "unreachable"
    PACKET_TOO_BIG = "packet_too_big"
    PARAMETER_PROBLEM = "parameter_problem"
    SYN_ACK = "syn_ack"
    RST = "rst"
    UDP_DATA = "udp_data"


_ANSWERS = frozenset({ReplyKind.ECHO_REPLY, ReplyKind.SYN_ACK, ReplyKind.RST, ReplyKind.UDP_DATA})
_REFUSALS = frozenset({ReplyKind.PORT_UNREACHABLE, ReplyKind.PROTOCOL_UNREACHABLE})


def answers_for(
    destination: IPv4Address | IPv6Address, kind: ReplyKind, address: IPv4Address | IPv6Address
) -> bool:
    """Whether a reply is the destination's own answer, the end of every path.

    A socket has matched an echo reply, a TCP segment or UDP data to its probe, so that it answers for
    the destination whatever address it bears (one machine can have many). An ICMP error speaks for the
    destination only from the destination's own address, and never if it is a time-exceeded: the
    destination's machine may well be a router on the way to itself.
    """
    if kind in _ANSWERS:
        return True
    # fe80::1%eth0 and fe80::1 are unequal to ipaddress, but they are one host to a trace.
    same_host = address.version == destination.version and int(address) == int(destination)
    return kind in _REFUSALS and same_host


class TimestampSource(StrEnum):
    """Where both ends of a round-trip time come from, best first.

    ``KERNEL_TX_RX``: kernel stamps on the way out and in. ``KERNEL_RX``: the clock read just before
    the send call, and the kernel's stamp on the way in. ``USER``: clocks read by the process.
    ``QPC``: the Windows performance counter. ``SIMULATED``: the exact virtual clock of a simulation.
    """

    KERNEL_TX_RX = "kernel_tx_rx"
    KERNEL_RX = "kernel_rx"
    USER = "user"
    QPC = "qpc"
    SIMULATED = "simulated"


class ChangedField(StrEnum):
    """A mutable field of a probe, as far as a quoted datagram shows what became of it."""

    TTL = "ttl"
    """Only where it is odd: other than 1 (0 from some routers) in a time-exceeded message."""
    DSCP = "dscp"
    ECN = "ecn"
    IDENTIFICATION = "identification"
    TOTAL_LENGTH = "total_length"
    DONT_FRAGMENT = "dont_fragment"
    FRAGMENT_OFFSET = "fragment_offset"
    IP_CHECKSUM = "ip_checksum"
    """Quoted header checksum that doesn't fit the quoted header."""
    FLOW_LABEL = "flow_label"
    SOURCE = "source"
    """Source address: a translator stands in the way."""
    SOURCE_PORT = "source_port"
    DESTINATION_PORT = "destination_port"
    UDP_LENGTH = "udp_length"
    TRANSPORT_CHECKSUM = "transport_checksum"
    TCP_FLAGS = "tcp_flags"
    TCP_WINDOW = "tcp_window"
    TCP_OPTIONS = "tcp_options"
    PAYLOAD = "payload"


@frozen
class Change:
    """One mutable field of a probe that differed when the responder saw it."""

    field: ChangedField
    sent: int | str
    """Value that left this machine; addresses and bytes as text."""
    seen: int | str
    """Value that the responder quoted."""


@frozen(weakref_slot=False)
class Reply:
    """An answer to one probe."""

    probe_id: ProbeId
    kind: ReplyKind
    address: IPv4Address | IPv6Address
    """Who sent it."""
    rtt_ns: int
    """Round-trip time, nanoseconds."""
    received_ns: int
    """Arrival at the machine on the monotonic clock, nanoseconds."""
    timestamp_source: TimestampSource
    sent_at_ns: int | None = None
    """Wall clock when the probe left the machine, if known better than when it was handed over."""
    icmp_type: int | None = None
    icmp_code: int | None = None
    reply_ttl: int | None = None
    """TTL or hop limit that the reply arrived with."""
    quoted_ttl: int | None = None
    """TTL or hop limit of the probe as the responder saw it, where the mode can see the quote."""
    mtu: int | None = None
    """Next-hop MTU of a packet-too-big or fragmentation-needed message."""
    mpls: tuple[MplsLabel, ...] = ()
    interfaces: tuple[InterfaceInformation, ...] = ()
    """What the responder tells about its interfaces (RFC 5837)."""
    extensions: tuple[ExtensionObject, ...] = ()
    """Extension objects of kinds that have no field of their own here."""
    changes: tuple[Change, ...] = ()
    """What the path did to the probe, as far as the mode can see the quote."""


build_reply = build_quickly(Reply)
"""Builds a :class:`Reply` in innermost loops."""
