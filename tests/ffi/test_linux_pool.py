"""Arenas that outlive a socket: a few, cleared, and never in two hands."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

if sys.platform != "linux":
    pytest.skip("sendmmsg and recvmmsg of Linux", allow_module_level=True)

from traceprobe.ffi.linux_arena import ReceiveArena, TransmitArena
from traceprobe.ffi.linux_pool import ArenaPool

RECEIVE = (4, 64, 28, 64)
TRANSMIT = (4, 64, 28, ((0, 2),))
SECRET = b"secret of one socket"


def test_what_one_socket_received_is_gone_when_another_gets_the_arena() -> None:
    pool = ArenaPool(ReceiveArena)
    arena = pool.take(*RECEIVE)
    sender, taker = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, taker:
        for _ in range(3):
            sender.send(SECRET)
        assert arena.receive(taker.fileno()) == 3
        assert bytes(arena.data).count(SECRET) == 3
        pool.give_back(arena, *RECEIVE)
        again = pool.take(*RECEIVE)
        assert again is arena
        assert not any(map(any, (again.data[: 3 * 64], again.names, again.controls)))
        sender.send(b"of another")
        assert again.receive(taker.fileno()) == 1
        assert [bytes(message.data) for message in again.received()] == [b"of another"]


def test_what_one_socket_sent_is_gone_when_another_gets_the_arena() -> None:
    pool = ArenaPool(TransmitArena)
    arena = pool.take(*TRANSMIT)
    arena.fill([SECRET] * 2, [b"name" * 7] * 2, [1, 2])
    pool.give_back(arena, *TRANSMIT)
    again = pool.take(*TRANSMIT)
    assert again is arena
    assert SECRET not in bytes(again._data)
    assert not any(again._names)
    # The same destination is written anew, not taken for one that stands there still.
    again.fill([b"x"] * 2, [b"name" * 7] * 2, [1, 2])
    assert bytes(again._names).count(b"name" * 7) == 2


def test_no_more_are_kept_than_a_few_of_a_few_shapes() -> None:
    pool = ArenaPool(ReceiveArena)
    taken = [pool.take(*RECEIVE) for _ in range(5)]
    assert len(set(map(id, taken))) == 5
    for arena in taken:
        pool.give_back(arena, *RECEIVE)
    assert [pool.take(*RECEIVE) in taken for _ in range(3)] == [True, True, False]
    for size in range(64, 64 + 8 * 20, 8):
        pool.give_back(pool.take(4, size, 28, 64), 4, size, 28, 64)
    assert sum(map(len, pool._kept.values())) <= 8
    huge = (1024, 1024, 28, 64)
    pool.give_back(pool.take(*huge), *huge)
    assert huge not in pool._kept


def test_threads_never_share_one() -> None:
    pool = ArenaPool(ReceiveArena)
    held: set[int] = set()

    def use(_: int) -> bool:
        arena = pool.take(*RECEIVE)
        alone = id(arena) not in held
        held.add(id(arena))
        held.remove(id(arena))
        pool.give_back(arena, *RECEIVE)
        return alone

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(2000)))
