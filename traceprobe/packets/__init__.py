"""Sans-IO codecs for IPv4, IPv6, ICMP, ICMPv6, TCP and UDP: bytes to fields and back.

Whatever the bytes, parsing ends with a value or with :class:`~traceprobe.errors.PacketError`. Values hold
views of the buffer that was parsed, not copies: who reuses the buffer must be done with them, or copy.

Knows no sockets and no time, and decides nothing: which probe a reply belongs to is settled elsewhere.
"""

from __future__ import annotations

from traceprobe.packets._arguments import Buffer, IPAddress
from traceprobe.packets._checksum import internet_checksum, ones_complement_sum, pseudo_header_sum
from traceprobe.packets._constants import (
    IcmpParameterProblemCode,
    IcmpRedirectCode,
    IcmpTimeExceededCode,
    IcmpType,
    IcmpUnreachableCode,
    Icmpv6ParameterProblemCode,
    Icmpv6TimeExceededCode,
    Icmpv6Type,
    Icmpv6UnreachableCode,
    IpProtocol,
)
from traceprobe.packets._extension_place import find_extension
from traceprobe.packets._extensions import (
    ExtensionClass,
    Extensions,
    InterfaceObject,
    InterfaceObjectRole,
    LabelStackEntry,
    UnknownObject,
    build_extensions,
    parse_extensions,
)
from traceprobe.packets._icmp import (
    EchoMessage,
    IcmpError,
    IcmpOther,
    build_icmp_echo,
    build_icmp_error,
    parse_icmp,
)
from traceprobe.packets._ip import IPDatagram, IPv4Header, IPv6Header, build_ipv4, build_ipv6, parse_ip
from traceprobe.packets._quote import QuotedDatagram, parse_quoted
from traceprobe.packets._tcp import (
    QuotedTcp,
    TcpFlag,
    TcpOption,
    TcpOptionKind,
    TcpSegment,
    build_tcp,
    build_tcp_options,
    parse_quoted_tcp,
    parse_tcp,
    parse_tcp_options,
)
from traceprobe.packets._udp import UdpDatagram, build_udp, build_udp_with_checksum, parse_udp

__all__ = [
    "Buffer",
    "EchoMessage",
    "ExtensionClass",
    "Extensions",
    "IPAddress",
    "IPDatagram",
    "IPv4Header",
    "IPv6Header",
    "IcmpError",
    "IcmpOther",
    "IcmpParameterProblemCode",
    "IcmpRedirectCode",
    "IcmpTimeExceededCode",
    "IcmpType",
    "IcmpUnreachableCode",
    "Icmpv6ParameterProblemCode",
    "Icmpv6TimeExceededCode",
    "Icmpv6Type",
    "Icmpv6UnreachableCode",
    "InterfaceObject",
    "InterfaceObjectRole",
    "IpProtocol",
    "LabelStackEntry",
    "QuotedDatagram",
    "QuotedTcp",
    "TcpFlag",
    "TcpOption",
    "TcpOptionKind",
    "TcpSegment",
    "UdpDatagram",
    "UnknownObject",
    "build_extensions",
    "build_icmp_echo",
    "build_icmp_error",
    "build_ipv4",
    "build_ipv6",
    "build_tcp",
    "build_tcp_options",
    "build_udp",
    "build_udp_with_checksum",
    "find_extension",
    "internet_checksum",
    "ones_complement_sum",
    "parse_extensions",
    "parse_icmp",
    "parse_ip",
    "parse_quoted",
    "parse_quoted_tcp",
    "parse_tcp",
    "parse_tcp_options",
    "parse_udp",
    "pseudo_header_sum",
]
