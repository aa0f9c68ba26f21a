"""Echo requests of ``iphlpapi``: what is handed over, what comes back, and the handle they are made on.

One handle for each trace, because that is what Windows can cancel and close: everything on a handle, or
nothing. Closing a handle blocks until each of its requests has been answered or has timed out, so that a
handle is closed when nothing is pending on it any more, by the reactor's thread. Cancelling is a hint:
Wine refuses it, and it is not documented for these handles.

All functions and methods run on the reactor's thread, but for :func:`open_handle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from traceprobe.config import AddressFamily
from traceprobe.errors import NoUsableSocketError
from traceprobe.ffi import windows
from traceprobe.ffi.windows import INVALID_HANDLE_VALUE, KNOWN_LAYOUTS, NULL, ffi, offers
from traceprobe.sockets._addresses import ipv4_address, ipv6_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.ffi.windows import Pointer, WindowsLibraries
    from traceprobe.sockets.windows._reactor import Reactor

_REPLY_SIZE: Final = {
    AddressFamily.IPV4: KNOWN_LAYOUTS["icmp_echo_reply"][0],
    AddressFamily.IPV6: KNOWN_LAYOUTS["icmpv6_echo_reply"][0],
}
_QUOTE_ROOM: Final = 60 + 8
"""The longest IPv4 header and an ICMP header: an error quotes that much, and needs room for it."""
_ERROR_ROOM: Final = 8
"""The size of an ICMP error message (IcmpSendEcho2)."""
_STATUS_ROOM: Final = KNOWN_LAYOUTS["io_status_block"][0]

SILENCE: Final = frozenset({windows.IP_REQ_TIMED_OUT, windows.STATUS_IO_TIMED_OUT})
"""What Windows says when nobody has answered in time."""


class EchoRequest(NamedTuple):
    """What to ask for."""

    destination: IPv4Address | IPv6Address
    name: bytes
    """Socket address of the destination."""
    payload: bytes
    ttl: int
    traffic_class: int
    dont_fragment: bool
    milliseconds: int
    """When Windows shall give up; it then gives the buffers back."""


class EchoAnswer(NamedTuple):
    """What Windows made of a request."""

    now_ns: int
    """The performance counter when it completed."""
    code: int
    """An IP_STATUS; or an NTSTATUS or error of Windows, if the request failed."""
    address: IPv4Address | IPv6Address | None
    """Who answered; None if nobody did."""
    ttl: int | None
    """TTL of the answer, which Windows tells for IPv4 only."""
    payload: bytes | None
    """What an echo reply brought back, where it is shown."""


def open_handle(libraries: WindowsLibraries, family: AddressFamily) -> Pointer:
    """Open an ICMP handle.

    Raises:
        NoUsableSocketError: Windows has none to give; Wine has none for IPv6.
    """
    iphlpapi = libraries.iphlpapi
    ipv4 = family is AddressFamily.IPV4
    handle = iphlpapi.IcmpCreateFile() if ipv4 else iphlpapi.Icmp6CreateFile()
    if handle == INVALID_HANDLE_VALUE:
        code = libraries.last_error()
        function = "IcmpCreateFile" if ipv4 else "Icmp6CreateFile"
        reason = "is not implemented" if code == windows.ERROR_CALL_NOT_IMPLEMENTED else "fails"
        raise NoUsableSocketError(f"{function} {reason} on this system (Windows error {code})")
    return handle


class EchoHandle:
    """The handle of one trace, and how many requests are pending on it.

    Args:
        reactor: Owns the buffers.
        family: Address family of all destinations.
        handle: The handle; closed by :meth:`close`.
        source: Source address to send from; None leaves it to Windows.
        source_name: The socket address of that.
    """

    def __init__(
        self,
        reactor: Reactor,
        family: AddressFamily,
        handle: Pointer,
        source: IPv4Address | IPv6Address | None,
        source_name: bytes,
    ) -> None:
        self._reactor = reactor
        self._family = family
        self._handle = handle
        self._source = None if source is None else int.from_bytes(source.packed, "little")
        self._source_name = source_name
        self._pending = 0
        self._closing = False
        self._closed = False

    @property
    def closing(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._closing

    def send(self, request: EchoRequest, answered: Callable[[EchoAnswer], None]) -> int:
        """Make a request; ``answered`` is called once, on this thread, unless the request is refused.

        Returns:
            0, or the error of Windows with which the request was refused.
        """
        options: Any = ffi.new("struct ip_option_information *")
        options.ttl = request.ttl
        options.tos = request.traffic_class
        options.flags = windows.IP_FLAG_DF if request.dont_fragment else 0
        payload: Any = ffi.new("char[]", request.payload) if request.payload else NULL
        size = len(request.payload)
        room = _REPLY_SIZE[self._family] + max(size, _QUOTE_ROOM) + _ERROR_ROOM + _STATUS_ROOM
        reply: Any = ffi.new("char[]", room)
        names = ffi.new("char[]", self._source_name + request.name)

        def completed(now_ns: int, status: int, information: int) -> None:
            self._pending -= 1
            answered(self._read(now_ns, status, information, reply, room, size))
            self._close_if_idle()

        reactor = self._reactor
        context = reactor.begin_apc((options, payload, reply, names), completed)
        self._pending += 1
        number = self._call(reactor, context, names, request, payload, size, options, reply, room)
        code = reactor.libraries.last_error()
        if not reactor.has_apc(context):
            return 0  # the call waited alertably, and the APC has run within it
        if number:
            # It completed within the call: no APC will come.
            now_ns = reactor.now_ns()
            reactor.refused_apc(context)
            completed(now_ns, 0, 0)
            return 0
        if code != windows.ERROR_IO_PENDING:
            self._pending -= 1
            reactor.refused_apc(context)
            return code
        return 0

    def close(self) -> None:
        """Send nothing more; close the handle as soon as nothing is pending. Idempotent."""
        if self._closing:
            return
        self._closing = True
        if self._pending:
            # Whether this does anything, Windows doesn't say: what is pending may as well time out.
            self._reactor.libraries.kernel32.CancelIoEx(self._handle, NULL)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._closing and not self._pending:
            # Not within an APC, which this may be: a function that waits alertably would run another one.
            self._reactor.call(self._close_handle)

    def _close_handle(self) -> None:
        if not self._closed:
            self._closed = True
            self._reactor.libraries.iphlpapi.IcmpCloseHandle(self._handle)

    def _call(
        self,
        reactor: Reactor,
        context: int,
        names: Any,  # noqa: ANN401 - a pointer of cffi
        request: EchoRequest,
        payload: Pointer,
        size: int,
        options: Pointer,
        reply: Pointer,
        room: int,
    ) -> int:
        iphlpapi, handle, routine = reactor.libraries.iphlpapi, self._handle, reactor.apc_routine
        echoed = ffi.cast("void *", context)
        timeout_ms = request.milliseconds
        if self._family is AddressFamily.IPV6:
            source = ffi.cast("struct sockaddr_in6 *", names)
            return iphlpapi.Icmp6SendEcho2(
                handle, NULL, routine, echoed, source, source + 1,
                payload, size, options, reply, room, timeout_ms,
            )  # fmt: skip
        target = int.from_bytes(request.destination.packed, "little")
        if self._source is not None:
            return iphlpapi.IcmpSendEcho2Ex(
                handle, NULL, routine, echoed, self._source, target,
                payload, size, options, reply, room, timeout_ms,
            )  # fmt: skip
        return iphlpapi.IcmpSendEcho2(
            handle, NULL, routine, echoed, target, payload, size, options, reply, room, timeout_ms
        )

    def _read(
        self,
        now_ns: int,
        status: int,
        information: int,
        reply: Any,  # noqa: ANN401 - a pointer of cffi
        room: int,
        size: int,
    ) -> EchoAnswer:
        iphlpapi = self._reactor.libraries.iphlpapi
        if self._family is AddressFamily.IPV4:
            iphlpapi.IcmpParseReplies(reply, room)
            answer = _read_ipv4(now_ns, reply, room)
        else:
            if offers(iphlpapi, "Icmp6ParseReplies"):
                iphlpapi.Icmp6ParseReplies(reply, room)
            answer = _read_ipv6(now_ns, reply, information, size)
        # A request that fails late leaves zeros, which read as success from 0.0.0.0: only with an address, or
        # with a status that is none of success, is there anything in the buffer.
        if status and answer.address is None and answer.code not in SILENCE:
            return EchoAnswer(now_ns, status, None, None, None)
        return answer


def _read_ipv4(now_ns: int, reply: Any, room: int) -> EchoAnswer:  # noqa: ANN401 - a pointer of cffi
    found = ffi.cast("struct icmp_echo_reply *", reply)
    packed = found.address.to_bytes(4, "little")
    if not any(packed):
        return EchoAnswer(now_ns, found.status or windows.IP_GENERAL_FAILURE, None, None, None)
    payload = None
    start = int(ffi.cast("uintptr_t", found.data)) - int(ffi.cast("uintptr_t", reply))
    if found.data_size and _REPLY_SIZE[AddressFamily.IPV4] <= start <= room - found.data_size:
        payload = bytes(ffi.buffer(reply + start, found.data_size))
    return EchoAnswer(now_ns, found.status, ipv4_address(packed), found.options.ttl or None, payload)


def _read_ipv6(
    now_ns: int,
    reply: Any,  # noqa: ANN401 - a pointer of cffi
    information: int,
    size: int,
) -> EchoAnswer:
    found = ffi.cast("struct icmpv6_echo_reply *", reply)
    packed = bytes(found.address.sin6_addr)
    if not any(packed):
        return EchoAnswer(now_ns, found.status or windows.IP_GENERAL_FAILURE, None, None, None)
    # What an echo reply brought back begins right behind the structure, which has no field for it.
    start = _REPLY_SIZE[AddressFamily.IPV6]
    payload = bytes(ffi.buffer(reply + start, size)) if size and information >= start + size else None
    address = ipv6_address(packed, found.address.sin6_scope_id)
    return EchoAnswer(now_ns, found.status, address, None, payload)
