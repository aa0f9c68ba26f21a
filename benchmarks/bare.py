"""The reference loop: the least that a trace from Python can cost, for ratios that no machine changes.

One raw ICMP socket with the same options, one ``sendmmsg`` over prewired memory, one wait per event loop in
its cheapest form (a persistent reader on asyncio, re-armed on uvloop, ``wait_readable`` on trio), one
``recvmmsg`` per queue and wake. Packets are built and checked for whom they answer and when they came; there
is no engine, no result, no event, no choice of anything. IPv4 only.

It stands on its own on purpose: it must not get faster when the package does.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from benchmarks.inside import waits
from traceprobe.ffi._generated_linux import ffi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_SO_TIMESTAMPING, _STAMPS = 37, 0x89A  # net_tstamp.h: TX_SOFTWARE, RX_SOFTWARE, SOFTWARE, OPT_ID, OPT_TSONLY
_ICMP_FILTER, _SOL_RAW, _PASSED = 1, 255, ~(1 << 0 | 1 << 3 | 1 << 11) & 0xFFFFFFFF
_DONTWAIT, _ERRQUEUE = 0x40, 0x2000
_SLOTS, _SIZE, _CONTROL, _NAME = 128, 256, 128, 16
_LONG_NAME = struct.Struct("=H2s4s8x")
_MESSAGE, _VECTOR = struct.Struct("=QI4xQQQQi4xI4x"), struct.Struct("=QQ")
_TTL = struct.Struct("=Qiii4x")
_STAMP = struct.Struct("=16xqq")
_NUMBER_AT = 16 + 48 + 16 + 12  # SCM_TIMESTAMPING, then the header and ee_data of IP_RECVERR
_ECHO = struct.Struct("!BBHHHQ")
_PAYLOAD = 40


class _Memory:
    """Messages whose pointers are written once."""

    def __init__(self, slots: int) -> None:
        self.messages = ffi.new("struct mmsghdr[]", slots)
        self._kept = [
            vectors := ffi.new("struct iovec[]", slots),
            data := ffi.new("char[]", slots * _SIZE),
            names := ffi.new("char[]", slots * _NAME),
            controls := ffi.new("char[]", slots * _CONTROL),
        ]
        self.wires, self.vectors, self.data, self.names, self.controls = (
            memoryview(ffi.buffer(one)).cast("B") for one in (self.messages, vectors, data, names, controls)
        )
        where = [int(ffi.cast("uintptr_t", one)) for one in (vectors, data, names, controls)]
        for slot in range(slots):
            _VECTOR.pack_into(self.vectors, 16 * slot, where[1] + _SIZE * slot, _SIZE)
            _MESSAGE.pack_into(
                self.wires,
                64 * slot,
                where[2] + _NAME * slot,
                _NAME,
                where[0] + 16 * slot,
                1,
                where[3] + _CONTROL * slot,
                _CONTROL,
                0,
                0,
            )
        self.wired = bytes(self.wires)


class BareTrace:
    """Sends probes to one target and reads their replies until all have come.

    Args:
        target: IPv4 address.
        hops: Highest TTL.
        queries: Probes per TTL.
    """

    def __init__(self, target: str, hops: int, queries: int) -> None:
        self._libc: Any = ffi.dlopen(None)
        self._ttls = [ttl for ttl in range(1, hops + 1) for _ in range(queries)]
        self._name = _LONG_NAME.pack(socket.AF_INET, b"\0\0", socket.inet_aton(target))
        self._identifier = os.getpid() & 0xFFFF
        self._next = 1
        self._numbered = 0
        self.opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.opened.setblocking(False)
        self.opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", _PASSED))
        self.opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _STAMPS)
        self._descriptor = self.opened.fileno()
        self._out = _Memory(_SLOTS)
        self._in = _Memory(_SLOTS)
        self._out.controls[:] = (
            _TTL.pack(20, socket.IPPROTO_IP, socket.IP_TTL, 1) + bytes(_CONTROL - 24)
        ) * _SLOTS
        for slot in range(_SLOTS):
            self._out.names[_NAME * slot : _NAME * (slot + 1)] = self._name
            struct.pack_into("=Q", self._out.wires, 64 * slot + 40, 24)
        self._pending: dict[int, int] = {}
        self.round_trips: list[int] = []

    def send(self) -> None:
        """Send all probes."""
        out, identifier, size = self._out, self._identifier, _ECHO.size + _PAYLOAD
        first = self._next
        self._next = (self._next + len(self._ttls)) % 40000
        self.round_trips.clear()
        numbers = out.controls.cast("I")
        lengths = out.vectors.cast("Q")
        payload = bytes(_PAYLOAD)
        total = 0x0800 + identifier
        checksum = ~(total + (total >> 16)) & 0xFFFF
        for start in range(0, len(self._ttls), _SLOTS):
            ttls = self._ttls[start : start + _SLOTS]
            for slot, ttl in enumerate(ttls):
                sequence = first + start + slot
                # The payload begins with what makes the checksum the same for all of them.
                packet = _ECHO.pack(8, 0, checksum, identifier, sequence, 0xFFFF - sequence)
                out.data[_SIZE * slot : _SIZE * slot + size] = packet + payload
                lengths[2 * slot + 1] = size
                numbers[slot * _CONTROL // 4 + 4] = ttl
                self._pending[sequence] = 0
            sent = 0
            while sent < len(ttls):
                count = self._libc.sendmmsg(
                    self._descriptor, out.messages + sent, len(ttls) - sent, _DONTWAIT
                )
                if count < 0 and ffi.errno != errno.ENOBUFS:
                    raise OSError(ffi.errno, "sendmmsg")
                sent += max(count, 0)
        self._first = first

    def read(self) -> bool:
        """Read what has come; whether that is all."""
        pending = self._pending
        while (count := self._receive(_ERRQUEUE)) > 0:
            controls = self._in.controls
            for slot in range(count):
                seconds, nanoseconds = _STAMP.unpack_from(controls, _CONTROL * slot)
                number = int.from_bytes(
                    controls[_CONTROL * slot + _NUMBER_AT : _CONTROL * slot + _NUMBER_AT + 4], "little"
                )
                pending[self._first + number - self._numbered] = seconds * 1_000_000_000 + nanoseconds
            if count < _SLOTS:
                break
        while (count := self._receive(0)) > 0:
            data, controls = self._in.data, self._in.controls
            for slot in range(count):
                at = _SIZE * slot + 20
                kind = data[at]
                at += 0 if kind == 0 else 28
                if (data[at + 4] << 8 | data[at + 5]) != self._identifier:
                    continue
                seconds, nanoseconds = _STAMP.unpack_from(controls, _CONTROL * slot)
                sent_ns = pending.pop(data[at + 6] << 8 | data[at + 7], None)
                if sent_ns is not None:
                    self.round_trips.append(seconds * 1_000_000_000 + nanoseconds - sent_ns)
            if count < _SLOTS:
                break
        if pending:
            return False
        self._numbered += len(self._ttls)
        return True

    def close(self) -> None:
        """Close the socket."""
        self.opened.close()

    def _receive(self, flags: int) -> int:
        arena = self._in
        arena.wires[:] = arena.wired
        count: int = self._libc.recvmmsg(
            self._descriptor, arena.messages, _SLOTS, flags | _DONTWAIT, ffi.NULL
        )
        return count


async def on_asyncio(bare: BareTrace) -> None:
    """Trace with a reader that stays."""
    import asyncio

    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if bare.read() and not done.done():
            done.set_result(None)

    loop.add_reader(bare.opened, readable)
    try:
        bare.send()
        await done
    finally:
        loop.remove_reader(bare.opened)


async def on_uvloop(bare: BareTrace) -> None:
    """Trace with a reader that is armed anew each time, or else it would not hear of error queues again."""
    import asyncio

    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if bare.read():
            if not done.done():
                done.set_result(None)
        else:
            loop.remove_reader(bare.opened)
            loop.add_reader(bare.opened, readable)

    loop.add_reader(bare.opened, readable)
    try:
        bare.send()
        await done
    finally:
        loop.remove_reader(bare.opened)


async def on_trio(bare: BareTrace) -> None:
    """Trace and wait."""
    import trio

    bare.send()
    while True:
        await trio.lowlevel.wait_readable(bare.opened)
        if bare.read():
            return


_LOOPS: dict[str, Callable[[BareTrace], Awaitable[None]]] = {
    "asyncio": on_asyncio,
    "uvloop": on_uvloop,
    "trio": on_trio,
}


async def bare_repeatedly(
    loop: str, target: str, hops: int, queries: int, repetitions: int, held: bool = False
) -> dict[str, Any]:
    """Run the reference loop some times in one process; a first time warms it up.

    Args:
        loop: The event loop that this runs on.
        target: IPv4 address; all hops on the way must answer.
        hops: Highest TTL.
        queries: Probes per TTL.
        repetitions: How many count.
        held: One socket and its memory serve all; otherwise each trace opens its own.
    """
    trace = _LOOPS[loop]
    kept = BareTrace(target, hops, queries) if held else None
    runs = []
    for _ in range(repetitions + 1):
        gc.collect()
        before, cpu, start = waits(), time.process_time_ns(), time.time_ns()
        bare = kept or BareTrace(target, hops, queries)
        await trace(bare)
        if kept is None:
            bare.close()
        end = time.time_ns()
        runs.append({
            "start_ns": start,
            "end_ns": end,
            "cpu_ns": time.process_time_ns() - cpu,
            "waits": waits() - before,
            "replies": len(bare.round_trips),
        })
    if kept is not None:
        kept.close()
    return {"runs": runs[1:]}
