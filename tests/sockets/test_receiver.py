"""Queues are read to their end, whatever the kernel says on the way."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

if sys.platform != "linux":
    pytest.skip("recvmmsg of Linux", allow_module_level=True)

from traceprobe.ffi import linux
from traceprobe.loops import SystemClock
from traceprobe.sockets.linux import _receive as _linux_receive
from traceprobe.sockets.linux._receive import LinuxReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.linux._control import Control


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker,
    ):
        taker.bind(("127.0.0.1", 0))
        sender.connect(taker.getsockname())
        yield sender, taker


class Collector:
    """Keeps what a receiver hands out."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.readings: list[ClockReading] = []

    def __call__(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        self.data.append(bytes(message.data))
        self.readings.append(now)


def test_more_than_an_arena_holds_is_read_in_one_go(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, taker = pair
    receiver, collector = LinuxReceiver(SystemClock()), Collector()
    expected = [b"%d" % number for number in range(150)]
    for data in expected:
        sender.send(data)
    receiver.drain(taker.fileno(), collector)
    assert collector.data == expected
    assert collector.readings == sorted(collector.readings)
    receiver.drain(taker.fileno(), collector)
    assert len(collector.data) == 150


def test_an_endless_queue_lets_others_have_their_turn(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, taker = pair
    monkeypatch.setattr(_linux_receive, "_ORDINARY", (2, *_linux_receive._ORDINARY[1:]))
    monkeypatch.setattr(_linux_receive, "_MOST_ROUNDS", 3)
    receiver, collector = LinuxReceiver(SystemClock()), Collector()
    for number in range(10):
        sender.send(b"%d" % number)
    receiver.drain(taker.fileno(), collector)
    assert collector.data == [b"%d" % number for number in range(6)]
    receiver.drain(taker.fileno(), collector)
    assert len(collector.data) == 10


def test_room_grows_with_the_probes(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, taker = pair
    receiver, collector = LinuxReceiver(SystemClock()), Collector()
    sender.send(bytes(5000))
    receiver.drain(taker.fileno(), collector)
    assert len(collector.data.pop()) == 2048
    receiver.make_room(5000)
    receiver.make_room(60)
    sender.send(bytes(5000))
    receiver.drain(taker.fileno(), collector)
    assert len(collector.data.pop()) == 5000
    receiver.make_room(65535)
    sender.send(bytes(60000))
    receiver.drain(taker.fileno(), collector)
    assert len(collector.data.pop()) == 60000


def test_a_pending_error_is_told_once_and_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, taker = pair
    receiver, collector = LinuxReceiver(SystemClock()), Collector()
    port = taker.getsockname()[1]
    taker.close()
    sender.send(b"nobody is there")
    # The connected socket has ECONNREFUSED pending; then somebody writes to it after all.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", port))
        again.sendto(b"here I am", sender.getsockname())
        receiver.drain(sender.fileno(), collector)
    assert collector.data == [b"here I am"]


def test_the_error_queue_is_sorted_into_stamps_and_errors(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sender, taker = pair
    taker.close()
    sender.setsockopt(socket.IPPROTO_IP, linux.IP_RECVERR, 1)
    sender.setsockopt(
        socket.SOL_SOCKET,
        linux.SO_TIMESTAMPING,
        linux.SOF_TIMESTAMPING_TX_SOFTWARE
        | linux.SOF_TIMESTAMPING_RX_SOFTWARE
        | linux.SOF_TIMESTAMPING_SOFTWARE
        | linux.SOF_TIMESTAMPING_OPT_ID
        | linux.SOF_TIMESTAMPING_OPT_TSONLY,
    )
    receiver = LinuxReceiver(SystemClock())
    sender.send(b"nobody is there")
    stamps: list[int] = []

    def stamps_came(numbers: Sequence[int], times: Sequence[int]) -> None:
        assert len(times) == len(numbers)
        stamps.extend(numbers)

    errors: list[tuple[int, int, bytes]] = []

    def error_came(message: ReceivedMessage, control: Control, error: object, now: ClockReading) -> None:
        assert control.error is not None
        errors.append((control.error.type, control.error.code, bytes(message.data)))

    assert receiver.drain_errors(sender.fileno(), stamps_came, error_came) == 1
    assert errors == [(3, 3, b"nobody is there")]
    assert stamps == [0]
    # Whoever gets no errors is told of none.
    assert receiver.drain_errors(sender.fileno(), stamps_came, None) == 0


# --- a kernel that tells errors instead of datagrams --------------------------------------------------


class FailingArena:
    """Stands in for the arena: every call fails."""

    slots = 128

    def __init__(self, code: int) -> None:
        self._code = code
        self.calls = 0

    def receive(self, descriptor: int, flags: int, most: int | None = None) -> int:
        self.calls += 1
        return -self._code


def receiver_of(arena: FailingArena) -> LinuxReceiver:
    receiver = LinuxReceiver(SystemClock())
    cast("Any", receiver)._arena = arena
    return receiver


def nothing_comes(*_: object) -> None:
    pytest.fail("nothing has come")


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EMSGSIZE])
def test_errors_that_keep_coming_are_left_for_the_next_wake_up(code: int) -> None:
    arena = FailingArena(code)
    receiver_of(arena).drain(0, nothing_comes)
    assert 1 < arena.calls < 64


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOTSOCK, errno.ENOMEM])
def test_a_failure_of_the_socket_is_raised(code: int) -> None:
    with pytest.raises(OSError, match="receiving from a probe socket") as caught:
        receiver_of(FailingArena(code)).drain(0, nothing_comes)
    assert caught.value.errno == code


def test_an_empty_queue_costs_one_call() -> None:
    arena = FailingArena(errno.EAGAIN)
    receiver_of(arena).drain(0, nothing_comes)
    assert arena.calls == 1
