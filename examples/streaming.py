"""See hops the moment they settle, and stop as soon as enough is known.

``python examples/streaming.py [TARGET]``
"""

from __future__ import annotations

import asyncio

from network import choose

import traceprobe


async def main() -> None:
    """Print hops in the order in which they settle, until the first one slower than 10 ms."""
    targets, network = choose()
    async with traceprobe.open_trace(targets[0], socket_factory=network) as trace:
        print(f"{trace.target} ({trace.address}), by {trace.mode}")
        async for hop in trace:
            print(hop)
            if hop.rtt is not None and hop.rtt > 0.010:
                print("That is far enough.")
                break
    print(f"{trace.result.stop_reason}: {trace.result.timings.replies} replies")


asyncio.run(main())
