"""Sends batches with ``sendmmsg(2)``: restarted wherever the kernel stops, nothing lost, nothing sent twice.

The trap that this module is about: on a socket with an error queue, an ICMP error that has come in makes
the *next* send fail with the error of an *earlier* probe, and the datagram at hand is not sent. The error
is told once; sending the same datagram again then tells its own fate.
"""

from __future__ import annotations

import errno
import select
from typing import TYPE_CHECKING, Final

from traceprobe.errors import ClosedError, SendError
from traceprobe.ffi.linux import SCM_TS_OPT_ID
from traceprobe.ffi.linux_pool import TRANSMIT_ARENAS
from traceprobe.loops import Readiness
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.linux._sockaddr import NAME_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.ffi.linux_arena import TransmitArena
    from traceprobe.loops import Clock
    from traceprobe.sockets._probe_socket import Batch as Batch
    from traceprobe.sockets._timestamps import ClockReading

# What an ICMP error turns into (icmp_err_convert in the kernel, and its IPv6 twin). Each of them can also
# be the honest answer of the local routing table.
PENDING_ERRORS: Final = frozenset({
    errno.EACCES,
    errno.ECONNREFUSED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EMSGSIZE,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPROTO,
    errno.EREMOTEIO,
})
_SURE: Final = 3
"""Failures in a row, with nothing in the error queue, after which one is about the datagram itself.

The kernel puts an error into the queue first and notes it on the socket then. Who empties the queue between
the two, while replies come in on another processor, finds the one without the other.
"""
_MOST_FAILURES: Final = 64
"""Failures of one and the same datagram; beyond that somebody floods the socket with errors."""

_SOL_SOCKET: Final = 1
_SMALLEST_SLOT: Final = 64
_SLOTS: Final = 128
_LARGEST_ARENA: Final = 1 << 20


class LinuxSender:
    """Sends through one descriptor.

    Args:
        descriptor: The socket to send with.
        ttl_control: Level and type of the control message that sets the TTL or hop limit.
        clock: Read just before each system call.
        numbered: Whether the kernel lets us number its transmit stamps.
        drain_errors: Reads the error queue, a part of it at least; returns how many ICMP errors it held.
            None for a socket that no ICMP error reaches.
        restart_numbers: Makes the kernel count its stamps from 0 again; None where it need not.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        ttl_control: tuple[int, int],
        clock: Clock,
        numbered: bool,
        drain_errors: Callable[[], int] | None,
        restart_numbers: Callable[[], None] | None,
    ) -> None:
        self._descriptor = descriptor
        self._readiness = Readiness(descriptor)
        self._clock = clock
        self._controls = (ttl_control, (_SOL_SOCKET, SCM_TS_OPT_ID)) if numbered else (ttl_control,)
        self._numbered = numbered
        self._drain_errors = drain_errors
        self._restart_numbers = restart_numbers
        self._idle: dict[int, list[TransmitArena]] = {}
        self._number = 0
        self._closed = False
        self._writable = select.poll()
        self._writable.register(descriptor, select.POLLOUT)

    def close(self) -> None:
        """Send nothing more; must be called before the descriptor is closed."""
        self._closed = True
        for arenas in self._idle.values():
            for arena in arenas:
                self._give_back(arena)
        self._idle.clear()
        self._readiness.close()

    async def send(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        """Send a batch in order.

        Waits only where the socket's buffer is full.

        Args:
            batch: What to send.
            sent: Called for each range of datagrams that the kernel took: from where to where (exclusive),
                both clocks just before the call, and the number of the first transmit stamp.
            refused: Called for each datagram that it refused: its place, both clocks, and the reason.

        Raises:
            ClosedError: The socket was closed meanwhile.
        """
        arena = self._borrow(max(map(len, batch.data)))
        try:
            for start in range(0, len(batch.data), arena.slots):
                stop = min(start + arena.slots, len(batch.data))
                share = slice(start, stop)
                number = self._number
                if self._numbered:
                    self._number += stop - start  # another task may send while this one waits
                arena.fill(batch.data[share], batch.names[share], batch.ttls[share], number)
                await self._send_share(arena, stop - start, start, number, sent, refused)
        finally:
            if self._closed:
                self._give_back(arena)
            else:
                self._idle.setdefault(arena.data_size, []).append(arena)

    def send_now(self, batch: Batch, sent: Callable[[int, int, ClockReading, int], None]) -> int:
        """Send as much of a small batch as the kernel takes at once; return how much that was.

        Args:
            batch: What to send.
            sent: As for :meth:`send`.
        """
        arena = self._borrow(max(map(len, batch.data)))
        try:
            count = min(len(batch.data), arena.slots)
            arena.fill(batch.data[:count], batch.names[:count], batch.ttls[:count], self._number)
            now = read_clocks(self._clock)
            taken = max(0, arena.send(self._descriptor, 0, count))
            if taken:
                number = self._number
                self._number += taken
                sent(0, taken, now, number)
            else:
                self._recount()
            return taken
        finally:
            if self._closed:
                self._give_back(arena)
            else:
                self._idle.setdefault(arena.data_size, []).append(arena)

    async def _send_share(
        self,
        arena: TransmitArena,
        count: int,
        start: int,
        first_number: int,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        slot = failures = unexplained = 0
        while slot < count:
            now = read_clocks(self._clock)
            result = arena.send(self._descriptor, slot, count - slot)
            if result > 0:
                if self._numbered:
                    number = first_number + slot
                else:
                    number = self._number
                    self._number += result
                sent(start + slot, start + slot + result, now, number)
                slot += result
                failures = unexplained = 0
                continue
            code = -result
            if code == errno.EINTR:
                continue
            if code == errno.EAGAIN or (code == errno.ENOBUFS and not self._has_room()):
                await self._readiness.wait_writable()
                if self._closed:
                    raise ClosedError("the socket was closed while it was sending")
                continue
            if self._drain_errors is not None and code in PENDING_ERRORS and failures < _MOST_FAILURES:
                failures += 1
                # The first failure has taken the pending error away. If there is another one, there may
                # have been several; only with an empty error queue is it about this datagram.
                if failures > 1:
                    unexplained = 0 if self._drain_errors() else unexplained + 1
                if unexplained < _SURE:
                    self._recount()
                    continue
            refused(start + slot, now, SendError(code))
            self._recount()
            slot += 1
            failures = unexplained = 0

    def _has_room(self) -> bool:
        """Whether it is not the socket's own buffer that is full, but a queue of the machine."""
        # What waits in the error queue is always told of, also to who asks for room only.
        return any(event & select.POLLOUT for _, event in self._writable.poll(0))

    def _recount(self) -> None:
        """Agree with the kernel on the number of the next stamp: failed sends may count or not."""
        if self._restart_numbers is not None:
            self._restart_numbers()
            self._number = 0

    def _borrow(self, size: int) -> TransmitArena:
        room = max(_SMALLEST_SLOT, 1 << (size - 1).bit_length())
        idle = self._idle.get(room)
        if idle:
            return idle.pop()
        slots = max(1, min(_SLOTS, _LARGEST_ARENA // room))
        return TRANSMIT_ARENAS.take(slots, room, NAME_SIZE, self._controls)

    def _give_back(self, arena: TransmitArena) -> None:
        if arena.data_size == _SMALLEST_SLOT:  # probes of unusual size are rare
            TRANSMIT_ARENAS.give_back(arena, arena.slots, arena.data_size, NAME_SIZE, self._controls)
