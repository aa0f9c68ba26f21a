"""How long names and networks take to follow the replies: ``python -m benchmarks.enrichment``, no privileges.

Twenty routers answer in one instant, and a name server of its own process on the loopback takes its time
over each question: a name, a network and the name of that network for each router, so two look-ups one
after the other. What is left of the time beside those two is what the look-ups cost themselves. Nothing
leaves the machine. Each figure is of a new tracer, which remembers nothing; the first one of each event
loop also meets libraries that have never been used.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import select
import socket
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from tests.rigs.require import missing_module
from tests.tracer.fakes import HeldNetwork
from traceprobe import EnrichmentConfig, HopEnriched, ReplyKind, ReplyReceived, Tracer, TracerouteConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tracer.fakes import HeldSocket
    from traceprobe import Probe, Reply

LOOPS = ("asyncio", "uvloop", "trio")
HOPS = 20
ALLOWED_MS = 20.0
"""What all look-ups together may take beyond the time that the name server takes."""
_PTR = 12
_TXT = 16


class Run(NamedTuple):
    """One trace, in milliseconds from the last reply."""

    complete_ms: float
    """Until every name and network was known."""
    first_ms: float
    """Until the first of them was."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if ``--check`` is on and look-ups take longer than they may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enrichment", description=__doc__)
    parser.add_argument("-n", "--repetitions", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--delay", type=float, default=0.1, metavar="SECONDS", help="default: 0.1")
    parser.add_argument("--loops", default=",".join(LOOPS), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a median is above the limit")
    options = parser.parse_args(arguments)
    loops = [loop for loop in options.loops.split(",") if loop == "asyncio" or missing_module(loop) is None]
    limit = 2 * options.delay * 1e3 + ALLOWED_MS
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    address = "{}:{}".format(*listening.getsockname())
    server = multiprocessing.Process(target=serve, args=(listening, options.delay), daemon=True)
    server.start()
    print(f"{HOPS} routers at once, {options.delay * 1e3:g} ms for each question; limit {limit:g} ms")
    print("| loop | first | median | worst | first knowledge |\n|---|---|---|---|---|")
    missed = False
    try:
        for loop in loops:
            runs = _repeat(loop, address, options.repetitions + 1)
            totals = [run.complete_ms for run in runs]
            rest = totals[1:]
            earliest = min(run.first_ms for run in runs)
            print(f"| {loop} | {totals[0]:.1f} | {median(rest):.1f} | {max(rest):.1f} | {earliest:.1f} |")
            missed |= median(rest) > limit
    finally:
        server.terminate()
        server.join()
        listening.close()
    return int(options.check and missed)


def _repeat(loop: str, server: str, times: int) -> list[Run]:
    async def repeat() -> list[Run]:
        return [await trace(server) for _ in range(times)]

    if loop == "trio":
        return anyio.run(repeat, backend="trio")
    return anyio.run(repeat, backend="asyncio", backend_options={"use_uvloop": loop == "uvloop"})


async def trace(server: str) -> Run:
    """Trace once with a new tracer, and see when what comes."""
    network = HeldNetwork()
    network.prepare = _path
    config = TracerouteConfig(
        queries=1,
        max_ttl=HOPS,
        enrichment=EnrichmentConfig(
            reverse_dns=True,
            asn=True,
            dns_servers=(server,),
            asn_zone="origin.example",
            asn_name_zone="names.example",
        ),
    )
    replies: list[int] = []
    known: list[int] = []
    async with Tracer(config, socket_factory=network) as tracer, tracer.open_trace(_router(HOPS)) as tracing:
        async for event in tracing.events():
            if isinstance(event, ReplyReceived):
                replies.append(time.monotonic_ns())
            elif isinstance(event, HopEnriched):
                known.append(time.monotonic_ns())
    for hop in tracing.result:
        if hop.hostname != "router.example" or hop.asn is None or hop.asn.name != "EXAMPLE":
            raise AssertionError(f"not everything is known of {hop}: {hop.enrichment_errors}")
    if len(replies) != HOPS or replies[-1] > known[0]:
        raise AssertionError("a look-up came before a reply")
    return Run((known[-1] - replies[-1]) / 1e6, (known[0] - replies[-1]) / 1e6)


def _router(ttl: int) -> str:
    return f"11.0.{ttl}.1"  # a network of its own each


def _path(held: HeldSocket) -> None:
    def answer(probe: Probe) -> Reply | None:
        kind = ReplyKind.ECHO_REPLY if probe.ttl == HOPS else ReplyKind.TIME_EXCEEDED
        return held.reply(probe, _router(probe.ttl), kind)

    held.answers = answer


def serve(listening: socket.socket, delay: float) -> None:
    """Answer every question after some time; runs until the process is ended."""
    waiting: list[tuple[float, int, bytes, Any]] = []
    number = 0
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([listening], [], [], left)[0]:
            query, client = listening.recvfrom(4096)
            number += 1
            heapq.heappush(waiting, (time.monotonic() + delay, number, respond(query), client))
        while waiting and waiting[0][0] <= time.monotonic():
            *_, response, client = heapq.heappop(waiting)
            listening.sendto(response, client)


def respond(query: bytes) -> bytes:
    """The response to a query (RFC 1035 section 4.1), by hand: the server must not be what is slow."""
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii").lower())
        place += 1 + query[place]
    question = query[12 : place + 5]
    kind = int.from_bytes(question[-4:-2])
    if kind == _PTR:
        data = b"\x06router\x07example\x00"
    elif labels[0].startswith("as"):
        data = _text(f"{labels[0][2:]} | US | arin | 2001-01-01 | EXAMPLE, US")
    else:
        data = _text(f"{64500 + int(labels[1])} | 11.0.{labels[1]}.0/24 | US | arin | 2001-01-01")
    record = b"\xc0\x0c" + kind.to_bytes(2) + b"\x00\x01\x00\x00\x00\x3c" + len(data).to_bytes(2) + data
    return query[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + record


def _text(string: str) -> bytes:
    return bytes([len(string)]) + string.encode("ascii")


if __name__ == "__main__":
    sys.exit(main())
