"""The reactor of Windows: one completion port, one thread, one wait, for all sockets of the process.

Windows reports what was asked of it in two ways. Sockets that are associated with an I/O completion port
finish as *packets* on that port. An echo request of ``iphlpapi`` can't be associated with a port; it finishes
as an *asynchronous procedure call* (APC), which Windows runs in the very thread that made the request, and
only while that thread waits *alertably*. ``GetQueuedCompletionStatusEx`` can wait for both at once, without
a time limit: that is the only wait of the thread. Requests of other threads are packets, too, posted by
``PostQueuedCompletionStatus``; each carries one closure, so that a long burst of them lets what completes
meanwhile through. All calls about probes are made by this thread.

The reactor owns every buffer that Windows may still write to, until the operation has completed: whoever
gave up meanwhile, and whether or not its handle has been closed. The thread ends when nobody uses the
reactor and nothing is pending; the exit of the process waits for that, which takes no longer than the
largest time-out of a request on its way. Windows would otherwise cancel the requests of a dying thread.

Knows nothing of probes and protocols.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from traceprobe.errors import ClosedError, NoUsableSocketError
from traceprobe.ffi.windows import (
    INFINITE,
    INVALID_HANDLE_VALUE,
    IO_COMPLETION_ROUTINE_RAN,
    NULL,
    ffi,
    load_libraries,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeAlias

    from traceprobe.ffi.windows import Pointer, WindowsLibraries

    Completed: TypeAlias = Callable[[int, int, int], None]
    """Called with the moment (:meth:`Reactor.now_ns`), the status (NTSTATUS) and the bytes transferred."""

_KEY_CALL: Final = 1
_KEY_SOCKET: Final = 2
_ENTRIES: Final = 64
"""Packets taken from the port in one call."""
_NS: Final = 1_000_000_000
_STATUS_MASK: Final = 0xFFFFFFFF


class Owner(Protocol):
    """Who uses the reactor."""

    def shut_down(self) -> None:
        """Give up what would never complete by itself; called on the reactor's thread. Idempotent."""
        ...

    def reactor_failed(self, error: Exception) -> None:
        """Something went wrong that leaves no hope; called on the reactor's thread."""
        ...


class ReactorCounters(NamedTuple):
    """What a reactor holds and has done."""

    pending: int
    """Operations that Windows has not completed yet."""
    buffers: int
    """Buffers that it may still write to or read from."""
    wakes: int
    """How often the wait has returned."""


class _Operation(NamedTuple):
    completed: Completed
    pinned: tuple[Pointer, ...]


