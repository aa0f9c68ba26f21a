"""Which ways of probing there are on this platform: the one place that knows platforms by name.

Modules of a mode are imported when it is first opened, each by name, so that type checkers see them, and
programs that freeze applications.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from traceprobe.config import Mode, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol as Interface
    from typing import TypeAlias

    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.sockets.protocol import AsyncProbeSocket

    class BuiltInSocket(AsyncProbeSocket, Interface):
        """A probe socket that can also be closed without an event loop."""

        def close_now(self) -> None:
            """Close a socket that no task waits for."""
            ...

    OpenMode: TypeAlias = Callable[[TracerouteConfig, AddressFamily, Protocol, Clock], BuiltInSocket]


class ModeEntry(NamedTuple):
    """One way of probing, with one protocol."""

    mode: Mode
    protocol: Protocol
    open: OpenMode


def platform_modes() -> tuple[ModeEntry, ...]:
    """What this platform has, best first; empty if nothing has been built for it."""
    if sys.platform == "linux":
        return (
            ModeEntry(Mode.LINUX_RAW, Protocol.ICMP, _linux_raw),
            ModeEntry(Mode.LINUX_PING, Protocol.ICMP, _linux_ping),
            ModeEntry(Mode.LINUX_RAW, Protocol.UDP, _linux_raw),
            ModeEntry(Mode.LINUX_UDP, Protocol.UDP, _linux_udp),
            ModeEntry(Mode.LINUX_RAW, Protocol.TCP, _linux_raw),
            ModeEntry(Mode.LINUX_TCP, Protocol.TCP, _linux_tcp),
        )
    elif sys.platform == "win32":  # noqa: RET505 - type checkers then know which branch is for which platform
        return (
            ModeEntry(Mode.WINDOWS_ICMP, Protocol.ICMP, _windows_icmp),
            ModeEntry(Mode.WINDOWS_RAW, Protocol.UDP, _windows_raw),
            ModeEntry(Mode.WINDOWS_RAW, Protocol.TCP, _windows_raw),
        )
    else:
        name = bsd_name(sys.platform)
        return () if name is None else bsd_modes(name)


def unprivileged_mode() -> Mode | None:
    """The mode that works on this platform without any privilege, if there is one."""
    if sys.platform == "linux":
        return Mode.LINUX_UDP
    elif sys.platform == "win32":  # noqa: RET505 - as above
        return Mode.WINDOWS_ICMP
    else:
        return Mode.DARWIN_DGRAM if sys.platform == "darwin" else None


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

    modes = []
    for protocol in (Protocol.ICMP, Protocol.UDP, Protocol.TCP):
        modes.append(ModeEntry(Mode.BSD_RAW, protocol, raw))
        if name == "darwin":
            modes.append(ModeEntry(Mode.DARWIN_DGRAM, protocol, _darwin_dgram))
    return tuple(modes)


def _darwin_dgram(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.bsd.darwin import open_darwin_dgram

    return open_darwin_dgram(config, family, protocol, clock)


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


def _windows_icmp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.windows.icmp import open_windows_icmp

    return open_windows_icmp(config, family, protocol, clock)


def _linux_tcp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.linux.tcp import open_linux_tcp

    return open_linux_tcp(config, family, protocol, clock)


def _windows_raw(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    from traceprobe.sockets.windows.raw import open_windows_raw

    return open_windows_raw(config, family, protocol, clock)
