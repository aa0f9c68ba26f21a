"""The whole backend on kernels that behave like each system: the contract of sockets, and right traces."""

from __future__ import annotations

import select
from errno import EINTR
from typing import TYPE_CHECKING, NamedTuple

import anyio
import attrs
import pytest

from tests.bsd.kernels import QUIRKS, FakeKernel
from tests.bsd.paths import ROUTERS, Path
from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol, TracerouteConfig
from traceprobe.errors import SendError
from traceprobe.ffi.bsd import abi_for
from traceprobe.loops import SystemClock
from traceprobe.model import Probe, ReplyKind, make_probe_id
from traceprobe.sockets.bsd import _send
from traceprobe.sockets.bsd._open import open_bsd_socket
from traceprobe.sockets.bsd._receive import BsdReceiver
from traceprobe.sockets.bsd._systems import SYSTEMS, TtlMethod
from traceprobe.testing import check_probe_socket
from traceprobe.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.loops import Clock
    from traceprobe.model import TraceResult
    from traceprobe.sockets._built_in import BuiltInSocket
    from traceprobe.sockets.bsd._systems import BsdSystem


class Way(NamedTuple):
    """One way of probing on one system."""

    system: str
    mode: Mode
    family: AddressFamily
    protocol: Protocol

    def __str__(self) -> str:
        return f"{self.system}-{self.mode.value}-{self.family.value}-{self.protocol.value}"

    def open(
        self, kernel: FakeKernel, config: TracerouteConfig, system: BsdSystem | None = None
    ) -> BuiltInSocket:
        return open_bsd_socket(
            kernel,
            system or SYSTEMS[self.system],
            self.mode,
            config,
            self.family,
            self.protocol,
            SystemClock(),
        )


WAYS = [
    Way(system, mode, family, protocol)
    for system in SYSTEMS
    for mode in (Mode.BSD_RAW, Mode.DARWIN_DGRAM)
    if mode is Mode.BSD_RAW or system == "darwin"
    for family in AddressFamily
    for protocol in Protocol
]
pytestmark = pytest.mark.anyio

EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=str)


class Network:
    """A socket factory on a fake kernel."""

    def __init__(self, kernel: FakeKernel, way: Way, system: BsdSystem | None = None) -> None:
        self._kernel = kernel
        self._way = way
        self._system = system
        self._clock = SystemClock()

    @property
    def clock(self) -> Clock:
        return self._clock

    async def lookup(self, host: str, family: AddressFamily | None) -> Sequence[IPv4Address | IPv6Address]:
        return [self._kernel.path.target(self._way.family.value)]

    def socket_key(self, config: TracerouteConfig, family: AddressFamily) -> Hashable:
        return family

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> BuiltInSocket:
        return self._way.open(self._kernel, config, self._system)


def make_kernel(way: Way, path: Path | None = None, machine: str = "amd64") -> FakeKernel:
    return FakeKernel(
        abi_for(way.system, machine),
        Path() if path is None else path,
        root=way.mode is Mode.BSD_RAW,
    )


async def trace(
    kernel: FakeKernel, way: Way, system: BsdSystem | None = None, **options: object
) -> TraceResult:
    config = TracerouteConfig(max_ttl=8, **options)  # type: ignore[arg-type]
    config = attrs.evolve(config, timing=attrs.evolve(config.timing, tail_floor=0.05, probe_timeout=0.3))
    async with Tracer(config, socket_factory=Network(kernel, way, system)) as tracer:
        return await tracer.trace("target")


def hops(result: TraceResult) -> list[str | None]:
    return [None if hop.address is None else str(hop.address) for hop in result.hops]


@EVERY_WAY
async def test_the_contract_of_probe_sockets_is_kept(way: Way) -> None:
    kernel = make_kernel(way)
    target = kernel.path.target(way.family.value)
    unroutable = kernel.path.router(way.family.value, 200)
    kernel.path.unroutable.add(unroutable)

    async def open_socket() -> BuiltInSocket:
        return way.open(kernel, TracerouteConfig())

    await check_probe_socket(open_socket, target, unroutable=unroutable)
    assert kernel.sockets == []
    assert kernel.gatherings == []


@EVERY_WAY
@pytest.mark.parametrize("quoted", [8, None], ids=["short-quotes", "whole-quotes"])
async def test_a_trace_shows_the_path(way: Way, quoted: int | None) -> None:
    kernel = make_kernel(way, Path(quoted=quoted, noise=True))
    result = await trace(kernel, way)
    assert hops(result) == [str(address) for address in kernel.path.hops(way.family.value)]
    assert result.reached
    for hop in result.hops:
        assert hop.received == hop.sent == 3
        for probe in hop.probes:
            by_connect = way.protocol is Protocol.TCP and hop is result.hops[-1]
            assert probe.reply_ttl == (None if by_connect else 61)
            assert not probe.changes
    assert result.discarded["foreign"] > 0