class Reactor:
    """A completion port and the thread that waits on it; see the head of this module.

    It begins with one user; :meth:`acquire` and :meth:`release` count the others.

    Raises:
        NoUsableSocketError: Windows has no completion port to give.
    """

    def __init__(self, libraries: WindowsLibraries) -> None:
        self.libraries = libraries
        kernel32 = libraries.kernel32
        self._port = kernel32.CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1)
        if self._port == NULL:
            raise NoUsableSocketError(f"there is no completion port: Windows error {libraries.last_error()}")
        self._count: Any = ffi.new("int64_t *")
        kernel32.QueryPerformanceFrequency(self._count)
        self._frequency: int = self._count[0]
        self.apc_routine: Pointer = ffi.callback("PIO_APC_ROUTINE", self._apc_came, onerror=self._apc_failed)
        """What requests that complete by APC are given; must outlive them all."""
        self._calls: deque[Callable[[], None]] = deque()
        self._apcs: dict[int, _Operation] = {}
        self._packets: dict[int, _Operation] = {}
        self._last_context = 0
        self._buffers = 0
        self._wakes = 0
        self._owners: dict[Owner, None] = {}
        self._lock = threading.Lock()
        self._users = 1
        self._ended = False
        self.failure: Exception = ClosedError("the reactor of this process has ended")
        """Why nothing is called any more, once that is so."""
        self._exiting = False
        # A thread that is no daemon would be joined before the functions of atexit are called: for ever.
        self._thread = threading.Thread(target=self._run, name="traceprobe-reactor", daemon=True)
        atexit.register(self.shut_down)
        self._thread.start()

    # --- on any thread --------------------------------------------------------------------------------------

    @property
    def counters(self) -> ReactorCounters:
        """What it holds and has done."""
        return ReactorCounters(len(self._apcs) + len(self._packets), self._buffers, self._wakes)

    def acquire(self) -> bool:
        """Count one more user; False if the thread has ended, so that a new reactor is needed."""
        with self._lock:
            if not self._ended:
                self._users += 1
            return not self._ended

    def release(self) -> None:
        """Count one user less; the thread ends as soon as nothing is pending."""
        with self._lock:
            self._users = max(0, self._users - 1)
        self.call(_nothing)

    def call(self, function: Callable[[], None]) -> bool:
        """Have the reactor's thread call something; returns at once. Functions are called in order.

        Returns:
            False if the thread has ended, so that nothing will be called.

        Raises:
            OSError: Windows has no room for another packet.
        """
        with self._lock:
            if self._ended:
                return False
            self._calls.append(function)
            if not self.libraries.kernel32.PostQueuedCompletionStatus(self._port, 0, _KEY_CALL, NULL):
                code = self.libraries.last_error()
                # One call for each packet: otherwise the thread would call the wrong one, and never end.
                self._calls.pop()
                raise OSError(code, f"PostQueuedCompletionStatus: Windows error {code}")
            return True

    def add_owner(self, owner: Owner) -> None:
        """Tell an owner when the process exits, or when something goes wrong."""
        with self._lock:
            self._owners[owner] = None

    def remove_owner(self, owner: Owner) -> None:
        """Tell it nothing any more."""
        with self._lock:
            self._owners.pop(owner, None)

    def join(self) -> None:
        """Wait until the thread has ended: nobody uses the reactor, and nothing is pending."""
        self._thread.join()

    def shut_down(self) -> None:
        """Close what its users have open, and wait until the thread has ended.

        Called when the process exits; takes as long as Windows takes to complete what is pending.
        """
        with self._lock:
            self._exiting = True
            self._users = 0
        self.call(self._close_owners)
        self._thread.join()

    # --- on the reactor's thread ----------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The performance counter, in nanoseconds (``QueryPerformanceCounter``)."""
        self.libraries.kernel32.QueryPerformanceCounter(self._count)
        count: int = self._count[0]
        return count * _NS // self._frequency

    def associate(self, socket: int) -> bool:
        """Have the operations of a socket complete on the port; False if Windows refuses."""
        port = self.libraries.kernel32.CreateIoCompletionPort(
            ffi.cast("HANDLE", socket), self._port, _KEY_SOCKET, 0
        )
        return port != NULL

    def begin_apc(self, pinned: tuple[Pointer, ...], completed: Completed) -> int:
        """Take buffers over before a request that completes by APC; returns its number, the context."""
        self._last_context += 1
        self._apcs[self._last_context] = _Operation(completed, pinned)
        self._buffers += len(pinned)
        return self._last_context

    def has_apc(self, context: int) -> bool:
        """Whether a request has not completed yet."""
        return context in self._apcs

    def refused_apc(self, context: int) -> None:
        """Give buffers back: the request was refused at once, and will never complete."""
        self._forget(self._apcs.pop(context))

    def begin_packet(self, overlapped: Pointer, pinned: tuple[Pointer, ...], completed: Completed) -> None:
        """Take buffers over before an operation that completes as a packet."""
        self._packets[_address(overlapped)] = _Operation(completed, (overlapped, *pinned))
        self._buffers += 1 + len(pinned)

    def refused_packet(self, overlapped: Pointer) -> None:
        """Give buffers back: the operation was refused at once, and will never complete."""
        self._forget(self._packets.pop(_address(overlapped)))

    def _forget(self, operation: _Operation) -> None:
        self._buffers -= len(operation.pinned)

    def _run(self) -> None:
        entries: Any = ffi.new("struct overlapped_entry[]", _ENTRIES)
        removed: Any = ffi.new("uint32_t *")
        libraries = self.libraries
        wait = libraries.kernel32.GetQueuedCompletionStatusEx
        while not self._may_end():
            woken = wait(self._port, entries, _ENTRIES, removed, INFINITE, True)
            self._wakes += 1
            if woken:
                self._take(entries, removed[0])
                continue
            code = libraries.last_error()
            if code != IO_COMPLETION_ROUTINE_RAN:  # otherwise APCs have run inside the wait
                self._give_up(OSError(code, f"GetQueuedCompletionStatusEx: Windows error {code}"))
                return
        libraries.kernel32.CloseHandle(self._port)
        if not self._exiting:
            atexit.unregister(self.shut_down)

    def _may_end(self) -> bool:
        if self._apcs or self._packets:
            return False
        with self._lock:
            self._ended = not self._users and not self._calls
            return self._ended

    def _take(self, entries: Any, count: int) -> None:  # noqa: ANN401 - an array of cffi
        now_ns = self.now_ns()
        test_alert = self.libraries.ntdll.NtTestAlert
        for place in range(count):
            entry = entries[place]
            if entry.key == _KEY_CALL:
                self._guard(self._calls.popleft())
                # Replies to what was just sent may be here already: stamp them now, not after the burst.
                test_alert()
                continue
            operation = self._packets.pop(_address(entry.overlapped), None)
            if operation is not None:
                self._forget(operation)
                status = entry.overlapped.internal & _STATUS_MASK
                transferred = entry.transferred
                self._complete(operation, now_ns, status, transferred)

    def _apc_came(self, context: Any, block: Any, _reserved: int) -> None:  # noqa: ANN401 - pointers of cffi
        now_ns = self.now_ns()
        operation = self._apcs.pop(int(ffi.cast("uintptr_t", context)), None)
        if operation is not None:
            self._forget(operation)
            self._complete(operation, now_ns, block.status, block.information)

    def _apc_failed(
        self, _kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
    ) -> None:
        self._tell(error)

    def _complete(self, operation: _Operation, now_ns: int, status: int, transferred: int) -> None:
        try:
            operation.completed(now_ns, status, transferred)
        except Exception as error:
            self._tell(error)

    def _guard(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """A mistake of ours: better an error for everybody than somebody who waits for ever."""
        failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
        for owner in self._present_owners():
            owner.reactor_failed(failure)

    def _give_up(self, error: Exception) -> None:
        """The wait itself failed. Buffers stay: atexit holds this object, and with it all of them."""
        with self._lock:
            self._ended = True
            self.failure = error
        self._tell(error)

    def _close_owners(self) -> None:
        for owner in self._present_owners():
            owner.shut_down()

    def _present_owners(self) -> tuple[Owner, ...]:
        with self._lock:
            return tuple(self._owners)


class ReactorHolder:
    """Hands out one reactor to all who need one; the next one when it has ended.

    Args:
        libraries: The libraries of Windows.
    """

    def __init__(self, libraries: WindowsLibraries) -> None:
        self.libraries = libraries
        self._lock = threading.Lock()
        self._reactor: Reactor | None = None

    def lease(self) -> Reactor:
        """The reactor, running; whoever gets it calls :meth:`Reactor.release` once."""
        with self._lock:
            if self._reactor is None or not self._reactor.acquire():
                self._reactor = Reactor(self.libraries)
            return self._reactor

    @property
    def counters(self) -> ReactorCounters:
        """What the latest reactor holds and has done."""
        reactor = self._reactor
        return ReactorCounters(0, 0, 0) if reactor is None else reactor.counters

    def join(self) -> None:
        """Wait until the latest reactor has ended: nobody uses it, and nothing is pending."""
        if self._reactor is not None:
            self._reactor.join()

    def shut_down(self) -> None:
        """End the latest reactor, whoever uses it; see :meth:`Reactor.shut_down`."""
        if self._reactor is not None:
            self._reactor.shut_down()


@cache
def process_reactor() -> ReactorHolder:
    """The reactor of this process.

    Raises:
        AbiError: This is no Windows that is known.
    """
    return ReactorHolder(load_libraries())


def _address(pointer: Pointer) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _nothing() -> None:
    """Only wakes the thread up."""
