"""Hands out the probe sockets of the real network: the best that platform, privileges and options allow.

Walks the platform's ways of probing in order of quality. An explicit protocol never turns into another
one, an explicit mode is the only one tried; if none is left, the error says why each refused and what
would help on this machine.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

import anyio

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol, TracerouteConfig
from traceprobe.errors import (
    AbiError,
    ConfigError,
    NameResolutionError,
    NoUsableSocketError,
    PrivilegeError,
    TraceprobeError,
    UnsupportedOption,
)
from traceprobe.loops import SystemClock
from traceprobe.sockets._addresses import family_number
from traceprobe.sockets._catalogue import alternatives, needs_nothing
from traceprobe.sockets._modes import mode_line
from traceprobe.sockets._platform import platform_caveat, platform_modes, platform_timer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.loops import Clock
    from traceprobe.sockets._built_in import BuiltInSocket
    from traceprobe.sockets._platform import ModeEntry
    from traceprobe.sockets._report import ModeReport, ModeStatus
    from traceprobe.sockets.protocol import AsyncProbeSocket


class SocketKey(NamedTuple):
    """What two traces must have in common to share a socket: all that is the socket's own state."""

    family: AddressFamily
    protocol: Protocol | None
    mode: Mode | None
    flow: FlowStrategy | None
    with_port: bool
    """Whether a port is asked for, which rules ICMP out."""
    source_port: int | None
    source: str | None
    interface: str | None
    mark: int | None
    dscp: int | None
    ecn: int | None
    flow_label: int | None
    payload_pattern: bytes | None
    dont_fragment: bool | None
    receive_all: bool | None
    receive_buffer: int
    identifier_quarantine: float
    clock_step_tolerance: float


class ProbeSocketFactory:
    """The factory of the real network; see :class:`~traceprobe.sockets.SocketFactory`.

    Args:
        config: What :meth:`report` looks at if it is given nothing else; None for the defaults.
    """

    def __init__(self, config: TracerouteConfig | None = None) -> None:
        self._config = TracerouteConfig() if config is None else config
        self._clock = SystemClock(platform_timer())
        self._refused: tuple[ModeStatus, ...] = ()

    @property
    def clock(self) -> Clock:
        """The system's clocks."""
        return self._clock

    @property
    def refused(self) -> ModeReport:
        """The better ways of probing that the last :meth:`open` passed over, and why."""
        from traceprobe.sockets._report import ModeReport

        return ModeReport(self._refused)

    async def lookup(self, host: str, family: AddressFamily | None) -> Sequence[IPv4Address | IPv6Address]:
        """Resolve a name with the system's resolver (getaddrinfo(3)), in its order of preference.

        Raises:
            NameResolutionError: The name has no address (of that family).
        """
        wanted = socket.AF_UNSPEC if family is None else family_number(family)
        try:
            found = await anyio.getaddrinfo(host, None, family=wanted, type=socket.SOCK_DGRAM)
        except socket.gaierror as error:
            raise NameResolutionError(host, error.strerror or "no such name") from None
        except ValueError:  # a label that is too long, or not encodable
            raise NameResolutionError(host, "it is no valid host name") from None
        addresses = dict.fromkeys(
            ipaddress.ip_address(name[0])
            for kind, *_, name in found
            if kind in {socket.AF_INET, socket.AF_INET6}
        )
        if not addresses:
            raise NameResolutionError(host, "it has no IP address")
        return tuple(addresses)

    def socket_key(self, config: TracerouteConfig, family: AddressFamily) -> SocketKey:
        """What two traces must have in common to share a socket."""
        return SocketKey(
            family=family,
            protocol=config.protocol,
            mode=config.mode,
            flow=config.flow,
            with_port=config.port is not None,
            source_port=config.source_port,
            source=config.source,
            interface=config.interface,
            mark=config.mark,
            dscp=config.dscp,
            ecn=config.ecn,
            flow_label=config.flow_label,
            payload_pattern=config.payload_pattern,
            dont_fragment=config.dont_fragment,
            receive_all=config.receive_all,
            receive_buffer=config.receive_buffer,
            identifier_quarantine=config.timing.identifier_quarantine,
            clock_step_tolerance=config.timing.clock_step_tolerance,
        )

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        """Open the best socket that the configuration, the platform and the privileges allow.

        Raises:
            PrivilegeError: Every mode that fits needs a privilege that the process lacks.
            NoUsableSocketError: No mode is left, for another reason.
            UnsupportedOption: No mode that fits can honour an option.
            ConfigError: An option can't be used on this machine, such as an unknown interface.
        """
        refusals: list[tuple[ModeEntry, TraceprobeError]] = []
        for entry in _fitting(config):
            try:
                opened = self._open_mode(entry, config, family)
            except (UnsupportedOption, NoUsableSocketError, AbiError) as error:
                refusals.append((entry, error))
            else:
                self._refused = tuple(_status(entry, family, error) for entry, error in refusals)
                return opened
        raise _summary(refusals, family)

    def report(self, config: TracerouteConfig | None = None) -> ModeReport:
        """Try every way of probing that this platform has; opens sockets, and closes them at once.

        Args:
            config: Options that the sockets shall honour; None for those of this factory.
        """
        from traceprobe.sockets._report import ModeReport, ModeStatus

        config = self._config if config is None else config
        statuses = []
        for family in AddressFamily:
            for entry in platform_modes():
                try:
                    self._open_mode(entry, config, family).close_now()
                except TraceprobeError as error:
                    statuses.append(_status(entry, family, error))
                else:
                    reason, remedies = platform_caveat(entry.mode, family) or (None, ())
                    statuses.append(
                        ModeStatus(
                            entry.mode, entry.protocol, family, usable=True, reason=reason, remedies=remedies
                        )
                    )
        return ModeReport(tuple(statuses))

    def _open_mode(self, entry: ModeEntry, config: TracerouteConfig, family: AddressFamily) -> BuiltInSocket:
        _check_receive_all(config, entry)
        try:
            return entry.open(config, family, entry.protocol, self._clock)
        except TraceprobeError:
            raise
        except OSError as error:  # what nobody foresaw: no descriptors left, a sandbox, an odd kernel
            reason = f"the system refuses what such sockets need: {error.strerror or error}"
            raise NoUsableSocketError(reason) from error


