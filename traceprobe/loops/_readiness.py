"""How to wait for a descriptor: until it is readable, until somebody knocks, or until it is closed.

One place for all event loops. An error queue that holds something makes a descriptor readable too, on
asyncio, uvloop and trio alike; readiness is level-triggered, so whoever is woken has to drain.
"""

from __future__ import annotations

import select
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator


class Readiness:
    """Waits for one descriptor; at most one task for what can be read.

    Args:
        descriptor: The descriptor; it stays the caller's own.
    """

    __slots__ = ("_closed", "_descriptor", "_knock", "_knocked", "_parked", "_room", "_scope", "_stop")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._scope: anyio.CancelScope | None = None
        self._knocked = False
        self._closed = False
        self._room: anyio.Lock | None = None
        """Held by who waits to write; most never have to."""
        self._parked = 0
        """How many tasks the event loop has to be told of when the descriptor is closed."""
        self._knock: Callable[[], None] | None = None
        """How a task that serves is told of a knock."""
        self._stop: Callable[[], None] | None = None
        """How it is told that there is nothing to serve any more."""

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or :meth:`wake` or :meth:`close` is called."""
        if self._knocked:
            self._knocked = False
            await anyio.lowlevel.checkpoint()
            return
        with anyio.CancelScope() as scope:
            self._scope = scope
            self._parked += 1
            try:
                await anyio.wait_readable(self._descriptor)
            except anyio.ClosedResourceError:
                return
            finally:
                self._parked -= 1
                self._scope = None
        self._knocked = False

    async def serve(self, readable: Callable[[], None]) -> None:
        """Call a function whenever there is something to read or :meth:`wake` is called, until :meth:`close`.

        Where the event loop has callbacks, it calls straight from its own: waiting costs no task, no
        future and no system call but the one wait, a seventh of what :meth:`wait_readable` costs.

        Args:
            readable: Reads everything that there is; what it raises ends the serving and is raised here.
        """
        if self._closed:
            return
        if self._knocked:
            self._knocked = False
            readable()
        native: Any = anyio.lowlevel.current_token().native_token
        if hasattr(native, "add_reader"):
            await self._serve_by_callback(native, readable)
        else:
            await self._serve_by_waiting(readable)

    async def _serve_by_callback(self, loop: asyncio.AbstractEventLoop, readable: Callable[[], None]) -> None:
        with _what_stays_armed(loop, self._descriptor) as watched:
            await self._serve_what_stays_armed(loop, watched, readable)

    async def _serve_what_stays_armed(
        self, loop: asyncio.AbstractEventLoop, watched: int, readable: Callable[[], None]
    ) -> None:
        end: asyncio.Future[None] = loop.create_future()

        def call() -> None:
            if end.done():
                return
            try:
                readable()
            except Exception as error:
                loop.remove_reader(watched)
                if not end.done():
                    end.set_exception(error)

        def knock() -> None:
            loop.call_soon(call)

        def stop() -> None:
            # At once: the descriptor is about to be closed, and its number may be given to another.
            loop.remove_reader(watched)
            if not end.done():
                end.set_result(None)

        try:
            loop.add_reader(watched, call)
        except RuntimeError:  # a loop that knows no readiness, such as asyncio's Proactor
            await self._serve_by_waiting(readable)
            return
        self._knock, self._stop = knock, stop
        try:
            await end
        finally:
            self._knock = self._stop = None
            if not self._closed:
                loop.remove_reader(watched)

    async def _serve_by_waiting(self, readable: Callable[[], None]) -> None:
        wait_readable, closed = _native_wait()
        while not self._closed:
            # One scope for many waits: only a knock ends it.
            with anyio.CancelScope() as scope:
                self._scope = scope
                self._parked += 1
                try:
                    while not self._closed:
                        await wait_readable(self._descriptor)
                        readable()
                except closed:
                    return
                finally:
                    self._parked -= 1
                    self._scope = None
            self._knocked = False
            if not self._closed:
                readable()

    async def wait_writable(self) -> None:
        """Wait until the descriptor takes data again, or :meth:`close` is called.

        Any number of tasks may wait, one after the other.
        """
        if self._room is None:
            self._room = anyio.Lock()
        async with self._room:
            if self._closed:
                return
            self._parked += 1
            try:
                await anyio.wait_writable(self._descriptor)
            except anyio.ClosedResourceError:
                return
            finally:
                self._parked -= 1

    def wake(self) -> None:
        """Let the waiting task go on, or the next one that waits.

        For what the descriptor can't tell: what it announced has been read by another task meanwhile.
        """
        if self._knock is not None:
            self._knock()
            return
        self._knocked = True
        if self._scope is not None:
            self._scope.cancel()

    def close(self) -> None:
        """Let all waiting tasks go on; must be called before the descriptor is closed."""
        self._closed = True
        if self._stop is not None:
            self._stop()
        if self._parked:
            anyio.notify_closing(self._descriptor)


def _native_wait() -> tuple[Callable[[int], Awaitable[None]], type[Exception]]:
    """How to wait until a descriptor is readable, and what that raises when it is about to be closed.

    On trio its own function, without the layer around it that makes up a third of a wait.
    """
    if type(anyio.lowlevel.current_token().native_token).__module__.startswith("trio."):
        import trio

        return trio.lowlevel.wait_readable, trio.ClosedResourceError
    return anyio.wait_readable, anyio.ClosedResourceError


@contextmanager
def _what_stays_armed(loop: asyncio.AbstractEventLoop, descriptor: int) -> Iterator[int]:
    """What an event loop's reader shall watch so that it is called again and again.

    For asyncio that is the descriptor itself. uvloop takes an error queue for a failure: it announces it
    once, and then nothing any more until the reader is armed anew, which costs eight system calls each
    time. An epoll instance that holds the descriptor is merely readable when there is something in it.
    """
    if type(loop).__module__.startswith("asyncio.") or not hasattr(select, "epoll"):
        yield descriptor
        return
    with select.epoll() as epoll:
        epoll.register(descriptor, select.EPOLLIN)
        yield epoll.fileno()
