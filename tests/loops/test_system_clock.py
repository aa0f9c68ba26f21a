"""The real clock's alarms, on every event loop: never early, never lost, free again after a cancellation."""

from __future__ import annotations

import anyio
import pytest

from traceprobe.loops import SystemClock

MS = 1_000_000


@pytest.mark.parametrize("wait_ns", [0, 300_000, 1 * MS, 2_400_000, 7 * MS])
async def test_an_alarm_never_rings_early(wait_ns: int) -> None:
    clock = SystemClock()
    alarm = clock.alarm()
    deadline = clock.monotonic_ns() + wait_ns
    await alarm.wait(deadline)
    assert clock.monotonic_ns() >= deadline


async def test_a_deadline_that_is_past_rings_at_once_but_lets_others_run() -> None:
    clock = SystemClock()
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await clock.alarm().wait(clock.monotonic_ns() - MS)
        await clock.alarm().wait(clock.monotonic_ns() - MS)
        assert ran


@pytest.mark.parametrize("deadline_ns", [None, 2**62])
async def test_wake_ends_the_wait(deadline_ns: int | None) -> None:
    alarm = SystemClock().alarm()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alarm.wait, deadline_ns)
        await anyio.wait_all_tasks_blocked()
        alarm.wake()
        alarm.wake()


async def test_a_wake_up_before_the_wait_is_kept_and_counts_once() -> None:
    alarm = SystemClock().alarm()
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


async def test_a_cancelled_wait_leaves_the_alarm_fit_for_the_next() -> None:
    clock = SystemClock()
    alarm = clock.alarm()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await alarm.wait(None)
    deadline = clock.monotonic_ns() + MS
    await alarm.wait(deadline)
    assert clock.monotonic_ns() >= deadline
    alarm.close()
