"""Memory in the layout of the BSDs and macOS, the calls that move it, and the check that the table fits."""

from __future__ import annotations

import errno
import re
import socket
import struct
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from traceprobe.errors import AbiError
from traceprobe.ffi import build_bsd
from traceprobe.ffi._generated_bsd import ffi
from traceprobe.ffi._layouts import check_layouts, declared_layouts
from traceprobe.ffi.bsd import ABIS, DARWIN, FREEBSD, KNOWN_LAYOUTS, NETBSD, abi_for
from traceprobe.ffi.bsd_arena import ReceiveArena, TransmitArena
from traceprobe.ffi.bsd_calls import LibcCalls, host_abi

if TYPE_CHECKING:
    from pathlib import Path

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="there is no sendmsg on Windows")


def test_the_committed_module_is_what_the_generator_writes(tmp_path: Path) -> None:
    target = tmp_path / "generated.py"
    build_bsd.generate(target)
    assert target.read_text(encoding="ascii") == build_bsd.TARGET.read_text(encoding="ascii")


def test_every_declared_structure_is_checked() -> None:
    declared = set(re.findall(r"^\s*struct (\w+) \{", build_bsd.DECLARATIONS, re.MULTILINE))
    assert declared == set(KNOWN_LAYOUTS)


def test_declarations_come_to_the_known_layouts_on_any_machine_of_64_bits() -> None:
    assert declared_layouts(ffi, KNOWN_LAYOUTS) == dict(KNOWN_LAYOUTS)


def test_an_unknown_layout_is_refused() -> None:
    layouts = declared_layouts(ffi, KNOWN_LAYOUTS) | {"msghdr": (28, {"msg_name": 0})}
    with pytest.raises(AbiError, match="struct msghdr has an unknown layout"):
        check_layouts(layouts, KNOWN_LAYOUTS)


# --- the table and the host ---------------------------------------------------------------------------------


