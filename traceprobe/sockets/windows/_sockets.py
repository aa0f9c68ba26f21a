"""Sockets of Winsock whose operations complete on the reactor's port.

Opening, binding and options are calls of the moment, on any thread. Sending, receiving, connecting and
closing belong to the reactor's thread: one thread owns a socket, so that a TTL and the datagram that it is
meant for are never torn apart. Every buffer is the reactor's until the operation has completed; a socket
is closed once nothing is pending on it.

Knows nothing of probes and packets.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from traceprobe.ffi import windows
from traceprobe.ffi.windows import NULL, ffi
from traceprobe.sockets._addresses import interface_index
from traceprobe.sockets.windows._names import FAMILY_NUMBER, NAME_SIZE, unpack_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address
    from typing import TypeAlias

    from traceprobe.config import AddressFamily
    from traceprobe.ffi.windows import WindowsLibraries
    from traceprobe.sockets.windows._reactor import Reactor

    Came: TypeAlias = Callable[[bytes, bytes], None]
    """Called with the socket address of the sender and the data."""
    Done: TypeAlias = Callable[[int], None]
    """Called with the status (NTSTATUS), 0 for success."""

DONT_FRAGMENT: Final = {
    4: (windows.IPPROTO_IP, windows.IP_DONTFRAGMENT),
    6: (windows.IPPROTO_IPV6, windows.IPV6_DONTFRAG),
}
"""Level and number of the option that forbids fragmentation, by IP version."""

_LARGEST_DATAGRAM: Final = 0x10000
_FLAGS: Final = windows.WSA_FLAG_OVERLAPPED | windows.WSA_FLAG_NO_HANDLE_INHERIT
_ERROR: Final = 0xFFFFFFFF
"""What calls of Winsock return that fail, SOCKET_ERROR, as an unsigned number."""
_UNSIGNED: Final = 0xFFFFFFFF
_ABOUT_EARLIER: Final = frozenset({windows.WSAECONNRESET, windows.WSAENETRESET})
"""Errors of receiving that tell of a datagram sent earlier; each is told once."""


class WinsockSocket:
    """A socket of Winsock.

    Args:
        libraries: The libraries of Windows.
        family: Address family.
        kind: ``SOCK_DGRAM``, ``SOCK_STREAM`` or ``SOCK_RAW``.
        protocol: ``IPPROTO_…``.

    Raises:
        OSError: Winsock refuses; ``errno`` is its error.
    """

    def __init__(self, libraries: WindowsLibraries, family: AddressFamily, kind: int, protocol: int) -> None:
        self.libraries = libraries
        self.family = family
        self._winsock = libraries.ws2_32
        self.number: int = self._winsock.WSASocketW(FAMILY_NUMBER[family], kind, protocol, NULL, 0, _FLAGS)
        if self.number == windows.INVALID_SOCKET:
            self._raise("WSASocketW")

    def _raise(self, function: str) -> None:
        code = self.libraries.last_error()
        raise OSError(code, f"{function}: Windows error {code}")

    def _check(self, outcome: int, function: str) -> None:
        if outcome & _UNSIGNED == _ERROR:
            self._raise(function)

    def set_option(self, level: int, option: int, value: int) -> None:
        """Set an option that is a number (setsockopt); raises OSError."""
        number = ffi.new("uint32_t *", value & _UNSIGNED)
        self._check(self._winsock.setsockopt(self.number, level, option, number, 4), "setsockopt")

    def try_option(self, level: int, option: int, value: int) -> bool:
        """Set an option that not every Windows has; whether it is set."""
        try:
            self.set_option(level, option, value)
        except OSError:
            return False
        return True

    def get_option(self, level: int, option: int, size: int) -> bytes:
        """Read an option (getsockopt); raises OSError."""
        value: Any = ffi.new("char[]", size)
        length: Any = ffi.new("int32_t *", size)
        self._check(self._winsock.getsockopt(self.number, level, option, value, length), "getsockopt")
        return bytes(ffi.buffer(value, length[0]))

    def ioctl(self, code: int, given: bytes, answer_size: int = 0) -> bytes:
        """Control a socket (WSAIoctl); raises OSError."""
        answer: Any = ffi.new("char[]", max(1, answer_size))
        returned: Any = ffi.new("uint32_t *")
        outcome = self._winsock.WSAIoctl(
            self.number, code, ffi.new("char[]", given), len(given), answer, answer_size, returned, NULL, NULL
        )
        self._check(outcome, "WSAIoctl")
        return bytes(ffi.buffer(answer, returned[0]))

    def bind(self, name: bytes) -> None:
        """Bind to a socket address; raises OSError."""
        self._check(self._winsock.bind(self.number, ffi.new("char[]", name), len(name)), "bind")

    def connect(self, name: bytes) -> None:
        """Name the only peer of a datagram socket, which sends nothing; raises OSError."""
        self._check(self._winsock.connect(self.number, ffi.new("char[]", name), len(name)), "connect")

    def local_name(self) -> tuple[IPv4Address | IPv6Address, int]:
        """Address and port that it is bound to; raises OSError."""
        name: Any = ffi.new("char[]", NAME_SIZE)
        size: Any = ffi.new("int32_t *", NAME_SIZE)
        self._check(self._winsock.getsockname(self.number, name, size), "getsockname")
        local = unpack_name(bytes(ffi.buffer(name, size[0])))
        if local is None:
            raise OSError(windows.WSAEAFNOSUPPORT, "getsockname: an address of no known family")
        return local

    def choose_interface(self, interface: str | None) -> None:
        """Send by an interface, given by its name or number; raises OSError.

        Args:
            interface: None leaves it to the routing table.
        """
        if interface is None:
            return
        index = interface_index(interface)
        if self.family == 4:
            # Of all options only this one is in network byte order.
            self.set_option(windows.IPPROTO_IP, windows.IP_UNICAST_IF, socket.htonl(index))
        else:
            self.set_option(windows.IPPROTO_IPV6, windows.IPV6_UNICAST_IF, index)

    def close_now(self) -> None:
        """Close a socket on which nothing is pending."""
        if self.number != windows.INVALID_SOCKET:
            self._winsock.closesocket(self.number)
            self.number = windows.INVALID_SOCKET


class OverlappedSocket(WinsockSocket):
    """A socket whose operations complete on the port of a reactor; see the head of this module."""

    def __init__(self, reactor: Reactor, family: AddressFamily, kind: int, protocol: int) -> None:
        super().__init__(reactor.libraries, family, kind, protocol)
        self._reactor = reactor
        self._pending = 0
        self._closing = False
        self._ttl: int | None = None
        if not reactor.associate(self.number):
            code = self.libraries.last_error()
            self.close_now()
            raise OSError(code, f"CreateIoCompletionPort: Windows error {code}")

    # --- on the reactor's thread --------------------------------------------------------------------------

    def set_ttl(self, ttl: int) -> int:
        """Set the TTL or hop limit of what is sent next; 0, or the error of Winsock."""
        if ttl == self._ttl:
            return 0
        level, option = (
            (windows.IPPROTO_IP, windows.IP_TTL)
            if self.family == 4
            else (windows.IPPROTO_IPV6, windows.IPV6_UNICAST_HOPS)
        )
        try:
            self.set_option(level, option, ttl)
        except OSError as error:
            return error.errno or windows.WSAEINVAL
        self._ttl = ttl
        return 0

    def send(self, data: bytes, name: bytes, done: Done) -> int:
        """Send a datagram; ``done`` is called once it has been, unless Winsock refuses.

        Returns:
            0, or the error of Winsock.
        """
        buffer: Any = ffi.new("char[]", data)
        vector: Any = ffi.new("struct wsabuf *", (len(data), buffer))
        target = ffi.new("char[]", name)
        overlapped: Any = ffi.new("struct overlapped *")
        self._begin(overlapped, (buffer, vector, target), lambda status, _: done(status))
        outcome = self._winsock.WSASendTo(
            self.number, vector, 1, NULL, 0, target, len(name), overlapped, NULL
        )
        return self._begun(overlapped, outcome)

    def receive_forever(self, came: Came, failed: Done) -> None:
        """Receive datagrams until the socket is closed.

        Args:
            came: Called for each one.
            failed: Called with an error of Winsock if nothing can be received any more.
        """
        buffer: Any = ffi.new("char[]", _LARGEST_DATAGRAM)
        vector: Any = ffi.new("struct wsabuf *", (_LARGEST_DATAGRAM, buffer))
        name: Any = ffi.new("char[]", NAME_SIZE)
        size: Any = ffi.new("int32_t *")
        flags: Any = ffi.new("uint32_t *")

        def receive() -> None:
            # Never once the socket is closing: the operation would be pending for ever.
            code = windows.WSAECONNRESET
            while code in _ABOUT_EARLIER and not self._closing:
                size[0], flags[0] = NAME_SIZE, 0
                overlapped: Any = ffi.new("struct overlapped *")
                self._begin(overlapped, (buffer, vector, name, size, flags), received)
                outcome = self._winsock.WSARecvFrom(
                    self.number, vector, 1, NULL, flags, name, size, overlapped, NULL
                )
                code = self._begun(overlapped, outcome)
            if code and not self._closing:
                failed(code)

        def received(status: int, transferred: int) -> None:
            # An error here tells of a datagram that was sent before, not of the socket.
            if not status:
                came(bytes(ffi.buffer(name, size[0])), bytes(ffi.buffer(buffer, transferred)))
            receive()

        receive()

    def connect_to(self, function: Any, name: bytes, done: Done) -> int:  # noqa: ANN401 - a function of cffi
        """Connect a bound socket; ``done`` is called when that has come to an end, unless it is refused.

        Args:
            function: ``ConnectEx``, see :func:`find_connect_ex`.
            name: Where to.
            done: Told the status.

        Returns:
            0, or the error of Winsock.
        """
        target = ffi.new("char[]", name)
        overlapped: Any = ffi.new("struct overlapped *")
        self._begin(overlapped, (target,), lambda status, _: done(status))
        accepted = function(self.number, target, len(name), NULL, 0, NULL, overlapped)
        return self._begun(overlapped, 0 if accepted else -1)

    def close(self) -> None:
        """Close the socket as soon as what is pending has been cancelled. Idempotent."""
        if self._closing:
            return
        self._closing = True
        if self._pending:
            self.libraries.kernel32.CancelIoEx(ffi.cast("HANDLE", self.number), NULL)
        self._close_if_idle()

    def _begin(
        self, overlapped: object, pinned: tuple[object, ...], completed: Callable[[int, int], None]
    ) -> None:
        def finished(_now_ns: int, status: int, transferred: int) -> None:
            self._pending -= 1
            completed(status, transferred)
            self._close_if_idle()

        self._reactor.begin_packet(overlapped, pinned, finished)
        self._pending += 1

    def _begun(self, overlapped: object, outcome: int) -> int:
        """The error of a call that has just been made; 0 if it completes, at once or later, by a packet."""
        if not outcome:
            return 0
        code = self.libraries.last_error()
        if code == windows.ERROR_IO_PENDING:
            return 0
        self._pending -= 1
        self._reactor.refused_packet(overlapped)
        return code or windows.WSAEINVAL

    def _close_if_idle(self) -> None:
        if self._closing and not self._pending:
            self.close_now()


def find_connect_ex(opened: WinsockSocket) -> Any:  # noqa: ANN401 - a function of cffi
    """``ConnectEx``, which Winsock hands out on request; raises OSError."""
    pointer = opened.ioctl(windows.SIO_GET_EXTENSION_FUNCTION_POINTER, windows.WSAID_CONNECTEX, 8)
    return ffi.cast("LPFN_CONNECTEX", int.from_bytes(pointer, "little"))