@EVERY_WAY
async def test_probes_leave_as_they_should(way: Way) -> None:
    kernel = make_kernel(way)
    await trace(kernel, way, queries=1, dscp=10)
    ttls = [packet[8] if way.family is AddressFamily.IPV4 else packet[7] for packet in kernel.sent]
    assert ttls == list(range(1, len(ttls) + 1))
    assert len(ttls) > ROUTERS
    for packet in kernel.sent:
        traffic_class = (
            packet[1] if way.family is AddressFamily.IPV4 else int.from_bytes(packet[:2]) >> 4 & 255
        )
        assert traffic_class == 10 << 2


@pytest.mark.parametrize("flow", [FlowStrategy.PARIS, FlowStrategy.CLASSIC])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("family", AddressFamily)
async def test_raw_udp_keeps_its_flow_as_it_was_asked_to(
    system: str, family: AddressFamily, flow: FlowStrategy
) -> None:
    way = Way(system, Mode.BSD_RAW, family, Protocol.UDP)
    kernel = make_kernel(way)
    await trace(kernel, way, flow=flow)
    start = 20 if family is AddressFamily.IPV4 else 40
    ports = {packet[start : start + 4] for packet in kernel.sent}
    assert len(ports) == (1 if flow is FlowStrategy.PARIS else len(kernel.sent))


async def test_control_messages_on_netbsd_are_aligned_as_the_processor_wants_it() -> None:
    way = Way("netbsd", Mode.BSD_RAW, AddressFamily.IPV6, Protocol.ICMP)
    kernel = make_kernel(way, machine="aarch64")
    kernel.quirks = kernel.quirks._replace(alignment=16)
    result = await trace(kernel, way)
    assert hops(result) == [str(address) for address in kernel.path.hops(6)]


# --- TCP, which each kernel tells of in its own way and time ------------------------------------------------


@pytest.mark.parametrize("way", [way for way in WAYS if way.protocol is Protocol.TCP], ids=str)
@pytest.mark.parametrize("latency", [False, True], ids=["at-once", "later"])
@pytest.mark.parametrize(("port", "kind"), [(443, "syn_ack"), (80, "rst")])
async def test_tcp_tells_open_ports_from_closed_ones(way: Way, latency: bool, port: int, kind: str) -> None:
    kernel = make_kernel(way)
    kernel.latency = latency
    result = await trace(kernel, way, port=port)
    assert hops(result) == [str(address) for address in kernel.path.hops(way.family.value)]
    assert {probe.reply and probe.reply.value for probe in result.hops[-1].probes} == {kind}
    assert kernel.sockets == []


@pytest.mark.parametrize("system", SYSTEMS)
async def test_an_attempt_that_was_answered_leaves_no_socket_behind(system: str) -> None:
    way = Way(system, Mode.BSD_RAW, AddressFamily.IPV4, Protocol.TCP)
    kernel = make_kernel(way)
    opened = way.open(kernel, TracerouteConfig())
    before = len(kernel.sockets)
    probes = [Probe(make_probe_id(1, ttl), kernel.path.target(4), ttl, 1) for ttl in range(1, 6)]
    await opened.send_probes(probes)
    replies = list(opened.receive_nowait())
    assert len(replies) == 5
    assert len(kernel.sockets) == before
    kernel.path.silent = True
    await opened.send_probes(probes)
    assert len(kernel.sockets) == before + 5
    opened.release([probe.id for probe in probes])
    assert len(kernel.sockets) == before
    await opened.send_probes(probes)
    await opened.aclose()
    assert kernel.sockets == []


async def test_a_refusal_by_a_router_is_not_taken_for_the_targets() -> None:
    """A firewall that answers "port unreachable" makes connect() say the same as a closed port does."""
    way = Way("freebsd", Mode.BSD_RAW, AddressFamily.IPV4, Protocol.TCP)
    path = Path()
    path.firewall = 2
    kernel = make_kernel(way, path)
    opened = way.open(kernel, TracerouteConfig())
    await opened.send_probes([Probe(make_probe_id(1, 1), path.target(4), 9, 1)])
    (reply,) = opened.receive_nowait()
    assert (reply.kind, str(reply.address)) == (ReplyKind.PORT_UNREACHABLE, "10.0.2.2")
    await opened.aclose()


