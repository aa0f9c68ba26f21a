"""Numbers, structures and libraries of Windows that Python's ``socket`` module lacks.

The libraries are typed here as protocols, function by function as the documentation names them, and
opened when they are first asked for. Whoever uses them is handed a :class:`WindowsLibraries`, so that a
test can hand in others. Pointers are cffi's; structures are made with :data:`ffi` and have the layouts
below wherever they are made, which is checked when this module is loaded.

Knows nothing of probes and replies.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, cast

from traceprobe.errors import AbiError
from traceprobe.ffi._generated_windows import ffi as _ffi
from traceprobe.ffi._layouts import check_layouts, declared_layouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceprobe.ffi._layouts import StructLayout

ffi: Final = cast("Any", _ffi)
"""Makes structures, pointers and callbacks; what it makes has the attributes of the structures below."""

Pointer: TypeAlias = object
"""A pointer of cffi; what it points to is said by the documentation of the function."""

# --- numbers: winbase.h, winerror.h, ntstatus.h -----------------------------------------------------------

INFINITE: Final = 0xFFFFFFFF
ERROR_NOT_ENOUGH_MEMORY: Final = 8
ERROR_INVALID_PARAMETER: Final = 87
ERROR_CALL_NOT_IMPLEMENTED: Final = 120
IO_COMPLETION_ROUTINE_RAN: Final = 192
"""WAIT_IO_COMPLETION: what an alertable wait fails with when a completion routine has run in it."""
ERROR_IO_PENDING: Final = 997
ERROR_INVALID_NETNAME: Final = 1214
ERROR_NETWORK_UNREACHABLE: Final = 1231
ERROR_HOST_UNREACHABLE: Final = 1232
ERROR_NO_SYSTEM_RESOURCES: Final = 1450

STATUS_IO_TIMED_OUT: Final = 0xC00000B5
"""STATUS_IO_TIMEOUT."""
STATUS_NO_MEMORY: Final = 0xC0000017
STATUS_INSUFFICIENT_RESOURCES: Final = 0xC000009A
STATUS_CANCELLED: Final = 0xC0000120
STATUS_CONNECTION_REFUSED: Final = 0xC0000236

# --- ipexport.h: IP_STATUS --------------------------------------------------------------------------------

IP_SUCCESS: Final = 0
IP_BUF_TOO_SMALL: Final = 11001
IP_DEST_NET_UNREACHABLE: Final = 11002
"""IPv6: there is no route (IP_DEST_NO_ROUTE)."""
IP_DEST_HOST_UNREACHABLE: Final = 11003
"""IPv6: the address can't be reached (IP_DEST_ADDR_UNREACHABLE)."""
IP_DEST_PROT_UNREACHABLE: Final = 11004
"""IPv6: it is forbidden (IP_DEST_PROHIBITED)."""
IP_DEST_PORT_UNREACHABLE: Final = 11005
IP_NO_RESOURCES: Final = 11006
IP_BAD_OPTION: Final = 11007
IP_HW_ERROR: Final = 11008
IP_PACKET_TOO_BIG: Final = 11009
IP_REQ_TIMED_OUT: Final = 11010
IP_BAD_REQ: Final = 11011
IP_BAD_ROUTE: Final = 11012
IP_TTL_EXPIRED_TRANSIT: Final = 11013
IP_TTL_EXPIRED_REASSEM: Final = 11014
IP_PARAM_PROBLEM: Final = 11015
IP_SOURCE_QUENCH: Final = 11016
IP_BAD_DESTINATION: Final = 11018
IP_DEST_UNREACHABLE: Final = 11040
IP_TIME_EXCEEDED: Final = 11041
IP_BAD_HEADER: Final = 11042
IP_UNRECOGNIZED_NEXT_HEADER: Final = 11043
IP_ICMP_ERROR: Final = 11044
IP_DEST_SCOPE_MISMATCH: Final = 11045
IP_GENERAL_FAILURE: Final = 11050

IP_FLAG_DF: Final = 0x2

# --- winsock2.h, ws2def.h, ws2ipdef.h, mswsock.h, mstcpip.h -------------------------------------------------

AF_INET: Final = 2
AF_INET6: Final = 23
SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOCK_RAW: Final = 3
IPPROTO_IP: Final = 0
IPPROTO_ICMP: Final = 1
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_IPV6: Final = 41
IPPROTO_ICMPV6: Final = 58
WSA_FLAG_OVERLAPPED: Final = 0x01
WSA_FLAG_NO_HANDLE_INHERIT: Final = 0x80
INVALID_SOCKET: Final = 0xFFFFFFFFFFFFFFFF

SOL_SOCKET: Final = 0xFFFF
SO_CLOSE_BEHAVIOUR: Final = 0x80
"""SO_LINGER."""
SO_RCVBUF: Final = 0x1002
SO_EXCLUSIVEADDRUSE: Final = -5
IP_TTL: Final = 4
IP_HDRINCL: Final = 2
IP_DONTFRAGMENT: Final = 14
IP_UNICAST_IF: Final = 31
IPV6_UNICAST_HOPS: Final = 4
IPV6_DONTFRAG: Final = 14
IPV6_UNICAST_IF: Final = 31
TCP_FAIL_CONNECT_ON_ICMP_ERROR: Final = 18
TCP_ICMP_ERROR_INFO: Final = 19

