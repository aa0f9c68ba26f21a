"""A trace as its user holds it: a block to enter, and iterators over what happens in it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Literal

import anyio

from traceprobe.errors import UsageError
from traceprobe.model import HopSettled
from traceprobe.tracer._log import LogReader

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from types import TracebackType
    from typing import Self

    from traceprobe.config import Protocol, TracerouteConfig
    from traceprobe.model import Event, Hop, TraceResult
    from traceprobe.tracer._run import TraceRun
    from traceprobe.tracer._tracer import Tracer


class Trace(AsyncIterable["Hop"]):
    """One trace, to be entered with ``async with`` and iterated with ``async for``.

    Iterating yields each :class:`~traceprobe.model.Hop` once, the moment it is settled. All iterators
    are independent, start with the first hop however late they are made, and never slow the trace.
    Leaving the block early cancels what is outstanding and gives everything back.

    Made by :func:`traceprobe.open_trace` and :meth:`traceprobe.Tracer.open_trace`, which document what
    entering raises.
    """

    def __init__(
        self, tracer: Tracer, target: str, config: TracerouteConfig, *, owns_tracer: bool = False
    ) -> None:
        self._tracer = tracer
        self._owns_tracer = owns_tracer
        self._target = target
        self._config = config
        self._run: TraceRun | None = None
        self._entered = False
        self._left = False

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("a trace can be entered only once: call open_trace() again")
        self._entered = True
        if self._owns_tracer:
            await self._tracer.__aenter__()
        try:
            self._run = await self._tracer._start(self._target, self._config)
        except BaseException as error:
            if self._owns_tracer:
                await self._tracer.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left = True
        run = self._started()
        try:
            if not run.is_done:
                run.scope.cancel()
                with anyio.CancelScope(shield=True):
                    await run.wait()
        finally:
            if self._owns_tracer:
                await self._tracer.__aexit__(kind, error, traceback)

    @property
    def target(self) -> str:
        """What was asked for."""
        return self._target

    @property
    def config(self) -> TracerouteConfig:
        """How the trace is made."""
        return self._config

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The address that is traced; known once the trace is entered."""
        return self._started().destination

    @property
    def mode(self) -> str:
        """The way of probing in use, such as ``linux_raw``; known once the trace is entered."""
        return self._started().mode

    @property
    def protocol(self) -> Protocol:
        """The transport that the probes are made of; known once the trace is entered."""
        return self._started().protocol

    @property
    def port(self) -> int | None:
        """Destination port (first one, where the flow varies by port), None for ICMP; known once entered."""
        return self._started().port

    @property
    def finished(self) -> bool:
        """Whether the result is complete."""
        return self._run is not None and self._run.is_done

    @property
    def result(self) -> TraceResult:
        """The result, once the trace has ended; if the block was left early, what was known by then.

        Raises:
            UsageError: The trace has not ended yet.
            TraceprobeError: The trace failed.
        """
        run = self._started()
        if run.error is not None:
            raise run.error
        if run.result is None:
            raise UsageError(
                "the trace has not ended yet: iterate it to its end, or await trace.wait(), first"
            )
        return run.result

    async def wait(self) -> TraceResult:
        """Wait for the end of the trace, look-ups included.

        Raises:
            UsageError: The trace was not entered.
            TraceprobeError: The trace failed.
        """
        run = self._started()
        await run.wait()
        return self.result

    def __aiter__(self) -> AsyncIterator[Hop]:
        return self.hops()

    def hops(self, *, until: Literal["settled", "enriched"] = "settled") -> AsyncIterator[Hop]:
        """Each hop once, the moment it is settled, or once its look-ups are done or given up.

        Args:
            until: ``"settled"`` or ``"enriched"``.

        Raises:
            UsageError: The trace was not entered, or ``until`` is something else.
        """
        if until == "settled":
            return self._reader(_settled)
        if until == "enriched":
            return _WhenEnriched(self._started(), self._check_entered)
        raise UsageError(f"until={until!r}: must be 'settled' or 'enriched'")

    def in_order(self, *, until: Literal["settled", "enriched"] = "settled") -> AsyncIterator[Hop]:
        """Like :meth:`hops`, but nearest first: each hop as soon as all nearer ones have been yielded."""
        return _InOrder(self.hops(until=until), self._config.first_ttl)

    def events(self) -> AsyncIterator[Event]:
        """Everything that happens, from the first probe to :class:`~traceprobe.model.TraceFinished`.

        Raises:
            UsageError: The trace was not entered.
        """
        return self._reader(_everything)

    def _reader(self, select: _Select[_T]) -> LogReader[_T]:
        return LogReader(self._started().log, select, self._check_entered)

    def _started(self) -> TraceRun:
        if self._run is None:
            raise UsageError(
                "the trace was not entered: write 'async with open_trace(...) as trace:' around the loop"
            )
        return self._run

    def _check_entered(self) -> None:
        self._started()
        if self._left and not self.finished:
            raise UsageError("the trace was left: iterate it inside its 'async with' block")


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeVar

    _T = TypeVar("_T")
    _Select: TypeAlias = Callable[[Event], _T | None]


def _settled(event: Event) -> Hop | None:
    return event.hop if isinstance(event, HopSettled) else None


def _everything(event: Event) -> Event:
    return event


class _WhenEnriched(AsyncIterator["Hop"]):
    """Holds settled hops back until nothing is being looked up about their addresses.

    A hop is handed out as it stands at that moment, also to a reader that comes late.
    """

    def __init__(self, run: TraceRun, check: Callable[[], None]) -> None:
        self._run = run
        self._check = check
        self._place = 0
        self._held: list[int] = []

    async def __anext__(self) -> Hop:
        self._check()
        log = self._run.log
        while True:
            log.pull()
            for event in log.events[self._place :]:
                if isinstance(event, HopSettled):
                    self._held.append(event.hop.ttl)
            self._place = len(log.events)
            if log.error is not None:
                raise log.error
            for ttl in self._held:
                if log.closed or not self._run.knowledge.is_being_looked_up(ttl):
                    self._held.remove(ttl)
                    return self._run.hop(ttl)
            if log.closed:
                raise StopAsyncIteration
            await log.news()


class _InOrder(AsyncIterator["Hop"]):
    """Puts hops in the order of their TTL; what is missing at the end is passed over."""

    def __init__(self, hops: AsyncIterator[Hop], first_ttl: int) -> None:
        self._hops = hops
        self._next_ttl = first_ttl
        self._held: dict[int, Hop] = {}
        self._ended = False

    async def __anext__(self) -> Hop:
        while self._next_ttl not in self._held:
            if self._ended:
                if not self._held:
                    raise StopAsyncIteration
                self._next_ttl = min(self._held)
                break
            try:
                hop = await anext(self._hops)
            except StopAsyncIteration:
                self._ended = True
            else:
                self._held[hop.ttl] = hop
        hop = self._held.pop(self._next_ttl)
        self._next_ttl += 1
        return hop
