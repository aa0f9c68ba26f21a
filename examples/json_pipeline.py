"""Traces as lines of JSON from one end of a pipe to the other: whoever reads them needs no network.

``python examples/json_pipeline.py [TARGET...]``
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from network import choose

import traceprobe
from traceprobe import TraceResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def produce() -> AsyncIterator[str]:
    """One end: each result as one line, in the order in which the targets were named."""
    targets, network = choose()
    async with traceprobe.Tracer(socket_factory=network) as tracer:
        results = await asyncio.gather(*map(tracer.trace, targets))
    for result in results:
        yield result.to_json()


def consume(line: str) -> dict[str, object]:
    """The other end: what is worth knowing of one line. What comes back is equal to what was written."""
    result = TraceResult.from_json(line)
    slowest = max((hop for hop in result if hop.rtt is not None), key=lambda hop: hop.rtt or 0, default=None)
    return {
        "target": result.target,
        "reached": result.reached,
        "hops": len(result),
        "silent": [hop.ttl for hop in result if hop.address is None],
        "slowest": None if slowest is None else str(slowest.address),
    }


async def main() -> None:
    """Write a summary of each trace as a line of JSON."""
    async for line in produce():
        json.dump(consume(line), sys.stdout)
        print()


asyncio.run(main())
