"""How to talk to one server by datagrams, on every event loop; the kernel drops what others send."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import anyio
from anyio.abc import ConnectedUDPSocket

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


async def connected_udp_socket(
    server: IPv4Address | IPv6Address | str, port: int, source: IPv4Address | IPv6Address | None
) -> ConnectedUDPSocket:
    """A socket that is connected to a server.

    Args:
        server: Address of the server, possibly with a zone.
        port: Its port.
        source: Where to send from; None lets the routing table choose.

    Raises:
        OSError: The server can't be reached, or the source is none of this machine.
    """
    local = None if source is None else str(source)
    if sys.platform == "win32":
        # asyncio's Proactor can't send by a socket that it has not connected itself.
        return await anyio.create_connected_udp_socket(str(server), port, local_host=local)
    # The other way round, uvloop leaks a socket whose source is refused.
    ((family, kind, protocol, _, address), *_) = await anyio.getaddrinfo(
        str(server), port, type=socket.SOCK_DGRAM
    )
    plain = socket.socket(family, kind, protocol)
    try:
        plain.setblocking(False)
        if local is not None:
            plain.bind((local, 0))
        plain.connect(address)
        return await ConnectedUDPSocket.from_socket(plain)
    except BaseException:
        plain.close()
        raise