SIO_RCVALL: Final = 0x98000001
SIO_UDP_CONNRESET: Final = 0x9800000C
SIO_UDP_NETRESET: Final = 0x9800000F
SIO_TCP_INITIAL_RTO: Final = 0x98000011
TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS: Final = 0xFE
RCVALL_ON: Final = 1
SIO_GET_EXTENSION_FUNCTION_POINTER: Final = 0xC8000006
WSAID_CONNECTEX: Final = bytes.fromhex("b907a225f3dd60468ee976e58c74063e")
"""25a207b9-ddf3-4660-8ee9-76e58c74063e as it lies in memory (mswsock.h)."""

WSAEACCES: Final = 10013
WSAEINVAL: Final = 10022
WSAEMSGSIZE: Final = 10040
WSAENOPROTOOPT: Final = 10042
WSAEPROTONOSUPPORT: Final = 10043
WSAESOCKTNOSUPPORT: Final = 10044
WSAEOPNOTSUPP: Final = 10045
WSAEAFNOSUPPORT: Final = 10047
WSAEADDRINUSE: Final = 10048
WSAEADDRNOTAVAIL: Final = 10049
WSAENETUNREACH: Final = 10051
WSAENETRESET: Final = 10052
WSAECONNRESET: Final = 10054
WSAENOBUFS: Final = 10055
WSAEHOSTUNREACH: Final = 10065

# --- structures ---------------------------------------------------------------------------------------------

# Windows on every processor whose words have 64 bits (x64, ARM64).
KNOWN_LAYOUTS: Final[Mapping[str, StructLayout]] = {
    "io_status_block": (16, {"status": 0, "reserved": 4, "information": 8}),
    "overlapped": (32, {"internal": 0, "internal_high": 8, "offset": 16, "offset_high": 20, "event": 24}),
    "overlapped_entry": (32, {"key": 0, "overlapped": 8, "internal": 16, "transferred": 24}),
    "ip_option_information": (16, {"ttl": 0, "tos": 1, "flags": 2, "options_size": 3, "options_data": 8}),
    "icmp_echo_reply": (
        40,
        {
            "address": 0,
            "status": 4,
            "round_trip_time": 8,
            "data_size": 12,
            "reserved": 14,
            "data": 16,
            "options": 24,
        },
    ),
    "ipv6_address_ex": (26, {"sin6_port": 0, "sin6_flowinfo": 2, "sin6_addr": 6, "sin6_scope_id": 22}),
    "icmpv6_echo_reply": (36, {"address": 0, "status": 28, "round_trip_time": 32}),
    "wsabuf": (16, {"len": 0, "buf": 8}),
    "sockaddr_in": (16, {"sin_family": 0, "sin_port": 2, "sin_addr": 4, "sin_zero": 8}),
    "sockaddr_in6": (
        28,
        {"sin6_family": 0, "sin6_port": 2, "sin6_flowinfo": 4, "sin6_addr": 8, "sin6_scope_id": 24},
    ),
    "icmp_error_info": (36, {"srcaddress": 0, "protocol": 28, "type": 32, "code": 33}),
}

# It is another on Windows of 32 bits.
check_layouts(declared_layouts(ffi, KNOWN_LAYOUTS), KNOWN_LAYOUTS)

NULL: Final[Pointer] = ffi.NULL
INVALID_HANDLE_VALUE: Final[Pointer] = ffi.cast("HANDLE", -1)


# --- libraries ----------------------------------------------------------------------------------------------


class Iphlpapi(Protocol):
    """``iphlpapi.dll``: echo requests that need no privileges (icmpapi.h)."""

    def IcmpCreateFile(self) -> Pointer: ...  # noqa: N802, D102 - documented by Microsoft
    def Icmp6CreateFile(self) -> Pointer: ...  # noqa: N802, D102
    def IcmpCloseHandle(self, handle: Pointer, /) -> int: ...  # noqa: N802, D102
    def IcmpSendEcho2(  # noqa: N802, D102
        self,
        handle: Pointer,
        event: Pointer,
        apc_routine: Pointer,
        apc_context: Pointer,
        destination: int,
        request: Pointer,
        request_size: int,
        options: Pointer,
        reply: Pointer,
        reply_size: int,
        milliseconds: int,
        /,
    ) -> int: ...
    def IcmpSendEcho2Ex(  # noqa: N802, D102
        self,
        handle: Pointer,
        event: Pointer,
        apc_routine: Pointer,
        apc_context: Pointer,
        source: int,
        destination: int,
        request: Pointer,
        request_size: int,
        options: Pointer,
        reply: Pointer,
        reply_size: int,
        milliseconds: int,
        /,
    ) -> int: ...
    def Icmp6SendEcho2(  # noqa: N802, D102
        self,
        handle: Pointer,
        event: Pointer,
        apc_routine: Pointer,
        apc_context: Pointer,
        source: Pointer,
        destination: Pointer,
        request: Pointer,
        request_size: int,
        options: Pointer,
        reply: Pointer,
        reply_size: int,
        milliseconds: int,
        /,
    ) -> int: ...
    def IcmpParseReplies(self, reply: Pointer, size: int, /) -> int: ...  # noqa: N802, D102
    def Icmp6ParseReplies(self, reply: Pointer, size: int, /) -> int: ...  # noqa: N802, D102


