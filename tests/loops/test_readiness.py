"""Waiting for a descriptor, on every event loop: data, error queues, a knock, closing."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from traceprobe.loops import Readiness

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows nothing waits for readiness")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        yield here, there


def fill(opened: socket.socket) -> None:
    """Write until there is no room."""
    with contextlib.suppress(BlockingIOError):
        while True:
            opened.send(bytes(65536))


class Waiter:
    """A task that waits once, and whether it has gone on."""

    def __init__(self, readiness: Readiness) -> None:
        self.gone_on = False
        self._readiness = readiness

    async def run(self) -> None:
        await self._readiness.wait_readable()
        self.gone_on = True


async def test_data_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    readiness = Readiness(here.fileno())
    for _ in range(3):
        waiter = Waiter(readiness)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(waiter.run)
                await anyio.wait_all_tasks_blocked()
                assert not waiter.gone_on
                there.send(b"x")
        assert waiter.gone_on
        here.recv(1)


async def test_what_is_there_already_ends_the_wait_at_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    there.send(b"x")
    with anyio.fail_after(60):
        await Readiness(here.fileno()).wait_readable()


@pytest.mark.skipif(sys.platform != "linux", reason="error queues are a Linux thing")
async def test_an_error_queue_ends_the_wait() -> None:
    ip_recverr = 11
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed,
    ):
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IP, ip_recverr, 1)
        closed.bind(("127.0.0.1", 0))
        target = closed.getsockname()
        closed.close()
        readiness = Readiness(opened.fileno())
        for _ in range(3):
            opened.sendto(b"x", target)
            with anyio.fail_after(60):
                await readiness.wait_readable()
            opened.recvmsg(100, 200, socket.MSG_ERRQUEUE)


async def test_a_knock_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    readiness = Readiness(pair[0].fileno())
    waiter = Waiter(readiness)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter.run)
            await anyio.wait_all_tasks_blocked()
            readiness.wake()
    assert waiter.gone_on
    # It is used up: the next one waits.
    waiter = Waiter(readiness)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.run)
        await anyio.wait_all_tasks_blocked()
        assert not waiter.gone_on
        tasks.cancel_scope.cancel()


async def test_a_knock_before_the_wait_is_kept(pair: tuple[socket.socket, socket.socket]) -> None:
    readiness = Readiness(pair[0].fileno())
    readiness.wake()
    readiness.wake()
    with anyio.fail_after(60):
        await readiness.wait_readable()
    waiter = Waiter(readiness)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.run)
        await anyio.wait_all_tasks_blocked()
        assert not waiter.gone_on
        tasks.cancel_scope.cancel()


async def test_closing_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    readiness = Readiness(pair[0].fileno())
    waiter = Waiter(readiness)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter.run)
            await anyio.wait_all_tasks_blocked()
            readiness.close()
    assert waiter.gone_on


async def test_a_cancelled_wait_can_be_repeated(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    readiness = Readiness(here.fileno())
    for _ in range(3):
        waiter = Waiter(readiness)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter.run)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert not waiter.gone_on
    there.send(b"x")
    with anyio.fail_after(60):
        await readiness.wait_readable()


async def test_waiting_for_room_ends_when_there_is_some(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    fill(here)
    readiness = Readiness(here.fileno())
    writers = 0

    async def write() -> None:
        nonlocal writers
        await readiness.wait_writable()
        writers += 1

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            assert not writers
            while writers < 3:
                try:
                    there.recv(1 << 20)
                except BlockingIOError:
                    await anyio.wait_all_tasks_blocked()
    assert writers == 3


async def test_waiting_for_room_ends_when_it_is_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, _ = pair
    fill(here)
    readiness = Readiness(here.fileno())
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(readiness.wait_writable)
            await anyio.wait_all_tasks_blocked()
            readiness.close()
            here.close()


async def test_serving_calls_for_everything_that_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    readiness = Readiness(here.fileno())
    seen: list[bytes] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(readiness.serve, lambda: seen.append(here.recv(1)))
            await anyio.wait_all_tasks_blocked()
            for count in range(1, 4):
                there.send(b"x")
                while len(seen) < count:
                    await anyio.lowlevel.checkpoint()
            readiness.close()
    assert seen == [b"x"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="error queues are a Linux thing")
async def test_serving_hears_of_an_error_queue_again_and_again() -> None:
    ip_recverr = 11
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed,
    ):
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IP, ip_recverr, 1)
        closed.bind(("127.0.0.1", 0))
        target = closed.getsockname()
        closed.close()
        readiness = Readiness(opened.fileno())
        errors = 0

        def read() -> None:
            nonlocal errors
            with contextlib.suppress(BlockingIOError):
                opened.recvmsg(100, 200, socket.MSG_ERRQUEUE)
                errors += 1

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(readiness.serve, read)
                for count in range(1, 6):
                    opened.sendto(b"x", target)
                    while errors < count:
                        await anyio.lowlevel.checkpoint()
                readiness.close()


async def test_serving_answers_a_knock(pair: tuple[socket.socket, socket.socket]) -> None:
    readiness = Readiness(pair[0].fileno())
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    readiness.wake()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(readiness.serve, call)
            await anyio.wait_all_tasks_blocked()
            assert calls == 1
            readiness.wake()
            await anyio.wait_all_tasks_blocked()
            assert calls == 2
            readiness.close()


async def test_what_goes_wrong_while_serving_ends_it(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    there.send(b"x")

    def fail() -> None:
        raise RuntimeError("on purpose")

    with anyio.fail_after(60), pytest.raises(RuntimeError, match="on purpose"):
        await Readiness(here.fileno()).serve(fail)
    with anyio.fail_after(60):
        await Readiness(here.fileno()).wait_readable()


async def test_serving_can_be_cancelled_and_begun_again(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    readiness = Readiness(here.fileno())
    seen: list[bytes] = []
    with anyio.fail_after(60):
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(readiness.serve, lambda: seen.append(here.recv(1)))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        there.send(b"x")
        await readiness.wait_readable()
        assert not seen
        readiness.close()
        await readiness.serve(lambda: seen.append(b"never"))
    assert not seen


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed by proc(5)")
@pytest.mark.parametrize("ending", ["close", "cancel", "fail"])
async def test_serving_leaves_no_descriptor_behind(
    pair: tuple[socket.socket, socket.socket], ending: str
) -> None:
    here, there = pair

    def read() -> None:
        here.recv(1)
        if ending == "fail":
            raise RuntimeError("on purpose")

    async def serve() -> None:
        with contextlib.suppress(RuntimeError):
            await readiness.serve(read)

    before = os.listdir("/proc/self/fd")
    with anyio.fail_after(60):
        for _ in range(3):
            readiness = Readiness(here.fileno())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serve)
                await anyio.wait_all_tasks_blocked()
                there.send(b"x")
                if ending == "close":
                    readiness.close()
                elif ending == "cancel":
                    tasks.cancel_scope.cancel()
            with contextlib.suppress(BlockingIOError):
                here.recv(1)
    assert os.listdir("/proc/self/fd") == before
