"""Echo requests say what the configuration asks for, and their answers what they say elsewhere."""

from __future__ import annotations

import errno
import gc
import math
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.lowlevel
import pytest

from tests.sockets.windows.driving import PATIENCE, discarded, receive
from tests.sockets.windows.fake import TIMED_OUT, Answer, FakeKernel32, FakeWindows, Request
from tests.sockets.windows.winsock import FakeWinsock
from traceprobe.config import AddressFamily, Mode, Protocol, TimingConfig, TracerouteConfig
from traceprobe.errors import ClosedError, ConfigError, NoUsableSocketError, UnsupportedOption, UsageError
from traceprobe.ffi import windows
from traceprobe.loops import SystemClock
from traceprobe.model import Probe, Reply, ReplyKind, StopReason, TimestampSource, make_probe_id
from traceprobe.sockets import ProbeSocketFactory
from traceprobe.sockets import factory as factory_module
from traceprobe.sockets._platform import ModeEntry
from traceprobe.sockets.windows._reactor import ReactorHolder
from traceprobe.sockets.windows.icmp import WindowsIcmpSocket, open_windows_icmp
from traceprobe.testing import check_probe_socket
from traceprobe.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.ffi.windows import Pointer
    from traceprobe.loops import Clock

IPV4, IPV6 = AddressFamily.IPV4, AddressFamily.IPV6
Address: TypeAlias = IPv4Address | IPv6Address
TARGET: dict[AddressFamily, Address] = {IPV4: IPv4Address("198.51.100.9"), IPV6: IPv6Address("2001:db8:9::9")}
ROUTER: dict[AddressFamily, Address] = {IPV4: IPv4Address("192.0.2.1"), IPV6: IPv6Address("2001:db8::1")}
REACTOR = "traceprobe-reactor"

both_families = pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])


def make_probes(count: int, family: AddressFamily = IPV4, *, trace: int = 1, **given: Any) -> list[Probe]:
    values: dict[str, Any] = {"attempt": 1, "timeout": 5.0} | given
    return [
        Probe(
            make_probe_id(trace, index),
            TARGET[family],
            values.get("ttl", index + 1),
            **{name: value for name, value in values.items() if name != "ttl"},
        )
        for index in range(count)
    ]


def opened(holder: ReactorHolder, family: AddressFamily = IPV4, **options: Any) -> WindowsIcmpSocket:
    config = TracerouteConfig().with_options(options)  # type: ignore[arg-type]
    return open_windows_icmp(config, family, Protocol.ICMP, SystemClock(), holder)


async def one_reply(socket: WindowsIcmpSocket, family: AddressFamily) -> Reply:
    (report,) = await socket.send_probes(make_probes(1, family))
    assert report.error is None
    (reply,) = await receive(socket, 1)
    return reply


# --- what is asked for --------------------------------------------------------------------------------------


@both_families
async def test_requests_say_what_was_asked_for(
    system: FakeWindows, holder: ReactorHolder, family: AddressFamily
) -> None:
    size = {IPV4: 100, IPV6: 120}[family]
    socket = opened(holder, family, packet_size=size, payload_pattern=b"xyz")
    await socket.send_probes(make_probes(3, family, timeout=1.2345, size=size))
    await socket.aclose()
    for ttl, request in enumerate(system.requests, 1):
        assert request.destination == TARGET[family]
        assert request.source is None
        assert (request.ttl, request.tos, request.flags) == (ttl, 0, 0)
        assert len(request.payload) == 72
        assert request.payload[12:24] == b"xyzxyzxyzxyz"
        assert request.milliseconds == math.ceil(1234.5)
        assert request.thread_name == REACTOR
    # The token is the same for a trace, and nothing that anybody could guess.
    assert len({request.payload[:12] for request in system.requests}) == 1
    assert any(system.requests[0].payload[:12])


