"""Declarations of the libraries of Windows that probing needs; writes ``_generated_windows.py``.

Run ``python -m traceprobe.ffi.build_windows`` after a change, on any system, and commit what it writes.
Needs cffi itself; nothing imports it but its own test.

``iphlpapi``, ``kernel32``, ``ntdll`` and ``ws2_32`` share one module because they share structures: a
completion port of one library reports on the sockets of another. Every type has a fixed width, so that
the layouts are those of 64-bit Windows wherever they are computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "traceprobe.ffi._generated_windows"
TARGET: Final = Path(__file__).with_name("_generated_windows.py")

DECLARATIONS: Final = """
    typedef void *HANDLE;
    typedef int32_t BOOL;
    typedef uintptr_t SOCKET;

    // winternl.h: the status of a request and what it transferred
    struct io_status_block {
        uint32_t status;
        uint32_t reserved;
        uintptr_t information;
    };
    // minwinbase.h
    struct overlapped {
        uintptr_t internal;
        uintptr_t internal_high;
        uint32_t offset;
        uint32_t offset_high;
        HANDLE event;
    };
    struct overlapped_entry {
        uintptr_t key;
        struct overlapped *overlapped;
        uintptr_t internal;
        uint32_t transferred;
    };

    // ipexport.h
    struct ip_option_information {
        uint8_t ttl;
        uint8_t tos;
        uint8_t flags;
        uint8_t options_size;
        uint8_t *options_data;
    };
    struct icmp_echo_reply {
        uint32_t address;
        uint32_t status;
        uint32_t round_trip_time;
        uint16_t data_size;
        uint16_t reserved;
        void *data;
        struct ip_option_information options;
    };
    struct icmpv6_echo_reply {
        struct ipv6_address_ex address;
        uint32_t status;
        uint32_t round_trip_time;
    };

    // ws2def.h, ws2ipdef.h
    struct wsabuf {
        uint32_t len;
        char *buf;
    };
    struct sockaddr_in {
        uint16_t sin_family;
        uint16_t sin_port;
        uint32_t sin_addr;
        uint8_t sin_zero[8];
    };
    struct sockaddr_in6 {
        uint16_t sin6_family;
        uint16_t sin6_port;
        uint32_t sin6_flowinfo;
        uint8_t sin6_addr[16];
        uint32_t sin6_scope_id;
    };
    // ws2ipdef.h: ICMP_ERROR_INFO, whose first member is a SOCKADDR_INET
    struct icmp_error_info {
        struct sockaddr_in6 srcaddress;
        uint32_t protocol;
        uint8_t type;
        uint8_t code;
    };

    // icmpapi.h; the completion routine is that of winternl.h
    typedef void (__stdcall *PIO_APC_ROUTINE)(void *, struct io_status_block *, uint32_t);
    HANDLE __stdcall IcmpCreateFile(void);
    HANDLE __stdcall Icmp6CreateFile(void);
    BOOL __stdcall IcmpCloseHandle(HANDLE);
    uint32_t __stdcall IcmpSendEcho2(HANDLE, HANDLE, PIO_APC_ROUTINE, void *, uint32_t, void *, uint16_t,
                                     struct ip_option_information *, void *, uint32_t, uint32_t);
    uint32_t __stdcall IcmpSendEcho2Ex(HANDLE, HANDLE, PIO_APC_ROUTINE, void *, uint32_t, uint32_t, void *,
                                       uint16_t, struct ip_option_information *, void *, uint32_t,
                                       uint32_t);
    uint32_t __stdcall Icmp6SendEcho2(HANDLE, HANDLE, PIO_APC_ROUTINE, void *, struct sockaddr_in6 *,
                                      struct sockaddr_in6 *, void *, uint16_t,
                                      struct ip_option_information *, void *, uint32_t, uint32_t);
    uint32_t __stdcall IcmpParseReplies(void *, uint32_t);
    uint32_t __stdcall Icmp6ParseReplies(void *, uint32_t);

    // ioapiset.h, handleapi.h, profileapi.h
    HANDLE __stdcall CreateIoCompletionPort(HANDLE, HANDLE, uintptr_t, uint32_t);
    BOOL __stdcall GetQueuedCompletionStatusEx(HANDLE, struct overlapped_entry *, uint32_t, uint32_t *,
                                               uint32_t, BOOL);
    BOOL __stdcall PostQueuedCompletionStatus(HANDLE, uint32_t, uintptr_t, struct overlapped *);
    BOOL __stdcall CancelIoEx(HANDLE, struct overlapped *);
    BOOL __stdcall CloseHandle(HANDLE);
    BOOL __stdcall QueryPerformanceCounter(int64_t *);
    BOOL __stdcall QueryPerformanceFrequency(int64_t *);

    // ntdll
    int32_t __stdcall NtTestAlert(void);

    // winsock2.h, mswsock.h
    typedef BOOL (__stdcall *LPFN_CONNECTEX)(SOCKET, void *, int32_t, void *, uint32_t, uint32_t *,
                                             struct overlapped *);
    SOCKET __stdcall WSASocketW(int32_t, int32_t, int32_t, void *, uint32_t, uint32_t);
    int32_t __stdcall bind(SOCKET, void *, int32_t);
    int32_t __stdcall connect(SOCKET, void *, int32_t);
    int32_t __stdcall getsockname(SOCKET, void *, int32_t *);
    int32_t __stdcall setsockopt(SOCKET, int32_t, int32_t, void *, int32_t);
    int32_t __stdcall getsockopt(SOCKET, int32_t, int32_t, void *, int32_t *);
    int32_t __stdcall closesocket(SOCKET);
    int32_t __stdcall WSAIoctl(SOCKET, uint32_t, void *, uint32_t, void *, uint32_t, uint32_t *,
                               struct overlapped *, void *);
    int32_t __stdcall WSASendTo(SOCKET, struct wsabuf *, uint32_t, uint32_t *, uint32_t, void *, int32_t,
                                struct overlapped *, void *);
    int32_t __stdcall WSARecvFrom(SOCKET, struct wsabuf *, uint32_t, uint32_t *, uint32_t *, void *,
                                  int32_t *, struct overlapped *, void *);
"""

PACKED_DECLARATIONS: Final = """
    // ipexport.h: packed, so that what follows it is not aligned
    struct ipv6_address_ex {
        uint16_t sin6_port;
        uint32_t sin6_flowinfo;
        uint8_t sin6_addr[16];
        uint32_t sin6_scope_id;
    };
"""


def generate(target: Path) -> None:
    """Write the generated module.

    Args:
        target: The file to write.
    """
    from cffi import FFI

    builder = FFI()
    builder.set_source(MODULE, None)
    builder.cdef(PACKED_DECLARATIONS, packed=True)
    builder.cdef(DECLARATIONS)
    builder.emit_python_code(str(target))


if __name__ == "__main__":
    generate(TARGET)
