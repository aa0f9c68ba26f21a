"""Virtual time: it stands while anybody is busy, and jumps when all wait."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from traceprobe.errors import BusyError, ClosedError
from traceprobe.testing.clock import VirtualAlarm, VirtualClock

MS = 1_000_000


async def turns(count: int = 40) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def test_an_alarm_rings_at_its_deadline_to_the_nanosecond() -> None:
    clock = VirtualClock()
    alarm = clock.alarm()
    await alarm.wait(5_000_000_001)
    assert clock.monotonic_ns() == 5_000_000_001
    assert clock.realtime_ns() - VirtualClock().realtime_ns() == 5_000_000_001
    await alarm.wait(5_000_000_002)
    assert clock.monotonic_ns() == 5_000_000_002


async def test_a_deadline_that_is_past_rings_at_once_and_lets_other_tasks_run() -> None:
    clock = VirtualClock()
    alarm = clock.alarm()
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        while not ran:
            await alarm.wait(0)
    assert clock.monotonic_ns() == 0


async def test_events_come_in_order_and_those_of_one_instant_before_anybody_reacts() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, int]] = []
    for name, at_ns in (("late", 3), ("first", 1), ("second", 1), ("cancelled", 2)):
        timer = clock.call_at(at_ns, lambda name=name: seen.append((name, clock.monotonic_ns())))  # type: ignore[misc]
        if name == "cancelled":
            timer.cancel()
    alarm = clock.alarm()
    await alarm.wait(1)
    assert seen == [("first", 1), ("second", 1)]
    await alarm.wait(2)
    assert clock.monotonic_ns() == 2
    await alarm.wait(9)
    assert seen[2:] == [("late", 3)]


async def test_time_stands_while_another_participant_is_busy() -> None:
    clock = VirtualClock()
    worker_done = anyio.Event()
    log: list[str] = []

    async def waiter(alarm: VirtualAlarm) -> None:
        await alarm.wait(10)
        log.append(f"waiter at {clock.monotonic_ns()}")
        alarm.close()

    async def worker(alarm: VirtualAlarm) -> None:
        await turns()
        log.append(f"worker at {clock.monotonic_ns()}")
        await alarm.wait(20)
        log.append(f"worker at {clock.monotonic_ns()}")
        alarm.close()
        worker_done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter, clock.alarm())
        tasks.start_soon(worker, clock.alarm())
    assert worker_done.is_set()
    assert log == ["worker at 0", "waiter at 10", "worker at 20"]


async def test_who_was_woken_is_waited_for_until_it_waits_again() -> None:
    clock = VirtualClock()
    log: list[str] = []

    async def slow(alarm: VirtualAlarm) -> None:
        await alarm.wait(10)
        await turns()
        log.append(f"slow at {clock.monotonic_ns()}")
        alarm.close()

    async def quick(alarm: VirtualAlarm) -> None:
        await alarm.wait(20)
        log.append(f"quick at {clock.monotonic_ns()}")
        alarm.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow, clock.alarm())
        tasks.start_soon(quick, clock.alarm())
    assert log == ["slow at 10", "quick at 20"]


async def test_a_wake_up_while_nobody_waits_is_kept_and_several_count_as_one() -> None:
    clock = VirtualClock()
    alarm = clock.alarm()
    alarm.wake()
    alarm.wake()
    await alarm.wait(100)
    assert clock.monotonic_ns() == 0
    await alarm.wait(100)
    assert clock.monotonic_ns() == 100


async def test_a_wake_up_ends_a_wait_before_its_deadline() -> None:
    clock = VirtualClock()
    alarm = clock.alarm()
    clock.call_at(7, alarm.wake)
    await alarm.wait(100)
    assert clock.monotonic_ns() == 7
    clock.call_at(8, alarm.wake)
    await alarm.wait(None)
    assert clock.monotonic_ns() == 8
    await alarm.wait(9)
    assert clock.monotonic_ns() == 9


async def test_a_cancelled_waiter_holds_nobody_up_and_may_wait_again() -> None:
    clock = VirtualClock()
    holder, other = clock.alarm(), clock.alarm()
    reached: list[int] = []

    async def wait_for_ever() -> None:
        await holder.wait(None)

    async def run_on() -> None:
        await other.wait(50)
        reached.append(clock.monotonic_ns())
        other.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_ever)
        await turns(3)
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_on)
    assert reached == [50]
    await holder.wait(60)
    assert clock.monotonic_ns() == 60


async def test_a_waiter_that_is_cancelled_together_with_its_wake_up_does_not_stop_the_clock() -> None:
    clock = VirtualClock()
    alarm = clock.alarm()
    with anyio.CancelScope() as scope:

        def both() -> None:
            alarm.wake()
            scope.cancel()

        clock.call_at(5, both)
        await alarm.wait(None)
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    other = clock.alarm()
    await other.wait(50)
    assert clock.monotonic_ns() == 50


async def test_a_cancelled_waiter_that_waits_again_is_a_participant_again() -> None:
    clock = VirtualClock()
    alarm, other = clock.alarm(), clock.alarm()

    async def twice() -> None:
        with anyio.CancelScope() as scope:
            clock.call_at(10, scope.cancel)
            await alarm.wait(None)
        assert scope.cancelled_caught
        await alarm.wait(30)
        await turns()
        assert clock.monotonic_ns() == 30
        alarm.close()

    async def run_on() -> None:
        await other.wait(20)
        await turns()
        await other.wait(40)
        other.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(twice)
        tasks.start_soon(run_on)
    assert clock.monotonic_ns() == 40


async def test_a_closed_alarm_holds_nobody_up() -> None:
    clock = VirtualClock()
    closed, alarm = clock.alarm(), clock.alarm()
    closed.close()
    closed.close()
    closed.wake()
    await alarm.wait(10)
    assert clock.monotonic_ns() == 10
    with pytest.raises(ClosedError):
        await closed.wait(20)


async def test_an_alarm_that_nobody_has_any_more_holds_nobody_up() -> None:
    clock = VirtualClock()

    async def forget() -> None:
        clock.alarm().wake()

    async def wait(alarm: VirtualAlarm) -> None:
        await alarm.wait(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(forget)
        tasks.start_soon(wait, clock.alarm())
    assert clock.monotonic_ns() == 10


async def test_two_waiters_on_one_alarm_are_refused() -> None:
    clock = VirtualClock()
    alarm = clock.alarm()

    async def wait() -> None:
        await alarm.wait(None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await turns(3)
        with pytest.raises(BusyError):
            await alarm.wait(None)
        alarm.wake()


async def test_what_a_passing_of_time_sets_off_comes_before_the_next_event() -> None:
    """A look-up ends in one task; the trace that it wakes through another still sees its time."""
    clock = VirtualClock()
    answer = anyio.Event()
    alarm = clock.alarm()
    seen: list[int] = []

    async def look_up() -> None:
        await clock.pass_time(0.000_05)
        answer.set()

    async def hand_on() -> None:
        await answer.wait()
        await turns(2)
        alarm.wake()

    async def trace() -> None:
        await alarm.wait(2_000 * MS)
        seen.append(clock.monotonic_ns())
        alarm.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look_up)
        tasks.start_soon(hand_on)
        tasks.start_soon(trace)
    assert seen == [50_000]


async def test_a_task_that_waits_in_one_way_does_not_hold_time_up_in_another() -> None:
    clock = VirtualClock()
    alarm, other = clock.alarm(), clock.alarm()
    await alarm.wait(10)
    await other.wait(20)
    await clock.pass_time(0.000_000_010)
    assert clock.monotonic_ns() == 30
    await alarm.wait(40)
    await clock.pass_time(0.0)
    assert clock.monotonic_ns() == 40


async def test_what_a_task_was_busy_with_is_busy_again_after_another_wait() -> None:
    clock = VirtualClock()
    log: list[int] = []

    async def works(alarm: VirtualAlarm) -> None:
        await alarm.wait(10)
        await clock.pass_time(0.000_000_010)
        await turns()
        log.append(clock.monotonic_ns())
        alarm.close()

    async def other(alarm: VirtualAlarm) -> None:
        await alarm.wait(30)
        log.append(clock.monotonic_ns())
        alarm.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(works, clock.alarm())
        tasks.start_soon(other, clock.alarm())
    assert log == [20, 30]


async def test_many_waiters_of_one_instant_are_all_woken() -> None:
    clock = VirtualClock()
    woken: list[int] = []

    async def wait(number: int, alarm: VirtualAlarm) -> None:
        for turn in range(1, 4):
            await alarm.wait(turn * 10)
            assert clock.monotonic_ns() == turn * 10
        woken.append(number)
        alarm.close()

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(wait, number, clock.alarm())
    assert sorted(woken) == list(range(100))


def test_a_clock_can_be_looked_at_without_an_event_loop() -> None:
    clock = VirtualClock(starts_at_ns=5)
    alarm = clock.alarm()
    assert clock.monotonic_ns() == 0
    assert clock.realtime_ns() == 5
    alarm.wake()
    alarm.close()
    assert "0 busy" in repr(clock)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_clock_serves_one_event_loop_after_the_other(backend: str) -> None:
    clock = VirtualClock()

    async def some_time() -> None:
        await clock.pass_time(1.0)

    anyio.run(some_time, backend=backend)
    anyio.run(some_time, backend=backend)
    assert clock.monotonic_ns() == 2_000 * MS


async def test_a_task_that_ends_without_closing_its_alarm_holds_nobody_up() -> None:
    clock = VirtualClock()
    kept, alarm = clock.alarm(), clock.alarm()

    async def careless() -> None:
        await kept.wait(10)

    async def careful() -> None:
        await alarm.wait(5)
        await alarm.wait(20)
        alarm.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(careless)
        tasks.start_soon(careful)
    assert clock.monotonic_ns() == 20


async def test_a_wait_that_is_cancelled_before_it_began_keeps_the_wake_up_and_holds_nobody_up() -> None:
    clock = VirtualClock()
    alarm, other = clock.alarm(), clock.alarm()
    alarm.wake()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await alarm.wait(99)
    assert scope.cancelled_caught
    await other.wait(10)
    assert clock.monotonic_ns() == 10
    await alarm.wait(99)
    assert clock.monotonic_ns() == 10


async def test_what_was_cancelled_does_not_pile_up_until_its_time() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    for number in range(20_000):
        timer = clock.call_at(1_000_000_000 + number, lambda number=number: seen.append(number))  # type: ignore[misc]
        if number % 100:
            timer.cancel()
    assert len(clock._events) < 2_100
    await clock.alarm().wait(2_000_000_000)
    assert seen == list(range(0, 20_000, 100))