async def test_the_header_bits_and_the_source_are_handed_over(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    socket = opened(holder, dscp=46, ecn=1, dont_fragment=True, source="192.0.2.77")
    (report,) = await socket.send_probes(make_probes(1))
    assert report.source == IPv4Address("192.0.2.77")
    await socket.aclose()
    (request,) = system.requests
    assert (request.tos, request.flags) == (46 << 2 | 1, windows.IP_FLAG_DF)
    assert request.source == IPv4Address("192.0.2.77")


async def test_ipv6_can_name_its_source(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder, IPV6, source="2001:db8::77")
    await socket.send_probes(make_probes(1, IPV6))
    await socket.aclose()
    assert system.requests[0].source == IPv6Address("2001:db8::77")


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.0001, 1), (1.0, 1000), (0.0, 5000), (1e9, 0x7FFFFFFF)]
)
async def test_the_time_out_is_the_probes_own(
    system: FakeWindows, holder: ReactorHolder, seconds: float, milliseconds: int
) -> None:
    socket = opened(holder)
    await socket.send_probes(make_probes(1, timeout=seconds))
    await socket.aclose()
    assert system.requests[0].milliseconds == milliseconds


@both_families
async def test_sizes_go_down_to_the_headers(
    system: FakeWindows, holder: ReactorHolder, family: AddressFamily
) -> None:
    smallest = {IPV4: 28, IPV6: 48}[family]
    system.network = lambda _: Answer()
    socket = opened(holder, family)
    await socket.send_probes(make_probes(1, family, size=smallest))
    assert (await receive(socket, 1))[0].kind is ReplyKind.ECHO_REPLY
    assert system.requests[0].payload == b""
    with pytest.raises(ConfigError, match=f"from {smallest} to 65535"):
        await socket.send_probes(make_probes(1, family, size=smallest - 1))
    await socket.aclose()


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"ttl": 0}, ConfigError, "ttl=0: must be from 1 to 255"),
        ({"ttl": 256}, ConfigError, "ttl=256"),
        ({"port": 80}, ConfigError, "ICMP, which has no ports"),
    ],
)
async def test_what_windows_would_ignore_is_refused(
    holder: ReactorHolder, fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    socket = opened(holder)
    with pytest.raises(error, match=said):
        await socket.send_probes(make_probes(1, **fields))
    await socket.aclose()


async def test_a_batch_is_taken_whole_or_not_at_all(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder)
    good, twice = make_probes(2)
    with pytest.raises(UsageError, match="only once"):
        await socket.send_probes([good, twice, good])
    with pytest.raises(UsageError, match="no IPv4 address"):
        await socket.send_probes([good, *make_probes(1, IPV6, trace=2)])
    assert system.requests == []
    await socket.aclose()


# --- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "family", "remedy"),
    [
        ({"interface": "Ethernet"}, IPV4, "name the address of the interface as source"),
        ({"mark": 1}, IPV4, "mode 'windows_icmp' has no support"),
        ({"flow": "paris"}, IPV4, "mode 'windows_raw'"),
        ({"flow": "dublin"}, IPV4, "'classic'"),
        ({"port": 80}, IPV4, "ICMP has no ports"),
        ({"source_port": 80}, IPV4, "ICMP has no ports"),
        ({"dont_fragment": True}, IPV6, "choose IPv4"),
        ({"dscp": 46}, IPV6, "choose IPv4"),
        ({"ecn": 1}, IPV6, "choose IPv4"),
        ({"flow_label": 5}, IPV6, "windows_icmp"),
    ],
)
def test_what_it_cannot_do_is_refused(
    holder: ReactorHolder, options: dict[str, Any], family: AddressFamily, remedy: str
) -> None:
    with pytest.raises(UnsupportedOption, match=remedy) as caught:
        opened(holder, family, **options)
    assert caught.value.option in options


def test_a_size_that_no_probe_can_have_is_refused_at_once(holder: ReactorHolder) -> None:
    with pytest.raises(ConfigError, match="from 48 to 65535 bytes for ICMP over IPv6"):
        opened(holder, IPV6, packet_size=40)


