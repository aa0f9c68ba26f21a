"""A fake of ``ws2_32``, as Microsoft documents it: what is sent goes to a network that the test makes up."""

from __future__ import annotations

import socket
from collections import deque
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from traceprobe.ffi import windows
from traceprobe.ffi.windows import NULL, ffi

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sockets.windows.fake import FakeWindows
    from traceprobe.ffi.windows import Pointer

SOURCE4 = IPv4Address("192.0.2.77")
SOURCE6 = IPv6Address("2001:db8::77")
ERROR = -1
BUFFER = 1 << 16
STATUS_TIMEOUT = 0xC00000B5
STATUS_HOST_UNREACHABLE = 0xC000023D


class Datagram(NamedTuple):
    """A UDP datagram, or a SYN, on its way."""

    sender: FakeSocket
    ttl: int
    source: IPv4Address | IPv6Address
    source_port: int
    destination: IPv4Address | IPv6Address
    port: int
    data: bytes


class Operation(NamedTuple):
    overlapped: Any
    finish: Callable[[bytes, tuple[str, int]], int]
    """Writes data and sender's name into the buffers; returns how much was received."""


class FakeSocket:
    """One socket."""

    def __init__(self, number: int, family: int, kind: int, protocol: int) -> None:
        self.number = number
        self.family, self.kind, self.protocol = family, kind, protocol
        self.name: tuple[str, int] | None = None
        self.peer: tuple[str, int] | None = None
        self.options: dict[tuple[int, int], int] = {}
        self.controls: dict[int, bytes] = {}
        """What was given with each control code."""
        self.receiving: Operation | None = None
        self.connecting: Any = None
        self.waiting: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.error_info: bytes | None = None

    @property
    def ttl(self) -> int:
        level = windows.IPPROTO_IP if self.family == windows.AF_INET else windows.IPPROTO_IPV6
        return self.options.get((level, 4), 128)