# --- what the kernels don't do, and what would come of relying on it ----------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
async def test_the_ttl_option_of_raw_sockets_works_everywhere_but_on_netbsd(system: str) -> None:
    """The fake kernels lie as the real ones do: without this, a regression would go unnoticed."""
    way = Way(system, Mode.BSD_RAW, AddressFamily.IPV4, Protocol.ICMP)
    kernel = make_kernel(way)
    by_option = {AddressFamily.IPV4: TtlMethod.OPTION, AddressFamily.IPV6: TtlMethod.CONTROL}
    result = await trace(kernel, way, attrs.evolve(SYSTEMS[system], raw_ttl=by_option))
    path = [str(address) for address in kernel.path.hops(4)]
    assert hops(result) == (path[-1:] if system == "netbsd" else path)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_headers_in_the_wrong_byte_order_are_refused(system: str) -> None:
    way = Way(system, Mode.BSD_RAW, AddressFamily.IPV4, Protocol.ICMP)
    kernel = make_kernel(way)
    right = attrs.evolve(
        SYSTEMS[system],
        raw_ttl={AddressFamily.IPV4: TtlMethod.HEADER, AddressFamily.IPV6: TtlMethod.CONTROL},
    )
    assert hops(await trace(kernel, way, right)) == [str(address) for address in kernel.path.hops(4)]
    wrong = attrs.evolve(right, header_in_host_order=not right.header_in_host_order)
    with pytest.raises(SendError, match="Invalid argument"):
        await trace(kernel, way, wrong)


