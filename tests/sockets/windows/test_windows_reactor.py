"""One port, one thread, one wait: nobody is woken for nothing, nothing is lost, nothing is left."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from tests.sockets.windows.driving import PATIENCE, receive
from tests.sockets.windows.fake import ERROR_ABANDONED_WAIT_0, TIMED_OUT, Answer, FakeWindows
from tests.sockets.windows.test_windows_icmp import REACTOR, make_probes, opened
from tests.sockets.windows.test_windows_raw import opened as opened_raw
from tests.sockets.windows.winsock import FakeWinsock
from traceprobe.config import Protocol
from traceprobe.errors import NoUsableSocketError
from traceprobe.sockets.windows._crossing import Crossing
from traceprobe.sockets.windows._reactor import Reactor, ReactorHolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.ffi.windows import Pointer
    from traceprobe.sockets.windows.icmp import WindowsIcmpSocket
    from traceprobe.sockets.windows.raw import WindowsUdpSocket


class Owner:
    """Remembers what the reactor told it."""

    def __init__(self) -> None:
        self.told: list[Exception] = []
        self.shut = threading.Event()

    def shut_down(self) -> None:
        self.shut.set()

    def reactor_failed(self, error: Exception) -> None:
        self.told.append(error)


def on_reactor(reactor: Reactor, function: Callable[[], object]) -> object:
    """Call something on the reactor's thread, and wait for it."""
    done = threading.Event()
    results: list[object] = []

    def call() -> None:
        results.append(function())
        done.set()

    reactor.call(call)
    assert done.wait(PATIENCE)
    return results[0]


def reactor_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == REACTOR]


# --- waiting ------------------------------------------------------------------------------------------------


async def test_nothing_wakes_it_while_ninety_requests_are_silent(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    socket = opened(holder)
    await socket.send_probes(make_probes(90))
    # Its last wake-up is over when it has gone back into the wait.
    system.wait_until(lambda: system.waits == holder.counters.wakes + 1)
    before, alerts = holder.counters, system.alerts
    assert before.pending == 90
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.receive)
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
            assert socket.receive_nowait() == []
        gc.collect()
        tasks.cancel_scope.cancel()
    assert holder.counters == before
    assert system.waits == before.wakes + 1
    assert system.alerts == alerts
    await socket.aclose()


async def test_one_wake_takes_all_that_is_there(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder)
    await socket.send_probes(make_probes(90))
    system.wait_until(lambda: system.waits == holder.counters.wakes + 1)
    before = holder.counters.wakes
    with system.changed:  # the wait cannot return before all of them are there
        for request in list(system.pending):
            system.answer(request, Answer())
    await receive(socket, 90)
    system.wait_until(lambda: system.waits == before + 2)
    assert holder.counters.wakes == before + 1
    await socket.aclose()


@pytest.mark.parametrize("apc_first", [False, True], ids=["packets first", "completions first"])
async def test_replies_come_through_a_long_burst(apc_first: bool) -> None:
    """An answer is taken after the very call that it came with, not when all probes have been sent."""
    system = FakeWindows(apc_first=apc_first)
    FakeWinsock(system)
    system.network = lambda _: Answer()
    holder = ReactorHolder(system.libraries)
    socket = opened(holder)
    outstanding: list[int] = []

    def watch(_: object) -> Answer:
        outstanding.append(holder.counters.pending)
        return Answer()

    system.network = watch
    await socket.send_probes(make_probes(250))
    assert max(outstanding) == 1
    await receive(socket, 250)
    await socket.aclose()
    holder.join()
    assert system.violations == []


# --- threads ------------------------------------------------------------------------------------------------


def test_calls_come_in_order_on_one_thread(holder: ReactorHolder) -> None:
    reactor = holder.lease()
    seen: list[tuple[int, str]] = []
    for number in range(500):
        reactor.call(lambda number=number: seen.append((number, threading.current_thread().name)))  # type: ignore[misc]
    reactor.release()
    holder.join()
    assert seen == [(number, REACTOR) for number in range(500)]


