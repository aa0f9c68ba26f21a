"""How to wait for a descriptor: until it is readable, until somebody knocks, or until it is closed.

One place for all event loops. An error queue that holds something makes a descriptor readable too, on
asyncio, uvloop and trio alike; readiness is level-triggered, so whoever is woken has to drain.
"""

from __future__ import annotations

import anyio
import anyio.lowlevel


class Readiness:
    """Waits for one descriptor; at most one task for what can be read.

    Args:
        descriptor: The descriptor; it stays the caller's own.
    """

    __slots__ = ("_closed", "_descriptor", "_knocked", "_room", "_scope")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._scope: anyio.CancelScope | None = None
        self._knocked = False
        self._closed = False
        self._room = anyio.Lock()

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or :meth:`wake` or :meth:`close` is called."""
        if self._knocked:
            self._knocked = False
            await anyio.lowlevel.checkpoint()
            return
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                await anyio.wait_readable(self._descriptor)
            except anyio.ClosedResourceError:
                return
            finally:
                self._scope = None
        self._knocked = False

    async def wait_writable(self) -> None:
        """Wait until the descriptor takes data again, or :meth:`close` is called.

        Any number of tasks may wait, one after the other.
        """
        async with self._room:
            if self._closed:
                return
            try:
                await anyio.wait_writable(self._descriptor)
            except anyio.ClosedResourceError:
                return

    def wake(self) -> None:
        """Let the waiting task go on, or the next one that waits.

        For what the descriptor can't tell: what it announced has been read by another task meanwhile.
        """
        self._knocked = True
        if self._scope is not None:
            self._scope.cancel()

    def close(self) -> None:
        """Let all waiting tasks go on; must be called before the descriptor is closed."""
        self._closed = True
        anyio.notify_closing(self._descriptor)
