"""Numbers that IANA assigns: spot checks against the RFCs, and agreement with parsed fields."""

from __future__ import annotations

import socket

import pytest

from traceprobe.packets import (
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


@pytest.mark.parametrize(
    ("member", "name"),
    [
        (IpProtocol.ICMP, "IPPROTO_ICMP"),
        (IpProtocol.TCP, "IPPROTO_TCP"),
        (IpProtocol.UDP, "IPPROTO_UDP"),
        (IpProtocol.ICMPV6, "IPPROTO_ICMPV6"),
        (IpProtocol.IPV6_ROUTING, "IPPROTO_ROUTING"),
        (IpProtocol.IPV6_FRAGMENT, "IPPROTO_FRAGMENT"),
        (IpProtocol.AUTHENTICATION_HEADER, "IPPROTO_AH"),
        (IpProtocol.ESP, "IPPROTO_ESP"),
        (IpProtocol.IPV6_NO_NEXT_HEADER, "IPPROTO_NONE"),
        (IpProtocol.DESTINATION_OPTIONS, "IPPROTO_DSTOPTS"),
        (IpProtocol.SCTP, "IPPROTO_SCTP"),
    ],
)
def test_protocols_are_those_of_the_system(member: IpProtocol, name: str) -> None:
    number = getattr(socket, name, None)
    assert number is None or member == number


def test_numbers_that_traceroute_lives_by() -> None:
    assert (IcmpType.ECHO_REPLY, IcmpType.ECHO_REQUEST) == (0, 8)
    assert (IcmpType.DESTINATION_UNREACHABLE, IcmpType.TIME_EXCEEDED, IcmpType.PARAMETER_PROBLEM) == (
        3,
        11,
        12,
    )
    assert (IcmpUnreachableCode.PROTOCOL, IcmpUnreachableCode.PORT) == (2, 3)
    assert (IcmpUnreachableCode.FRAGMENTATION_NEEDED, IcmpUnreachableCode.ADMINISTRATIVELY_PROHIBITED) == (
        4,
        13,
    )
    assert (Icmpv6Type.ECHO_REQUEST, Icmpv6Type.ECHO_REPLY) == (128, 129)
    assert (Icmpv6Type.DESTINATION_UNREACHABLE, Icmpv6Type.PACKET_TOO_BIG) == (1, 2)
    assert (Icmpv6Type.TIME_EXCEEDED, Icmpv6Type.PARAMETER_PROBLEM) == (3, 4)
    assert (Icmpv6UnreachableCode.ADDRESS, Icmpv6UnreachableCode.PORT) == (3, 4)
    assert (IcmpTimeExceededCode.TTL_IN_TRANSIT, Icmpv6TimeExceededCode.HOP_LIMIT_IN_TRANSIT) == (0, 0)
    assert (IcmpParameterProblemCode.POINTER, Icmpv6ParameterProblemCode.UNRECOGNIZED_NEXT_HEADER) == (0, 1)
    assert (IcmpRedirectCode.NETWORK, IcmpRedirectCode.HOST) == (0, 1)


def test_errors_of_icmpv6_are_below_128() -> None:
    errors = {member for member in Icmpv6Type if member < 128}
    assert errors == {1, 2, 3, 4}
