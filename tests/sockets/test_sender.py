"""However the kernel stops a batch, every datagram is sent once or refused once, in order."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("sendmmsg of Linux", allow_module_level=True)

from traceprobe.errors import ClosedError, SendError
from traceprobe.loops import SystemClock
from traceprobe.sockets._probe_socket import Batch
from traceprobe.sockets.linux._send import LinuxSender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from traceprobe.sockets._timestamps import ClockReading


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: only where the buffer is full does sending wait at all."""
    return "asyncio", {"use_uvloop": False}


class Kernel:
    """Takes datagrams as a script says: how many of a call, or which error instead."""

    def __init__(self, script: Sequence[int], *, errors: Sequence[int] = ()) -> None:
        self.script = list(script)
        self.errors = list(errors)
        self.taken: list[bytes] = []
        self.numbers: list[int] = []
        self.calls = 0
        self.drained = 0
        self.recounted = 0

    def drain_errors(self) -> int:
        self.drained += 1
        return self.errors.pop(0) if self.errors else 0

    def restart_numbers(self) -> None:
        self.recounted += 1


class ScriptedArena:
    """Stands where the memory for ``sendmmsg`` stands."""

    slots = 8
    data_size = 64

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def fill(self, data: list[bytes], names: list[bytes], numbers: list[int], first: int = 0) -> None:
        self._data = data
        self._first = first

    def send(self, descriptor: int, first: int, count: int) -> int:
        kernel = self._kernel
        kernel.calls += 1
        result = kernel.script.pop(0) if kernel.script else count
        if result > 0:
            result = min(result, count)
            kernel.taken += self._data[first : first + result]
            kernel.numbers += range(self._first + first, self._first + first + result)
        return result


