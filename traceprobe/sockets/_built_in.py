"""What the factory asks of the ways of probing that traceprobe brings along, beyond the public protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from traceprobe.sockets.protocol import AsyncProbeSocket

if TYPE_CHECKING:
    import traceprobe.config
    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.loops import Clock


class BuiltInSocket(AsyncProbeSocket, Protocol):
    """A probe socket that can also be closed without an event loop."""

    def close_now(self) -> None:
        """Close a socket that no task waits for."""
        ...


class OpenMode(Protocol):
    """Opens the sockets of one way of probing."""

    def __call__(
        self,
        config: TracerouteConfig,
        family: AddressFamily,
        protocol: traceprobe.config.Protocol,
        clock: Clock,
        /,
    ) -> BuiltInSocket:
        """Open them.

        Raises:
            PrivilegeError: The process must not.
            NoUsableSocketError: This machine has no such sockets.
            UnsupportedOption: An option can't be honoured.
            ConfigError: An option can't be used on this machine.
            AbiError: The system is not laid out as it is known to be.
        """
        ...
