"""What the kernel dropped because a socket's receive buffer was full: replies among it are lost.

The kernel counts it for each socket, and tells in two ways. ``SO_RXQ_OVFL`` (socket(7)) puts the count as it
was when a datagram was queued into that datagram's control messages, which costs nothing until something was
dropped. What is dropped behind the last one that still found room is only in the count itself, which
``SO_MEMINFO`` reads. It is one and the same count, so growth is counted once, whoever tells of it.

Knows nothing of error queues: what finds no room there is counted by nobody.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.ffi.linux import CONTROL_ALIGNMENT, CONTROL_HEADER, SO_MEMINFO, SO_RXQ_OVFL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COUNT: Final = Struct("=I")
_NUMBERS: Final = 2**32
_HEADER_SIZE: Final = CONTROL_HEADER.size
_DROPS_AT: Final = 8 * _COUNT.size
"""``SK_MEMINFO_DROPS`` (linux/sock_diag.h)."""
_MEMINFO_SIZE: Final = 9 * _COUNT.size


def read_drops(controls: memoryview, place: int, length: int) -> int:
    """What ``SO_RXQ_OVFL`` tells with a datagram: how many were dropped before it; 0 if it tells nothing.

    Args:
        controls: Control messages of many datagrams.
        place: Where those of this one begin.
        length: How many bytes they have.
    """
    end = place + length
    while end - place >= _HEADER_SIZE:
        size, level, kind = CONTROL_HEADER.unpack_from(controls, place)
        if not _HEADER_SIZE <= size <= end - place:
            break  # cut short
        if level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL and size >= _HEADER_SIZE + _COUNT.size:
            (count,) = _COUNT.unpack_from(controls, place + _HEADER_SIZE)
            return int(count)
        place += -(-size // CONTROL_ALIGNMENT) * CONTROL_ALIGNMENT
    return 0


class DropCounts:
    """The counts of the sockets that datagrams are read from.

    Args:
        receivers: The sockets.
        dropped: Called with how many more have been dropped.
    """

    def __init__(self, receivers: Sequence[socket.socket], dropped: Callable[[int], None]) -> None:
        self._receivers = tuple(receivers)
        self._dropped = dropped
        self._known = {receiver.fileno(): 0 for receiver in self._receivers}
        for receiver in self._receivers:
            with suppress(OSError):  # since Linux 2.6.33
                receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)

    def told(self, descriptor: int, count: int) -> None:
        """Take note of a count that came with a datagram."""
        growth = (count - self._known[descriptor]) % _NUMBERS
        # A datagram may have been queued before the count was last looked at.
        if 0 < growth < _NUMBERS // 2:
            self._known[descriptor] = count
            self._dropped(growth)

    def look(self) -> None:
        """Ask for the counts as they are now."""
        for receiver in self._receivers:
            try:
                info = receiver.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO_SIZE)
            except OSError:  # since Linux 4.12
                continue
            if len(info) >= _MEMINFO_SIZE:
                (count,) = _COUNT.unpack_from(info, _DROPS_AT)
                self.told(receiver.fileno(), count)