class Outcome:
    """What the sender reported."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.numbers: list[int] = []
        self.refused: dict[int, int] = {}

    def was_sent(self, start: int, stop: int, now: ClockReading, number: int) -> None:
        self.sent += range(start, stop)
        self.numbers += range(number, number + stop - start)

    def was_refused(self, place: int, now: ClockReading, error: SendError) -> None:
        assert place not in self.refused
        self.refused[place] = error.code


class Room:
    """Stands where the wait for room in the buffer stands."""

    def __init__(self, writable: Callable[[], Awaitable[None]] | None) -> None:
        self._writable = writable

    async def wait_writable(self) -> None:
        assert self._writable is not None, "nothing to wait for"
        await self._writable()

    def close(self) -> None:
        pass


def make_sender(
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    *,
    reports_errors: bool = True,
    numbered: bool = True,
    writable: Callable[[], Awaitable[None]] | None = None,
) -> LinuxSender:
    sender = LinuxSender(
        0,
        ttl_control=(0, 2),
        clock=SystemClock(),
        numbered=numbered,
        drain_errors=kernel.drain_errors if reports_errors else None,
        restart_numbers=None if numbered else kernel.restart_numbers,
    )
    monkeypatch.setattr(sender, "_borrow", lambda _: ScriptedArena(kernel))
    monkeypatch.setattr(sender, "_give_back", lambda _: None)
    monkeypatch.setattr(sender, "_readiness", Room(writable))
    return sender


def batch(count: int) -> Batch:
    return Batch([b"%d" % i for i in range(count)], [b""] * count, [1] * count)


async def send(sender: LinuxSender, count: int) -> Outcome:
    outcome = Outcome()
    await sender.send(batch(count), outcome.was_sent, outcome.was_refused)
    return outcome


UNREACHABLE = -errno.EHOSTUNREACH


async def test_one_call_sends_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([])
    outcome = await send(make_sender(kernel, monkeypatch), 8)
    assert kernel.calls == 1
    assert outcome.sent == list(range(8))


async def test_a_pending_error_costs_a_call_and_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([3, UNREACHABLE, 2, UNREACHABLE])
    outcome = await send(make_sender(kernel, monkeypatch), 8)
    assert kernel.taken == batch(8).data
    assert not outcome.refused
    # Sending again has taken the error away; the queue is read when there is time.
    assert kernel.drained == 0


async def test_several_pending_errors_are_told_from_a_refusal_by_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel([UNREACHABLE] * 5, errors=[3, 1, 1, 1])
    outcome = await send(make_sender(kernel, monkeypatch), 3)
    assert kernel.taken == batch(3).data
    assert not outcome.refused


async def test_an_error_with_an_empty_queue_is_about_this_datagram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel([1, *[UNREACHABLE] * 4])
    outcome = await send(make_sender(kernel, monkeypatch), 3)
    assert outcome.refused == {1: errno.EHOSTUNREACH}
    assert outcome.sent == [0, 2]
    assert kernel.drained == 3


@pytest.mark.parametrize("errors", [[0, 0], [1, 0, 0, 2, 0, 0]])
async def test_an_error_that_is_noted_when_its_entry_has_been_read_is_not_about_this_datagram(
    monkeypatch: pytest.MonkeyPatch, errors: list[int]
) -> None:
    kernel = Kernel([1, *[UNREACHABLE] * (len(errors) + 1)], errors=errors)
    outcome = await send(make_sender(kernel, monkeypatch), 3)
    assert not outcome.refused
    assert outcome.sent == [0, 1, 2]


async def test_a_flood_of_errors_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([UNREACHABLE] * 1000, errors=[1] * 1000)
    outcome = await send(make_sender(kernel, monkeypatch), 2)
    assert set(outcome.refused) == {0, 1}
    assert kernel.calls < 200


async def test_without_an_error_queue_every_error_is_about_this_datagram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel([1, UNREACHABLE])
    outcome = await send(make_sender(kernel, monkeypatch, reports_errors=False), 3)
    assert outcome.refused == {1: errno.EHOSTUNREACH}
    assert kernel.calls == 3


@pytest.mark.parametrize("code", [errno.EPERM, errno.EINVAL, errno.ENODEV])
async def test_an_error_that_no_icmp_message_makes_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    kernel = Kernel([-code])
    outcome = await send(make_sender(kernel, monkeypatch), 2)
    assert outcome.refused == {0: code}
    assert kernel.calls == 2


async def test_an_interrupted_call_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([-errno.EINTR, 1, -errno.EINTR])
    outcome = await send(make_sender(kernel, monkeypatch), 3)
    assert outcome.sent == [0, 1, 2]


async def test_a_full_buffer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0

    async def wait_writable() -> None:
        nonlocal waits
        waits += 1

    kernel = Kernel([2, -errno.EAGAIN, 1, -errno.EAGAIN])
    outcome = await send(make_sender(kernel, monkeypatch, writable=wait_writable), 5)
    assert outcome.sent == [0, 1, 2, 3, 4]
    assert waits == 2


async def test_a_full_queue_of_the_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # The descriptor is writable, so there is nothing to wait for: the device has dropped it.
    reader, writer = os.pipe()
    try:
        kernel = Kernel([1, -errno.ENOBUFS])
        sender = make_sender(kernel, monkeypatch)
        sender._writable.unregister(0)
        sender._writable.register(writer, 4)
        outcome = await send(sender, 3)
    finally:
        os.close(reader)
        os.close(writer)
    assert outcome.refused == {1: errno.ENOBUFS}
    assert outcome.sent == [0, 2]


async def test_closing_ends_the_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_writable() -> None:
        sender.close()

    sender = make_sender(Kernel([-errno.EAGAIN]), monkeypatch, writable=wait_writable)
    with pytest.raises(ClosedError, match="while it was sending"):
        await send(sender, 2)


async def test_numbers_are_unique_even_while_another_task_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = anyio.Event()

    async def wait_writable() -> None:
        await room.wait()

    kernel = Kernel([2, -errno.EAGAIN])
    sender = make_sender(kernel, monkeypatch, writable=wait_writable)
    outcomes: list[Outcome] = []

    async def send_some(count: int) -> None:
        outcomes.append(await send(sender, count))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_some, 20)
        await anyio.wait_all_tasks_blocked()
        await send_some(5)
        room.set()
    numbers = [number for outcome in outcomes for number in outcome.numbers]
    assert len(numbers) == len(set(numbers)) == 25
    assert sorted(numbers) == sorted(kernel.numbers)


async def test_the_count_starts_again_after_every_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([3, UNREACHABLE, 1, -errno.EPERM])
    outcome = await send(make_sender(kernel, monkeypatch, numbered=False), 7)
    assert outcome.refused == {4: errno.EPERM}
    assert outcome.numbers == [0, 1, 2, 0, 0, 1]
    assert kernel.recounted == 2


@given(
    count=st.integers(1, 40),
    script=st.lists(
        st.one_of(
            st.integers(1, 8),
            st.sampled_from([UNREACHABLE, -errno.ECONNREFUSED, -errno.EPERM, -errno.EINTR, -errno.EAGAIN]),
        ),
        max_size=60,
    ),
    errors=st.lists(st.integers(0, 2), max_size=20),
)
@settings(deadline=None)
def test_every_datagram_has_one_fate(count: int, script: list[int], errors: list[int]) -> None:
    async def wait_writable() -> None:
        await anyio.lowlevel.checkpoint()

    async def run() -> tuple[Kernel, Outcome]:
        kernel = Kernel(script, errors=errors)
        with pytest.MonkeyPatch.context() as monkeypatch:
            outcome = await send(make_sender(kernel, monkeypatch, writable=wait_writable), count)
        return kernel, outcome

    kernel, outcome = anyio.run(run)
    assert sorted([*outcome.sent, *outcome.refused]) == list(range(count))
    assert outcome.sent == sorted(outcome.sent)
    assert kernel.taken == [b"%d" % place for place in outcome.sent]
    assert outcome.numbers == kernel.numbers
