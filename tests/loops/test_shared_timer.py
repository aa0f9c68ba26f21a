"""One descriptor rings for all alarms of an event loop, in time, and is given back with the last of them."""

from __future__ import annotations

import errno
import os
import sys
import threading
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from traceprobe.loops import SystemClock

if sys.platform != "linux":
    pytest.skip("timers are descriptors on Linux only", allow_module_level=True)

from traceprobe.ffi.linux_timer import LinuxTimer

if TYPE_CHECKING:
    from traceprobe.loops import Alarm

MS = 1_000_000
NEVER = 2**62


class Counting:
    """Opens real timers and keeps count of them, and of how often they are set."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.settings: list[int | None] = []

    def __call__(self) -> LinuxTimer:
        outer = self

        class Counted(LinuxTimer):
            def set(self, deadline_ns: int | None) -> None:
                outer.settings.append(deadline_ns)
                super().set(deadline_ns)

            def close(self) -> None:
                outer.closed += 1
                super().close()

        self.opened += 1
        return Counted()


async def test_all_alarms_of_a_loop_share_one_timer_and_the_last_one_closes_it() -> None:
    timers = Counting()
    clock = SystemClock(timers)
    descriptors = len(os.listdir("/proc/self/fd"))

    async def wait(alarm: Alarm, deadline: int, rung: list[int]) -> None:
        await alarm.wait(deadline)
        assert clock.monotonic_ns() >= deadline
        rung.append(deadline)

    for generation in (1, 2):
        alarms = [clock.alarm() for _ in range(5)]
        rung: list[int] = []
        start = clock.monotonic_ns()
        deadlines = [start + step * 2 * MS for step in (5, 4, 3, 2, 1)]
        async with anyio.create_task_group() as tasks:
            for alarm, deadline in zip(alarms, deadlines, strict=True):
                tasks.start_soon(wait, alarm, deadline, rung)
        assert sorted(rung) == sorted(
            deadlines
        )  # in which order those run that are due at once is the loop's
        assert timers.opened == generation
        for alarm in alarms:
            assert timers.closed == generation - 1
            alarm.close()
            alarm.close()  # twice does no harm
        assert timers.closed == generation
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_an_alarm_that_waits_for_a_call_only_needs_no_timer() -> None:
    timers = Counting()
    alarm = SystemClock(timers).alarm()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alarm.wait, None)
        await anyio.wait_all_tasks_blocked()
        alarm.wake()
    alarm.close()
    assert timers.opened == 0


async def test_the_timer_is_set_for_the_earliest_of_those_who_still_wait() -> None:
    timers = Counting()
    clock = SystemClock(timers)
    impatient, patient = clock.alarm(), clock.alarm()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(impatient.wait, NEVER - 2)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(patient.wait, NEVER)
        await anyio.wait_all_tasks_blocked()
        assert timers.settings == [NEVER - 2]
        impatient.wake()
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(impatient.wait, NEVER + 2)
        await anyio.wait_all_tasks_blocked()
        assert timers.settings == [NEVER - 2, NEVER]
        impatient.wake()
        patient.wake()
    impatient.close()
    patient.close()


async def test_waits_that_were_ended_early_leave_nothing_behind() -> None:
    clock = SystemClock(LinuxTimer)
    alarm, other = clock.alarm(), clock.alarm()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.wait, NEVER - 1)  # stands before all of them
        for turn in range(500):
            tasks.start_soon(alarm.wait, NEVER + turn)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            alarm.wake()
            await anyio.wait_all_tasks_blocked()
        assert clock._timers is not None
        (timer,) = clock._timers._by_loop.values()
        assert len(timer._heap) < 100
        other.wake()
    alarm.close()
    other.close()


async def test_a_ring_that_is_told_of_when_the_timer_has_been_given_back_is_nobodys() -> None:
    clock = SystemClock(LinuxTimer)
    alarm = clock.alarm()
    await alarm.wait(clock.monotonic_ns() + MS)
    assert clock._timers is not None
    (timer,) = clock._timers._by_loop.values()
    alarm.close()
    timer._rang()  # as trio does where the timer is ready and its last user leaves in one turn
    await anyio.lowlevel.checkpoint()


async def test_without_a_timer_the_event_loops_own_has_to_do() -> None:
    def open_timer() -> LinuxTimer:
        raise OSError(errno.EMFILE, "too many open files")

    clock = SystemClock(open_timer)
    alarm = clock.alarm()
    deadline = clock.monotonic_ns() + 3 * MS
    await alarm.wait(deadline)
    assert clock.monotonic_ns() >= deadline
    alarm.close()


def test_two_event_loops_in_two_threads_have_a_timer_each() -> None:
    timers = Counting()
    clock = SystemClock(timers)
    both_wait = threading.Barrier(2)
    late: list[int] = []

    async def main() -> None:
        alarm = clock.alarm()
        await alarm.wait(clock.monotonic_ns() + MS)
        both_wait.wait()
        deadline = clock.monotonic_ns() + 2 * MS
        await alarm.wait(deadline)
        late.append(clock.monotonic_ns() - deadline)
        alarm.close()

    threads = [threading.Thread(target=anyio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert timers.opened == timers.closed == 2
    assert len(late) == 2
    assert min(late) >= 0


def test_a_timer_is_readable_from_its_moment_on_until_it_is_set_anew() -> None:
    import select

    timer = LinuxTimer()
    poll = select.poll()
    poll.register(timer.fileno(), select.POLLIN)
    assert not poll.poll(0)
    timer.set(1)
    assert poll.poll(0)
    timer.set(NEVER)
    assert not poll.poll(0)
    timer.set(1)
    timer.set(None)
    assert not poll.poll(0)
    assert not os.get_inheritable(timer.fileno())
    timer.close()


def test_a_descriptor_that_can_not_be_had_is_an_error_with_its_number() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(OSError, match="open files") as caught:
            LinuxTimer()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
