"""Functions that trace inside a rig's namespace, called through ``Namespace.call``.

They take and return plain values. What they return of a result is its JSON document.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import anyio._backends._asyncio
import attrs

import traceprobe
from tests.kernel import plain
from traceprobe import ProbeSent, ReplyReceived, TraceprobeError, api
from traceprobe.enrich._lookups import Lookups
from traceprobe.enrich._pipeline import EnrichmentPipeline
from traceprobe.model import _document as document_module
from traceprobe.sockets.linux import ping as linux_ping
from traceprobe.sockets.linux import raw as linux_raw
from traceprobe.sockets.linux import tcp as linux_tcp
from traceprobe.sockets.linux import udp as linux_udp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceprobe import TraceOptions

_BEFORE_THE_FORK = (anyio._backends, api, document_module, linux_ping, linux_raw, linux_tcp, linux_udp)
"""What a trace would import anyway: here it is imported once, and not in each fork that traces."""


async def trace(target: str, options: TraceOptions) -> dict[str, Any]:
    """Trace once."""
    return _document(await traceprobe.trace_async(target, **options))


async def trace_with_names(target: str) -> dict[str, Any]:
    """Trace once, and look up host names and networks."""
    enrichment = traceprobe.EnrichmentConfig(reverse_dns=True, asn=True)
    return _document(await traceprobe.trace_async(target, enrichment=enrichment))


async def make_all_look_ups() -> int:
    """Make everything that looks up, as a trace that wants all of it would, and close it unused."""
    config = traceprobe.TracerouteConfig(enrichment=traceprobe.EnrichmentConfig.full())
    lookups = Lookups(None, (), traceprobe.ProbeSocketFactory(config))
    count = 0
    async with anyio.create_task_group() as tasks:
        made = await lookups.enrichers_for(config)
        pipeline = EnrichmentPipeline(tasks, config.enrichment.max_lookups)
        make_judge = await lookups.judge_for(config, ip_address("192.0.2.9"), pipeline)
        await lookups.load(made)
        count = len(made) + (make_judge is not None and make_judge() is not None)
    await lookups.aclose()
    return count


async def trace_with_pattern(
    target: str, options: TraceOptions, pattern: str, packet_size: int
) -> dict[str, Any]:
    """Trace once with a payload pattern, which is given in hexadecimal."""
    config = traceprobe.TracerouteConfig().with_options(options)
    config = attrs.evolve(config, payload_pattern=bytes.fromhex(pattern), packet_size=packet_size)
    return _document(await traceprobe.trace_async(target, config))


def show(arguments: list[str]) -> str:
    """What the command prints."""
    from traceprobe.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as output:
        main(arguments)
    return output.getvalue()


async def trace_twice(target: str, options: TraceOptions) -> list[dict[str, Any]]:
    """Trace twice with one tracer, the second time as soon as the first is over."""
    async with traceprobe.Tracer(**options) as tracer:
        return [_document(await tracer.trace(target)) for _ in range(2)]


def trace_and_block(target: str, options: TraceOptions) -> dict[str, Any]:
    """Trace once, with the function for programs without an event loop."""
    return _document(traceprobe.trace(target, **options))


async def refusal(target: str, options: TraceOptions) -> str:
    """The class of the error that a trace raises."""
    try:
        await traceprobe.trace_async(target, **options)
    except TraceprobeError as error:
        return type(error).__name__
    return "none"


async def rtts(target: str, options: TraceOptions) -> list[list[int | None]]:
    """The round-trip times of each hop in nanoseconds, to the last digit."""
    result = await traceprobe.trace_async(target, **options)
    return [[probe.rtt_ns for probe in hop.probes] for hop in result.hops]


async def trace_many(targets: list[str], options: TraceOptions) -> dict[str, Any]:
    """Trace many targets at the same time with one tracer.

    Returns:
        ``documents`` by target, and how many ``descriptors`` and ``sockets`` the process had open before,
        while all traces were under way, and after.
    """
    documents: dict[str, Any] = {}
    answered: set[str] = set()
    counts: dict[str, list[int]] = {"descriptors": [], "sockets": []}

    def count() -> None:
        counts["descriptors"].append(plain.descriptors())
        counts["sockets"].append(_sockets())

    async def trace_one(tracer: traceprobe.Tracer, target: str) -> None:
        async with tracer.open_trace(target) as opened:
            async for event in opened.events():
                if isinstance(event, ReplyReceived):
                    break
            answered.add(target)
            if len(answered) == len(targets):
                count()
            documents[target] = _document(await opened.wait())

    count()
    async with traceprobe.Tracer(**options) as tracer, anyio.create_task_group() as group:
        for target in targets:
            group.start_soon(trace_one, tracer, target)
    count()
    return {"documents": documents, **counts}


async def trace_all(targets: list[str], options: TraceOptions) -> list[dict[str, Any]]:
    """Trace many targets at the same time with one tracer; the documents in the order of the targets."""
    async with traceprobe.Tracer(**options) as tracer:
        return await _gather([(tracer, target) for target in targets])


async def trace_ports(target: str, ports: list[int], options: TraceOptions) -> list[dict[str, Any]]:
    """Trace one target by many ports at the same time, each with a tracer of its own."""
    async with contextlib.AsyncExitStack() as stack:
        config = traceprobe.TracerouteConfig().with_options(options)
        tracers = [
            await stack.enter_async_context(traceprobe.Tracer(attrs.evolve(config, port=port)))
            for port in ports
        ]
        return await _gather([(tracer, target) for tracer in tracers])


async def _gather(orders: list[tuple[traceprobe.Tracer, str]]) -> list[dict[str, Any]]:
    documents: dict[int, dict[str, Any]] = {}

    async def trace_one(number: int, tracer: traceprobe.Tracer, target: str) -> None:
        documents[number] = _document(await tracer.trace(target))

    async with anyio.create_task_group() as group:
        for number, (tracer, target) in enumerate(orders):
            group.start_soon(trace_one, number, tracer, target)
    return [documents[number] for number in range(len(orders))]


async def trace_with_few_descriptors(target: str, options: TraceOptions, spare: int) -> dict[str, Any]:
    """Trace once with room for only so many descriptors more than there are, and say how many that was."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + spare, hard))
    before = plain.descriptors()
    document = await trace(target, options)
    return {"document": document, "left_open": plain.descriptors() - before}


