"""Structures of Windows have the layouts that its documentation gives, here and there."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest

from traceprobe.errors import AbiError
from traceprobe.ffi import windows
from traceprobe.ffi._layouts import check_layouts, declared_layouts

# 64-bit Windows, as winnt.h, ipexport.h and ws2ipdef.h lay them out.
SIZES = {
    "ip_option_information": 16,
    "icmp_echo_reply": 40,
    "io_status_block": 16,
    "overlapped": 32,
    "overlapped_entry": 32,
    "ipv6_address_ex": 26,
    "icmpv6_echo_reply": 36,
    "wsabuf": 16,
    "sockaddr_in": 16,
    "sockaddr_in6": 28,
    "icmp_error_info": 36,
}


def test_this_machine_is_known() -> None:
    layouts = declared_layouts(windows.ffi, windows.KNOWN_LAYOUTS)
    assert layouts == windows.KNOWN_LAYOUTS
    assert {name: size for name, (size, _) in layouts.items()} == SIZES
    check_layouts(layouts, windows.KNOWN_LAYOUTS)


def test_fields_lie_where_windows_writes_them() -> None:
    ffi = windows.ffi
    reply = ffi.new("struct icmp_echo_reply *")
    memory = ffi.buffer(reply)
    memory[4:8] = (11013).to_bytes(4, "little")
    memory[12:14] = (32).to_bytes(2, "little")
    memory[24:25] = b"\x3e"
    assert (reply.status, reply.data_size, reply.options.ttl) == (11013, 32, 62)
    reply6 = ffi.new("struct icmpv6_echo_reply *")
    memory = ffi.buffer(reply6)
    memory[6:22] = bytes(range(16))
    memory[28:32] = (11010).to_bytes(4, "little")
    assert (bytes(reply6.address.sin6_addr), reply6.status) == (bytes(range(16)), 11010)


@pytest.mark.parametrize("name", sorted(windows.KNOWN_LAYOUTS))
def test_another_layout_is_refused(name: str) -> None:
    size, fields = windows.KNOWN_LAYOUTS[name]
    with pytest.raises(AbiError, match=f"struct {name} has an unknown layout.* {size + 4} bytes"):
        check_layouts({**windows.KNOWN_LAYOUTS, name: (size + 4, fields)}, windows.KNOWN_LAYOUTS)
    last = list(fields)[-1]
    moved = {**fields, last: fields[last] + 4}
    with pytest.raises(AbiError, match=f"struct {name} has an unknown layout"):
        check_layouts({**windows.KNOWN_LAYOUTS, name: (size, moved)}, windows.KNOWN_LAYOUTS)


def test_the_function_that_connects_is_named_as_mswsock_h_does() -> None:
    assert uuid.UUID(bytes_le=windows.WSAID_CONNECTEX) == uuid.UUID("25a207b9-ddf3-4660-8ee9-76e58c74063e")


@pytest.mark.skipif(sys.platform == "win32", reason="the libraries are there")
def test_without_the_libraries_the_error_is_typed() -> None:
    with pytest.raises(AbiError, match="a library of Windows can't be opened"):
        windows.load_libraries()


@pytest.mark.skipif(sys.platform != "win32", reason="the libraries of Windows")
def test_the_libraries_offer_what_is_declared() -> None:
    libraries = windows.load_libraries()
    assert windows.load_libraries() is libraries
    assert windows.offers(libraries.iphlpapi, "IcmpSendEcho2Ex")
    assert windows.offers(libraries.kernel32, "GetQueuedCompletionStatusEx")
    assert windows.offers(libraries.ntdll, "NtTestAlert")
    assert windows.offers(libraries.ws2_32, "WSARecvFrom")


def test_a_function_that_is_missing_is_no_error() -> None:
    class Old:
        def there(self) -> None: ...

    assert windows.offers(Old(), "there")
    assert not windows.offers(Old(), "Icmp6ParseReplies")


def test_nothing_is_opened_and_nothing_parsed_by_importing() -> None:
    code = (
        "import sys; from traceprobe.ffi import windows; "
        "print([name for name in ('cffi', 'pycparser') if name in sys.modules], "
        "windows.load_libraries.cache_info().currsize)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["[]", "0"]
