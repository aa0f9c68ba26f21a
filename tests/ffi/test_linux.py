"""Layouts that are not known are refused; options that hold pointers reach the kernel."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys

import pytest

from traceprobe.errors import AbiError

if sys.platform != "linux":
    pytest.skip("the C library of Linux", allow_module_level=True)

from traceprobe.ffi import linux


def test_this_machine_is_known() -> None:
    assert linux.declared_layouts() == linux.KNOWN_LAYOUTS
    linux.check_abi(linux.declared_layouts())


@pytest.mark.parametrize("name", sorted(linux.KNOWN_LAYOUTS))
def test_another_size_is_refused(name: str) -> None:
    size, fields = linux.KNOWN_LAYOUTS[name]
    with pytest.raises(AbiError, match=f"struct {name} has an unknown layout.* {size + 4} bytes"):
        linux.check_abi({**linux.KNOWN_LAYOUTS, name: (size + 4, fields)})


def test_another_offset_is_refused() -> None:
    size, fields = linux.KNOWN_LAYOUTS["msghdr"]
    moved = {**fields, "msg_flags": 44}
    with pytest.raises(AbiError, match="msg_flags': 44") as caught:
        linux.check_abi({**linux.KNOWN_LAYOUTS, "msghdr": (size, moved)})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_filter_decides_what_a_socket_gets() -> None:
    load_first_byte, jump_if_equal, return_value = 0x30, 0x15, 0x06
    # A UDP socket's filter sees the UDP header first; its payload begins at byte 8.
    only_x = [
        linux.FilterInstruction(load_first_byte, 0, 0, 8),
        linux.FilterInstruction(jump_if_equal, 0, 1, ord("x")),
        linux.FilterInstruction(return_value, 0, 0, 0xFFFFFFFF),
        linux.FilterInstruction(return_value, 0, 0, 0),
    ]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        linux.attach_filter(receiver, only_x)
        for payload in (b"a", b"x1", b"b", b"x2"):
            sender.sendto(payload, receiver.getsockname())
        assert [receiver.recv(16), receiver.recv(16)] == [b"x1", b"x2"]
        with pytest.raises(BlockingIOError):
            receiver.recv(16)


def test_neither_cffi_nor_a_parser_of_c_is_loaded() -> None:
    code = (
        "import sys, traceprobe.ffi.linux_arena;"
        "print([name for name in ('cffi', 'pycparser') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
