"""Follow everything that happens in a trace, late replies included.

``python examples/events.py [TARGET]``
"""

from __future__ import annotations

import asyncio

from network import choose

import traceprobe
from traceprobe import HopEnriched, HopRevised, HopSettled, ProbeSent, ReplyReceived, TraceFinished


async def main() -> None:
    """Print a line for each event."""
    targets, network = choose()
    async with traceprobe.open_trace(targets[-1], socket_factory=network, max_ttl=6) as trace:
        async for event in trace.events():
            match event:
                case ProbeSent(probe=probe):
                    print(f"sent      TTL {probe.ttl}, attempt {probe.attempt}")
                case ReplyReceived(probe=probe, reply=reply, late=late):
                    when = "late    " if late else "received"
                    print(f"{when}  TTL {probe.ttl}: {reply.kind} from {reply.address}")
                case HopSettled(hop=hop):
                    print(f"settled   {hop}")
                case HopRevised(hop=hop):
                    print(f"revised   {hop}")
                case HopEnriched(hop=hop, knowledge=knowledge):
                    print(f"looked up {hop.ttl}: {knowledge}")
                case TraceFinished(result=result):
                    print(f"finished  {result}")


asyncio.run(main())
