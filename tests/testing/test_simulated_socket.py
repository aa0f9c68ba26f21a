"""Simulated sockets by themselves: what the driver of a socket sees."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Unpack

import anyio
import anyio.lowlevel
import pytest

from traceprobe import BusyError, ConfigError, NoUsableSocketError, SendError, TracerouteConfig
from traceprobe.config import AddressFamily, TraceOptions
from traceprobe.model import Probe, Reply, ReplyKind, make_probe_id
from traceprobe.testing import Fault, Path, RateLimit, Router, SimulatedNetwork, Target, Topology

if TYPE_CHECKING:
    from traceprobe.testing._socket import SimulatedSocket

DESTINATION = ip_address("192.0.2.9")


def network(*faults: Fault, **options: Any) -> SimulatedNetwork:
    return SimulatedNetwork.path(
        str(DESTINATION),
        [Router("198.51.100.1", rtt=0.01, faults=faults), Target(str(DESTINATION))],
        **options,
    )


async def open_socket(net: SimulatedNetwork, **options: Unpack[TraceOptions]) -> SimulatedSocket:
    return await net.open(TracerouteConfig().with_options(options), AddressFamily.IPV4)


def probes(count: int, *, trace: int = 1, ttl: int = 1, **options: Any) -> list[Probe]:
    return [
        Probe(make_probe_id(trace, index), DESTINATION, ttl, index + 1, **options) for index in range(count)
    ]


async def test_receiving_is_waiting_in_virtual_time() -> None:
    net = network()
    socket = await open_socket(net)
    reports = await socket.send_probes(probes(3))
    assert [report.sent_ns for report in reports] == [0, 0, 0]
    assert [report.source for report in reports] == [ip_address("192.0.2.77")] * 3
    replies = await socket.receive()
    assert net.clock.monotonic_ns() == 10_000_000
    assert [reply.probe_id for reply in replies] == [probe.id for probe in probes(3)]
    assert {reply.rtt_ns for reply in replies} == {10_000_000}
    assert {reply.quoted_ttl for reply in replies} == {1}
    await socket.aclose()


async def test_a_socket_and_an_alarm_wait_together() -> None:
    net = network()
    socket, alarm = await open_socket(net), net.clock.alarm()
    await socket.send_probes(probes(1))
    await alarm.wait(9_999_999)
    assert socket.receive_nowait() == []
    await alarm.wait(10_000_000)
    assert len(socket.receive_nowait()) == 1
    assert socket.receive_nowait() == []
    alarm.close()
    await socket.aclose()


async def test_a_probe_to_nowhere_carries_its_error_and_keeps_no_identifier() -> None:
    net = network()
    socket = await open_socket(net)
    good, bad = probes(2)
    bad = Probe(bad.id, ip_address("203.0.113.1"), 1, 1)
    reports = await socket.send_probes([good, bad])
    assert reports[0].error is None
    assert isinstance(reports[1].error, SendError)
    assert reports[1].error.code == errno.ENETUNREACH
    assert len(net.sent) == 1
    await socket.aclose()


async def test_a_batch_with_a_probe_that_can_not_be_made_sends_nothing() -> None:
    net = network()
    socket = await open_socket(net)
    with pytest.raises(ConfigError):
        await socket.send_probes([*probes(2), *probes(1, trace=2, size=29)])
    assert not net.sent
    assert len(await socket.send_probes(probes(2))) == 2
    await socket.aclose()


async def test_identifiers_run_out_and_come_back_after_their_rest() -> None:
    net = network()
    socket = await open_socket(net, identifier_quarantine=1.0, protocol="udp", flow="classic", port=65000)
    port = {"port": 65000}
    await socket.send_probes(probes(536, **port))
    with pytest.raises(NoUsableSocketError):
        await socket.send_probes(probes(1, trace=2, **port))
    socket.release([probe.id for probe in probes(536)])
    with pytest.raises(NoUsableSocketError):
        await socket.send_probes(probes(1, trace=2, **port))
    await net.clock.pass_time(1.0)
    await socket.send_probes(probes(536, trace=3, **port))
    await socket.aclose()


async def test_unread_replies_fill_the_receive_buffer() -> None:
    net = network()
    socket = await open_socket(net, receive_buffer=2048)
    assert socket.capabilities.max_in_flight == 2
    await socket.send_probes(probes(5))
    await net.clock.pass_time(1.0)
    assert len(socket.receive_nowait()) == 2
    assert socket.discarded == {"overflow": 3}
    assert sum(packet.remark == "overflow" for packet in net.received) == 3
    await socket.aclose()


async def test_released_probes_are_not_waited_for_and_their_replies_are_refused() -> None:
    net = network()
    socket = await open_socket(net)
    await socket.send_probes(probes(2))
    socket.release([probe.id for probe in probes(2)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.receive)
        await anyio.wait_all_tasks_blocked()
        assert net.clock.monotonic_ns() == 0
        tasks.cancel_scope.cancel()
    await net.clock.pass_time(1.0)
    assert socket.receive_nowait() == []
    assert socket.discarded == {"released": 2}
    await socket.aclose()


async def test_what_arrives_at_a_closed_socket_is_gone() -> None:
    net = network()
    socket = await open_socket(net)
    await socket.send_probes(probes(2))
    assert net.open_sockets == 1
    await socket.aclose()
    assert net.open_sockets == 0
    await net.clock.pass_time(1.0)
    assert not net.received


async def test_a_receiver_that_is_busy_holds_time_up() -> None:
    net = network(Fault("duplicate", delay=0.005))
    socket = await open_socket(net)
    alarm = net.clock.alarm()
    log: list[tuple[str, int]] = []

    async def receive() -> None:
        for _ in range(2):
            await socket.receive()
            for _ in range(30):
                await anyio.lowlevel.checkpoint()
            log.append(("received", net.clock.monotonic_ns()))

    async def wait() -> None:
        await alarm.wait(12_000_000)
        log.append(("rang", net.clock.monotonic_ns()))
        alarm.close()

    await socket.send_probes(probes(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(wait)
    assert log == [("received", 10_000_000), ("rang", 12_000_000), ("received", 15_000_000)]
    await socket.aclose()


async def test_replies_that_another_task_takes_leave_the_receiver_waiting() -> None:
    net = network()
    socket = await open_socket(net)
    got: list[int] = []

    async def receive() -> None:
        got.extend(reply.probe_id for reply in await socket.receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await socket.send_probes(probes(1))
        taken: list[Reply] = []

        def take() -> None:
            taken.extend(socket.receive_nowait())

        # Right behind the arrival, before the receiver gets its turn.
        net.clock.call_at(9_999_999, lambda: net.clock.call_at(10_000_000, take))
        await net.clock.pass_time(0.02)
        assert len(taken) == 1
        assert got == []
        await socket.send_probes(probes(1, trace=2))
    assert got == [make_probe_id(2, 0)]
    await socket.aclose()


async def test_one_probe_may_be_sent_and_awaited_by_itself() -> None:
    net = network()
    socket = await open_socket(net)
    (probe,) = probes(1, ttl=2)
    reply = await socket.send_probe_and_recv(probe, 50_000_000)
    assert reply is not None
    assert (reply.kind, reply.rtt_ns) == (ReplyKind.ECHO_REPLY, 11_000_000)
    assert net.clock.monotonic_ns() == 11_000_000
    (probe,) = probes(1, trace=2)
    assert await socket.send_probe_and_recv(probe, 20_999_999) is None
    assert net.clock.monotonic_ns() == 20_999_999
    await net.clock.pass_time(0.001)
    assert net.clock.monotonic_ns() == 21_999_999
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BusyError):
            await socket.send_probe_and_recv(probe, 99_000_000)
        tasks.cancel_scope.cancel()
    await socket.aclose()


async def test_replies_to_other_probes_are_kept_for_the_next_receiver() -> None:
    net = network()
    socket = await open_socket(net)
    await socket.send_probes(probes(2))
    (probe,) = probes(1, trace=2, ttl=2)
    assert await socket.send_probe_and_recv(probe, 50_000_000) is not None
    assert [reply.probe_id for reply in await socket.receive()] == [probe.id for probe in probes(2)]
    await socket.aclose()


async def test_one_router_limits_each_of_its_paths_together() -> None:
    router = Router("198.51.100.1", rate_limit=RateLimit(0.0, burst=3))
    topology = Topology(paths=[Path("192.0.2.9", [router]), Path("192.0.2.10", [router])])
    net = SimulatedNetwork(topology)
    socket = await open_socket(net)
    await socket.send_probes(probes(2))
    others = [Probe(make_probe_id(2, n), ip_address("192.0.2.10"), 1, n + 1) for n in range(2)]
    await socket.send_probes(others)
    assert len(await socket.receive()) == 3
    await socket.aclose()


async def test_a_receiver_whose_task_has_ended_is_not_waited_for() -> None:
    net = network()
    socket = await open_socket(net)
    await socket.send_probes(probes(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.receive)
        await net.clock.pass_time(1.0)
    assert net.clock.monotonic_ns() == 1_000_000_000
    await socket.aclose()


async def test_replies_that_have_come_to_probes_given_up_since_are_not_handed_out() -> None:
    net = network()
    socket = await open_socket(net)
    sent = probes(3)
    await socket.send_probes(sent)
    await net.clock.pass_time(1.0)
    socket.release([sent[1].id])
    assert [reply.probe_id for reply in socket.receive_nowait()] == [sent[0].id, sent[2].id]
    await socket.aclose()
