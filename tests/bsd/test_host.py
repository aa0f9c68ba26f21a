"""The kernel that the tests run on, if it is a BSD or macOS: its loopback, and a path through jails.

Self-contained: ``python -m pytest tests/bsd`` as root on FreeBSD needs nothing but pytest, anyio, attrs and
cffi. When something fails, the state of the system and every reply that was received are printed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

import traceprobe
from tests.bsd.conftest import FAILED
from tests.bsd.jails import Hops, JailPath, NoRateLimits, missing_jails, named_path, state
from tests.rigs.require import require
from traceprobe.config import AddressFamily, Protocol, TimingConfig, TracerouteConfig
from traceprobe.errors import TraceprobeError
from traceprobe.ffi.bsd_arena import ReceiveArena
from traceprobe.model import ReplyKind, StopReason, TimestampSource
from traceprobe.sockets import ProbeSocketFactory
from traceprobe.sockets._platform import bsd_name
from traceprobe.testing import check_probe_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceprobe.ffi.bsd_arena import ReceivedMessage
    from traceprobe.model import TraceResult
    from traceprobe.sockets.protocol import AsyncProbeSocket

HOST = bsd_name(sys.platform)
PATIENT = TracerouteConfig(timing=TimingConfig(interior_floor=2.0, tail_floor=2.0))
"""Virtual machines can be slow, and what is asked here is who answers, not when silence is given up."""

FAMILIES = pytest.mark.parametrize("family", AddressFamily, ids=lambda family: f"ipv{family.value}")
PROTOCOLS = pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP], ids=str)


def missing_host() -> str | None:
    """Why nothing can be tried here, or None if it can."""
    if HOST is None:
        return "this system is neither a BSD nor macOS"
    if HOST != "darwin" and os.geteuid() != 0:
        return "raw sockets need root on this system"
    return None


@pytest.fixture(autouse=True)
def explained(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Print what came in, and the state of the system, where a test fails."""
    require("bsd", missing_host())
    received: list[str] = []
    original = ReceiveArena.received

    def recording(arena: ReceiveArena) -> Iterator[ReceivedMessage]:
        for message in original(arena):
            parts = (bytes(part).hex() for part in (message.name, message.control, message.data))
            received.append("name {} control {} data {}".format(*parts))
            yield message

    monkeypatch.setattr(ReceiveArena, "received", recording)
    yield
    if request.node.stash.get(FAILED, False):
        print(f"{len(received)} datagrams received")
        print("\n".join(received[:200]))
        print(state())


@pytest.fixture(scope="module", autouse=True)
def _no_rate_limits() -> Iterator[None]:
    """FreeBSD answers itself 200 times a second, and by ICMPv6 100 times; tests can be faster than that."""
    if HOST == "freebsd" and missing_host() is None:
        with NoRateLimits():
            yield
    else:
        yield


TROUBLE: dict[int, str] = {}
"""Why the path carries nothing, by IP version, as far as others than traceprobe say so."""


@pytest.fixture(scope="module")
def hops() -> Iterator[Hops]:
    """A path to trace: one that the environment names, or one of jails."""
    named = named_path()
    if named is not None:
        yield named
        return
    require("freebsd", missing_jails())
    with JailPath() as path:
        TROUBLE.update(path.trouble)
        yield path.hops


def path_for(hops: Hops, family: AddressFamily) -> tuple[str, ...]:
    """The path of a family; fails if nothing gets through it, skips if a named path has none."""
    if family.value in TROUBLE:
        pytest.fail(TROUBLE[family.value], pytrace=False)
    path = hops.of(family.value)
    if not path:
        pytest.skip(f"the named path has no addresses for IPv{family.value}")
    return path


def open_fitting(family: AddressFamily, protocol: Protocol) -> None:
    """Fail with what the system says if no way of probing fits."""
    report = ProbeSocketFactory().report()
    fitting = [s for s in report.usable if s.family is family and s.protocol is protocol]
    if not fitting:
        pytest.fail(f"no way of probing fits:\n{report}")


def test_every_way_of_probing_says_whether_it_can_be_used() -> None:
    report = ProbeSocketFactory().report()
    print(report)
    assert report.statuses
    for status in report.statuses:
        assert status.usable or status.reason
        assert status.usable or status.remedies or "no such sockets" in str(status.reason)
    assert report.best(AddressFamily.IPV4) is not None, str(report)


