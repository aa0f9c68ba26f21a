"""The functions that most programs need: trace and wait, trace and await, trace and iterate.

One asynchronous core does the work; :func:`trace` runs it on an event loop of its own. All three make a
:class:`~traceprobe.Tracer` for the one trace; a program that traces again and again keeps one itself.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import anyio

from traceprobe.tracer import Trace, Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from traceprobe.config import TraceOptions, TracerouteConfig
    from traceprobe.enrich import Enricher, Resolver
    from traceprobe.model import TraceResult
    from traceprobe.sockets.protocol import SocketFactory


def open_trace(
    target: str,
    config: TracerouteConfig | None = None,
    *,
    socket_factory: SocketFactory | None = None,
    resolver: Resolver | None = None,
    enrichers: Sequence[Enricher] = (),
    **options: Unpack[TraceOptions],
) -> Trace:
    """Trace the path to a target and see it unfold.

    ::

        async with traceprobe.open_trace("example.com") as trace:
            async for hop in trace:
                print(hop)
            print(trace.result)

    Args:
        target: Host name, or IPv4 or IPv6 address.
        config: How to trace; None for the defaults.
        socket_factory: Another network, such as a :class:`~traceprobe.testing.SimulatedNetwork`; None
            for the real one.
        resolver: Another name service than the one that ``enrichment`` describes; host names are looked up
            if it is given.
        enrichers: More look-ups to make for each address.
        **options: Fields of ``config`` to replace, and leaf fields of its ``timing``.

    Returns:
        The trace, to be entered with ``async with``. Entering it raises what :func:`trace_async` does.

    Raises:
        ConfigError: An option is unknown or out of its bounds.
        UnsupportedOption: The configuration asks for look-ups that nothing can answer.
    """
    tracer = Tracer(config, socket_factory=socket_factory, resolver=resolver, enrichers=enrichers, **options)
    return Trace(tracer, target, tracer.config, owns_tracer=True)


async def trace_async(
    target: str,
    config: TracerouteConfig | None = None,
    *,
    socket_factory: SocketFactory | None = None,
    resolver: Resolver | None = None,
    enrichers: Sequence[Enricher] = (),
    **options: Unpack[TraceOptions],
) -> TraceResult:
    """Trace the path to a target, on asyncio or trio. Takes the arguments of :func:`open_trace`.

    Returns:
        The result, complete with everything that was looked up in time.

    Raises:
        ConfigError: An option is unknown, out of its bounds, or can't be used on this machine.
        NameResolutionError: The target's name has no address.
        PrivilegeError: What was asked needs a privilege that the process does not have; the error says
            what would work, and how to get the privilege.
        NoUsableSocketError: No way of probing is left on this machine.
        UnsupportedOption: The mode can't honour an option.
        SendError: Not a single probe could be sent.
    """
    async with Tracer(
        config, socket_factory=socket_factory, resolver=resolver, enrichers=enrichers, **options
    ) as tracer:
        return await tracer.trace(target)


def trace(
    target: str,
    config: TracerouteConfig | None = None,
    *,
    socket_factory: SocketFactory | None = None,
    resolver: Resolver | None = None,
    enrichers: Sequence[Enricher] = (),
    **options: Unpack[TraceOptions],
) -> TraceResult:
    """Trace the path to a target and wait for the result. Takes the arguments of :func:`open_trace`.

    Runs on an event loop of its own: in this thread, or in a worker thread where this one already runs
    a loop (as in a notebook; the loop is blocked meanwhile, so prefer :func:`trace_async` there). Ctrl-C
    cancels the trace and raises ``KeyboardInterrupt``.

    Raises:
        TraceprobeError: Whatever :func:`trace_async` raises.
    """
    call = functools.partial(
        trace_async,
        target,
        config,
        socket_factory=socket_factory,
        resolver=resolver,
        enrichers=enrichers,
        **options,
    )
    if not _loop_is_running():
        return anyio.run(call)
    from anyio.from_thread import start_blocking_portal

    from traceprobe.loops import outcome_of

    with start_blocking_portal() as portal:
        future = portal.start_task_soon(call)
        try:
            return outcome_of(future)
        except BaseException:
            future.cancel()
            raise


def _loop_is_running() -> bool:
    try:
        anyio.get_current_task()
    except RuntimeError:
        pass
    else:
        return True
    # A callback of asyncio's loop is no task, but runs inside the loop all the same.
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
