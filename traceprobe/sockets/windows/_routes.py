"""The way to each destination on Windows: which source address it would choose. Nothing is sent for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.ffi import windows
from traceprobe.sockets._routes import Routes
from traceprobe.sockets.windows._names import pack_name
from traceprobe.sockets.windows._sockets import WinsockSocket
from traceprobe.sockets.windows._status import failure_of

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.ffi.windows import WindowsLibraries

_SOME_PORT: Final = 9
"""Where an unsent datagram would go: the discard service (RFC 863)."""


def windows_routes(libraries: WindowsLibraries, family: AddressFamily, config: TracerouteConfig) -> Routes:
    """Finds ways as Windows does: by naming a peer to a socket that never sends."""

    def find_source(destination: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
        asked = WinsockSocket(libraries, family, windows.SOCK_DGRAM, windows.IPPROTO_UDP)
        try:
            asked.choose_interface(config.interface)
            asked.connect(pack_name(destination, _SOME_PORT))
            return asked.local_name()[0]
        except OSError as error:
            # What Routes makes of it speaks of errno, not of Winsock.
            raise OSError(failure_of(error.errno or 0, "").code, str(error)) from None
        finally:
            asked.close_now()

    return Routes(family, config, find_source, pack_name)