def test_a_source_in_no_zone_of_this_machine_is_refused_at_once(holder: ReactorHolder) -> None:
    with pytest.raises(ConfigError, match="source='fe80::1%no-such-one': must be an address of this machine"):
        opened(holder, IPV6, source="fe80::1%no-such-one")


def test_wine_has_no_icmp_for_ipv6() -> None:
    system = FakeWindows(ipv6=False)
    FakeWinsock(system)
    with pytest.raises(NoUsableSocketError, match="Icmp6CreateFile is not implemented on this system"):
        opened(ReactorHolder(system.libraries), IPV6)
    assert system.open_handles == set()


def test_a_handle_is_closed_where_there_is_no_completion_port() -> None:
    class PortlessKernel32(FakeKernel32):
        def CreateIoCompletionPort(self, file: Pointer, port: Pointer, key: int, threads: int, /) -> Pointer:  # noqa: N802
            system.fail(windows.ERROR_NOT_ENOUGH_MEMORY)
            return windows.NULL

    system = FakeWindows()
    FakeWinsock(system)
    system.kernel32 = PortlessKernel32(system)
    with pytest.raises(NoUsableSocketError, match="no completion port"):
        opened(ReactorHolder(system.libraries))
    assert system.open_handles == set()


# --- what comes back ----------------------------------------------------------------------------------------

IPV4_ANSWERS = [
    (windows.IP_TTL_EXPIRED_TRANSIT, ReplyKind.TIME_EXCEEDED, 11, 0),
    (windows.IP_DEST_NET_UNREACHABLE, ReplyKind.UNREACHABLE, 3, None),
    (windows.IP_DEST_HOST_UNREACHABLE, ReplyKind.UNREACHABLE, 3, None),
    (windows.IP_DEST_PROT_UNREACHABLE, ReplyKind.PROTOCOL_UNREACHABLE, 3, 2),
    (windows.IP_DEST_PORT_UNREACHABLE, ReplyKind.PORT_UNREACHABLE, 3, 3),
    (windows.IP_PACKET_TOO_BIG, ReplyKind.PACKET_TOO_BIG, 3, 4),
    (windows.IP_PARAM_PROBLEM, ReplyKind.PARAMETER_PROBLEM, 12, None),
]
IPV6_ANSWERS = [
    (windows.IP_TTL_EXPIRED_TRANSIT, ReplyKind.TIME_EXCEEDED, 3, 0),
    (windows.IP_DEST_NET_UNREACHABLE, ReplyKind.UNREACHABLE, 1, 0),
    (windows.IP_DEST_PROT_UNREACHABLE, ReplyKind.UNREACHABLE, 1, 1),
    (windows.IP_DEST_SCOPE_MISMATCH, ReplyKind.UNREACHABLE, 1, 2),
    (windows.IP_DEST_HOST_UNREACHABLE, ReplyKind.UNREACHABLE, 1, 3),
    (windows.IP_DEST_PORT_UNREACHABLE, ReplyKind.PORT_UNREACHABLE, 1, 4),
    (windows.IP_DEST_UNREACHABLE, ReplyKind.UNREACHABLE, 1, None),
    (windows.IP_PACKET_TOO_BIG, ReplyKind.PACKET_TOO_BIG, 2, 0),
    (windows.IP_TIME_EXCEEDED, ReplyKind.TIME_EXCEEDED, 3, None),
    (windows.IP_BAD_HEADER, ReplyKind.PARAMETER_PROBLEM, 4, 0),
    (windows.IP_UNRECOGNIZED_NEXT_HEADER, ReplyKind.PROTOCOL_UNREACHABLE, 4, 1),
]


