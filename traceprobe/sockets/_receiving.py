"""What all sockets with a descriptor to wait on have in common: handing out replies, and closing.

Whoever builds on it adds how probes are sent and what is read when the descriptor is ready.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import anyio.lowlevel

from traceprobe.errors import BusyError, ClosedError
from traceprobe.loops import Readiness
from traceprobe.sockets.helpers import SendAndReceive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from traceprobe.loops import Clock
    from traceprobe.model import Reply
    from traceprobe.sockets.codec import Refusal
    from traceprobe.sockets.protocol import SocketCapabilities


class Waiter(Protocol):
    """What a socket waits on: :class:`~traceprobe.loops.Readiness`, or what stands in for it."""

    async def wait_readable(self) -> None:
        """Wait until there may be something to read, or :meth:`wake` or :meth:`close` is called."""
        ...

    def wake(self) -> None:
        """Let the waiting task go on."""
        ...

    def close(self) -> None:
        """Let all waiting tasks go on, for good."""
        ...


class ReceivingSocket(SendAndReceive):
    """The receiving half of a probe socket; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        wait_on: The descriptor that is readable when there is something to receive, or what else to
            wait on.
    """

    def __init__(self, capabilities: SocketCapabilities, clock: Clock, wait_on: int | Waiter) -> None:
        self._capabilities = capabilities
        self._clock = clock
        self._readiness: Waiter = Readiness(wait_on) if isinstance(wait_on, int) else wait_on
        self._discarded: Counter[str] = Counter()
        self._ready: list[Reply] = []
        self._receiving = False
        self._closed = False

    # --- what builds on it adds ---------------------------------------------------------------------------

    @abstractmethod
    def _drain(self) -> None:
        """Read everything that has come."""

    @abstractmethod
    def _stop_sending(self) -> None:
        """Let tasks go on that wait to send."""

    @abstractmethod
    def _close_descriptors(self) -> None:
        """Close all descriptors."""

    # --- the protocol -----------------------------------------------------------------------------------

    @property
    def capabilities(self) -> SocketCapabilities:
        """What this socket can do and see."""
        return self._capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        """How many packets were refused, by reason."""
        return MappingProxyType(self._discarded)

    @property
    def clock(self) -> Clock:
        """The clock that replies are timed by."""
        return self._clock

    async def receive(self) -> Sequence[Reply]:
        """Wait until at least one reply has come; see :meth:`AsyncProbeSocket.receive`."""
        self._check_open()
        if self._receiving:
            raise BusyError("another task is receiving from this socket")
        self._receiving = True
        try:
            if self._ready:
                await anyio.lowlevel.checkpoint()
            while not self._ready:
                self._check_open()
                await self._readiness.wait_readable()
                self._check_open()
                self._drain()
            return self._take_ready()
        finally:
            self._receiving = False

    async def receive_into(self, deliver: Callable[[Sequence[Reply]], None]) -> None:
        """Hand replies out as they come; see :meth:`DirectReceiver.receive_into`."""
        self._check_open()
        if self._receiving:
            raise BusyError("another task is receiving from this socket")
        self._receiving = True

        def readable() -> None:
            if self._closed:
                self._check_open()
            self._drain()
            if self._ready:
                ready, self._ready = self._ready, []
                deliver(ready)

        try:
            if self._ready:
                deliver(self._take_ready())
            if isinstance(self._readiness, Readiness):
                await self._readiness.serve(readable)
            while True:
                self._check_open()
                await self._readiness.wait_readable()
                readable()
        finally:
            self._receiving = False

    def receive_nowait(self) -> Sequence[Reply]:
        """Return the replies that have already come, possibly none."""
        self._check_open()
        self._drain()
        return self._take_ready()

    async def aclose(self) -> None:
        """Close the socket and give everything back."""
        if self._closed:
            return
        self._readiness.close()
        self._stop_sending()
        self.close_now()

    def close_now(self) -> None:
        """Close a socket that no task waits for, without an event loop."""
        self._closed = True
        self._ready.clear()
        self._close_descriptors()

    # --- for what builds on it ----------------------------------------------------------------------------

    @property
    def receiving(self) -> bool:
        """Whether a task waits in ``receive``."""
        return self._receiving

    def put_back(self, replies: Iterable[Reply]) -> None:
        """Hand replies out again, to whoever receives next."""
        self._ready[:0] = replies

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the socket has been closed")

    def _take_ready(self) -> list[Reply]:
        ready, self._ready = self._ready, []
        return ready

    def _refuse(self, reason: Refusal, count: int = 1) -> None:
        self._discarded[reason.value] += count
