"""How a thread waits for the outcome of another one such that Ctrl-C still reaches it.

A wait for a lock, which is what the wait for a future is, ends on Unix when a signal comes. On Windows it
does not: there, whoever waits reads from a socket that the interpreter writes to when a signal comes.
"""

from __future__ import annotations

import socket
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_T = TypeVar("_T")


def outcome_of(future: Future[_T]) -> _T:
    """Wait until a future is done; its result, or its exception raised. A signal's handler may raise, too.

    Blocks the thread, so it is nothing for an event loop.
    """
    if sys.platform == "win32" and threading.current_thread() is threading.main_thread():
        wait_for_news(future)
    return future.result()


def wait_for_news(future: Future[_T]) -> None:
    """Wait in the main thread until a future is done; handlers of signals run meanwhile."""
    import signal

    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)  # as the interpreter wants it
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            future.add_done_callback(lambda _: _write(writer))
            while not future.done():
                # Its handler runs as soon as the call returns.
                reader.recv(_AT_ONCE)
        finally:
            signal.set_wakeup_fd(before)


_AT_ONCE = 64
"""Signals whose traces are cleared away together."""


def _write(writer: socket.socket) -> None:
    try:
        writer.send(b"\0")
    except OSError:
        return  # nobody waits any more, or there is enough to read already
