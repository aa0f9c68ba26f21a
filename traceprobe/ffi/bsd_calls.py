"""The system calls of a BSD or of macOS that Python's ``socket`` lacks, and the check that its table fits.

Calls never block and never raise for what the kernel says: they return a negative error number, because on
this path errors are ordinary. A system that is laid out otherwise than its table says is refused with
:class:`AbiError` instead of being read wrongly.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Final

import attrs

from traceprobe.errors import AbiError
from traceprobe.ffi._generated_bsd import ffi
from traceprobe.ffi._layouts import check_layouts, declared_layouts
from traceprobe.ffi.bsd import ABIS, CONTROL_HEADER, KNOWN_LAYOUTS, aligned

if TYPE_CHECKING:
    from types import ModuleType

    from traceprobe.ffi.bsd import BsdAbi

_ALIGNMENTS: Final = frozenset({4, 8, 16})


class LibcCalls:
    """``sendmsg(2)`` and its kin of the C library in this process; see :class:`MessageCalls`.

    Args:
        batches: Whether ``sendmmsg`` and ``recvmmsg`` are wanted; they are used if there are any.
    """

    def __init__(self, *, batches: bool) -> None:
        libc: Any = ffi.dlopen(None)
        self._libc = libc
        self._batches = batches and all(hasattr(libc, name) for name in ("sendmmsg", "recvmmsg"))

    @property
    def batches(self) -> bool:
        """Whether one system call can move several messages."""
        return self._batches

    def sendmsg(self, descriptor: int, message: int, flags: int) -> int:
        """Send the message at an address; bytes sent."""
        sent: int = self._libc.sendmsg(descriptor, ffi.cast("void *", message), flags)
        return sent if sent >= 0 else _negative_errno()

    def recvmsg(self, descriptor: int, message: int, flags: int) -> int:
        """Receive into the message at an address; bytes received."""
        received: int = self._libc.recvmsg(descriptor, ffi.cast("void *", message), flags)
        return received if received >= 0 else _negative_errno()

    def sendmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        """Send an array of messages; how many were sent."""
        sent: int = self._libc.sendmmsg(descriptor, ffi.cast("void *", messages), count, flags)
        return sent if sent > 0 else _negative_errno()

    def recvmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        """Receive into an array of messages; how many came."""
        received: int = self._libc.recvmmsg(descriptor, ffi.cast("void *", messages), count, flags, ffi.NULL)
        # Some kernels tell an empty queue by 0, and leave errno as it was.
        return received if received > 0 else _negative_errno() if received < 0 else -errno.EAGAIN


def host_abi(name: str, sockets: ModuleType = socket, errors: ModuleType = errno) -> BsdAbi:
    """The table of the system that this process runs on, checked against what Python knows of it.

    Args:
        name: Name of the system, as in the tables.
        sockets: Python's module of that name; has what it was compiled with.
        errors: Python's ``errno``.

    Raises:
        AbiError: The table does not fit.
    """
    abi = ABIS[name]
    check_layouts(declared_layouts(ffi, KNOWN_LAYOUTS), KNOWN_LAYOUTS)
    for field in attrs.fields(type(abi)):
        known = getattr(abi, field.name)
        there = getattr(sockets, field.name.upper(), getattr(errors, field.name.upper(), None))
        if isinstance(known, int) and there is not None and int(there) != known:
            raise AbiError(f"{field.name.upper()} is {int(there)} on this system, and {known} was expected")
    # The alignment of control messages depends on the processor, so the compiler's macros decide.
    alignment = sockets.CMSG_SPACE(1) - sockets.CMSG_SPACE(0)
    if alignment not in _ALIGNMENTS or sockets.CMSG_LEN(0) != aligned(CONTROL_HEADER.size, alignment):
        raise AbiError(f"control messages are aligned to {alignment} bytes in an unknown way on this system")
    return attrs.evolve(abi, control_alignment=alignment)


def _negative_errno() -> int:
    code: int = ffi.errno
    return -code
