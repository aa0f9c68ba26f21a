"""The events of one trace, kept for any number of readers.

Events are made when the first reader gets to them: of a trace that nobody reads, none ever is. Each
reader has its own place and starts at the beginning; a slow one never holds up the trace. Readers are
iterator objects, not generators: nothing is held open while the consumer's code runs (PEP 789).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from traceprobe.model import Event

ItemT = TypeVar("ItemT")


class EventLog:
    """Append-only; closed once, with or without an error.

    Args:
        source: Makes the events that have not been asked for yet, oldest first.
    """

    __slots__ = ("_last", "_news", "_source", "closed", "error", "events", "is_awaited")

    def __init__(self, source: Callable[[], Iterable[Event]]) -> None:
        self.events: list[Event] = []
        """What has been made of the source by now; ``pull`` makes the rest."""
        self.closed = False
        self.error: BaseException | None = None
        self._source = source
        self._last: Event | None = None
        self._news: anyio.Event | None = None
        self.is_awaited: bool = False
        """A reader waits for news."""

    def pull(self) -> bool:
        """Have the source make what it has; returns whether that was anything."""
        known = len(self.events)
        self.events.extend(self._source())
        if self._last is not None:
            self.events.append(self._last)
            self._last = None
        return len(self.events) > known

    def append(self, event: Event) -> None:
        """Add an event that is none of the source's."""
        self.events.append(event)

    def close(self, error: BaseException | None = None, *, last: Event | None = None) -> None:
        """No more events will come.

        Args:
            error: What readers see when they get here; None for the end.
            last: One more event, behind all that the source still has.
        """
        self.closed = True
        self.error = error
        self._last = last
        self.announce()

    def finish_source(self) -> None:
        """Make all that the source still has, and let go of it."""
        self.pull()
        self._source = tuple

    def announce(self) -> None:
        """Wake the readers; once for each batch of events."""
        if self._news is not None:
            self._news.set()
            self._news = None
            self.is_awaited = False

    async def news(self) -> None:
        """Wait until ``announce`` is called."""
        if self._news is None:
            self._news = anyio.Event()
            self.is_awaited = True
        await self._news.wait()


class LogReader(AsyncIterator[ItemT]):
    """Iterates over what a function makes of the events, from the first one on.

    What is there already is handed out without a turn of the event loop: a reader that had to wait for
    a turn after each of ninety sent probes would see the first reply ninety turns late.

    Args:
        log: Where the events stand.
        select: What to hand out of an event; None to pass over it.
        check: Called before each item; raises if the trace must not be iterated now.
    """

    def __init__(
        self, log: EventLog, select: Callable[[Event], ItemT | None], check: Callable[[], None]
    ) -> None:
        self._log = log
        self._select = select
        self._check = check
        self._place = 0

    async def __anext__(self) -> ItemT:
        self._check()
        log, select = self._log, self._select
        events = log.events
        while True:
            while self._place < len(events):
                item = select(events[self._place])
                self._place += 1
                if item is not None:
                    return item
            if log.pull():
                continue
            if not log.closed:
                await log.news()
            elif log.error is not None:
                raise log.error
            else:
                raise StopAsyncIteration
