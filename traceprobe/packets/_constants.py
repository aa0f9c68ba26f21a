"""Protocols and types of messages: numbers that IANA assigns, each with the RFC that defines it.

Parsed fields are plain integers, because the network may send any value; members compare equal to them.
"""

from __future__ import annotations

from enum import IntEnum


class IpProtocol(IntEnum):
    """Protocol field of IPv4, next-header field of IPv6."""

    HOP_BY_HOP_OPTIONS = 0  # RFC 8200 section 4.3
    ICMP = 1  # RFC 792
    TCP = 6  # RFC 9293
    UDP = 17  # RFC 768
    IPV6_ROUTING = 43  # RFC 8200 section 4.4
    IPV6_FRAGMENT = 44  # RFC 8200 section 4.5
    ESP = 50  # RFC 4303
    AUTHENTICATION_HEADER = 51  # RFC 4302
    ICMPV6 = 58  # RFC 4443
    IPV6_NO_NEXT_HEADER = 59  # RFC 8200 section 4.7
    DESTINATION_OPTIONS = 60  # RFC 8200 section 4.6
    SCTP = 132  # RFC 9260


class IcmpType(IntEnum):
    """Types of ICMP messages."""

    ECHO_REPLY = 0  # RFC 792
    DESTINATION_UNREACHABLE = 3  # RFC 792, RFC 4884
    SOURCE_QUENCH = 4  # RFC 792, deprecated by RFC 6633
    REDIRECT = 5  # RFC 792
    ECHO_REQUEST = 8  # RFC 792
    ROUTER_ADVERTISEMENT = 9  # RFC 1256
    ROUTER_SOLICITATION = 10  # RFC 1256
    TIME_EXCEEDED = 11  # RFC 792, RFC 4884
    PARAMETER_PROBLEM = 12  # RFC 792, RFC 4884
    TIMESTAMP = 13  # RFC 792
    TIMESTAMP_REPLY = 14  # RFC 792
    EXTENDED_ECHO_REQUEST = 42  # RFC 8335
    EXTENDED_ECHO_REPLY = 43  # RFC 8335


class Icmpv6Type(IntEnum):
    """Types of ICMPv6 messages; those below 128 are errors (RFC 4443 section 2.1)."""

    DESTINATION_UNREACHABLE = 1  # RFC 4443 section 3.1, RFC 4884
    PACKET_TOO_BIG = 2  # RFC 4443 section 3.2
    TIME_EXCEEDED = 3  # RFC 4443 section 3.3, RFC 4884
    PARAMETER_PROBLEM = 4  # RFC 4443 section 3.4
    ECHO_REQUEST = 128  # RFC 4443 section 4.1
    ECHO_REPLY = 129  # RFC 4443 section 4.2
    MULTICAST_LISTENER_QUERY = 130  # RFC 2710, RFC 3810
    MULTICAST_LISTENER_REPORT = 131  # RFC 2710
    MULTICAST_LISTENER_DONE = 132  # RFC 2710
    ROUTER_SOLICITATION = 133  # RFC 4861 section 4.1
    ROUTER_ADVERTISEMENT = 134  # RFC 4861 section 4.2
    NEIGHBOR_SOLICITATION = 135  # RFC 4861 section 4.3
    NEIGHBOR_ADVERTISEMENT = 136  # RFC 4861 section 4.4
    REDIRECT = 137  # RFC 4861 section 4.5
    MULTICAST_LISTENER_REPORT_V2 = 143  # RFC 3810 section 5.2
    EXTENDED_ECHO_REQUEST = 160  # RFC 8335
    EXTENDED_ECHO_REPLY = 161  # RFC 8335
