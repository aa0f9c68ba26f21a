"""Trace again and again, and raise an alarm when the path is another one than before.

``python examples/path_change.py [TARGET [SECONDS]]``, with so many seconds between two rounds
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

import traceprobe
from traceprobe.testing import SimulatedNetwork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe import TraceResult

ROUNDS = 4
REST = 30.0  # seconds between two rounds; routers that limit their answers need them

Path = dict[int, frozenset["IPv4Address | IPv6Address"]]


def path_of(result: TraceResult) -> Path:
    """Who answered at each TTL. Silent hops are left out: silence is no other router."""
    return {hop.ttl: frozenset(hop.addresses) for hop in result if hop.addresses}


def changes(before: Path, after: Path) -> list[str]:
    """The TTLs at which nobody answered who had answered there before, in words."""
    return [
        f"TTL {ttl}: {', '.join(map(str, sorted(before[ttl])))} -> {', '.join(map(str, sorted(after[ttl])))}"
        for ttl in sorted(before.keys() & after.keys())
        if not before[ttl] & after[ttl]
    ]


async def watch(tracer: traceprobe.Tracer, target: str, rest: Callable[[], Awaitable[None]]) -> None:
    """Trace a target a few times and print an alarm for each change."""
    known: Path = {}
    for turn in range(1, ROUNDS + 1):
        found = path_of(await tracer.trace(target))
        alarm = changes(known, found)
        print(f"round {turn}: {'ALARM ' + '; '.join(alarm) if alarm else 'as before' if known else 'learnt'}")
        known |= found
        if turn < ROUNDS:
            await rest()


async def main() -> None:
    """Watch the target on the command line, or one in memory whose path changes after 45 seconds."""
    if len(sys.argv) > 1:
        seconds = float(sys.argv[2]) if len(sys.argv) > 2 else REST
        async with traceprobe.Tracer() as tracer:
            await watch(tracer, sys.argv[1], partial(asyncio.sleep, seconds))
        return
    network = SimulatedNetwork.path(
        "203.0.113.80",
        ["192.0.2.1", "198.51.100.1", None, "203.0.113.80"],
        changes={45.0: ["192.0.2.1", "198.51.100.129", None, "203.0.113.80"]},
    )
    async with traceprobe.Tracer(socket_factory=network) as tracer:
        await watch(tracer, "203.0.113.80", partial(network.clock.pass_time, REST))


asyncio.run(main())