@pytest.mark.parametrize(
    ("family", "status", "kind", "icmp_type", "icmp_code"),
    [(IPV4, *row) for row in IPV4_ANSWERS] + [(IPV6, *row) for row in IPV6_ANSWERS],
)
async def test_answers_of_routers(
    system: FakeWindows,
    holder: ReactorHolder,
    family: AddressFamily,
    status: int,
    kind: ReplyKind,
    icmp_type: int,
    icmp_code: int | None,
) -> None:
    system.network = lambda _: Answer(status, ROUTER[family], ttl=62)
    socket = opened(holder, family)
    reply = await one_reply(socket, family)
    await socket.aclose()
    assert (reply.kind, reply.icmp_type, reply.icmp_code) == (kind, icmp_type, icmp_code)
    assert reply.address == ROUTER[family]
    assert reply.reply_ttl == (62 if family is IPV4 else None)
    assert reply.timestamp_source is TimestampSource.QPC
    assert reply.rtt_ns > 0
    assert reply.quoted_ttl is None


@both_families
async def test_echo_replies(system: FakeWindows, holder: ReactorHolder, family: AddressFamily) -> None:
    system.network = lambda _: Answer(ttl=57)
    socket = opened(holder, family)
    (report,) = await socket.send_probes(make_probes(1, family))
    (reply,) = await receive(socket, 1)
    assert reply.kind is ReplyKind.ECHO_REPLY
    assert reply.address == TARGET[family]
    assert (reply.icmp_type, reply.icmp_code) == ((0, 0) if family is IPV4 else (129, 0))
    assert reply.received_ns == report.sent_ns + reply.rtt_ns
    assert socket.capabilities.sees_reply_ttl == (family is IPV4)
    await socket.aclose()


@both_families
async def test_an_echo_that_brings_back_something_else_is_refused(
    system: FakeWindows, holder: ReactorHolder, family: AddressFamily
) -> None:
    system.network = lambda request: Answer(payload=bytes(len(request.payload)))
    socket = opened(holder, family)
    await socket.send_probes(make_probes(1, family))
    assert await discarded(socket) == {"bad_token": 1}
    assert socket.receive_nowait() == []
    await socket.aclose()


@pytest.mark.parametrize("status", [windows.IP_TTL_EXPIRED_REASSEM, windows.IP_SOURCE_QUENCH])
async def test_what_says_nothing_of_the_path_is_counted(
    system: FakeWindows, holder: ReactorHolder, status: int
) -> None:
    system.network = lambda _: Answer(status, ROUTER[IPV4])
    socket = opened(holder)
    await socket.send_probes(make_probes(1))
    assert await discarded(socket) == {"unexpected": 1}
    await socket.aclose()


@both_families
async def test_silence_stays_silence(
    system: FakeWindows, holder: ReactorHolder, family: AddressFamily
) -> None:
    system.network = lambda _: TIMED_OUT
    socket = opened(holder, family)
    (report,) = await socket.send_probes(make_probes(1, family))
    assert report.error is None
    assert socket.receive_nowait() == []
    assert dict(socket.discarded) == {}
    await socket.aclose()


# --- what fails ---------------------------------------------------------------------------------------------


async def test_a_refused_request_keeps_no_other_back(system: FakeWindows, holder: ReactorHolder) -> None:
    system.refusals.extend([0, windows.ERROR_NETWORK_UNREACHABLE, 0, windows.ERROR_NOT_ENOUGH_MEMORY, 5])
    system.network = lambda _: Answer()
    socket = opened(holder)
    probes = make_probes(6)
    reports = await socket.send_probes(probes)
    assert [report.probe_id for report in reports] == [probe.id for probe in probes]
    codes = [None if report.error is None else report.error.code for report in reports]
    assert codes == [None, errno.ENETUNREACH, None, errno.ENOMEM, errno.EIO, None]
    assert "there is no route (Windows error 1231)" in str(reports[1].error)
    assert {reply.probe_id for reply in await receive(socket, 3)} == {probes[i].id for i in (0, 2, 5)}
    await socket.aclose()