def _fitting(config: TracerouteConfig) -> Sequence[ModeEntry]:
    """The ways of probing that mode and protocol leave.

    Raises:
        NoUsableSocketError: There is none on this platform at all.
        UnsupportedOption: There is none of that mode or protocol.
    """
    entries = platform_modes()
    if not entries:
        raise NoUsableSocketError(f"there is no way of probing yet on this platform ({sys.platform})")
    mode, protocol = config.mode, config.protocol
    if protocol is not None and protocol not in {entry.protocol for entry in entries}:
        known = alternatives(entry.protocol.value for entry in entries)
        raise UnsupportedOption("protocol", protocol.value, mode=None, remedy=f"choose {known}")
    if mode is not None and mode not in {entry.mode for entry in entries}:
        known = alternatives(entry.mode.value for entry in entries)
        raise UnsupportedOption(
            "mode", mode.value, mode=None, remedy=f"on this platform ({sys.platform}) choose {known}"
        )
    fitting = [
        entry for entry in entries if mode in {None, entry.mode} and protocol in {None, entry.protocol}
    ]
    if protocol is None and mode is None:
        # Connections to a port are opened only where somebody asked for them.
        fitting = [entry for entry in fitting if entry.protocol is not Protocol.TCP]
    if not fitting:
        assert mode is not None
        assert protocol is not None
        others = alternatives(entry.mode.value for entry in entries if entry.protocol is protocol)
        raise UnsupportedOption("protocol", protocol.value, mode=mode.value, remedy=f"choose mode {others}")
    return fitting


def _check_receive_all(config: TracerouteConfig, entry: ModeEntry) -> None:
    """Refuse what only one way of probing knows.

    Raises:
        UnsupportedOption: It is asked for, and this is another one.
    """
    if config.receive_all and entry.mode is not Mode.WINDOWS_RAW:
        raise UnsupportedOption(
            "receive_all",
            config.receive_all,
            mode=entry.mode.value,
            remedy="leave it out: only mode 'windows_raw' has something to receive by it",
        )


def _status(entry: ModeEntry, family: AddressFamily, error: TraceprobeError) -> ModeStatus:
    from traceprobe.sockets._report import ModeStatus

    reason, remedies = _why(error)
    return ModeStatus(entry.mode, entry.protocol, family, usable=False, reason=reason, remedies=remedies)


def _why(error: TraceprobeError) -> tuple[str, tuple[str, ...]]:
    """Why a way of probing can't be used, and what would help."""
    if isinstance(error, NoUsableSocketError):
        return error.message, error.remedies
    return str(error), (error.remedy,) if isinstance(error, UnsupportedOption) else ()


def _free_mode(protocols: set[Protocol]) -> Mode | None:
    """A mode that works here without any privilege, with one of these protocols if there is one."""
    free = [entry for entry in platform_modes() if needs_nothing(entry.mode, entry.protocol)]
    preferred = [entry for entry in free if entry.protocol in protocols]
    return next((entry.mode for entry in (*preferred, *free)), None)


def _summary(refusals: Sequence[tuple[ModeEntry, TraceprobeError]], family: AddressFamily) -> TraceprobeError:
    """One error for all refusals; imports nothing, since there may be no descriptor left to do so."""
    errors = [error for _, error in refusals]
    if all(isinstance(error, ConfigError) for error in errors):
        return errors[0]
    remedies = dict.fromkeys(remedy for error in errors for remedy in _why(error)[1])
    privileged = any(isinstance(error, PrivilegeError) for error in errors)
    free = _free_mode({entry.protocol for entry, _ in refusals})
    if privileged and free is not None and free not in {entry.mode for entry, _ in refusals}:
        remedies[f"choose mode {free.value!r}, which needs no privileges"] = None
    kind = PrivilegeError if privileged else NoUsableSocketError
    tried = alternatives(entry.protocol.value.upper() for entry, _ in refusals).replace("'", "")
    return kind(
        f"no usable socket for {tried} over IPv{family.value}",
        reasons=[mode_line(entry.mode, entry.protocol, family, _why(error)[0]) for entry, error in refusals],
        remedies=list(remedies),
    )