class Kernel32(Protocol):
    """``kernel32.dll``: completion ports and the performance counter."""

    def CreateIoCompletionPort(  # noqa: N802, D102
        self, file: Pointer, port: Pointer, key: int, threads: int, /
    ) -> Pointer: ...
    def GetQueuedCompletionStatusEx(  # noqa: N802, D102
        self,
        port: Pointer,
        entries: Pointer,
        count: int,
        removed: Pointer,
        milliseconds: int,
        alertable: bool,
        /,
    ) -> int: ...
    def PostQueuedCompletionStatus(  # noqa: N802, D102
        self, port: Pointer, transferred: int, key: int, overlapped: Pointer, /
    ) -> int: ...
    def CancelIoEx(self, file: Pointer, overlapped: Pointer, /) -> int: ...  # noqa: N802, D102
    def CloseHandle(self, handle: Pointer, /) -> int: ...  # noqa: N802, D102
    def QueryPerformanceCounter(self, count: Pointer, /) -> int: ...  # noqa: N802, D102
    def QueryPerformanceFrequency(self, frequency: Pointer, /) -> int: ...  # noqa: N802, D102


class Ntdll(Protocol):
    """``ntdll.dll``."""

    def NtTestAlert(self) -> int:  # noqa: N802
        """Run the completion routines that are queued to this thread; never waits."""
        ...


class Ws2_32(Protocol):  # noqa: N801 - the name of the library
    """``ws2_32.dll``: Winsock (winsock2.h)."""

    def WSASocketW(  # noqa: N802, D102
        self, family: int, kind: int, protocol: int, info: Pointer, group: int, flags: int, /
    ) -> int: ...
    def bind(self, socket: int, name: Pointer, size: int, /) -> int: ...  # noqa: D102
    def connect(self, socket: int, name: Pointer, size: int, /) -> int: ...  # noqa: D102
    def getsockname(self, socket: int, name: Pointer, size: Pointer, /) -> int: ...  # noqa: D102
    def setsockopt(  # noqa: D102
        self, socket: int, level: int, option: int, value: Pointer, size: int, /
    ) -> int: ...
    def getsockopt(  # noqa: D102
        self, socket: int, level: int, option: int, value: Pointer, size: Pointer, /
    ) -> int: ...
    def closesocket(self, socket: int, /) -> int: ...  # noqa: D102
    def WSAIoctl(  # noqa: N802, D102
        self,
        socket: int,
        code: int,
        given: Pointer,
        given_size: int,
        answer: Pointer,
        answer_size: int,
        returned: Pointer,
        overlapped: Pointer,
        routine: Pointer,
        /,
    ) -> int: ...
    def WSASendTo(  # noqa: N802, D102
        self,
        socket: int,
        buffers: Pointer,
        count: int,
        sent: Pointer,
        flags: int,
        name: Pointer,
        name_size: int,
        overlapped: Pointer,
        routine: Pointer,
        /,
    ) -> int: ...
    def WSARecvFrom(  # noqa: N802, D102
        self,
        socket: int,
        buffers: Pointer,
        count: int,
        received: Pointer,
        flags: Pointer,
        name: Pointer,
        name_size: Pointer,
        overlapped: Pointer,
        routine: Pointer,
        /,
    ) -> int: ...


class WindowsLibraries(NamedTuple):
    """The libraries, and the error number of the last call that this thread made (``GetLastError``)."""

    iphlpapi: Iphlpapi
    kernel32: Kernel32
    ntdll: Ntdll
    ws2_32: Ws2_32
    last_error: Callable[[], int]


@cache
def load_libraries() -> WindowsLibraries:
    """Open the libraries of this system.

    Raises:
        AbiError: One of them is missing, or this is no Windows.
    """
    try:
        return WindowsLibraries(
            iphlpapi=ffi.dlopen("iphlpapi.dll"),
            kernel32=ffi.dlopen("kernel32.dll"),
            ntdll=ffi.dlopen("ntdll.dll"),
            ws2_32=ffi.dlopen("ws2_32.dll"),
            last_error=_last_error,
        )
    except OSError as error:
        raise AbiError(f"a library of Windows can't be opened: {error}") from None


def _last_error() -> int:
    code: int = ffi.getwinerror()[0]
    return code


def offers(library: object, function: str) -> bool:
    """Whether a library has a function: Wine lacks some, and so do old releases of Windows."""
    # cffi looks a function up when it is first named; hasattr would hide what else may go wrong.
    try:
        getattr(library, function)
    except AttributeError:
        return False
    return True