@both_families
@pytest.mark.parametrize("ntstatus", [windows.STATUS_NO_MEMORY, windows.STATUS_INSUFFICIENT_RESOURCES])
async def test_zeros_of_a_request_that_failed_late_are_no_reply(
    system: FakeWindows, holder: ReactorHolder, family: AddressFamily, ntstatus: int
) -> None:
    """The buffer reads as success from 0.0.0.0, if one does not look at the status first."""
    system.network = lambda _: Answer(ntstatus=ntstatus)
    socket = opened(holder, family)
    (report,) = await socket.send_probes(make_probes(1, family))
    assert report.error is not None
    assert report.error.code in {errno.ENOMEM, errno.ENOBUFS}
    assert f"{ntstatus:#010x}" in str(report.error)
    assert socket.receive_nowait() == []
    await socket.aclose()


async def test_a_request_that_fails_when_it_was_reported_already_is_counted(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    socket = opened(holder)
    (report,) = await socket.send_probes(make_probes(1))
    assert report.error is None
    system.answer(system.requests[0], Answer(ntstatus=windows.STATUS_NO_MEMORY))
    assert await discarded(socket) == {"failed": 1}
    assert socket.receive_nowait() == []
    await socket.aclose()


@both_families
async def test_an_answer_counts_whatever_the_status_of_the_request(
    system: FakeWindows, holder: ReactorHolder, family: AddressFamily
) -> None:
    """Microsoft does not document that the two agree."""
    failed = windows.STATUS_INSUFFICIENT_RESOURCES
    system.network = lambda _: Answer(
        windows.IP_TTL_EXPIRED_TRANSIT, ROUTER[family], ntstatus=failed, written=True
    )
    socket = opened(holder, family)
    reply = await one_reply(socket, family)
    assert (reply.kind, reply.address) == (ReplyKind.TIME_EXCEEDED, ROUTER[family])
    for silence in (
        Answer(windows.IP_REQ_TIMED_OUT, ntstatus=failed, written=True),
        Answer(ntstatus=windows.STATUS_IO_TIMED_OUT),
    ):
        system.network = lambda _, silence=silence: silence  # type: ignore[misc]
        (report,) = await socket.send_probes(make_probes(1, family, trace=2))
        assert report.error is None
    assert socket.receive_nowait() == []
    assert dict(socket.discarded) == {}
    await socket.aclose()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (windows.IP_GENERAL_FAILURE, errno.EIO),
        (windows.IP_DEST_NET_UNREACHABLE, errno.ENETUNREACH),
        (windows.IP_PACKET_TOO_BIG, errno.EMSGSIZE),
        (windows.IP_SUCCESS, errno.EIO),
    ],
)
async def test_what_this_machine_says_of_itself_is_an_error(
    system: FakeWindows, holder: ReactorHolder, status: int, code: int
) -> None:
    """An answer from nobody: the probe never left."""
    nobody = IPv4Address(0)
    system.network = lambda _: Answer(status, nobody)
    socket = opened(holder)
    (report,) = await socket.send_probes(make_probes(1))
    assert report.error is not None
    assert report.error.code == code
    await socket.aclose()


@pytest.mark.parametrize("inline", [False, True], ids=["completion within the call", "result of the call"])
async def test_a_request_may_be_over_before_the_call_returns(inline: bool) -> None:
    system = FakeWindows(apc_inside=True)
    FakeWinsock(system)
    holder = ReactorHolder(system.libraries)
    system.inline = inline
    system.network = lambda _: Answer()
    socket = opened(holder)
    probes = make_probes(3)
    for report in await socket.send_probes(probes):
        assert report.error is None
    assert {reply.probe_id for reply in await receive(socket, 3)} == {probe.id for probe in probes}
    assert holder.counters[:2] == (0, 0)
    await socket.aclose()
    holder.join()
    assert system.violations == []
    assert system.open_handles == set()


# --- giving up and closing ----------------------------------------------------------------------------------


