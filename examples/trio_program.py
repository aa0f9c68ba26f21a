"""The same on trio: a nursery of traces, and a limit of the program's own.

``python examples/trio_program.py [TARGET...]``
"""

from __future__ import annotations

import trio
from network import choose

import traceprobe


async def show(tracer: traceprobe.Tracer, target: str) -> None:
    """Print the hops of one trace, nearest first."""
    async with tracer.open_trace(target) as trace:
        async for hop in trace.in_order():
            print(f"{target}: {hop}")


async def main() -> None:
    """Trace all targets together, for ten seconds at most."""
    targets, network = choose()
    async with traceprobe.Tracer(socket_factory=network) as tracer:
        with trio.move_on_after(10):
            async with trio.open_nursery() as nursery:
                for target in targets:
                    nursery.start_soon(show, tracer, target)


trio.run(main)
