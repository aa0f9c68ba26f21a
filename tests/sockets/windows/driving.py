"""What tests of all Windows sockets do alike: wait for replies, and for what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from traceprobe.model import Reply
    from traceprobe.sockets._built_in import BuiltInSocket

PATIENCE = 20
"""Seconds after which something is taken to hang."""


async def receive(socket: BuiltInSocket, count: int) -> list[Reply]:
    """So many replies, and those that came with the last of them."""
    replies: list[Reply] = []
    with anyio.fail_after(PATIENCE):
        while len(replies) < count:
            replies += await socket.receive()
    return replies


async def discarded(socket: BuiltInSocket) -> dict[str, int]:
    """What was refused, once there is something."""
    with anyio.fail_after(PATIENCE):
        while not socket.discarded:
            await anyio.lowlevel.checkpoint()
            assert socket.receive_nowait() == []
    return dict(socket.discarded)