@FAMILIES
@PROTOCOLS
def test_the_contract_of_probe_sockets_is_kept_on_the_loopback(
    family: AddressFamily, protocol: Protocol
) -> None:
    open_fitting(family, protocol)
    loopback = "127.0.0.1" if family is AddressFamily.IPV4 else "::1"

    async def check() -> None:
        async def open_socket() -> AsyncProbeSocket:
            return await ProbeSocketFactory().open(TracerouteConfig(protocol=protocol), family)

        await check_probe_socket(open_socket, loopback)

    anyio.run(check, backend="asyncio")


@FAMILIES
@PROTOCOLS
def test_the_loopback_is_one_hop_away(family: AddressFamily, protocol: Protocol) -> None:
    open_fitting(family, protocol)
    loopback = "127.0.0.1" if family is AddressFamily.IPV4 else "::1"
    result = traceprobe.trace(loopback, PATIENT, protocol=protocol)
    assert result.reached, result.to_json()
    assert [str(hop.address) for hop in result.hops] == [loopback], result.to_json()


@FAMILIES
@PROTOCOLS
def test_a_trace_shows_the_path(hops: Hops, family: AddressFamily, protocol: Protocol) -> None:
    result = trace_to_the_end(hops, family, protocol)
    document = result.to_json()
    for hop in result.hops:
        assert hop.received == hop.sent, document
        for probe in hop.probes:
            assert probe.timestamp_source is TimestampSource.KERNEL_RX, document
            assert probe.rtt is not None
            assert 0 <= probe.rtt < 1, document
            assert probe.reply_ttl is not None, document
            assert probe.reply_ttl > 0, document


@FAMILIES
@pytest.mark.parametrize("port", [80, 61234])
def test_tcp_shows_the_path_and_ends_at_a_closed_port(hops: Hops, family: AddressFamily, port: int) -> None:
    result = trace_to_the_end(hops, family, Protocol.TCP, port=port)
    document = result.to_json()
    assert {probe.reply for probe in result.hops[-1].probes} <= {ReplyKind.RST, ReplyKind.SYN_ACK}, document
    for hop in result.hops[:-1]:
        assert {probe.reply for probe in hop.probes} == {ReplyKind.TIME_EXCEEDED}, document


def trace_to_the_end(
    hops: Hops, family: AddressFamily, protocol: Protocol, port: int | None = None
) -> TraceResult:
    """Trace to the end of the path, and check that it is the path."""
    path = path_for(hops, family)
    open_fitting(family, protocol)
    result = traceprobe.trace(path[-1], PATIENT, protocol=protocol, port=port, max_ttl=len(path) + 5)
    found = [None if hop.address is None else str(hop.address) for hop in result.hops]
    assert found == list(path), result.to_json()
    assert result.stop_reason is StopReason.DESTINATION_REACHED, result.to_json()
    assert [hop.ttl for hop in result.hops] == list(range(1, len(path) + 1))
    return result


@FAMILIES
@pytest.mark.parametrize("flow", ["paris", "classic"])
def test_udp_probes_of_either_flow_are_recognised(hops: Hops, family: AddressFamily, flow: str) -> None:
    path = path_for(hops, family)
    try:
        result = traceprobe.trace(path[-1], PATIENT, protocol="udp", flow=flow, max_ttl=len(path) + 5)
    except TraceprobeError as error:
        pytest.fail(str(error))
    assert [str(hop.address) for hop in result.hops] == list(path), result.to_json()


@FAMILIES
def test_many_traces_share_a_socket_and_keep_apart(hops: Hops, family: AddressFamily) -> None:
    path = path_for(hops, family)
    found: list[list[str]] = []

    async def trace_all() -> None:
        async def one(target: str) -> None:
            result = await tracer.trace(target)
            found.append([str(hop.address) for hop in result.hops])

        async with traceprobe.Tracer(PATIENT) as tracer, anyio.create_task_group() as group:
            for target in path:
                group.start_soon(one, target)

    anyio.run(trace_all, backend="asyncio")
    assert sorted(map(len, found)) == list(range(1, len(path) + 1)), found
    assert max(found, key=len) == list(path)
