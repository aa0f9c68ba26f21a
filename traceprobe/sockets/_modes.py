"""What a way of probing makes of a configuration: options it can't honour, and the flow it holds."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from traceprobe.config import FlowStrategy, Protocol
from traceprobe.errors import FamilyMismatchError, UnsupportedOption

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, Mode, TracerouteConfig

_NS = 1_000_000_000
_ECN_BITS = 2


def choose_flow(
    config: TracerouteConfig,
    mode: Mode,
    flows: frozenset[FlowStrategy],
    *,
    protocol: Protocol,
    otherwise: str | None = None,
) -> FlowStrategy:
    """The flow strategy to use: the one asked for, or the steadiest that the mode can hold.

    Args:
        config: Asks for one, or leaves it open.
        mode: The way of probing.
        flows: What it can hold.
        protocol: What the probes are made of.
        otherwise: What else can hold the flow, in words; None for raw sockets of Linux.

    Raises:
        UnsupportedOption: The mode can't hold the one that was asked for.
    """
    if config.flow is None:
        return FlowStrategy.PARIS if FlowStrategy.PARIS in flows else FlowStrategy.CLASSIC
    if config.flow in flows:
        return config.flow
    choices = " or ".join(repr(flow.value) for flow in sorted(flows))
    if config.flow is FlowStrategy.DUBLIN:
        raise UnsupportedOption("flow", config.flow.value, mode=None, remedy=f"choose {choices}")
    if otherwise is None:
        otherwise = (
            f"mode 'linux_raw', which holds the flow of {protocol.value.upper()} probes but needs privileges"
        )
    raise UnsupportedOption(
        "flow", config.flow.value, mode=mode.value, remedy=f"choose {choices}, or {otherwise}"
    )


def check_ports(config: TracerouteConfig, mode: Mode, protocol: Protocol) -> None:
    """Refuse ports where probes have none.

    Raises:
        UnsupportedOption: A port was given for ICMP.
    """
    if protocol is not Protocol.ICMP:
        return
    for name, value in (("port", config.port), ("source_port", config.source_port)):
        if value is not None:
            raise UnsupportedOption(
                name, value, mode=mode.value, remedy="ICMP has no ports: choose protocol 'udp'"
            )


def quarantine_ns(config: TracerouteConfig) -> int:
    """How long identifiers rest, in nanoseconds."""
    return round(config.timing.identifier_quarantine * _NS)


def source_address(family: AddressFamily, config: TracerouteConfig) -> IPv4Address | IPv6Address | None:
    """The source address that was asked for, if one was.

    Raises:
        FamilyMismatchError: It is of the other family.
    """
    if config.source is None:
        return None
    address = ipaddress.ip_address(config.source)
    if address.version != family:
        raise FamilyMismatchError("source", config.source, f"an IPv{family.value} address")
    return address


def traffic_class(config: TracerouteConfig) -> int:
    """The byte that holds DSCP and ECN bits (RFC 2474 section 3, RFC 3168 section 5)."""
    return (config.dscp or 0) << _ECN_BITS | (config.ecn or 0)
