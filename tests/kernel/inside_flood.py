"""Traces in a flood, called through ``Namespace.call``; like ``inside``, with plain values."""

from __future__ import annotations

import mmap
import resource
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import traceprobe
from tests.rigs.flood.pouring import COUNTS
from traceprobe.ffi import linux
from traceprobe.sockets import ProbeSocketFactory

if TYPE_CHECKING:
    from traceprobe import TraceOptions
    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.sockets import AsyncProbeSocket

_SO_DETACH_FILTER = 27


async def trace_in_a_flood(
    target: str, options: TraceOptions, counts: str, datagrams: int, filtered: bool = True
) -> dict[str, Any]:
    """Trace again and again with one tracer, until so many datagrams have been poured in meanwhile.

    Args:
        target: What to trace.
        options: How.
        counts: The shared file of the flood.
        datagrams: How many.
        filtered: Whether raw sockets keep their filters.

    Returns:
        ``paths``: who answered at each hop of each trace, and how many times; ``discarded``: of all traces;
        ``poured``: datagrams between begin and end; ``seconds`` that took, and of the ``processor``.
    """
    paths: list[list[list[Any]]] = []
    discarded: Counter[str] = Counter()
    with _shared(counts) as shared:

        def poured() -> int:
            return int(COUNTS.unpack_from(shared)[0])

        factory = ProbeSocketFactory() if filtered else _Unfiltered()
        async with traceprobe.Tracer(socket_factory=factory, **options) as tracer:
            began, before, used = time.monotonic(), poured(), _processor_time()
            while poured() - before < datagrams:
                result = await tracer.trace(target)
                discarded.update(result.discarded)
                paths.append([
                    [None if one is None else str(one) for one in (hop.address, *hop.addresses)]
                    + [hop.received]
                    for hop in result.hops
                ])
            poured_in, ended = poured() - before, time.monotonic()
    return {
        "paths": paths,
        "discarded": {reason: count for reason, count in discarded.items() if count},
        "poured": poured_in,
        "seconds": ended - began,
        "processor": _processor_time() - used,
    }


class _Unfiltered(ProbeSocketFactory):
    """Takes the filters off raw ICMP sockets of IPv4."""

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        opened: Any = await super().open(config, family)
        opened._icmp.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        opened._icmp.setsockopt(linux.SOL_RAW, linux.ICMP_FILTER, bytes(4))
        result: AsyncProbeSocket = opened
        return result


def _shared(file: str) -> mmap.mmap:
    with open(file, "rb") as opened:
        return mmap.mmap(opened.fileno(), COUNTS.size, prot=mmap.PROT_READ)


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