async def hold_outstanding(target: str, options: TraceOptions, traces: int, probes: int) -> int:
    """Have many traces send to one silent target at the same time, and give them up when all have sent.

    Args:
        target: Who never answers; neither does anybody on the way.
        options: With waits so long that nothing is given up meanwhile.
        traces: How many.
        probes: How many probes each of them has.

    Returns:
        How many probes had been sent, and not one of them given up.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * traces * probes
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))  # for one connection each
    sent = 0
    async with traceprobe.Tracer(**options) as tracer, anyio.create_task_group() as group:

        async def trace_one() -> None:
            nonlocal sent
            async with tracer.open_trace(target) as opened:
                async for event in opened.events():
                    assert isinstance(event, ProbeSent), event
                    sent += 1
                    if sent == traces * probes:
                        group.cancel_scope.cancel()

        for _ in range(traces):
            group.start_soon(trace_one)
    return sent


async def trace_on_and_on(target: str, options: TraceOptions, traces: int) -> list[int]:
    """Trace again and again with one tracer; how many probes of each trace were answered by whom they should.

    The path is a loop of three routers, so that the TTL says who is to answer.
    """
    right = []
    async with traceprobe.Tracer(**options) as tracer:
        for _ in range(traces):
            result = await tracer.trace(target)
            right.append(
                sum(
                    probe.address is not None and int(probe.address) & 3 == hop.ttl % 3 + 1
                    for hop in result.hops
                    for probe in hop.probes
                )
            )
    return right


async def leave_early(target: str, options: TraceOptions) -> dict[str, Any]:
    """Leave a trace at its first hop, cancel another while it waits; what is open before and after."""
    before = plain.descriptors()
    first = ""
    async with traceprobe.open_trace(target, **options) as opened:
        async for hop in opened:
            first = str(hop.address)
            break
    async with anyio.create_task_group() as group:
        started = anyio.Event()

        async def wait() -> None:
            async with traceprobe.open_trace(target, **options) as waiting:
                started.set()
                await waiting.wait()

        group.start_soon(wait)
        await started.wait()
        group.cancel_scope.cancel()
    return {"first": first, "before": before, "after": plain.descriptors()}


async def trace_among_strangers(target: str, options: TraceOptions) -> dict[str, Any]:
    """Trace while the answers to somebody else's probes to the same target come in."""
    version = 6 if ":" in target else 4
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
    with (
        socket.socket(family, socket.SOCK_RAW, protocol) as icmp,
        socket.socket(family, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("::" if version == 6 else "0.0.0.0", 0))
        for ttl in range(1, 31):
            for sender in (icmp, udp):
                if version == 6:
                    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
                else:
                    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            icmp.sendto(plain.echo_request(version, ttl, bytes(32)), (target, 0))
            udp.sendto(bytes(32), (target, plain.PORT + ttl))
        return await trace(target, options)


async def switches_while_waiting(target: str) -> int:
    """How often the process gives the processor away while it traces a silent hop for a second."""
    options: TraceOptions = {"mode": "linux_raw", "first_ttl": 3, "max_ttl": 3, "queries": 1}
    quick: TraceOptions = {**options, "tail_floor": 0.001}
    await traceprobe.trace_async(target, **quick)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    await traceprobe.trace_async(target, **options)
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before


def backend_of(loop: str) -> tuple[str, dict[str, Any]]:
    """What ``anyio.run`` wants to be told to use an event loop."""
    return ("asyncio", {"use_uvloop": loop == "uvloop"}) if loop != "trio" else ("trio", {})


def addresses(document: Mapping[str, Any]) -> list[str | None]:
    """Who answered at each hop."""
    return [hop["address"] for hop in document["hops"]]


def last_probes(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The probes of the last hop."""
    probes: Iterable[dict[str, Any]] = document["hops"][-1]["probes"]
    return list(probes)


def _document(result: traceprobe.TraceResult) -> dict[str, Any]:
    return dict(result.to_dict())


def _sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue  # the descriptor that the folder was listed with
    return count
