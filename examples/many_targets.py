"""Trace many targets at once over shared sockets.

``python examples/many_targets.py [TARGET...]``
"""

from __future__ import annotations

import asyncio

from network import choose

import traceprobe


async def main() -> None:
    """Trace all targets together; one that fails doesn't keep the others from their results."""
    targets, network = choose()
    async with traceprobe.Tracer(socket_factory=network, max_ttl=20) as tracer:
        outcomes = await asyncio.gather(*map(tracer.trace, targets), return_exceptions=True)
    for target, outcome in zip(targets, outcomes, strict=True):
        print(f"{target}: {outcome}" if isinstance(outcome, BaseException) else outcome)


asyncio.run(main())