@pytest.mark.parametrize(
    ("system", "protocol", "code"),
    [
        ("freebsd", Protocol.ICMP, None),
        ("freebsd", Protocol.UDP, 42),
        ("netbsd", Protocol.ICMP, 22),
        ("openbsd", Protocol.ICMP, None),
        ("darwin", Protocol.ICMP, None),
    ],
)
async def test_a_ttl_by_control_message_is_refused_or_worse_in_ipv4(
    system: str, protocol: Protocol, code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it sent, some kernels would take the message and ignore what it says."""
    abi = abi_for(system, "amd64")
    told = _send.TtlOption(abi.ipproto_ip, abi.ip_ttl, (abi.ipproto_ip, abi.ip_ttl))
    monkeypatch.setattr(_send, "ttl_option", lambda *_: told)
    way = Way(system, Mode.BSD_RAW, AddressFamily.IPV4, protocol)
    kernel = make_kernel(way)
    by_control = dict.fromkeys(AddressFamily, TtlMethod.CONTROL)
    behaviour = attrs.evolve(SYSTEMS[system], raw_ttl=by_control, dgram_ttl=by_control, batches=False)
    if protocol is Protocol.UDP:
        way = way._replace(mode=Mode.DARWIN_DGRAM)
        kernel.quirks = kernel.quirks._replace(
            dgram_icmp=True, dgram_options=QUIRKS["darwin"].dgram_options | {(0, abi.ip_recvttl)}
        )
    if code is None:
        assert hops(await trace(kernel, way, behaviour)) == [str(kernel.path.target(4))]
    else:
        with pytest.raises(SendError) as caught:
            await trace(kernel, way, behaviour)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("system", "calls"), [("freebsd", 9), ("netbsd", 1), ("openbsd", 3), ("dragonfly", 9), ("darwin", 9)]
)
async def test_a_system_call_carries_as_many_probes_as_the_kernel_can_take(system: str, calls: int) -> None:
    way = Way(system, Mode.BSD_RAW, AddressFamily.IPV4, Protocol.ICMP)
    path = Path()
    path.silent = True
    kernel = make_kernel(way, path)
    opened = way.open(kernel, TracerouteConfig())
    probes = [Probe(make_probe_id(1, n), path.target(4), n // 3 + 1, n % 3 + 1) for n in range(9)]
    before = kernel.system_calls
    reports = await opened.send_probes(probes)
    assert [report.error for report in reports] == [None] * 9
    assert kernel.system_calls - before == calls
    assert [packet[8] for packet in kernel.sent] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    await opened.aclose()


async def test_a_control_message_on_macos_costs_the_options_of_its_socket() -> None:
    way = Way("darwin", Mode.BSD_RAW, AddressFamily.IPV6, Protocol.ICMP)
    kernel = make_kernel(way)
    by_control = dict.fromkeys(AddressFamily, TtlMethod.CONTROL)
    await trace(kernel, way, attrs.evolve(SYSTEMS["darwin"], raw_ttl=by_control), dscp=10)
    assert {int.from_bytes(packet[:2]) >> 4 & 0xFF for packet in kernel.sent} == {0}


# --- errors that are told to a socket, and buffers that are full --------------------------------------


def five_probes(kernel: FakeKernel, version: int) -> list[Probe]:
    return [Probe(make_probe_id(1, ttl), kernel.path.target(version), ttl, 1) for ttl in range(1, 6)]


@EVERY_WAY
async def test_an_error_that_is_told_to_a_socket_is_nobodys_reply(way: Way) -> None:
    kernel = make_kernel(way)
    opened = way.open(kernel, TracerouteConfig())
    for heard in kernel.sockets:
        heard.error = 65
        kernel.levels(heard)
    probes = five_probes(kernel, way.family.value)
    await opened.send_probes(probes)
    for heard in kernel.sockets:
        heard.error = 61
    replies = list(opened.receive_nowait())
    assert sorted(reply.probe_id for reply in replies) == [probe.id for probe in probes]
    await opened.aclose()


NOT_TCP = pytest.mark.parametrize("way", [way for way in WAYS if way.protocol is not Protocol.TCP], ids=str)


@NOT_TCP
@pytest.mark.parametrize("refusals", [[0, 35, 35], [65], [0, 0, 61]], ids=["full", "told", "told-later"])
async def test_a_probe_that_was_held_up_is_sent_again_with_its_own_ttl(way: Way, refusals: list[int]) -> None:
    kernel = make_kernel(way)
    opened = way.open(kernel, TracerouteConfig())
    kernel.refusals = list(refusals)
    reports = await opened.send_probes(five_probes(kernel, way.family.value))
    assert [report.error for report in reports] == [None] * 5
    ttls = [packet[8] if way.family is AddressFamily.IPV4 else packet[7] for packet in kernel.sent]
    assert ttls == [1, 2, 3, 4, 5]
    await opened.aclose()


@NOT_TCP
async def test_a_probe_that_the_kernel_has_no_room_for_keeps_no_other_back(way: Way) -> None:
    kernel = make_kernel(way)
    opened = way.open(kernel, TracerouteConfig())
    kernel.refusals = [0, 55]
    reports = await opened.send_probes(five_probes(kernel, way.family.value))
    assert [report.error and report.error.code for report in reports] == [None, 55, None, None, None]
    assert len(opened.receive_nowait()) == 4
    await opened.aclose()


@EVERY_WAY
async def test_what_was_read_is_announced_no_more(way: Way) -> None:
    # A kqueue goes on announcing what it has found until it is asked again: the event loop would spin.
    kernel = make_kernel(way)
    opened = way.open(kernel, TracerouteConfig())
    await opened.send_probes(five_probes(kernel, way.family.value))
    assert opened.receive_nowait()
    for gathering in kernel.gatherings:
        assert not select.select([gathering], [], [], 0)[0]
    assert len(kernel.gatherings) == (way.protocol is not Protocol.ICMP)
    await opened.aclose()


async def test_tasks_that_share_a_socket_do_not_send_with_each_others_ttl() -> None:
    way = Way("freebsd", Mode.BSD_RAW, AddressFamily.IPV4, Protocol.ICMP)
    kernel = make_kernel(way)
    opened = way.open(kernel, TracerouteConfig())
    kernel.refusals = [0, 35] * 8
    target = kernel.path.target(4)

    async def send(trace_id: int, ttl: int) -> None:
        await opened.send_probes([Probe(make_probe_id(trace_id, n), target, ttl, n + 1) for n in range(4)])

    async with anyio.create_task_group() as group:
        for ttl in range(1, 5):
            group.start_soon(send, ttl, ttl)
    assert sorted(packet[8] for packet in kernel.sent) == sorted([1, 2, 3, 4] * 4)
    by_probe = {reply.probe_id >> 20: str(reply.address) for reply in opened.receive_nowait()}
    assert by_probe == {ttl: str(hop) for ttl, hop in enumerate(kernel.path.hops(4), 1)}
    await opened.aclose()


async def test_large_probes_come_back_whole() -> None:
    way = Way("freebsd", Mode.BSD_RAW, AddressFamily.IPV4, Protocol.ICMP)
    kernel = make_kernel(way)
    result = await trace(kernel, way, packet_size=9000)
    assert hops(result) == [str(address) for address in kernel.path.hops(4)]
    assert {len(packet) for packet in kernel.sent} == {9000}


def test_only_errors_in_a_row_end_the_reception() -> None:
    class Interrupted:
        """A system whose calls are interrupted again and again."""

        batches = False

        def __init__(self, outcomes: list[int]) -> None:
            self.outcomes = outcomes

        def recvmsg(self, descriptor: int, message: int, flags: int) -> int:
            return self.outcomes.pop(0)

        def recvmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
            raise AssertionError("not a system call here")

        sendmsg = recvmsg
        sendmmsg = recvmmsg

    abi = abi_for("freebsd", "amd64")
    calls = Interrupted([*[-EINTR] * 12, 8, *[-EINTR] * 12, 8, *[-EINTR] * 12, -abi.eagain])
    came: list[int] = []
    receiver = BsdReceiver(abi, calls, SystemClock())
    receiver.drain(3, lambda message, _control, _now: came.append(len(message.data)))
    assert came == [8, 8]
    assert calls.outcomes == []
    calls.outcomes += [-EINTR] * 17
    with pytest.raises(OSError, match="receiving from a probe socket"):
        receiver.drain(3, lambda *_: None)