def python_of(alignment: int, **numbers: int) -> ModuleType:
    """Python's socket module as it would be on some system."""

    def space(size: int) -> int:
        return -(-12 // alignment) * alignment + -(-size // alignment) * alignment

    made = SimpleNamespace(CMSG_SPACE=space, CMSG_LEN=lambda size: space(0) + size, **numbers)
    return cast("ModuleType", made)


NO_ERRORS = cast("ModuleType", SimpleNamespace())


@pytest.mark.parametrize("name", ABIS)
@pytest.mark.parametrize("alignment", [4, 8, 16])
def test_the_compilers_macros_decide_on_alignment(name: str, alignment: int) -> None:
    sockets = python_of(alignment, AF_INET6=ABIS[name].af_inet6, SO_RCVBUF=0x1002)
    found = host_abi(name, sockets, NO_ERRORS)
    assert found.control_alignment == alignment
    assert found.ip_recvttl == ABIS[name].ip_recvttl


def test_a_number_that_python_knows_better_is_refused() -> None:
    with pytest.raises(AbiError, match="AF_INET6 is 24 on this system, and 28 was expected"):
        host_abi("freebsd", python_of(8, AF_INET6=24), NO_ERRORS)
    errors = cast("ModuleType", SimpleNamespace(EHOSTUNREACH=113))
    with pytest.raises(AbiError, match="EHOSTUNREACH is 113"):
        host_abi("netbsd", python_of(8), errors)


def test_an_unknown_alignment_is_refused() -> None:
    with pytest.raises(AbiError, match="aligned to 2 bytes"):
        host_abi("freebsd", python_of(2), NO_ERRORS)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux is none of these systems")
def test_linux_is_taken_for_none_of_them() -> None:
    for name in ABIS:
        with pytest.raises(AbiError):
            host_abi(name)


def test_only_netbsd_differs_by_processor() -> None:
    for name in ABIS:
        expected = 16 if name == "netbsd" else ABIS[name].control_alignment
        assert abi_for(name, "aarch64").control_alignment == expected
        assert abi_for(name, "amd64") is ABIS[name]


# --- memory and calls ---------------------------------------------------------------------------------------


class Recorded:
    """Calls that only look at the memory that they are given."""

    def __init__(self, *, batches: bool, results: list[int]) -> None:
        self.batches = batches
        self.results = results
        self.calls: list[tuple[str, int, int]] = []

    def sendmsg(self, descriptor: int, message: int, flags: int) -> int:
        self.calls.append(("sendmsg", message, 1))
        return self.results.pop(0)

    def recvmsg(self, descriptor: int, message: int, flags: int) -> int:
        self.calls.append(("recvmsg", message, 1))
        return self.results.pop(0)

    def sendmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        self.calls.append(("sendmmsg", messages, count))
        return self.results.pop(0)

    def recvmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        self.calls.append(("recvmmsg", messages, count))
        return self.results.pop(0)


def test_several_datagrams_go_in_one_call_only_where_that_is_one_call() -> None:
    single, batching = Recorded(batches=False, results=[40]), Recorded(batches=True, results=[3, 40])
    arena = TransmitArena(NETBSD, 4, 64, 16, None)
    arena.fill([b"a" * 40] * 4, [bytes(16)] * 4, [1, 2, 3, 4])
    assert arena.send(single, 5, 1, 3) == 1
    assert arena.send(batching, 5, 1, 3) == 3
    assert arena.send(batching, 5, 3, 1) == 1
    assert [(name, count) for name, _, count in batching.calls] == [("sendmmsg", 3), ("sendmsg", 1)]
    assert batching.calls[1][1] - batching.calls[0][1] == 2 * 56
    assert single.calls[0][1] == batching.calls[0][1]


def test_an_empty_datagram_that_was_sent_is_no_failure() -> None:
    arena = TransmitArena(DARWIN, 1, 64, 16, None)
    arena.fill([b""], [bytes(16)], [1])
    assert arena.send(Recorded(batches=False, results=[0]), 5, 0, 1) == 1
    assert arena.send(Recorded(batches=False, results=[-55]), 5, 0, 1) == -55


@pytest.mark.parametrize(
    ("results", "count", "drained"),
    [
        ([5, 5, -35], 2, True),
        ([5, -61], 1, False),
        ([-35], -35, True),
        ([-61], -61, False),
        ([1] * 4, 4, False),
    ],
)
def test_datagrams_are_received_one_by_one_until_there_is_no_more(
    results: list[int], count: int, drained: bool
) -> None:
    arena = ReceiveArena(FREEBSD, 4, 64, 28, 64)
    assert arena.receive(Recorded(batches=False, results=list(results)), 5) == count
    assert arena.drained is drained
    assert len(list(arena.received())) == max(count, 0)


@POSIX
def test_the_calls_reach_the_c_library_and_tell_its_errors() -> None:
    """A message without control data lies in memory alike here and on Linux, so that this can run there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
        near.bind(("127.0.0.1", 0))
        port = near.getsockname()[1].to_bytes(2, "big")
        family = struct.pack("=H", socket.AF_INET) if sys.platform == "linux" else bytes((16, socket.AF_INET))
        name = family + port + socket.inet_aton("127.0.0.1") + bytes(8)
        calls = LibcCalls(batches=False)
        wait = socket.MSG_DONTWAIT
        receiving = ReceiveArena(FREEBSD, 1, 64, 28, 0)
        message = receiving._base
        assert calls.recvmsg(near.fileno(), message, wait) == -errno.EAGAIN
        sending = TransmitArena(FREEBSD, 2, 64, 16, None)
        sending.fill([b"first", b"second"], [name, name], [0, 0])
        assert calls.sendmsg(near.fileno(), sending._base, wait) == 5
        assert calls.sendmsg(near.fileno(), sending._base + 56, wait) == 6
        assert calls.recvmsg(near.fileno(), message, wait) == 5
        receiving._lengths = [5]
        (received,) = receiving.received()
        assert (bytes(received.data), bytes(received.name)) == (b"first", name)
        assert calls.sendmsg(-1, sending._base, wait) == -errno.EBADF
    assert LibcCalls(batches=False).batches is False
