"""Runs look-ups beside the traces of one tracer: each address once at a time, for everybody who asks.

A look-up never holds up a probe, a reply or a hop: a request is put down in passing, and what it needs is
done when those who wait for replies have had their turn. Each enricher has a queue of its own, so that one
that hangs keeps no other waiting. It knows nothing of probing.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import anyio.lowlevel

from traceprobe.enrich._protocols import name_of, reason_of
from traceprobe.model import EnrichmentError, Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from anyio.abc import TaskGroup

    from traceprobe.enrich._prefixes import IPAddress
    from traceprobe.enrich._protocols import Enricher

    Subscriber: TypeAlias = Callable[[IPAddress, Enricher, Knowledge], None]

logger = logging.getLogger(__name__)


class EnrichmentPipeline:
    """The look-ups of one tracer.

    Args:
        tasks: Where look-ups run; they live no longer than the tracer.
        limit: Most look-ups of each enricher that are on their way at once.
    """

    def __init__(self, tasks: TaskGroup, limit: int) -> None:
        self._tasks = tasks
        self._limit = limit
        self._requests: deque[tuple[IPAddress, Sequence[Enricher], Subscriber]] = deque()
        self._lanes: dict[int, _Lane] = {}
        self._attending = False
        self.was_used: bool = False
        """Whether anything was ever looked up."""

    def request(self, address: IPAddress, enrichers: Sequence[Enricher], subscriber: Subscriber) -> None:
        """Look an address up; the subscriber is called once for each enricher, whatever comes of it."""
        self.was_used = True
        self._requests.append((address, enrichers, subscriber))
        if not self._attending:
            self._attending = True
            self._tasks.start_soon(self._attend)

    async def _attend(self) -> None:
        """Pass on what has been requested; those who were woken by the replies go first."""
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self._attending = False
        while self._requests:
            address, enrichers, subscriber = self._requests.popleft()
            for enricher in enrichers:
                lane = self._lanes.get(id(enricher))
                if lane is None:
                    lane = self._lanes[id(enricher)] = _Lane(enricher, self._tasks, self._limit)
                lane.add(address, subscriber)


class _Lane:
    """The look-ups of one enricher: some on their way, the others in line."""

    def __init__(self, enricher: Enricher, tasks: TaskGroup, limit: int) -> None:
        self._enricher = enricher
        self._tasks = tasks
        self._limit = limit
        self._running = 0
        self._line: deque[IPAddress] = deque()
        self._subscribers: dict[IPAddress, list[Subscriber]] = {}
        """Who waits for what is known of an address, in line or on its way."""

    def add(self, address: IPAddress, subscriber: Subscriber) -> None:
        """Look an address up as soon as there is room."""
        waiting = self._subscribers.get(address)
        if waiting is not None:
            waiting.append(subscriber)
            return
        self._subscribers[address] = [subscriber]
        self._line.append(address)
        if self._running < self._limit:
            self._running += 1
            self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        """Look up what is next in line, until nothing is."""
        try:
            while self._line:
                address = self._line.popleft()
                knowledge = await self._look_up(address)
                for subscriber in self._subscribers.pop(address):
                    subscriber(address, self._enricher, knowledge)
                # What is remembered is told without waiting: replies that have come go first all the same.
                await anyio.lowlevel.checkpoint()
        finally:
            self._running -= 1

    async def _look_up(self, address: IPAddress) -> Knowledge:
        """What the enricher knows; never raises, but tells of failures in what it returns."""
        name = name_of(self._enricher)
        try:
            knowledge: object = await self._enricher.enrich(address)
            if not isinstance(knowledge, Knowledge):
                raise TypeError(f"an enricher returns Knowledge, not {type(knowledge).__name__}")
        except OSError as error:
            logger.debug("look-up of %s by %s failed: %r", address, name, error)
            return Knowledge(errors=(EnrichmentError(name, reason_of(error)),))
        except Exception as error:
            # An enricher is somebody else's code. Its fault is theirs to mend: it is told in full, and the
            # trace goes on without what the enricher would have known.
            logger.exception("look-up of %s by %s failed", address, name)
            return Knowledge(errors=(EnrichmentError(name, f"{type(error).__name__}: {error}"),))
        return knowledge
