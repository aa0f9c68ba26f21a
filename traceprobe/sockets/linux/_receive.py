"""Receives with ``recvmmsg(2)``: data queues and error queues, until they are empty.

Readiness is level-triggered, and an error queue that is left alone keeps its socket ready for ever: what
is read here is read to the end.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from traceprobe.ffi.linux import (
    MSG_ERRQUEUE,
    SO_EE_ORIGIN_ICMP,
    SO_EE_ORIGIN_ICMP6,
    SO_EE_ORIGIN_TIMESTAMPING,
)
from traceprobe.ffi.linux_arena import ReceiveArena
from traceprobe.ffi.linux_pool import RECEIVE_ARENAS
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.linux._control import (
    CONTROL_SIZE,
    STAMP_SIZE,
    read_control,
    read_stamp_columns,
    read_stamps,
)
from traceprobe.sockets.linux._drops import read_drops
from traceprobe.sockets.linux._send import PENDING_ERRORS
from traceprobe.sockets.linux._sockaddr import NAME_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.linux._control import Control, ExtendedError

_SLOTS: Final = 128
_SLOT_SIZE: Final = 2048
_NOTHING: Final = -errno.EAGAIN
_ORDINARY: Final = (_SLOTS, _SLOT_SIZE, NAME_SIZE, CONTROL_SIZE)
_HEADROOM: Final = 128
"""Bytes that a reply may be longer than the probe that it brings back."""
_LARGEST_ARENA: Final = 4 << 20
_MOST_ROUNDS: Final = 64
"""Calls for one queue before others get their turn; what is left makes the socket ready again."""
_MOST_ERRORS: Final = 16
"""Errors in a row that a queue may tell: each pending one is told once and gone. While replies pour in, new
ones can be pending as fast as they are told; what is left makes the socket ready again."""


class LinuxReceiver:
    """Reads queues into one arena.

    Args:
        clock: Read after each system call.
        drops_told: Called with a descriptor and how many datagrams the kernel has dropped there so far.
    """

    def __init__(self, clock: Clock, drops_told: Callable[[int, int], None] | None = None) -> None:
        self._clock = clock
        self._drops_told = drops_told
        self._arena = RECEIVE_ARENAS.take(*_ORDINARY)

    def close(self) -> None:
        """Read nothing more, nor what has been read."""
        if self._arena.data_size == _SLOT_SIZE:
            RECEIVE_ARENAS.give_back(self._arena, *_ORDINARY)
        del self._arena

    def make_room(self, size: int) -> None:
        """Expect replies to probes of a size."""
        if size + _HEADROOM > self._arena.data_size:
            room = 1 << (size + _HEADROOM - 1).bit_length()
            slots = max(1, min(_SLOTS, _LARGEST_ARENA // room))
            self._arena = ReceiveArena(slots, room, NAME_SIZE, CONTROL_SIZE)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Read into another arena inside of this: what stands in the one in use is still needed."""
        arena, self._arena = self._arena, RECEIVE_ARENAS.take(*_ORDINARY)
        try:
            yield
        finally:
            RECEIVE_ARENAS.give_back(self._arena, *_ORDINARY)
            self._arena = arena

    def drain(
        self,
        descriptor: int,
        handle: Callable[[ReceivedMessage, Control, ClockReading], None],
        take_in: Callable[[ReceiveArena, int, ClockReading], None] | None = None,
    ) -> int:
        """Read a socket's data until there is no more.

        Args:
            descriptor: The socket.
            handle: Called with each datagram.
            take_in: Called in its stead, once for what one call has fetched: with where the datagrams stand,
                how many they are, and both clocks.

        Returns:
            How many datagrams there were.

        Raises:
            OSError: The socket is of no use any more.
        """
        arena = self._arena
        first = arena.receive(descriptor, 0)
        if first == _NOTHING:
            return 0
        is_all = 0 < first < arena.slots
        total = 0
        for count in (first,) if is_all else self._batches(descriptor, 0, first=first):
            total += count
            now = read_clocks(self._clock)
            if take_in is not None:
                take_in(arena, count, now)
            else:
                for message in arena.received():
                    handle(message, read_control(message.control), now)
            last = count - 1
            if self._drops_told is not None and (length := arena.control_length(last)) != STAMP_SIZE:
                drops = read_drops(arena.controls, last * arena.control_size, length)
                if drops:
                    self._drops_told(descriptor, drops)
        return total

    def drain_errors(
        self,
        descriptor: int,
        stamps_came: Callable[[Sequence[int], Sequence[int]], None],
        error_came: Callable[[ReceivedMessage, Control, ExtendedError, ClockReading], None] | None,
        most_rounds: int | None = None,
        expiry_came: Callable[[ReceiveArena, int, int, int, ClockReading], bool] | None = None,
        most: int | None = None,
    ) -> int:
        """Read a socket's error queue until there is no more.

        Args:
            descriptor: The socket.
            stamps_came: Called with numbers and times of transmit stamps.
            error_came: Called for each ICMP error; None if the socket gets none.
            most_rounds: Calls after which the rest is left for later; None for as many as there may be.
            expiry_came: Called first for what is no stamp, with the slot where it stands, its bytes of
                control messages and of data, and both clocks; whether that was all there is to do about it.
            most: Entries that a call fetches; None for as many as there is room for.

        Returns:
            How many ICMP errors there were.

        Raises:
            OSError: The socket is of no use any more.
        """
        errors = 0
        for count in self._batches(descriptor, MSG_ERRQUEUE, most_rounds, most):
            arena, now = self._arena, None
            controls = arena.controls[: count * CONTROL_SIZE]
            columns = read_stamp_columns(controls, arena.control_lengths(count))
            if columns is not None:
                stamps_came(*columns)
                continue
            lengths = list(arena.lengths(count))
            found = read_stamps(controls, lengths)
            stamps: list[tuple[int, int]] = []
            for slot, (length, data_length) in enumerate(lengths):
                stamp = found[slot]
                if stamp is not None:
                    stamps.append(stamp)
                    continue
                if expiry_came is not None:
                    now = now or read_clocks(self._clock)
                    if stamps:  # that of the probe may be among them
                        stamps_came(*zip(*stamps, strict=True))
                        stamps = []
                    if expiry_came(arena, slot, length, data_length, now):
                        errors += 1
                        continue
                message = arena.message(slot)
                control = read_control(message.control)
                error = control.error
                if error is None:
                    continue
                if error.origin == SO_EE_ORIGIN_TIMESTAMPING:
                    if control.stamp_ns is not None:
                        stamps.append((error.data, control.stamp_ns))
                elif error.origin in {SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6} and error_came is not None:
                    errors += 1
                    now = now or read_clocks(self._clock)
                    if stamps:
                        stamps_came(*zip(*stamps, strict=True))
                        stamps = []
                    error_came(message, control, error, now)
            if stamps:
                stamps_came(*zip(*stamps, strict=True))
        return errors

    def _batches(
        self,
        descriptor: int,
        flags: int,
        most_rounds: int | None = None,
        most: int | None = None,
        first: int | None = None,
    ) -> Iterator[int]:
        """Receive until there is no more; how many datagrams stand in the arena, each time.

        Args:
            descriptor: The socket.
            flags: Of the calls.
            most_rounds: How many calls; None for as many as others can wait for.
            most: Datagrams that a call fetches; None for as many as there is room for.
            first: What the first call has returned, if it was made already.
        """
        arena = self._arena
        failures = 0
        for _ in range(most_rounds or _MOST_ROUNDS):
            if first is None:
                count = arena.receive(descriptor, flags, most)
            else:
                count, first = first, None
            if count == _NOTHING:
                return
            if count < 0:
                failures += 1
                if failures <= _MOST_ERRORS:
                    continue
                if -count in PENDING_ERRORS:
                    return
                raise OSError(-count, "receiving from a probe socket")
            yield count
            if count < (most or arena.slots):
                return
