"""The long-lived driver: owns the sockets, their receivers and the look-ups that traces share."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from traceprobe.config import AddressFamily, TracerouteConfig
from traceprobe.engine import TracerouteEngine
from traceprobe.enrich import EnrichmentPipeline, Lookups
from traceprobe.errors import ClosedError, ConfigError, FamilyMismatchError, UsageError
from traceprobe.model import TimestampSource
from traceprobe.tracer._hub import SocketHub
from traceprobe.tracer._pacing import RateLimit, Window
from traceprobe.tracer._run import TraceRun
from traceprobe.tracer._trace import Trace

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from types import TracebackType
    from typing import Self, TypeAlias, Unpack

    from anyio.abc import TaskGroup

    from traceprobe.config import TraceOptions
    from traceprobe.enrich import Enricher, Resolver
    from traceprobe.model import TraceResult
    from traceprobe.sockets.protocol import SocketFactory

    IPAddress: TypeAlias = IPv4Address | IPv6Address

_IDLE_SOCKETS_KEPT = 8
"""Sockets that no trace uses but that stay open for the next one; beyond that the oldest is closed."""


_READ_BY_THE_PROCESS = frozenset({TimestampSource.USER, TimestampSource.QPC})
"""Clocks that make a round trip look longer if the process is busy, with imports for example."""


class Tracer:
    """Makes any number of traces at once, over a handful of shared sockets.

    Enter it with ``async with``; it may be used by any task of the event loop meanwhile. Leaving the
    block cancels the traces that are left and closes every socket.

    Args:
        config: Defaults of the traces; None for the defaults of :class:`TracerouteConfig`.
            ``packets_per_second`` and ``max_in_flight_per_destination`` hold over all traces.
        socket_factory: Another network, such as a :class:`~traceprobe.testing.SimulatedNetwork`; None
            for the real one.
        resolver: Another name service than the one that ``config.enrichment`` describes; host names are
            looked up if it is given. None makes one, if any look-ups are asked for; on a network that
            brings a name service, such as a simulated one, that is asked.
        enrichers: More look-ups to make for each address.
        **options: Fields of ``config`` to replace.

    Raises:
        ConfigError: An option is unknown or out of its bounds.
        UnsupportedOption: The configuration asks for look-ups that nothing can answer.
    """

    def __init__(
        self,
        config: TracerouteConfig | None = None,
        *,
        socket_factory: SocketFactory | None = None,
        resolver: Resolver | None = None,
        enrichers: Sequence[Enricher] = (),
        **options: Unpack[TraceOptions],
    ) -> None:
        if config is not None and not isinstance(config, TracerouteConfig):
            raise ConfigError("config", config, "a TracerouteConfig, or None")
        self.config: TracerouteConfig = _configured(config, options)
        if socket_factory is None:
            from traceprobe.sockets import ProbeSocketFactory

            socket_factory = ProbeSocketFactory(self.config)
        self._factory: SocketFactory = socket_factory
        self._lookups = Lookups(resolver, enrichers, socket_factory)
        self._lookups.check(self.config.enrichment)
        self._tasks: TaskGroup | None = None
        self._process: int | None = None
        self._pipeline: EnrichmentPipeline | None = None
        self._hubs: dict[Hashable, SocketHub] = {}
        self._opening: dict[Hashable, anyio.Event | None] = {}
        """Sockets that somebody is opening, and how whoever needs one, too, learns that he has done so."""
        self._lines: dict[Hashable, anyio.Lock] = {}
        """Where those stand who want a socket that others open or use."""
        self._closing = False
        self._trace_ids = itertools.count(1)
        self._awaited: set[TraceRun] = set()
        """Traces that run in the tasks of those who wait for their results."""
        self._rate = (
            None
            if self.config.packets_per_second is None
            else RateLimit(self.config.packets_per_second, self.config.timing.pacing_burst)
        )

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise UsageError("a tracer can be entered only once: make another one")
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks = tasks
        self._process = os.getpid()
        self._pipeline = EnrichmentPipeline(tasks, self.config.enrichment.max_lookups)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._tasks is not None
        tasks = self._tasks
        self._closing = True
        at_rest = False
        # No task of ours raises, so the group has nothing of its own to say. It is not shown the error of
        # the block either, or it would wrap it into an exception group; a cancellation it must see.
        cancelled = kind is not None and issubclass(kind, anyio.get_cancelled_exc_class())
        try:
            if kind is None and self._is_idle():
                # Receivers end with their sockets, which takes less than half of what cancelling them does.
                hubs = list(self._hubs.values())
                await self._close_everything()
                await anyio.lowlevel.checkpoint()
                at_rest = all(hub.failed for hub in hubs)
        finally:
            if not at_rest:
                tasks.cancel_scope.cancel()
            for run in self._awaited:
                run.scope.cancel()
            try:
                if cancelled:
                    await tasks.__aexit__(kind, error, traceback)
                else:
                    await tasks.__aexit__(None, None, None)
            finally:
                if not at_rest:
                    await self._close_everything()

    def _is_idle(self) -> bool:
        """Whether nothing is going on but that receivers wait."""
        assert self._pipeline is not None
        return (
            not self._awaited
            and not self._opening
            and not any(hub.leases for hub in self._hubs.values())
            and not self._pipeline.was_used
        )

    async def _close_everything(self) -> None:
        hubs, self._hubs = list(self._hubs.values()), {}
        with anyio.CancelScope(shield=True):
            for run in list(self._awaited):
                await run.wait()
            async with AsyncExitStack() as closing:
                closing.push_async_callback(self._lookups.aclose)
                for hub in hubs:
                    closing.push_async_callback(hub.socket.aclose)

    async def trace(self, target: str, **options: Unpack[TraceOptions]) -> TraceResult:
        """Trace the path to a target and return the result.

        Args:
            target: Name or address.
            **options: Fields of the configuration to replace for this trace.

        Raises:
            ConfigError: An option is unknown, out of its bounds, or can't be used on this machine.
            NameResolutionError: The target's name has no address.
            PrivilegeError: What was asked needs a privilege that the process does not have.
            NoUsableSocketError: No way of probing is left.
            UnsupportedOption: The mode can't honour an option.
            SendError: Not a single probe could be sent.
            UsageError: The tracer was not entered, or by the process that this one was forked from.
        """
        run = await self._prepare(target, self.config.with_options(options))
        # Whoever only waits for the result drives the trace himself: that saves a task, and the turns of the
        # event loop that it would take to start one and to be told of its end.
        self._awaited.add(run)
        try:
            await run.main()
        finally:
            self._awaited.discard(run)
        return run.outcome()

    def open_trace(self, target: str, **options: Unpack[TraceOptions]) -> Trace:
        """A trace to enter with ``async with`` and to iterate; raises on entering what :meth:`trace` does."""
        return Trace(self, target, self.config.with_options(options))

    # --- for Trace --------------------------------------------------------------------------------------

    async def _start(self, target: str, config: TracerouteConfig) -> TraceRun:
        run = await self._prepare(target, config)
        assert self._tasks is not None
        self._tasks.start_soon(run.main)
        return run

    async def _prepare(self, target: str, config: TracerouteConfig) -> TraceRun:
        """Make a trace that has a socket; its ``main`` has still to be run, and gives it back."""
        if self._tasks is None or self._pipeline is None:
            raise UsageError("the tracer was not entered: write 'async with Tracer(...) as tracer:' first")
        if self._closing:
            raise ClosedError("the tracer has been closed")
        if self._process != os.getpid():
            raise UsageError(
                f"this tracer belongs to process {self._process}, which has been forked; both would read "
                "from its sockets: make a tracer of its own in the child"
            )
        self._lookups.check(config.enrichment)
        destination = await self._resolve(target, config)
        enrichers = await self._lookups.enrichers_for(config)
        make_judge = await self._lookups.judge_for(config, destination, self._pipeline)
        hub = await self._hub_for(config, AddressFamily(destination.version))
        try:
            if self._closing:
                raise ClosedError("the tracer has been closed")
            if hub.socket.capabilities.timestamps in _READ_BY_THE_PROCESS:
                await self._lookups.load(enrichers)
            trace_id = next(self._trace_ids)
            now = self._factory.clock.monotonic_ns()
            engine = TracerouteEngine(config, destination, now, trace_id=trace_id)
            run = TraceRun(
                target, config, engine, hub, self._pipeline, enrichers, make_judge, trace_id, destination
            )
            hub.attach(run)
        except BaseException:
            hub.leases -= 1
            raise
        return run

    async def _resolve(self, target: str, config: TracerouteConfig) -> IPAddress:
        _check_target(target)
        family = config.family
        if family is None and config.source is not None:
            family = AddressFamily(ipaddress.ip_address(config.source).version)
        address: IPAddress
        try:
            address = ipaddress.ip_address(target.strip("[]"))
        except ValueError:
            address = (await self._factory.lookup(target, family))[0]
        if family is not None and address.version != family:
            raise FamilyMismatchError(
                "target", target, f"an IPv{family.value} address or a name that has one"
            )
        if address.is_multicast or address.is_unspecified:
            raise ConfigError(
                "target", target, "a unicast address: only one host can be at the end of a path"
            )
        return address

    async def _hub_for(self, config: TracerouteConfig, family: AddressFamily) -> SocketHub:
        key = self._factory.socket_key(config, family)
        hub: SocketHub | None = None
        while hub is None:
            used = self._hubs.get(key)
            if key in self._opening or (used is not None and used.leases):
                # Of many that begin at once, one begins after the other, and what has come for the first is
                # read before the last is begun: else all would be there at the same time.
                async with self._lines.setdefault(key, anyio.Lock()):
                    if key in self._opening:
                        opened = self._opening[key] = self._opening[key] or anyio.Event()
                        await opened.wait()
            hub = self._lease(key)
            if hub is not None or key in self._opening:
                continue
            self._opening[key] = None
            try:
                self._hubs[key] = await self._open_hub(key, config, family)
            finally:
                others = self._opening.pop(key)
                if others is not None:
                    others.set()
            hub = self._lease(key)
        if len(self._hubs) > _IDLE_SOCKETS_KEPT:
            try:
                await self._close_idle()
            except BaseException:
                hub.leases -= 1
                raise
        return hub

    def _lease(self, key: Hashable) -> SocketHub | None:
        """The socket of a key, if it is open."""
        hub = self._hubs.get(key)
        if hub is None or hub.failed:
            return None
        del self._hubs[key]
        self._hubs[key] = hub  # the most recently used one stands last
        hub.leases += 1
        return hub

    async def _open_hub(self, key: Hashable, config: TracerouteConfig, family: AddressFamily) -> SocketHub:
        assert self._tasks is not None
        socket = await self._factory.open(config, family)
        window = Window(
            socket.capabilities.max_in_flight,
            per_destination=self.config.max_in_flight_per_destination,
            rate=self._rate,
        )
        hub = SocketHub(key, socket, window, self._factory.clock)
        self._tasks.start_soon(hub.receive_forever)
        return hub

    async def _close_idle(self) -> None:
        # Looked at anew for each one: others open, take and close sockets while one is being closed.
        while len(idle := [hub for hub in self._hubs.values() if not hub.leases]) > _IDLE_SOCKETS_KEPT:
            hub = idle[0]
            del self._hubs[hub.key]
            self._lines.pop(hub.key, None)
            await hub.socket.aclose()


def _configured(config: TracerouteConfig | None, options: TraceOptions) -> TracerouteConfig:
    if config is not None:
        return config.with_options(options)
    try:
        return _defaults_with(**options)
    except TypeError:  # a value that has no hash: whoever checks it says whether it is right
        return TracerouteConfig().with_options(options)


@functools.lru_cache(maxsize=16, typed=True)
def _defaults_with(**options: Unpack[TraceOptions]) -> TracerouteConfig:
    """The defaults with some fields replaced, checked once; a configuration never changes."""
    return TracerouteConfig().with_options(options)


def _check_target(target: object) -> None:
    if not isinstance(target, str) or not target or "\0" in target:
        raise ConfigError("target", target, "a host name or an IP address, as a non-empty string")
