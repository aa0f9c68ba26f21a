"""Sends probes, each with its TTL set in the way that works on the kernel at hand.

A TTL that is an option of the socket is set before each probe that needs another one than the last: setting
and sending happen without giving way to another task. A single system call then carries only probes of one
TTL; where the TTL goes with each datagram, it carries any.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily
from traceprobe.errors import ClosedError, SendError
from traceprobe.ffi.bsd_arena import TransmitArena
from traceprobe.loops import Readiness
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.bsd._names import NAME_SIZES
from traceprobe.sockets.bsd._receive import told_errors
from traceprobe.sockets.bsd._systems import TtlMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.ffi.bsd import BsdAbi
    from traceprobe.loops import Clock
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.bsd._kernel import Kernel, KernelSocket

_SMALLEST_SLOT: Final = 64
_SLOTS: Final = 64
_LARGEST_ARENA: Final = 1 << 20


class TtlOption(NamedTuple):
    """Level and number of the option, and of the control message, that set a TTL or hop limit."""

    level: int
    option: int
    control: tuple[int, int] | None


def ttl_option(abi: BsdAbi, family: AddressFamily) -> TtlOption:
    """How a socket of a family is told."""
    if family is AddressFamily.IPV4:
        # No control message: kernels refuse it, or take it and send with another TTL.
        return TtlOption(abi.ipproto_ip, abi.ip_ttl, None)
    return TtlOption(abi.ipproto_ipv6, abi.ipv6_unicast_hops, (abi.ipproto_ipv6, abi.ipv6_hoplimit))


class BsdSender:
    """Sends through one socket.

    Args:
        kernel: The kernel.
        opened: The socket to send with.
        family: Its address family.
        method: How the TTL is set.
        clock: Read just before each system call.
    """

    def __init__(
        self, kernel: Kernel, opened: KernelSocket, family: AddressFamily, method: TtlMethod, clock: Clock
    ) -> None:
        self._kernel = kernel
        self._opened = opened
        self._descriptor = opened.fileno()
        self._readiness = Readiness(self._descriptor)
        self._clock = clock
        self._told = told_errors(kernel.abi)
        self._name_size = NAME_SIZES[family]
        self._option = ttl_option(kernel.abi, family)
        self._by_option = method is TtlMethod.OPTION
        self._control = self._option.control if method is TtlMethod.CONTROL else None
        self._ttl: int | None = None
        self._idle: dict[int, list[TransmitArena]] = {}
        self._closed = False

    def close(self) -> None:
        """Send nothing more; must be called before the descriptor is closed."""
        self._closed = True
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
                both clocks just before the call, and 0.
            refused: Called for each datagram that it refused: its place, both clocks, and the reason.

        Raises:
            ClosedError: The socket was closed meanwhile.
        """
        arena = self._borrow(max(map(len, batch.data)))
        try:
            for start in range(0, len(batch.data), arena.slots):
                share = slice(start, min(start + arena.slots, len(batch.data)))
                arena.fill(batch.data[share], batch.names[share], batch.ttls[share])
                await self._send_share(arena, batch.ttls[share], start, sent, refused)
        finally:
            self._idle.setdefault(arena.data_size, []).append(arena)

    async def _send_share(
        self,
        arena: TransmitArena,
        ttls: list[int],
        start: int,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        abi, calls = self._kernel.abi, self._kernel.calls
        slot, count = 0, len(ttls)
        told = False
        while slot < count:
            stop = self._end_of_run(ttls, slot)
            now = read_clocks(self._clock)
            result = self._set_ttl(ttls[slot]) or arena.send(calls, self._descriptor, slot, stop - slot)
            if result > 0:
                sent(start + slot, start + slot + result, now, 0)
                slot += result
                told = False
                continue
            code = -result
            if code == errno.EINTR:
                continue
            if code == abi.eagain or (code == abi.enobufs and not self._kernel.writable(self._descriptor)):
                await self._readiness.wait_writable()
                if self._closed:
                    raise ClosedError("the socket was closed while it was sending")
                continue
            if code in self._told and not told:
                # Perhaps an ICMP error about an earlier probe; it is told once, and the same datagram then
                # tells its own fate.
                told = True
                continue
            refused(start + slot, now, SendError(code))
            slot += 1
            told = False

    def _end_of_run(self, ttls: list[int], start: int) -> int:
        """Up to which datagram one system call can go."""
        if not self._by_option:
            return len(ttls)
        stop = start + 1
        while stop < len(ttls) and ttls[stop] == ttls[start]:
            stop += 1
        return stop

    def _set_ttl(self, ttl: int) -> int:
        """Set the socket's TTL if that is how it is done; 0, or a negative error number."""
        if not self._by_option or ttl == self._ttl:
            return 0
        try:
            self._opened.setsockopt(self._option.level, self._option.option, ttl)
        except OSError as error:
            return -(error.errno or self._kernel.abi.einval)
        self._ttl = ttl
        return 0

    def _borrow(self, size: int) -> TransmitArena:
        room = max(_SMALLEST_SLOT, 1 << (size - 1).bit_length())
        idle = self._idle.get(room)
        if idle:
            return idle.pop()
        slots = max(1, min(_SLOTS, _LARGEST_ARENA // room))
        return TransmitArena(self._kernel.abi, slots, room, self._name_size, self._control)
