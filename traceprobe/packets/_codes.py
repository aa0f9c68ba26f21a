"""Types and codes of ICMP messages: numbers that IANA assigns, each with the RFC that defines it.

The codecs hardly need them, so that they are imported when somebody asks for one.
"""

from __future__ import annotations

from enum import IntEnum


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


class IcmpUnreachableCode(IntEnum):
    """Codes of ICMP destination unreachable."""

    NETWORK = 0  # RFC 792
    HOST = 1  # RFC 792
    PROTOCOL = 2  # RFC 792
    PORT = 3  # RFC 792
    FRAGMENTATION_NEEDED = 4  # RFC 792, RFC 1191
    SOURCE_ROUTE_FAILED = 5  # RFC 792
    NETWORK_UNKNOWN = 6  # RFC 1122 section 3.2.2.1
    HOST_UNKNOWN = 7  # RFC 1122 section 3.2.2.1
    SOURCE_HOST_ISOLATED = 8  # RFC 1122 section 3.2.2.1
    NETWORK_PROHIBITED = 9  # RFC 1122 section 3.2.2.1
    HOST_PROHIBITED = 10  # RFC 1122 section 3.2.2.1
    NETWORK_FOR_SERVICE = 11  # RFC 1122 section 3.2.2.1
    HOST_FOR_SERVICE = 12  # RFC 1122 section 3.2.2.1
    ADMINISTRATIVELY_PROHIBITED = 13  # RFC 1812 section 5.2.7.1
    HOST_PRECEDENCE_VIOLATION = 14  # RFC 1812 section 5.2.7.1
    PRECEDENCE_CUTOFF = 15  # RFC 1812 section 5.2.7.1


class IcmpRedirectCode(IntEnum):
    """Codes of ICMP redirect."""

    NETWORK = 0  # RFC 792
    HOST = 1  # RFC 792
    SERVICE_AND_NETWORK = 2  # RFC 792
    SERVICE_AND_HOST = 3  # RFC 792


class IcmpTimeExceededCode(IntEnum):
    """Codes of ICMP time exceeded."""

    TTL_IN_TRANSIT = 0  # RFC 792
    FRAGMENT_REASSEMBLY = 1  # RFC 792


class IcmpParameterProblemCode(IntEnum):
    """Codes of ICMP parameter problem."""

    POINTER = 0  # RFC 792
    MISSING_OPTION = 1  # RFC 1108, RFC 1122 section 3.2.2.5
    BAD_LENGTH = 2  # assigned by IANA, without an RFC


class Icmpv6UnreachableCode(IntEnum):
    """Codes of ICMPv6 destination unreachable."""

    NO_ROUTE = 0  # RFC 4443 section 3.1
    ADMINISTRATIVELY_PROHIBITED = 1  # RFC 4443 section 3.1
    BEYOND_SCOPE = 2  # RFC 4443 section 3.1
    ADDRESS = 3  # RFC 4443 section 3.1
    PORT = 4  # RFC 4443 section 3.1
    SOURCE_ADDRESS_POLICY = 5  # RFC 4443 section 3.1
    REJECT_ROUTE = 6  # RFC 4443 section 3.1
    SOURCE_ROUTING_HEADER = 7  # RFC 6550, RFC 6554
    HEADERS_TOO_LONG = 8  # RFC 8883


class Icmpv6TimeExceededCode(IntEnum):
    """Codes of ICMPv6 time exceeded."""

    HOP_LIMIT_IN_TRANSIT = 0  # RFC 4443 section 3.3
    FRAGMENT_REASSEMBLY = 1  # RFC 4443 section 3.3


class Icmpv6ParameterProblemCode(IntEnum):
    """Codes of ICMPv6 parameter problem."""

    ERRONEOUS_HEADER_FIELD = 0  # RFC 4443 section 3.4
    UNRECOGNIZED_NEXT_HEADER = 1  # RFC 4443 section 3.4
    UNRECOGNIZED_OPTION = 2  # RFC 4443 section 3.4
    INCOMPLETE_HEADER_CHAIN = 3  # RFC 7112
    SEGMENT_ROUTING_UPPER_LAYER = 4  # RFC 8754
    UNRECOGNIZED_NEXT_HEADER_BY_NODE = 5  # RFC 8883
    EXTENSION_HEADER_TOO_BIG = 6  # RFC 8883
    EXTENSION_CHAIN_TOO_LONG = 7  # RFC 8883
    TOO_MANY_EXTENSION_HEADERS = 8  # RFC 8883
    TOO_MANY_OPTIONS = 9  # RFC 8883
    OPTION_TOO_BIG = 10  # RFC 8883
