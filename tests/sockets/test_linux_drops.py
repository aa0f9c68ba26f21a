"""What the kernel drops for want of room is counted: with the next datagram, and behind the last one."""

from __future__ import annotations

import socket
import sys
from struct import pack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the count is one of Linux", allow_module_level=True)

from traceprobe.loops import SystemClock
from traceprobe.sockets.linux._drops import DropCounts, read_drops
from traceprobe.sockets.linux._receive import LinuxReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

SO_RXQ_OVFL, SO_MEMINFO = 40, 55
SMALLEST_BUFFER = 1


class Pair:
    """A socket that has little room, and one that sends to it."""

    def __init__(self) -> None:
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER)
        self.receiver.setblocking(False)
        self.receiver.bind(("127.0.0.1", 0))
        self.grown: list[int] = []
        self.counts = DropCounts([self.receiver], self.grown.append)
        self.reader = LinuxReceiver(SystemClock(), self.counts.told)

    def send(self, count: int) -> None:
        for _ in range(count):
            self.sender.sendto(bytes(100), self.receiver.getsockname())

    def read(self) -> int:
        return self.reader.drain(self.receiver.fileno(), lambda *_: None)

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_the_next_datagram_tells_what_was_dropped_before_it(pair: Pair) -> None:
    pair.send(50)
    kept = pair.read()
    assert 0 < kept < 50
    assert pair.grown == []  # what was queued came before the first drop
    pair.send(1)
    assert pair.read() == 1
    assert pair.grown == [50 - kept]


def test_what_was_dropped_behind_the_last_datagram_is_found_by_asking(pair: Pair) -> None:
    pair.send(50)
    kept = pair.read()
    pair.counts.look()
    assert pair.grown == [50 - kept]
    pair.counts.look()
    pair.send(1)
    assert pair.read() == 1
    assert pair.grown == [50 - kept]


def test_an_older_count_is_no_growth(pair: Pair) -> None:
    pair.send(50)
    kept = pair.read()
    pair.send(50)  # the first of them tell of the drops before them, and not of those since
    pair.counts.look()
    kept += pair.read()
    assert sum(pair.grown) == 100 - kept
    pair.counts.look()
    assert sum(pair.grown) == 100 - kept


def test_the_count_may_begin_anew_after_four_thousand_million(pair: Pair) -> None:
    descriptor = pair.receiver.fileno()
    pair.counts.told(descriptor, 2**31 - 1)
    pair.counts.told(descriptor, 2**32 - 2)
    pair.counts.told(descriptor, 3)
    assert pair.grown == [2**31 - 1, 2**31 - 1, 5]


def test_a_kernel_that_knows_neither_is_no_obstacle(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(socket.socket):
        def setsockopt(self, level: int, option: int, *value: object) -> None:
            assert (level, option) == (socket.SOL_SOCKET, SO_RXQ_OVFL)
            raise OSError(92, "Protocol not available")

        def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:  # type: ignore[override]
            assert (level, option) == (socket.SOL_SOCKET, SO_MEMINFO)
            raise OSError(92, "Protocol not available")

    with Old(socket.AF_INET, socket.SOCK_DGRAM) as old:
        grown: list[int] = []
        DropCounts([old], grown.append).look()
        assert grown == []


def control(level: int, kind: int, data: bytes) -> bytes:
    whole = pack("=Qii", 16 + len(data), level, kind) + data
    return whole + bytes(-len(whole) % 8)


@given(
    before=st.lists(st.tuples(st.integers(0, 41), st.integers(0, 39), st.binary(max_size=20)), max_size=3),
    count=st.integers(1, 2**32 - 1),
    place=st.integers(0, 64),
)
def test_the_count_is_found_wherever_it_stands(
    before: list[tuple[int, int, bytes]], count: int, place: int
) -> None:
    told = b"".join(control(*one) for one in before) + control(
        socket.SOL_SOCKET, SO_RXQ_OVFL, pack("=I", count)
    )
    controls = memoryview(b"\xff" * place + told + b"\xff" * 64)
    assert read_drops(controls, place, len(told)) == count
    for length in range(len(told) - 4):
        assert read_drops(controls, place, length) == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_fault(data: bytes) -> None:
    assert 0 <= read_drops(memoryview(data), 0, len(data)) < 2**32
