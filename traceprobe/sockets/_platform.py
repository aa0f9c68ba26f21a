"""Which ways of probing there are on this platform: the one place that knows platforms by name.

Modules of a mode are imported when it is first opened, each by name, so that type checkers see them, and
programs that freeze applications.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, NamedTuple

from traceprobe.config import Mode, Protocol
from traceprobe.sockets._catalogue import BSD, LINUX, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.loops import Clock, OpenTimer
    from traceprobe.sockets._built_in import BuiltInSocket, OpenMode
    from traceprobe.sockets._catalogue import ModeFacts


class ModeEntry(NamedTuple):
    """One way of probing, with one protocol."""

    mode: Mode
    protocol: Protocol
    open: OpenMode


def platform_modes() -> tuple[ModeEntry, ...]:
    """What this platform has, best first; empty if nothing has been built for it."""
    if sys.platform == "linux":
        return _linux_modes()
    elif sys.platform == "win32":  # noqa: RET505 - type checkers then know which branch is for which platform
        return _entries(WINDOWS, {Mode.WINDOWS_ICMP: _windows_icmp, Mode.WINDOWS_RAW: _windows_raw})
    else:
        name = bsd_name(sys.platform)
        return () if name is None else bsd_modes(name)


@functools.cache
def _linux_modes() -> tuple[ModeEntry, ...]:
    openers: Mapping[Mode, OpenMode] = {
        Mode.LINUX_RAW: _linux_raw,
        Mode.LINUX_PING: _linux_ping,
        Mode.LINUX_UDP: _linux_udp,
        Mode.LINUX_TCP: _linux_tcp,
    }
    return _entries(LINUX, openers)


def bsd_name(platform: str) -> str | None:
    """Which of the systems of ``ffi.bsd`` a platform is; None if none of them.

    Args:
        platform: As ``sys.platform`` has it: with the release at its end, but on macOS.
    """
    known = ("freebsd", "netbsd", "openbsd", "dragonfly", "darwin")
    return next((name for name in known if platform.startswith(name)), None)


def bsd_modes(name: str) -> tuple[ModeEntry, ...]:
    """What a BSD or macOS has, best first.

    Args:
        name: Name of the system.
    """

    def raw(
        config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
    ) -> BuiltInSocket:
        from traceprobe.sockets.bsd.raw import open_bsd_raw

        return open_bsd_raw(name, config, family, protocol, clock)

    openers: dict[Mode, OpenMode] = {Mode.BSD_RAW: raw}
    if name == "darwin":
        openers[Mode.DARWIN_DGRAM] = _darwin_dgram
    return _entries(BSD, openers)


def _entries(ways: Iterable[ModeFacts], openers: Mapping[Mode, OpenMode]) -> tuple[ModeEntry, ...]:
    """The ways of probing that something opens, in their order."""
    return tuple(
        ModeEntry(facts.mode, facts.protocol, openers[facts.mode]) for facts in ways if facts.mode in openers
    )


def platform_timer() -> OpenTimer | None:
    """What opens a timer that is a descriptor; None where event loops have none to watch."""
    if sys.platform == "linux":
        from traceprobe.ffi.linux_timer import LinuxTimer

        return LinuxTimer
    else:  # noqa: RET505 - as above
        return None


def platform_caveat(mode: Mode, family: AddressFamily) -> tuple[str, tuple[str, ...]] | None:
    """What may keep a mode from seeing answers though it can be opened, and what would help."""
    if sys.platform == "win32" and mode is Mode.WINDOWS_RAW:
        from traceprobe.sockets.windows._firewall import firewall_caveat, read_registry

        return firewall_caveat(family, read_registry)
    return None


def _linux_raw(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.linux.raw import open_linux_raw

    return open_linux_raw(config, family, protocol, clock)


def _linux_ping(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.linux.ping import open_linux_ping

    return open_linux_ping(config, family, protocol, clock)


def _linux_udp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.linux.udp import open_linux_udp

    return open_linux_udp(config, family, protocol, clock)


def _linux_tcp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.linux.tcp import open_linux_tcp

    return open_linux_tcp(config, family, protocol, clock)


def _windows_icmp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.windows.icmp import open_windows_icmp

    return open_windows_icmp(config, family, protocol, clock)


def _windows_raw(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.windows.raw import open_windows_raw

    return open_windows_raw(config, family, protocol, clock)


def _darwin_dgram(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.bsd.darwin import open_darwin_dgram

    return open_darwin_dgram(config, family, protocol, clock)
