"""Draws a trace on a terminal while it runs: after each batch of events, and at no other time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from traceprobe.render.live import LiveView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from traceprobe import Trace
    from traceprobe.render.rich import RichWriter
    from traceprobe.render.text import TextRenderer

__all__ = ["draw"]


async def draw(trace: Trace, renderer: TextRenderer, screen: RichWriter) -> None:
    """Draw until every hop has been written.

    Three tasks: one takes events in, one hands complete hops to the renderer, and one draws when either has
    had something to say. What comes while it draws is drawn at once the next time.

    Args:
        trace: The trace, entered.
        renderer: Writes complete hops to the screen.
        screen: The terminal, entered.

    Raises:
        TraceprobeError: The trace failed.
        OSError: The terminal has gone.
    """
    drawing = _Drawing(trace, renderer, screen)
    async with anyio.create_task_group() as tasks:
        for work in (drawing.take_events, drawing.take_hops, drawing.draw_news):
            tasks.start_soon(drawing.guarded, work, tasks.cancel_scope)
    if drawing.failure is not None:
        raise drawing.failure


class _Drawing:
    """What the three tasks share."""

    def __init__(self, trace: Trace, renderer: TextRenderer, screen: RichWriter) -> None:
        self.failure: Exception | None = None
        self._trace = trace
        self._renderer = renderer
        self._screen = screen
        self._view = LiveView(trace.config, trace.address, trace.protocol)
        self._news = anyio.Event()
        self._ended = False

    async def guarded(self, work: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Do the work; if it fails, keep the first failure as it is and end the rest."""
        try:
            await work()
        except Exception as error:
            self.failure = self.failure or error
            scope.cancel()

    async def take_events(self) -> None:
        """Take in what happens; events that are there already come without a turn of the event loop."""
        async for event in self._trace.events():
            self._view.take(event)
            self._news.set()

    async def take_hops(self) -> None:
        """Hand on the hops that are complete."""
        async for hop in self._trace.hops(until="enriched"):
            self._renderer.hop(hop)
            self._news.set()
        self._ended = True
        self._news.set()

    async def draw_news(self) -> None:
        """Draw whenever there is something new."""
        while not self._ended:
            await self._news.wait()
            self._news = anyio.Event()
            screen = self._screen
            screen.draw(self._view.lines(self._renderer, screen.width, screen.height, measure=screen.measure))