def test_all_users_share_one_thread_that_ends_with_the_last(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    before = len(reactor_threads())
    reactors = {holder.lease() for _ in range(5)}
    assert len(reactors) == 1
    assert len(reactor_threads()) == before + 1
    (reactor,) = reactors
    for _ in range(4):
        reactor.release()
    assert on_reactor(reactor, lambda: 1) == 1
    reactor.release()
    holder.join()
    assert len(reactor_threads()) == before
    assert system.open_handles == set()
    another = holder.lease()
    assert another is not reactor
    another.release()


async def test_it_drains_before_it_ends_and_is_used_again_meanwhile(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    first = opened(holder)
    await first.send_probes(make_probes(3))
    await first.aclose()
    threads = reactor_threads()
    second = opened(holder)
    assert reactor_threads() == threads
    await second.send_probes(make_probes(2, trace=2))
    assert holder.counters.pending == 5
    await second.aclose()
    system.time_out()
    holder.join()
    assert not reactor_threads()


def test_a_system_without_ports_is_no_place_for_it() -> None:
    class Poor(FakeWindows):
        def new_handle(self) -> int:
            self.fail(8)
            return 0

    with pytest.raises(NoUsableSocketError, match="no completion port: Windows error 8"):
        ReactorHolder(Poor().libraries).lease()


# --- what it owns -------------------------------------------------------------------------------------------


def test_buffers_live_until_their_operation_has_completed(holder: ReactorHolder) -> None:
    reactor = holder.lease()
    ends: list[tuple[int, int]] = []

    def begin() -> tuple[int, ...]:
        pinned: tuple[Pointer, ...] = (bytearray(1), bytearray(2))
        context = reactor.begin_apc(pinned, lambda _, status, size: ends.append((status, size)))
        counters = reactor.counters[:2]
        reactor.refused_apc(context)
        return counters

    assert on_reactor(reactor, begin) == (1, 2)
    assert reactor.counters[:2] == (0, 0)
    assert ends == []
    reactor.release()


# --- what goes wrong ----------------------------------------------------------------------------------------


def test_a_mistake_in_a_call_is_told_to_everybody_and_survived(holder: ReactorHolder) -> None:
    reactor = holder.lease()
    owner = Owner()
    on_reactor(reactor, lambda: reactor.add_owner(owner))

    def mistaken() -> None:
        raise ValueError("a mistake")

    reactor.call(mistaken)
    assert on_reactor(reactor, lambda: 7) == 7
    assert [str(error) for error in owner.told] == ["a mistake"]
    on_reactor(reactor, lambda: reactor.remove_owner(owner))
    reactor.call(mistaken)
    reactor.release()
    holder.join()
    assert len(owner.told) == 1


async def test_whoever_receives_learns_that_the_wait_has_failed(
    system: FakeWindows, winsock: FakeWinsock
) -> None:
    holder = ReactorHolder(system.libraries)
    socket = opened(holder)
    await socket.send_probes(make_probes(1))
    failure: Exception | None = None

    async def wait() -> None:
        nonlocal failure
        try:
            await socket.receive()
        except OSError as error:
            failure = error

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            with system.changed:
                system.broken_wait = ERROR_ABANDONED_WAIT_0
                system.changed.notify_all()
    assert isinstance(failure, OSError)
    assert failure.errno == ERROR_ABANDONED_WAIT_0
    # What Windows may still write to is kept, for good.
    gc.collect()
    assert system.requests[0].reply.kept
    with pytest.raises(OSError, match="GetQueuedCompletionStatusEx"):
        await socket.send_probes(make_probes(1))
    await socket.aclose()
    assert holder.lease() is not None  # the next one starts anew, and fails anew
    holder.join()


@pytest.mark.parametrize("registered", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(
    "open_socket", [opened, partial(opened_raw, protocol=Protocol.UDP)], ids=["icmp", "udp"]
)
async def test_whoever_sends_learns_that_the_wait_has_failed(
    system: FakeWindows,
    winsock: FakeWinsock,
    open_socket: Callable[[ReactorHolder], WindowsIcmpSocket | WindowsUdpSocket],
    registered: bool,
) -> None:
    """Also where nobody receives, and where the reactor failed before it knew of the socket."""
    holder = ReactorHolder(system.libraries)
    reactor = holder.lease()
    with ExitStack() as stack:
        if not registered:
            stack.enter_context(system.changed)
        socket = open_socket(holder)
        if registered:
            on_reactor(reactor, lambda: None)
            stack.enter_context(system.changed)
        system.broken_wait = ERROR_ABANDONED_WAIT_0
        system.changed.notify_all()
    holder.join()
    with anyio.fail_after(PATIENCE), pytest.raises(OSError, match="GetQueuedCompletionStatusEx"):
        await socket.send_probes(make_probes(1))
    await socket.aclose()


def test_a_call_that_cannot_be_posted_is_forgotten(system: FakeWindows, holder: ReactorHolder) -> None:
    reactor = holder.lease()
    called: list[int] = []
    system.full = True
    with pytest.raises(OSError, match="PostQueuedCompletionStatus"):
        reactor.call(lambda: called.append(1))
    system.full = False
    assert on_reactor(reactor, lambda: 2) == 2
    assert called == []
    reactor.release()
    holder.join()


def test_replies_for_a_loop_that_has_ended_are_dropped(system: FakeWindows, holder: ReactorHolder) -> None:
    async def leave() -> None:
        socket = opened(holder)
        await socket.send_probes(make_probes(5))

    for backend in ("asyncio", "trio"):
        anyio.run(leave, backend=backend)
    for request in list(system.pending):
        system.answer(request, Answer())
    reactor = holder.lease()
    on_reactor(reactor, lambda: None)  # completion routines run after a packet has been dealt with
    assert on_reactor(reactor, lambda: reactor.counters.pending) == 0
    reactor.release()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_process_ends_cleanly_with_requests_in_flight(backend: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sockets.windows.exiting", backend],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split("\n")[0] == "[] (0, 0) [] 20"
    assert finished.stderr == ""


# --- the way to the event loop ------------------------------------------------------------------------------


async def test_knocks_are_merged_and_nothing_is_lost() -> None:
    crossing: Crossing[int] = Crossing()
    crossing.attach()
    total = 5000

    def put() -> None:
        for number in range(total):
            crossing.put(number)

    thread = threading.Thread(target=put)
    thread.start()
    taken: list[int] = []
    with anyio.fail_after(PATIENCE):
        while len(taken) < total:
            await crossing.wait_readable()
            taken += crossing.take()
    thread.join()
    assert taken == list(range(total))


async def test_what_has_come_is_there_without_a_turn_of_the_loop(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    """A loop that was blocked finds the replies before it judges deadlines."""
    socket = opened(holder)
    await socket.send_probes(make_probes(3))
    system.wait_until(lambda: system.waits == holder.counters.wakes + 1)
    waits = system.waits
    with system.changed:
        for request in list(system.pending):
            system.answer(request, Answer())
    system.wait_until(lambda: system.waits == waits + 1)
    assert len(socket.receive_nowait()) == 3
    await socket.aclose()


async def test_timed_out_requests_wake_no_task(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder)
    await socket.send_probes(make_probes(3))
    returned = False

    async def wait() -> None:
        nonlocal returned
        await socket.receive()
        returned = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        for request in list(system.pending):
            system.answer(request, TIMED_OUT)
        system.wait_until(lambda: holder.counters.pending == 0)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert not returned
    await socket.aclose()
