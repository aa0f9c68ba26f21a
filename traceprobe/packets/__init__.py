"""Sans-IO codecs for IPv4, IPv6, ICMP, ICMPv6, TCP and UDP: bytes to fields and back.

Whatever the bytes, parsing ends with a value or with :class:`~traceprobe.errors.PacketError`. Values hold
views of the buffer that was parsed, not copies: who reuses the buffer must be done with them, or copy.

Knows no sockets and no time, and decides nothing: which probe a reply belongs to is settled elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe._late import import_when_asked
from traceprobe.packets._arguments import Buffer, IPAddress
from traceprobe.packets._checksum import internet_checksum, ones_complement_sum, pseudo_header_sum
from traceprobe.packets._constants import IpProtocol
from traceprobe.packets._extension_place import find_extension
from traceprobe.packets._icmp import (
    EchoMessage,
    IcmpError,
    IcmpOther,
    build_icmp_echo,
    build_icmp_error,
    parse_icmp,
)
from traceprobe.packets._quote import QuotedDatagram, parse_quoted

if TYPE_CHECKING:
    from traceprobe.packets._codes import IcmpParameterProblemCode as IcmpParameterProblemCode
    from traceprobe.packets._codes import IcmpRedirectCode as IcmpRedirectCode
    from traceprobe.packets._codes import IcmpTimeExceededCode as IcmpTimeExceededCode
    from traceprobe.packets._codes import IcmpType as IcmpType
    from traceprobe.packets._codes import IcmpUnreachableCode as IcmpUnreachableCode
    from traceprobe.packets._codes import Icmpv6ParameterProblemCode as Icmpv6ParameterProblemCode
    from traceprobe.packets._codes import Icmpv6TimeExceededCode as Icmpv6TimeExceededCode
    from traceprobe.packets._codes import Icmpv6Type as Icmpv6Type
    from traceprobe.packets._codes import Icmpv6UnreachableCode as Icmpv6UnreachableCode
    from traceprobe.packets._extensions import ExtensionClass as ExtensionClass
    from traceprobe.packets._extensions import Extensions as Extensions
    from traceprobe.packets._extensions import InterfaceObject as InterfaceObject
    from traceprobe.packets._extensions import InterfaceObjectRole as InterfaceObjectRole
    from traceprobe.packets._extensions import LabelStackEntry as LabelStackEntry
    from traceprobe.packets._extensions import UnknownObject as UnknownObject
    from traceprobe.packets._extensions import build_extensions as build_extensions
    from traceprobe.packets._extensions import parse_extensions as parse_extensions
    from traceprobe.packets._ip import IPDatagram as IPDatagram
    from traceprobe.packets._ip import IPv4Header as IPv4Header
    from traceprobe.packets._ip import IPv6Header as IPv6Header
    from traceprobe.packets._ip import build_ipv4 as build_ipv4
    from traceprobe.packets._ip import build_ipv6 as build_ipv6
    from traceprobe.packets._ip import parse_ip as parse_ip
    from traceprobe.packets._tcp import QuotedTcp as QuotedTcp
    from traceprobe.packets._tcp import TcpFlag as TcpFlag
    from traceprobe.packets._tcp import TcpOption as TcpOption
    from traceprobe.packets._tcp import TcpOptionKind as TcpOptionKind
    from traceprobe.packets._tcp import TcpSegment as TcpSegment
    from traceprobe.packets._tcp import build_tcp as build_tcp
    from traceprobe.packets._tcp import build_tcp_options as build_tcp_options
    from traceprobe.packets._tcp import parse_quoted_tcp as parse_quoted_tcp
    from traceprobe.packets._tcp import parse_tcp as parse_tcp
    from traceprobe.packets._tcp import parse_tcp_options as parse_tcp_options
    from traceprobe.packets._udp import UdpDatagram as UdpDatagram
    from traceprobe.packets._udp import build_udp as build_udp
    from traceprobe.packets._udp import build_udp_with_checksum as build_udp_with_checksum
    from traceprobe.packets._udp import parse_udp as parse_udp

_LATE: Final = {
    "traceprobe.packets._codes": (
        "Icmpv6Type",
        "IcmpType",
        "IcmpParameterProblemCode",
        "IcmpRedirectCode",
        "IcmpTimeExceededCode",
        "IcmpUnreachableCode",
        "Icmpv6ParameterProblemCode",
        "Icmpv6TimeExceededCode",
        "Icmpv6UnreachableCode",
    ),
    "traceprobe.packets._extensions": (
        "ExtensionClass",
        "Extensions",
        "InterfaceObject",
        "InterfaceObjectRole",
        "LabelStackEntry",
        "UnknownObject",
        "build_extensions",
        "parse_extensions",
    ),
    "traceprobe.packets._ip": (
        "IPDatagram",
        "IPv4Header",
        "IPv6Header",
        "build_ipv4",
        "build_ipv6",
        "parse_ip",
    ),
    "traceprobe.packets._tcp": (
        "QuotedTcp",
        "TcpFlag",
        "TcpOption",
        "TcpOptionKind",
        "TcpSegment",
        "build_tcp",
        "build_tcp_options",
        "parse_quoted_tcp",
        "parse_tcp",
        "parse_tcp_options",
    ),
    "traceprobe.packets._udp": (
        "UdpDatagram",
        "build_udp",
        "build_udp_with_checksum",
        "parse_udp",
    ),
}
"""What a trace hardly ever needs, and where it is: imported when somebody asks for it."""
_HOME_OF: Final = {name: home for home, names in _LATE.items() for name in names}

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

if not TYPE_CHECKING:
    __getattr__ = import_when_asked(__name__, _HOME_OF)
