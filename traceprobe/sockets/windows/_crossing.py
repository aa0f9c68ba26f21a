"""From the reactor's thread to the event loop, one way: what has come, and a knock if somebody waits.

Items lie in a deque, so that the loop can take them without being knocked at: a loop that was blocked
finds everything that came meanwhile. Knocks are merged: however many items come, one is on its way.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
import anyio.lowlevel

from traceprobe.loops import thread_safe_post

if TYPE_CHECKING:
    from collections.abc import Callable

ItemT = TypeVar("ItemT")


class Crossing(Generic[ItemT]):
    """Hands items from one thread to the tasks of one event loop; at most one task waits."""

    def __init__(self) -> None:
        self._items: deque[ItemT] = deque()
        self._post: Callable[[Callable[[], None]], None] | None = None
        self._announced = False
        self._event: anyio.Event | None = None
        self._closed = False

    # --- on the event loop --------------------------------------------------------------------------------

    def attach(self) -> None:
        """Remember the running event loop as the one to knock at."""
        if self._post is None:
            self._post = thread_safe_post()

    def take(self) -> list[ItemT]:
        """Everything that has come, possibly nothing."""
        items = self._items
        # What is put meanwhile stays for the next time: its knock is still to come.
        return [items.popleft() for _ in range(len(items))]

    async def wait_readable(self) -> None:
        """Wait until there may be something to take, or :meth:`wake` or :meth:`close` is called."""
        self.attach()
        if self._items or self._closed:
            await anyio.lowlevel.checkpoint()
            return
        self._event = anyio.Event()
        try:
            await self._event.wait()
        finally:
            self._event = None

    def wake(self) -> None:
        """Let the waiting task go on."""
        if self._event is not None:
            self._event.set()

    def close(self) -> None:
        """Let the waiting task go on, and never wait again."""
        self._closed = True
        self.wake()

    # --- on the other thread --------------------------------------------------------------------------------

    def put(self, item: ItemT) -> None:
        """Hand something over."""
        # The order matters: the loop clears the mark before it takes, so that an item that finds the mark
        # still set is taken by the knock that is on its way.
        self._items.append(item)
        if not self._announced and self._post is not None:
            self._announced = True
            self._post(self._knock)

    def post(self, function: Callable[[], None]) -> None:
        """Have the event loop call something."""
        if self._post is not None:
            self._post(function)

    def _knock(self) -> None:
        self._announced = False
        self.wake()
