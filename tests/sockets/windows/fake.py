"""A fake of ``iphlpapi``, ``kernel32`` and ``ntdll``, as Microsoft documents them, fault by fault.

It writes real structures into the real buffers that it is given, runs completion routines where Windows
would (in the thread that made the request, while that thread waits alertably), and keeps a list of what
no program may do: ``violations``. Nothing happens by itself: the network answers when a test says so, or
through ``network``.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import defaultdict, deque
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from traceprobe.ffi import windows
from traceprobe.ffi.windows import INVALID_HANDLE_VALUE, NULL, WindowsLibraries, ffi

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.ffi.windows import Pointer

FREQUENCY = 10_000_000
ERROR_INVALID_HANDLE = 6
ERROR_NOT_FOUND = 1168
ERROR_ABANDONED_WAIT_0 = 735


class Answer(NamedTuple):
    """What the network, or the machine itself, says to an echo request."""

    status: int = windows.IP_SUCCESS
    address: IPv4Address | IPv6Address | None = None
    """None is whom the request went to, for success, and nobody otherwise."""
    ttl: int = 64
    payload: bytes | None = None
    """None is what was sent."""
    ntstatus: int = 0
    """Other than 0: the request fails late, and the buffer stays as it is."""
    written: bool = False
    """The buffer is written in any case."""


TIMED_OUT = Answer(windows.IP_REQ_TIMED_OUT)


class Request:
    """An echo request on its way."""

    def __init__(self, windows_: FakeWindows, handle: int, family: int, **given: Any) -> None:
        self.windows = windows_
        self.handle = handle
        self.family = family
        self.thread = threading.get_ident()
        self.thread_name = threading.current_thread().name
        self.destination: IPv4Address | IPv6Address = given["destination"]
        self.source: IPv4Address | IPv6Address | None = given["source"]
        self.payload: bytes = given["payload"]
        self.ttl, self.tos, self.flags = given["options"]
        self.milliseconds: int = given["milliseconds"]
        self.routine: Any = given["routine"]
        self.context: Any = given["context"]
        self.reply = _Borrowed(given["reply"])
        self.reply_size: int = given["reply_size"]
        self.done = False


class _Borrowed:
    """Memory of the caller's: its address, and whether the caller still keeps it."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = ffi.cast("char *", pointer)
        self._owner = weakref.ref(pointer)

    @property
    def kept(self) -> bool:
        return self._owner() is not None

    @property
    def pointer(self) -> Any:
        return self._pointer


