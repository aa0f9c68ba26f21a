"""The real clock's alarms, on every event loop: never early, never lost, free again after a cancellation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from traceprobe.loops import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from traceprobe.loops import Alarm

MS = 1_000_000


@pytest.fixture(params=["the event loop's timers", "a timer descriptor"])
def clock(request: pytest.FixtureRequest) -> SystemClock:
    if request.param == "the event loop's timers":
        return SystemClock()
    if sys.platform != "linux":
        pytest.skip("timers are descriptors on Linux only")
    from traceprobe.ffi.linux_timer import LinuxTimer

    return SystemClock(LinuxTimer)


@pytest.fixture
async def alarm(clock: SystemClock) -> AsyncIterator[Alarm]:
    alarm = clock.alarm()
    yield alarm
    alarm.close()


@pytest.mark.parametrize("wait_ns", [0, 300_000, 1 * MS, 2_400_000, 7 * MS])
async def test_an_alarm_never_rings_early(clock: SystemClock, alarm: Alarm, wait_ns: int) -> None:
    deadline = clock.monotonic_ns() + wait_ns
    await alarm.wait(deadline)
    assert clock.monotonic_ns() >= deadline


async def test_a_deadline_that_is_past_rings_at_once_but_lets_others_run(
    clock: SystemClock, alarm: Alarm
) -> None:
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await alarm.wait(clock.monotonic_ns() - MS)
        await alarm.wait(clock.monotonic_ns() - MS)
        assert ran


@pytest.mark.parametrize("deadline_ns", [None, 2**62])
async def test_wake_ends_the_wait(alarm: Alarm, deadline_ns: int | None) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alarm.wait, deadline_ns)
        await anyio.wait_all_tasks_blocked()
        alarm.wake()
        alarm.wake()


async def test_a_wake_up_before_the_wait_is_kept_and_counts_once(alarm: Alarm) -> None:
    alarm.wake()
    alarm.wake()
    await alarm.wait(None)
    finished = False

    async def second() -> None:
        nonlocal finished
        await alarm.wait(None)
        finished = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert not finished
        alarm.wake()
    assert finished


async def test_a_cancelled_wait_leaves_the_alarm_fit_for_the_next(clock: SystemClock, alarm: Alarm) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await alarm.wait(None)
    deadline = clock.monotonic_ns() + MS
    await alarm.wait(deadline)
    assert clock.monotonic_ns() >= deadline


@pytest.mark.parametrize("deadline_ns", [None, 2**62])
async def test_a_wait_that_is_under_way_can_be_cancelled(alarm: Alarm, deadline_ns: int | None) -> None:
    gone_on = False

    async def wait() -> None:
        nonlocal gone_on
        await alarm.wait(deadline_ns)
        gone_on = True

    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert not gone_on
    alarm.wake()
    await wait()
    assert gone_on


@pytest.mark.parametrize("deadline_ns", [None, 2**62, 0])
async def test_a_scope_that_was_cancelled_before_ends_every_wait(
    alarm: Alarm, deadline_ns: int | None
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(3):  # however often the cancellation is caught
            with pytest.raises(anyio.get_cancelled_exc_class()):
                await alarm.wait(deadline_ns)
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_a_shielded_wait_outlives_a_cancellation_around_it(alarm: Alarm) -> None:
    rung = False

    async def wait() -> None:
        nonlocal rung
        with anyio.CancelScope(shield=True):
            await alarm.wait(2**62)
            rung = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        await anyio.lowlevel.cancel_shielded_checkpoint()
        assert not rung
        alarm.wake()
    assert rung


async def test_a_wake_up_that_meets_a_cancellation_is_harmless(clock: SystemClock, alarm: Alarm) -> None:
    for is_woken_first in (True, False):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarm.wait, 2**62)
            await anyio.wait_all_tasks_blocked()
            if is_woken_first:
                alarm.wake()
            tasks.cancel_scope.cancel()
            alarm.wake()
        # Whether it was used up or kept, the alarm still rings for the next one that waits.
        await alarm.wait(clock.monotonic_ns() + MS)


async def test_a_deadline_that_was_waited_for_in_vain_rings_nobody_later(
    clock: SystemClock, alarm: Alarm
) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarm.wait, clock.monotonic_ns() + MS)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    deadline = clock.monotonic_ns() + 4 * MS
    await alarm.wait(deadline)
    assert clock.monotonic_ns() >= deadline