async def test_a_reply_to_a_released_probe_is_not_handed_out(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    socket = opened(holder)
    kept, given_up = make_probes(2)
    await socket.send_probes([kept, given_up])
    socket.release([given_up.id])
    for request in list(system.pending):
        system.answer(request, Answer())
    assert [reply.probe_id for reply in await receive(socket, 1)] == [kept.id]
    assert await discarded(socket) == {"released": 1}
    await socket.aclose()


async def test_a_probe_sent_anew_is_not_answered_by_the_old_reply(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    socket = opened(holder)
    (probe,) = make_probes(1)
    await socket.send_probes([probe])
    await socket.send_probes([probe])
    first, second = system.requests
    system.answer(first, Answer(windows.IP_TTL_EXPIRED_TRANSIT, ROUTER[IPV4]))
    system.answer(second, Answer())
    assert [reply.kind for reply in await receive(socket, 1)] == [ReplyKind.ECHO_REPLY]
    assert await discarded(socket) == {"released": 1}
    await socket.aclose()


@pytest.mark.parametrize("cancels", [False, True], ids=["cancelling is refused", "cancelling works"])
async def test_only_the_handle_of_a_trace_that_is_over_is_closed(cancels: bool) -> None:
    system = FakeWindows(cancels=cancels)
    FakeWinsock(system)
    holder = ReactorHolder(system.libraries)
    socket = opened(holder)
    over, running = make_probes(3, trace=1), make_probes(3, trace=2)
    await socket.send_probes([*over, *running])
    handles = {request.handle for request in system.requests}
    assert len(handles) == 2
    ended = system.requests[0].handle
    socket.release([probe.id for probe in over[:2]])
    assert system.cancelled == []
    socket.release([probe.id for probe in over])
    system.wait_until(lambda: bool(system.cancelled))
    assert system.cancelled == [ended]
    if not cancels:
        assert system.icmp_handles.keys() <= system.open_handles
        assert len(system.pending) == 6
        for request in [one for one in system.pending if one.handle == ended]:
            system.answer(request, TIMED_OUT)
    system.wait_until(lambda: ended not in system.open_handles)
    for request in list(system.pending):
        system.answer(request, Answer())
    assert {reply.probe_id for reply in await receive(socket, 3)} == {probe.id for probe in running}
    await socket.aclose()
    holder.join()
    assert system.violations == []
    assert set(system.closed_by) == {REACTOR}
    assert system.open_handles == set()


async def test_a_trace_that_goes_on_gets_another_handle(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder)
    first, second = make_probes(2)
    await socket.send_probes([first])
    socket.release([first.id])
    await socket.send_probes([second])
    assert system.requests[0].handle != system.requests[1].handle
    await socket.aclose()


async def test_closing_waits_for_nothing_and_leaves_nothing(
    system: FakeWindows, holder: ReactorHolder
) -> None:
    socket = opened(holder)
    await socket.send_probes(make_probes(90))
    await socket.aclose()
    assert len(system.pending) == 90  # and yet it is closed
    gc.collect()  # whatever nobody keeps is gone: the fake would see it
    assert holder.counters.pending == 90
    assert holder.counters.buffers == 4 * 90
    assert system.time_out() == 90
    holder.join()
    assert holder.counters[:2] == (0, 0)
    with pytest.raises(ClosedError):
        await socket.send_probes(make_probes(1))


async def test_closing_while_a_batch_is_on_its_way(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder)
    failure: Exception | None = None

    async def send() -> None:
        nonlocal failure
        try:
            await socket.send_probes(make_probes(200))
        except ClosedError as error:
            failure = error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.lowlevel.checkpoint()
        await socket.aclose()
    assert isinstance(failure, ClosedError)


async def test_a_hundred_cancellations_leave_nothing(system: FakeWindows, holder: ReactorHolder) -> None:
    system.network = lambda request: Answer() if request.ttl % 2 else None
    socket = opened(holder)
    for trace in range(1, 101):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(socket.send_probes, make_probes(9, trace=trace))
            for _ in range(trace % 4):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        socket.release([probe.id for probe in make_probes(9, trace=trace)])
    assert socket.receive_nowait() == []
    # What was still to be sent was not: only those probes are pending that had left, and were not answered.
    system.wait_until(lambda: holder.counters.pending == len(system.pending))
    system.time_out()
    system.wait_until(lambda: holder.counters.pending == 0)
    await socket.aclose()


async def test_250_requests_in_flight(system: FakeWindows, holder: ReactorHolder) -> None:
    socket = opened(holder)
    probes = make_probes(250)
    await socket.send_probes(probes)
    assert len(system.pending) == holder.counters.pending == 250
    for request in list(reversed(system.pending)):
        system.answer(request, Answer())
    assert {reply.probe_id for reply in await receive(socket, 250)} == {probe.id for probe in probes}
    await socket.aclose()


# --- the contract, and a whole trace ------------------------------------------------------------------------


@both_families
@pytest.mark.parametrize("apc_first", [False, True], ids=["packets first", "completions first"])
async def test_it_keeps_the_contract(family: AddressFamily, apc_first: bool) -> None:
    system = FakeWindows(apc_first=apc_first)
    FakeWinsock(system)
    holder = ReactorHolder(system.libraries)
    nowhere = TARGET[family] + 1

    def answer(request: Request) -> Answer:
        if request.destination == nowhere:
            return Answer(windows.IP_GENERAL_FAILURE, type(nowhere)(0))
        return Answer()

    system.network = answer

    async def open_socket() -> WindowsIcmpSocket:
        return opened(holder, family)

    def handles() -> int:
        system.time_out()
        holder.join()
        return len(system.open_handles)

    await check_probe_socket(open_socket, TARGET[family], unroutable=nowhere, count_descriptors=handles)
    assert system.violations == []
    assert {request.thread_name for request in system.requests} == {REACTOR}


def routed(system: FakeWindows, hops: int, silent: Sequence[int] = ()) -> None:
    def answer(request: Request) -> Answer | None:
        if request.ttl in silent:
            return None
        if request.ttl <= hops:
            return Answer(windows.IP_TTL_EXPIRED_TRANSIT, IPv4Address("192.0.2.0") + request.ttl)
        return Answer()

    system.network = answer


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch, holder: ReactorHolder) -> ProbeSocketFactory:
    """The real factory on the fake system."""

    def open_it(
        config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
    ) -> WindowsIcmpSocket:
        return open_windows_icmp(config, family, protocol, clock, holder)

    entries = (ModeEntry(Mode.WINDOWS_ICMP, Protocol.ICMP, open_it),)
    monkeypatch.setattr(factory_module, "platform_modes", lambda: entries)
    return ProbeSocketFactory()


async def test_a_trace(system: FakeWindows, factory: ProbeSocketFactory) -> None:
    routed(system, 4, silent=[3])
    config = TracerouteConfig(timing=TimingConfig.fast())
    with anyio.fail_after(PATIENCE):
        async with Tracer(config, socket_factory=factory) as tracer:
            result = await tracer.trace(str(TARGET[IPV4]))
    shown = [None if hop.address is None else str(hop.address) for hop in result.hops]
    assert shown == ["192.0.2.1", "192.0.2.2", None, "192.0.2.4", "198.51.100.9"]
    assert (result.reached, result.mode, result.flow.value) == (True, "windows_icmp", "classic")
    assert result.stop_reason is StopReason.DESTINATION_REACHED
    assert {probe.timestamp_source for probe in result.hops[0].probes} == {TimestampSource.QPC}
    assert str(result.source) == "192.0.2.77"  # what Windows would choose


async def test_two_traces_share_a_socket_and_have_a_handle_each(
    system: FakeWindows, factory: ProbeSocketFactory
) -> None:
    routed(system, 2)
    with anyio.fail_after(PATIENCE):
        async with Tracer(TracerouteConfig(), socket_factory=factory) as tracer:
            first = await tracer.trace(str(TARGET[IPV4]))
            second = await tracer.trace(str(TARGET[IPV4]))
    assert first.reached
    assert second.reached
    assert len({request.handle for request in system.requests}) == 2
