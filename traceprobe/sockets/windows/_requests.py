"""Echo requests out of probes and a configuration: sizes, payloads, options, and what can't be asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from traceprobe.config import MAX_PACKET_SIZE, MAX_TTL, AddressFamily, Mode, Protocol
from traceprobe.errors import ConfigError, UnsupportedOption, UsageError
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets._modes import traffic_class
from traceprobe.sockets.windows._echo import EchoRequest
from traceprobe.sockets.windows._names import source_name

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.model import Probe

TOKEN_SIZE: Final = 12
"""Bytes at the head of each payload that only who got the request can know."""

_IP_HEADER: Final = {AddressFamily.IPV4: 20, AddressFamily.IPV6: 40}
_ECHO_HEADER: Final = 8
_DEFAULT_SIZE: Final = {AddressFamily.IPV4: 60, AddressFamily.IPV6: 80}
_LARGEST: Final = 0x7FFFFFFF
"""The largest number of milliseconds that nothing in Windows takes for a negative one."""
_PER_SECOND: Final = 1000


class RequestMaker:
    """Makes the requests of one socket.

    Args:
        config: The configuration that it was opened with.
        family: Address family of all destinations.
    """

    def __init__(self, config: TracerouteConfig, family: AddressFamily) -> None:
        self._family = family
        self._pattern = config.payload_pattern or bytes(1)
        self._traffic_class = traffic_class(config)
        self._dont_fragment = bool(config.dont_fragment)
        self._probe_timeout = config.timing.probe_timeout

    def check(self, probe: Probe) -> None:
        """Check that a probe can be sent.

        Raises:
            ConfigError: Its size, port or TTL is one that can't.
            UsageError: It goes to the other address family.
        """
        if probe.destination.version != self._family:
            raise UsageError(f"{probe.destination} is no IPv{self._family.value} address")
        if not 1 <= probe.ttl <= MAX_TTL:
            raise ConfigError("ttl", probe.ttl, f"from 1 to {MAX_TTL}")
        if probe.port is not None:
            raise ConfigError("port", probe.port, "None for ICMP, which has no ports; choose UDP or TCP")
        if probe.size is not None:
            check_size(self._family, probe.size)

    def make(self, probe: Probe, token: bytes, name: bytes) -> EchoRequest:
        """The request for a probe that was checked.

        Args:
            probe: The probe.
            token: What its payload begins with.
            name: Socket address of its destination.
        """
        family = self._family
        size = (probe.size or _DEFAULT_SIZE[family]) - _IP_HEADER[family] - _ECHO_HEADER
        # One that names no time-out has that of the socket.
        seconds = probe.timeout or self._probe_timeout
        return EchoRequest(
            destination=probe.destination,
            name=name,
            payload=(token + self._pattern * (size // len(self._pattern) + 1))[:size],
            ttl=probe.ttl,
            traffic_class=self._traffic_class,
            dont_fragment=self._dont_fragment,
            milliseconds=min(math.ceil(seconds * _PER_SECOND), _LARGEST),
        )


def check_size(family: AddressFamily, size: int) -> None:
    """Check the size of a probe, IP header included.

    Raises:
        ConfigError: It is too small or too large.
    """
    smallest = _IP_HEADER[family] + _ECHO_HEADER
    if not smallest <= size <= MAX_PACKET_SIZE:
        raise ConfigError(
            "packet_size", size, f"from {smallest} to {MAX_PACKET_SIZE} bytes for ICMP over IPv{family.value}"
        )


def check_options(config: TracerouteConfig, family: AddressFamily) -> None:
    """Refuse what ``iphlpapi`` can't do.

    Raises:
        UnsupportedOption: An option can't be honoured.
        FamilyMismatchError: The source address is of the other family.
        ConfigError: The packet size is none for this mode, or the source address none of this machine.
    """
    mode = Mode.WINDOWS_ICMP
    facts = facts_of(mode, Protocol.ICMP)
    facts.choose_flow(config)
    if config.interface is not None:
        raise UnsupportedOption(
            "interface",
            config.interface,
            mode=mode.value,
            remedy="name the address of the interface as source",
        )
    facts.check(config, family)
    if family is AddressFamily.IPV6:
        if config.dont_fragment:
            raise UnsupportedOption(
                "dont_fragment", True, mode=mode.value, remedy="choose IPv4, or mode 'windows_raw'"
            )
        for name, value in (("dscp", config.dscp), ("ecn", config.ecn)):
            if value:
                raise UnsupportedOption(name, value, mode=mode.value, remedy="choose IPv4")
    source_name(family, config)
    if config.packet_size is not None:
        check_size(family, config.packet_size)
