"""Protocols: numbers that IANA assigns and the codecs know by name, each with the RFC that defines it.

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