class FakeWindows:
    """The state of the fake system, and the libraries that show it.

    Args:
        ipv6: Whether there is ICMP for IPv6; Wine has none.
        cancels: What ``CancelIoEx`` does to an ICMP handle: nothing (as in Wine), or what it does to a file.
        apc_first: Whether completion routines run before packets are handed out.
        apc_inside: Whether they run within the very call that makes a request.
    """

    def __init__(
        self,
        *,
        ipv6: bool = True,
        cancels: bool = False,
        apc_first: bool = False,
        apc_inside: bool = False,
    ) -> None:
        self.apc_inside = apc_inside
        self.inline = False
        """Whether requests complete within the call, without a completion routine."""
        self.ipv6 = ipv6
        self.cancels = cancels
        self.apc_first = apc_first
        self.network: Callable[[Request], Answer | None] = lambda _: None
        self.refusals: deque[int] = deque()
        """Errors with which the next requests are refused; 0 lets one through."""
        self.broken_wait: int | None = None
        """The error with which the wait fails."""
        self.full = False
        """Whether no more packets can be posted."""
        self.changed = threading.Condition()
        self.requests: list[Request] = []
        self.pending: list[Request] = []
        self.open_handles: set[int] = set()
        self.icmp_handles: dict[int, int] = {}
        self.closed_by: list[str] = []
        """Names of the threads that closed ICMP handles."""
        self.cancelled: list[int] = []
        self.ports: dict[int, deque[tuple[int, Any, int]]] = {}
        self.associated: dict[int, tuple[int, int]] = {}
        self.violations: list[str] = []
        self.waits = 0
        self.alerts = 0
        self._apcs: defaultdict[int, deque[Callable[[], None]]] = defaultdict(deque)
        self._next_handle = 0x100
        self._errors = threading.local()
        self._kept: list[Any] = []
        self.kernel32 = FakeKernel32(self)
        self.iphlpapi = FakeIphlpapi(self)
        self.winsock: Any = None

    @property
    def libraries(self) -> WindowsLibraries:
        iphlpapi: Any = self.iphlpapi if self.ipv6 else WineIphlpapi(self)
        return WindowsLibraries(
            iphlpapi=iphlpapi,
            kernel32=self.kernel32,
            ntdll=self.kernel32,
            ws2_32=self.winsock,
            last_error=lambda: int(getattr(self._errors, "code", 0)),
        )

    # --- what a test does -----------------------------------------------------------------------------------

    def wait_for_requests(self, count: int) -> list[Request]:
        """The requests made so far, once there are that many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, 10)
            return list(self.requests)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 10)

    def answer(self, request: Request, answer: Answer) -> None:
        """Complete a request."""
        with self.changed:
            assert not request.done
            request.done = True
            self.pending.remove(request)
            block = ffi.new("struct io_status_block *")
            if not request.reply.kept:
                self.violations.append("a buffer was freed while its request was pending")
                return
            block.status = answer.ntstatus
            if answer.written or not answer.ntstatus:
                block.information = _write(request, answer)
            self._kept.append(block)

            def apc() -> None:
                request.routine(request.context, block, 0)

            self._apcs[request.thread].append(apc)
            self.changed.notify_all()

    def time_out(self) -> int:
        """Let all that is pending time out; returns how many that were."""
        with self.changed:
            pending = list(self.pending)
            for request in pending:
                self.answer(request, TIMED_OUT)
            return len(pending)

    # --- what the libraries do ------------------------------------------------------------------------------

    def fail(self, code: int) -> int:
        self._errors.code = code
        return 0

    def new_handle(self) -> int:
        with self.changed:
            self._next_handle += 4
            self.open_handles.add(self._next_handle)
            return self._next_handle

    def post(self, port: int, key: int, overlapped: Any, transferred: int) -> bool:
        with self.changed:
            if port not in self.ports or self.full:
                return False
            self.ports[port].append((key, overlapped, transferred))
            self.changed.notify_all()
            return True

    def run_apcs(self) -> int:
        """Run what is queued to this thread."""
        ran = 0
        while True:
            with self.changed:
                queue = self._apcs[threading.get_ident()]
                if not queue:
                    return ran
                apc = queue.popleft()
            apc()
            ran += 1

    def has_apcs(self) -> bool:
        return bool(self._apcs[threading.get_ident()])

    def submit(self, request: Request) -> int:
        refusal = self.refusals.popleft() if self.refusals else 0
        with self.changed:
            self.requests.append(request)
            if request.handle not in self.open_handles:
                self.violations.append("a request on a handle that is not open")
                return self.fail(ERROR_INVALID_HANDLE)
            if refusal:
                self.changed.notify_all()
                return self.fail(refusal)
            self.pending.append(request)
            self.changed.notify_all()
        answer = self.network(request)
        if answer is not None and self.inline:
            self.pending.remove(request)
            _write(request, answer)
            return 1
        if answer is not None:
            self.answer(request, answer)
        if self.apc_inside:
            self.run_apcs()
        return self.fail(windows.ERROR_IO_PENDING)


class FakeKernel32:
    """``kernel32.dll`` and ``ntdll.dll``."""

    def __init__(self, system: FakeWindows) -> None:
        self._windows = system

    def CreateIoCompletionPort(self, file: Pointer, port: Pointer, key: int, threads: int, /) -> Pointer:  # noqa: N802
        system = self._windows
        if file == INVALID_HANDLE_VALUE:
            assert port == NULL
            handle = system.new_handle()
            system.ports[handle] = deque()
            return ffi.cast("HANDLE", handle)
        if _number(file) in system.icmp_handles or _number(file) not in system.open_handles:
            system.fail(ERROR_INVALID_HANDLE)
            return NULL
        system.associated[_number(file)] = (_number(port), key)
        return port

    def GetQueuedCompletionStatusEx(  # noqa: N802
        self,
        port: Pointer,
        entries: Pointer,
        count: int,
        removed: Pointer,
        milliseconds: int,
        alertable: bool,
        /,
    ) -> int:
        system = self._windows
        assert milliseconds == windows.INFINITE
        assert alertable
        taken = cast("Any", removed)
        with system.changed:
            queue = system.ports[_number(port)]
            system.waits += 1
            system.changed.notify_all()
            system.changed.wait_for(lambda: queue or system.has_apcs() or system.broken_wait is not None)
            if system.broken_wait is not None:
                return system.fail(system.broken_wait)
            if queue and not (system.apc_first and system.has_apcs()):
                number = 0
                while queue and number < count:
                    key, overlapped, transferred = queue.popleft()
                    entry = cast("Any", entries)[number]
                    entry.key, entry.overlapped, entry.transferred = key, overlapped, transferred
                    number += 1
                taken[0] = number
                return 1
        assert system.run_apcs()
        taken[0] = 1  # means nothing: the call fails
        return system.fail(windows.IO_COMPLETION_ROUTINE_RAN)

    def PostQueuedCompletionStatus(  # noqa: N802
        self, port: Pointer, transferred: int, key: int, overlapped: Pointer, /
    ) -> int:
        return int(self._windows.post(_number(port), key, overlapped, transferred))

    def CancelIoEx(self, file: Pointer, overlapped: Pointer, /) -> int:  # noqa: N802
        system = self._windows
        handle = _number(file)
        if handle not in system.icmp_handles:
            return int(system.winsock.cancel(handle, overlapped))
        with system.changed:
            system.cancelled.append(handle)
            if not system.cancels:
                return system.fail(ERROR_INVALID_HANDLE)
            mine = [request for request in system.pending if request.handle == handle]
            for request in mine:
                system.answer(request, Answer(ntstatus=windows.STATUS_CANCELLED))
            return 1 if mine else system.fail(ERROR_NOT_FOUND)

    def CloseHandle(self, handle: Pointer, /) -> int:  # noqa: N802
        system = self._windows
        with system.changed:
            number = _number(handle)
            if number not in system.open_handles:
                system.violations.append("a handle was closed that is not open")
                return system.fail(ERROR_INVALID_HANDLE)
            system.open_handles.remove(number)
            if system.ports.pop(number, None):
                system.violations.append("a port was closed with packets in it")
            system.changed.notify_all()
            return 1

    def QueryPerformanceCounter(self, count: Pointer, /) -> int:  # noqa: N802
        cast("Any", count)[0] = time.perf_counter_ns() // (1_000_000_000 // FREQUENCY)
        return 1

    def QueryPerformanceFrequency(self, frequency: Pointer, /) -> int:  # noqa: N802
        cast("Any", frequency)[0] = FREQUENCY
        return 1

    def NtTestAlert(self) -> int:  # noqa: N802
        self._windows.alerts += 1
        self._windows.run_apcs()
        return 0


class WineIphlpapi:
    """``iphlpapi.dll`` of Wine: without ICMP for IPv6."""

    def __init__(self, system: FakeWindows) -> None:
        self._windows = system

    def Icmp6CreateFile(self) -> Pointer:  # noqa: N802
        self._windows.fail(windows.ERROR_CALL_NOT_IMPLEMENTED)
        return INVALID_HANDLE_VALUE

    def IcmpCreateFile(self) -> Pointer:  # noqa: N802
        return self._create(4)

    def _create(self, family: int) -> Pointer:
        system = self._windows
        handle = system.new_handle()
        system.icmp_handles[handle] = family
        return ffi.cast("HANDLE", handle)

    def IcmpCloseHandle(self, handle: Pointer, /) -> int:  # noqa: N802
        """Blocks until all requests on the handle have completed, as Windows does."""
        system = self._windows
        number = _number(handle)
        with system.changed:
            system.closed_by.append(threading.current_thread().name)
            if any(request.handle == number for request in system.pending):
                system.violations.append("IcmpCloseHandle blocks: requests are pending")
            system.changed.wait_for(lambda: not any(one.handle == number for one in system.pending), 5)
            if number not in system.open_handles:
                system.violations.append("an ICMP handle was closed that is not open")
            system.open_handles.discard(number)
            system.changed.notify_all()
            return 1

    def IcmpSendEcho2(self, *given: Any) -> int:  # noqa: N802
        handle, event, routine, context, destination, *rest = given
        return self._send4(handle, event, routine, context, None, destination, rest)

    def IcmpSendEcho2Ex(self, *given: Any) -> int:  # noqa: N802
        handle, event, routine, context, source, destination, *rest = given
        return self._send4(handle, event, routine, context, source, destination, rest)

    def _send4(
        self,
        handle: Any,
        event: Any,
        routine: Any,
        context: Any,
        source: int | None,
        destination: int,
        rest: list[Any],
    ) -> int:
        assert event == NULL
        return self._windows.submit(
            Request(
                self._windows,
                _number(handle),
                4,
                routine=routine,
                context=context,
                source=None if source is None else IPv4Address(source.to_bytes(4, "little")),
                destination=IPv4Address(destination.to_bytes(4, "little")),
                **_given(*rest),
            )
        )

    def IcmpParseReplies(self, reply: Pointer, size: int, /) -> int:  # noqa: N802
        found = ffi.cast("struct icmp_echo_reply *", reply)
        if found.address == 0:
            self._windows.fail(found.status)
            return 0
        return 1


class FakeIphlpapi(WineIphlpapi):
    """``iphlpapi.dll`` with ICMP for IPv6."""

    def Icmp6CreateFile(self) -> Pointer:  # noqa: N802
        return self._create(6)

    def Icmp6SendEcho2(self, *given: Any) -> int:  # noqa: N802
        handle, event, routine, context, source, destination, *rest = given
        assert event == NULL
        assert source.sin6_family == destination.sin6_family == windows.AF_INET6
        from_address = IPv6Address(bytes(source.sin6_addr))
        return self._windows.submit(
            Request(
                self._windows,
                _number(handle),
                6,
                routine=routine,
                context=context,
                source=None if from_address.is_unspecified else from_address,
                destination=IPv6Address(bytes(destination.sin6_addr)),
                **_given(*rest),
            )
        )

    def Icmp6ParseReplies(self, reply: Pointer, size: int, /) -> int:  # noqa: N802
        found = ffi.cast("struct icmpv6_echo_reply *", reply)
        return int(found.status != windows.IP_REQ_TIMED_OUT)


def _given(
    payload: Any, size: int, options: Any, reply: Any, reply_size: int, milliseconds: int
) -> dict[str, Any]:
    return {
        "payload": bytes(ffi.buffer(payload, size)) if size else b"",
        "options": (options.ttl, options.tos, options.flags),
        "reply": reply,
        "reply_size": reply_size,
        "milliseconds": milliseconds,
    }


def _write(request: Request, answer: Answer) -> int:
    """Write the answer into the buffer; returns how many bytes that took."""
    echoed = answer.status == windows.IP_SUCCESS
    payload = (request.payload if answer.payload is None else answer.payload) if echoed else b""
    address = request.destination if echoed and answer.address is None else answer.address
    base = request.reply.pointer
    header = 40 if request.family == 4 else 36
    if request.reply_size < header + len(payload) + 8 + 16:
        request.windows.violations.append("the buffer is smaller than documented")
        return 0
    if request.family == 4:
        reply = ffi.cast("struct icmp_echo_reply *", base)
        reply.address = 0 if address is None else int.from_bytes(address.packed, "little")
        reply.data_size = len(payload)
        reply.data = base + header
        reply.options.ttl = answer.ttl
    else:
        reply = ffi.cast("struct icmpv6_echo_reply *", base)
        if address is not None:
            ffi.buffer(reply.address.sin6_addr)[:] = address.packed
    reply.status = answer.status
    ffi.buffer(base + header, len(payload))[:] = payload
    return header + len(payload)


def _number(handle: Pointer) -> int:
    return int(ffi.cast("uintptr_t", handle))
