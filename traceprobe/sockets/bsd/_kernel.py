"""What is asked of a kernel, and the one that this process runs on.

The whole backend stands on this interface, so that another kernel can be put in its place. Numbers that
cross it are those of the system's own table; where the host is that system, they are also Python's.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from traceprobe.ffi.bsd_calls import LibcCalls, host_abi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.ffi.bsd import BsdAbi
    from traceprobe.ffi.bsd_arena import MessageCalls

_kqueues: Final[Any] = select
"""Where Python has ``kqueue``; type checkers for other systems know of none."""

SocketName: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""Host and port; for IPv6 also flow information and scope."""


class KernelSocket(Protocol):
    """What is used of ``socket.socket``."""

    def fileno(self) -> int:
        """The descriptor."""
        ...

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Set an option; OSError if the kernel refuses."""
        ...

    def getsockopt(self, level: int, option: int, /) -> int:
        """Read an option."""
        ...

    def bind(self, name: SocketName, /) -> None:
        """Bind to an address and a port; OSError if the kernel refuses."""
        ...

    def connect_ex(self, name: SocketName, /) -> int:
        """Connect; 0 or an error number."""
        ...

    def getsockname(self) -> SocketName:
        """The address and port that it is bound to."""
        ...

    def getpeername(self) -> SocketName:
        """The address and port that it is connected to; OSError if it is not."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Gathering(Protocol):
    """Several sockets that are waited for as one: a descriptor that is readable when any of them is ready."""

    def fileno(self) -> int:
        """The descriptor to wait on."""
        ...

    def watch(self, descriptor: int, *, connecting: bool = False) -> None:
        """Include a socket: ready when there is something to read, or when it has connected or failed to."""
        ...

    def forget(self, descriptor: int, *, connecting: bool = False) -> None:
        """Include it no more; must be called before it is closed."""
        ...

    def settle(self) -> Sequence[int]:
        """Take note of what is not ready any more, which then counts no more; return what still is."""
        ...

    def close(self) -> None:
        """Close the descriptor."""
        ...


class Kernel(Protocol):
    """Opens sockets and moves messages."""

    @property
    def abi(self) -> BsdAbi:
        """The numbers and layouts that it understands."""
        ...

    @property
    def calls(self) -> MessageCalls:
        """The calls that move messages."""
        ...

    def open(self, family: int, kind: int, protocol: int) -> KernelSocket:
        """Open a socket that never blocks; OSError if the kernel refuses."""
        ...

    def gather(self) -> Gathering:
        """An empty gathering."""
        ...

    def writable(self, descriptor: int) -> bool:
        """Whether a socket takes data now."""
        ...


class HostKernel:
    """The kernel of this machine.

    Args:
        name: Name of the system.
        batches: Whether sending several messages in one system call is wanted.

    Raises:
        AbiError: The system is not laid out as its table says.
    """

    def __init__(self, name: str, *, batches: bool) -> None:
        self._abi = host_abi(name)
        self._calls = LibcCalls(batches=batches)

    @property
    def abi(self) -> BsdAbi:
        """The numbers and layouts that it understands."""
        return self._abi

    @property
    def calls(self) -> MessageCalls:
        """The calls that move messages."""
        return self._calls

    def open(self, family: int, kind: int, protocol: int) -> KernelSocket:
        """Open a socket that never blocks."""
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened

    def gather(self) -> Gathering:
        """An empty gathering."""
        return KqueueGathering()

    def writable(self, descriptor: int) -> bool:
        """Whether a socket takes data now."""
        waiting = select.poll()
        waiting.register(descriptor, select.POLLOUT)
        return bool(waiting.poll(0))


class KqueueGathering:
    """A ``kqueue(2)``, whose descriptor can itself be waited for; see :class:`Gathering`.

    Its events are level-triggered: they come again until what they announce is gone, and a kqueue only finds
    out that it is when it is asked for its events.
    """

    def __init__(self) -> None:
        self._queue = _kqueues.kqueue()
        self._watched = 0

    def fileno(self) -> int:
        """The descriptor to wait on."""
        descriptor: int = self._queue.fileno()
        return descriptor

    def watch(self, descriptor: int, *, connecting: bool = False) -> None:
        """Include a socket."""
        self._change(descriptor, connecting, _kqueues.KQ_EV_ADD)
        self._watched += 1

    def forget(self, descriptor: int, *, connecting: bool = False) -> None:
        """Include it no more."""
        self._change(descriptor, connecting, _kqueues.KQ_EV_DELETE)
        self._watched -= 1

    def settle(self) -> Sequence[int]:
        """Take note of what is not ready any more; return what still is."""
        most = self._watched + 1
        return [event.ident for event in self._queue.control(None, most, 0)]

    def close(self) -> None:
        """Close the descriptor."""
        self._queue.close()

    def _change(self, descriptor: int, connecting: bool, flags: int) -> None:
        # NetBSD numbers the filters in its own way; Python's module knows them.
        kind = _kqueues.KQ_FILTER_WRITE if connecting else _kqueues.KQ_FILTER_READ
        self._queue.control([_kqueues.kevent(descriptor, kind, flags)], 0, 0)