class FakeWinsock:
    """See the head of this module.

    Args:
        system: The fake system; this becomes its Winsock.
        administrator: Whether raw sockets may be opened.
        tells_errors: Whether there is TCP_FAIL_CONNECT_ON_ICMP_ERROR; Wine has none.
    """

    def __init__(
        self, system: FakeWindows, *, administrator: bool = True, tells_errors: bool = False
    ) -> None:
        self._windows = system
        system.winsock = self
        self.administrator = administrator
        self.tells_errors = tells_errors
        self.raw6 = True
        self.sockets: dict[int, FakeSocket] = {}
        self.sent: list[Datagram] = []
        self.connects: list[Datagram] = []
        self.network: Callable[[Datagram], None] = lambda _: None
        self.refuse: Callable[[Datagram], int] = lambda _: 0
        """The error with which a datagram is refused; 0 lets it through."""
        self.taken: set[int] = set()
        """Ports that other programs hold."""
        self._next_port = 50000
        self._connect_ex = ffi.callback("LPFN_CONNECTEX", self._connect)

    # --- what a test does -----------------------------------------------------------------------------------

    def of(self, kind: int) -> FakeSocket:
        """The only open socket of a kind."""
        (found,) = (one for one in self.sockets.values() if one.kind == kind)
        return found

    def deliver(self, to: FakeSocket, data: bytes, sender: tuple[str, int]) -> None:
        """Let something arrive."""
        with self._windows.changed:
            if to.receiving is None:
                to.waiting.append((data, sender))
                return
            operation, to.receiving = to.receiving, None
            self._complete(to, operation.overlapped, 0, operation.finish(data, sender))

    def fail_reception(self, to: FakeSocket, status: int) -> None:
        """Let the pending reception fail."""
        with self._windows.changed:
            assert to.receiving is not None
            operation, to.receiving = to.receiving, None
            self._complete(to, operation.overlapped, status, 0)

    def finish_connect(self, to: FakeSocket, status: int, info: bytes | None = None) -> None:
        """Let a connection come to an end."""
        with self._windows.changed:
            overlapped, to.connecting = to.connecting, None
            to.error_info = info
            self._complete(to, overlapped, status, 0)

    def _complete(self, to: FakeSocket, overlapped: Any, status: int, transferred: int) -> None:
        port, key = self._windows.associated[to.number]
        overlapped.internal = status
        assert self._windows.post(port, key, overlapped, transferred)

    # --- ws2_32.dll -----------------------------------------------------------------------------------------

    def WSASocketW(  # noqa: N802
        self, family: int, kind: int, protocol: int, info: Pointer, group: int, flags: int, /
    ) -> int:
        assert flags & windows.WSA_FLAG_OVERLAPPED
        code = 0
        if kind == windows.SOCK_RAW and not self.administrator:
            code = windows.WSAEACCES
        elif kind == windows.SOCK_RAW and family == windows.AF_INET6 and not self.raw6:
            code = windows.WSAEPROTONOSUPPORT
        if code:
            self._windows.fail(code)
            return windows.INVALID_SOCKET
        number = self._windows.new_handle()
        self.sockets[number] = FakeSocket(number, family, kind, protocol)
        return number

    def bind(self, number: int, name: Pointer, size: int, /) -> int:
        host, port = _read_name(name)
        opened = self.sockets[number]
        local = {str(SOURCE4), str(SOURCE6), "0.0.0.0", "::"}
        if host not in local:
            return self._fail(windows.WSAEADDRNOTAVAIL)
        if port in self.taken:
            return self._fail(windows.WSAEADDRINUSE)
        if not port:
            self._next_port += 1
            port = self._next_port
        opened.name = (host, port)
        return 0

    def connect(self, number: int, name: Pointer, size: int, /) -> int:
        opened = self.sockets[number]
        assert opened.kind == windows.SOCK_DGRAM, "a connection that waits"
        opened.peer = _read_name(name)
        if opened.peer[0] in {"203.0.113.99", "2001:db8:99::99"}:  # where no route leads
            return self._fail(windows.WSAENETUNREACH)
        opened.name = (str(SOURCE4 if opened.family == windows.AF_INET else SOURCE6), 49999)
        return 0

    def getsockname(self, number: int, name: Pointer, size: Pointer, /) -> int:
        opened = self.sockets[number]
        if opened.name is None:
            return self._fail(windows.WSAEINVAL)
        packed = _pack_name(opened.name)
        ffi.memmove(name, packed, len(packed))
        cast("Any", size)[0] = len(packed)
        return 0

    def setsockopt(self, number: int, level: int, option: int, value: Pointer, size: int, /) -> int:
        tells_errors = (windows.IPPROTO_TCP, windows.TCP_FAIL_CONNECT_ON_ICMP_ERROR)
        if (level, option) == tells_errors and not self.tells_errors:
            return self._fail(windows.WSAENOPROTOOPT)
        self.sockets[number].options[level, option] = int.from_bytes(ffi.buffer(value, size), "little")
        return 0

    def getsockopt(self, number: int, level: int, option: int, value: Pointer, size: Pointer, /) -> int:
        opened = self.sockets[number]
        if (level, option) == (windows.IPPROTO_TCP, windows.TCP_ICMP_ERROR_INFO):
            answer = opened.error_info
        else:
            answer = opened.options.get((level, option), BUFFER).to_bytes(4, "little")
        if answer is None:
            return self._fail(windows.WSAENOPROTOOPT)
        ffi.memmove(value, answer, len(answer))
        cast("Any", size)[0] = len(answer)
        return 0

    def closesocket(self, number: int, /) -> int:
        opened = self.sockets.pop(number, None)
        if opened is None:
            self._windows.violations.append("a socket was closed that is not open")
            return self._fail(windows.WSAEINVAL)
        if opened.receiving is not None or opened.connecting is not None:
            self._windows.violations.append("a socket was closed while something was pending on it")
        with self._windows.changed:
            self._windows.open_handles.discard(number)
            self._windows.changed.notify_all()
        return 0

    def WSAIoctl(self, number: int, code: int, given: Pointer, size: int, *rest: Any) -> int:  # noqa: N802
        answer, _, returned, overlapped, routine = rest
        assert overlapped == routine == NULL
        opened = self.sockets[number]
        opened.controls[code] = bytes(ffi.buffer(given, size))
        returned[0] = 0
        if code == windows.SIO_GET_EXTENSION_FUNCTION_POINTER:
            assert bytes(ffi.buffer(given, size)) == windows.WSAID_CONNECTEX
            pointer = int(ffi.cast("uintptr_t", self._connect_ex)).to_bytes(8, "little")
            ffi.memmove(answer, pointer, 8)
            returned[0] = 8
        elif code == windows.SIO_RCVALL and opened.name is not None and opened.name[0] in {"0.0.0.0", "::"}:
            return self._fail(windows.WSAEINVAL)
        return 0

    def WSASendTo(self, number: int, buffers: Pointer, count: int, *rest: Any) -> int:  # noqa: N802
        _, _, name, _, overlapped, _ = rest
        assert count == 1
        vector = cast("Any", buffers)[0]
        datagram = self._datagram(number, _read_name(name), bytes(ffi.buffer(vector.buf, vector.len)))
        code = self.refuse(datagram)
        if code:
            return self._fail(code)
        self.sent.append(datagram)
        self._complete(datagram.sender, overlapped, 0, len(datagram.data))
        self.network(datagram)
        return 0  # at once, and yet a packet comes

    def WSARecvFrom(self, number: int, buffers: Pointer, count: int, *rest: Any) -> int:  # noqa: N802
        _, _, name, name_size, overlapped, _ = rest
        vector = cast("Any", buffers)[0]
        opened = self.sockets[number]
        assert opened.receiving is None
        assert opened.name is not None, "a socket must be bound before it can receive"

        def finish(data: bytes, sender: tuple[str, int]) -> int:
            ffi.memmove(vector.buf, data, len(data))
            packed = _pack_name(sender)
            ffi.memmove(name, packed, len(packed))
            name_size[0] = len(packed)
            return len(data)

        with self._windows.changed:
            opened.receiving = Operation(overlapped, finish)
            self._windows.changed.notify_all()
            if opened.waiting:
                self.deliver(opened, *opened.waiting.popleft())
                return 0
        return self._fail(windows.ERROR_IO_PENDING)

    def cancel(self, number: int, overlapped: Pointer) -> int:
        assert overlapped == NULL
        opened = self.sockets[number]
        with self._windows.changed:
            pending = opened.receiving is not None or opened.connecting is not None
            if opened.receiving is not None:
                self.fail_reception(opened, windows.STATUS_CANCELLED)
            if opened.connecting is not None:
                self.finish_connect(opened, windows.STATUS_CANCELLED)
        return int(pending)

    def _connect(self, number: int, name: Any, size: int, *rest: Any) -> int:
        _, _, _, overlapped = rest
        opened = self.sockets[number]
        assert opened.name is not None, "ConnectEx wants a bound socket"
        syn = self._datagram(number, _read_name(name), b"")
        code = self.refuse(syn)
        if code:
            return self._windows.fail(code)
        opened.connecting = overlapped
        with self._windows.changed:
            self.connects.append(syn)
            self._windows.changed.notify_all()
        self.network(syn)
        return self._windows.fail(windows.ERROR_IO_PENDING)

    def _datagram(self, number: int, peer: tuple[str, int], data: bytes) -> Datagram:
        opened = self.sockets[number]
        assert opened.name is not None
        source = SOURCE4 if opened.family == windows.AF_INET else SOURCE6
        to: IPv4Address | IPv6Address
        to = IPv4Address(peer[0]) if opened.family == windows.AF_INET else IPv6Address(peer[0])
        return Datagram(opened, opened.ttl, source, opened.name[1], to, peer[1], data)

    def _fail(self, code: int) -> int:
        self._windows.fail(code)
        return ERROR


def _read_name(name: Pointer) -> tuple[str, int]:
    memory = bytes(ffi.buffer(ffi.cast("char *", name), 16))
    port = int.from_bytes(memory[2:4])
    if int.from_bytes(memory[:2], "little") == windows.AF_INET:
        return socket.inet_ntop(socket.AF_INET, memory[4:8]), port
    memory = bytes(ffi.buffer(ffi.cast("char *", name), 28))
    return socket.inet_ntop(socket.AF_INET6, memory[8:24]), port


def _pack_name(name: tuple[str, int]) -> bytes:
    host, port = name
    if ":" in host:
        address = socket.inet_pton(socket.AF_INET6, host)
        return windows.AF_INET6.to_bytes(2, "little") + port.to_bytes(2) + bytes(4) + address + bytes(4)
    return (
        windows.AF_INET.to_bytes(2, "little")
        + port.to_bytes(2)
        + socket.inet_pton(socket.AF_INET, host)
        + bytes(8)
    )
