"""The driver over a socket held in hand: sharing, cancelling, failing, and giving everything back."""

from __future__ import annotations

import errno
import gc
import weakref
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

import traceprobe
from tests.tracer.fakes import MS, HeldNetwork, HeldSocket, path_of
from traceprobe import (
    ClosedError,
    ConfigError,
    EnrichmentConfig,
    FamilyMismatchError,
    HopSettled,
    Knowledge,
    NameResolutionError,
    NoUsableSocketError,
    Probe,
    ProbeId,
    ProbeSent,
    ReplyKind,
    SendError,
    StopReason,
    TraceFinished,
    Tracer,
    TraceResult,
    TracerouteConfig,
    UnsupportedOption,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv6Address

    from traceprobe import AddressFamily, Hop


def network_of(length: int, **options: int) -> HeldNetwork:
    network = HeldNetwork(**options)
    network.prepare = path_of(length)
    return network


def assert_everything_given_back(network: HeldNetwork) -> None:
    for socket in network.sockets:
        assert socket.closed
        assert not socket.unreleased


async def test_a_trace_sends_everything_in_one_batch_and_reports_the_path() -> None:
    network = network_of(4)
    result = await traceprobe.trace_async("target.example", socket_factory=network, max_ttl=10)
    assert [str(hop.address) for hop in result] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.9"]
    assert result.reached
    assert result.target == "target.example"
    assert result.source == IPv4Address("192.0.2.77")
    assert result.mode == "held"
    assert network.socket.batches == [30]
    assert result.timings.probes_sent == 30
    assert result.timings.submit is not None
    assert_everything_given_back(network)


async def test_traces_share_one_socket_and_get_their_own_replies() -> None:
    network = HeldNetwork()

    def prepare(socket: HeldSocket) -> None:
        def answer(probe: Probe) -> traceprobe.Reply:
            last = int(str(probe.destination).rsplit(".", 1)[1])
            if probe.ttl < 5:
                return socket.reply(probe, f"10.{last}.0.{probe.ttl}")
            return socket.reply(probe, str(probe.destination), ReplyKind.ECHO_REPLY)

        socket.answers = answer

    network.prepare = prepare
    results: dict[int, TraceResult] = {}

    async def one(last: int) -> None:
        results[last] = await tracer.trace(f"192.0.2.{last}")

    async with Tracer(socket_factory=network, max_ttl=8) as tracer, anyio.create_task_group() as tasks:
        for last in range(1, 101):
            tasks.start_soon(one, last)
    assert len(network.sockets) == 1
    for last, result in results.items():
        routers = [f"10.{last}.0.{ttl}" for ttl in range(1, 5)]
        assert [str(hop.address) for hop in result] == [*routers, f"192.0.2.{last}"]
    assert_everything_given_back(network)


async def test_the_window_holds_over_all_traces_of_a_socket() -> None:
    network = HeldNetwork(max_in_flight=7)
    done = 0

    async def one(last: int) -> None:
        nonlocal done
        result = await tracer.trace(f"192.0.2.{last}")
        assert result.reached
        done += 1

    async with Tracer(socket_factory=network, max_ttl=4) as tracer, anyio.create_task_group() as tasks:
        for last in range(1, 11):
            tasks.start_soon(one, last)
        answered: set[ProbeId] = set()
        while done < 10:
            await anyio.lowlevel.checkpoint()
            if network.sockets:
                # What lies beyond a destination that has answered is released, and waits no more.
                outstanding = network.socket.unreleased - answered
                assert len(outstanding) <= 7
                waiting = [probe for probe in network.socket.sent if probe.id in outstanding]
                for probe in waiting[:2]:
                    answered.add(probe.id)
                    network.socket.put(
                        network.socket.reply(probe, str(probe.destination), ReplyKind.ECHO_REPLY)
                    )
    assert_everything_given_back(network)


async def test_replies_that_come_before_the_send_is_reported_are_not_lost() -> None:
    network = network_of(3)
    path = network.prepare

    def prepare(socket: HeldSocket) -> None:
        path(socket)
        socket.while_sending = lambda: None

    network.prepare = prepare
    result = await traceprobe.trace_async("192.0.2.9", socket_factory=network, max_ttl=5)
    assert [hop.received for hop in result] == [3, 3, 3]


async def test_events_come_in_order_and_every_reader_starts_at_the_beginning() -> None:
    network = network_of(3)
    async with traceprobe.open_trace("192.0.2.9", socket_factory=network, max_ttl=3) as trace:
        events = [event async for event in trace.events()]
        again = [event async for event in trace.events()]
        hops = [hop.ttl async for hop in trace]
        ordered = [hop.ttl async for hop in trace.in_order()]
    assert events == again
    assert [type(event) for event in events[:9]] == [ProbeSent] * 9
    assert isinstance(events[-1], TraceFinished)
    assert events[-1].result is trace.result
    assert sorted(hops) == ordered == [1, 2, 3]
    assert sum(isinstance(event, HopSettled) for event in events) == 3
    assert [hop.ttl async for hop in trace.in_order()] == [1, 2, 3], "a finished trace can still be read"


async def test_leaving_early_gives_everything_back_and_keeps_what_is_known() -> None:
    network = HeldNetwork()
    async with traceprobe.open_trace("192.0.2.9", socket_factory=network) as trace:
        with pytest.raises(UsageError, match="not ended"):
            _ = trace.result
        async for event in trace.events():
            if isinstance(event, ProbeSent):
                network.socket.put(network.socket.reply(event.probe, "10.0.0.1"))
                break
    assert trace.result.stop_reason is StopReason.CANCELLED
    assert_everything_given_back(network)


async def test_a_cancelled_caller_gives_everything_back() -> None:
    network = HeldNetwork()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                while not network.sockets or not network.socket.sent:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

            tasks.start_soon(cancel)
            await traceprobe.trace_async("192.0.2.9", socket_factory=network)
    assert scope.cancelled_caught
    assert_everything_given_back(network)


async def test_cancelling_at_any_await_gives_everything_back() -> None:
    """Cancel after one turn of the loop, after two, and so on, until a trace gets through."""
    for turns in range(200):
        network = network_of(3)
        finished = False

        async def one(network: HeldNetwork = network) -> None:
            nonlocal finished
            await traceprobe.trace_async("target.example", socket_factory=network)
            finished = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert_everything_given_back(network)
        if finished:
            break
    else:
        pytest.fail("no trace got through in 200 turns of the loop")
    assert turns > 2


async def test_an_error_of_the_consumer_passes_through_as_it_is() -> None:
    network = HeldNetwork()

    async def consume() -> None:
        async with traceprobe.open_trace("192.0.2.9", socket_factory=network) as trace:
            async for _ in trace.events():
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await consume()
    assert_everything_given_back(network)


async def test_a_socket_that_fails_fails_its_traces_with_that_error_and_no_others() -> None:
    network = HeldNetwork()

    class CableCutError(OSError):
        pass

    caught: list[CableCutError] = []

    async def one() -> None:
        try:
            await tracer.trace("192.0.2.9")
        except CableCutError as error:
            caught.append(error)

    async with Tracer(socket_factory=network) as tracer:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            tasks.start_soon(one)
            while not network.sockets or len(network.socket.sent) < 180:
                await anyio.lowlevel.checkpoint()
            network.socket.fail(CableCutError("cut"))
        network.prepare = path_of(2)
        result = await tracer.trace("192.0.2.9")
    assert len(caught) == 2
    assert result.reached, "a tracer opens another socket after one has failed"
    assert len(network.sockets) == 2
    assert_everything_given_back(network)


async def test_a_failure_at_the_end_of_a_trace_is_told_and_nobody_waits_for_ever() -> None:
    network = network_of(4)
    with anyio.fail_after(60):
        async with traceprobe.open_trace("target.example", socket_factory=network, max_ttl=10) as trace:
            network.socket.discarded = None  # type: ignore[assignment]
            with pytest.raises(TypeError):
                await trace.wait()
    assert_everything_given_back(network)


async def test_a_failure_while_a_trace_is_given_up_lets_its_user_go() -> None:
    network = HeldNetwork()

    def fail(probes: Sequence[ProbeId]) -> None:
        raise RuntimeError(f"{len(probes)} probes can't be released")

    with anyio.fail_after(60):
        async with traceprobe.open_trace("target.example", socket_factory=network, max_ttl=10) as trace:
            async for event in trace.events():
                assert isinstance(event, ProbeSent)
                break
            network.socket.release = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="can't be released"):
        trace.result  # noqa: B018
    assert network.socket.closed


async def test_a_trace_whose_every_probe_is_refused_raises() -> None:
    network = HeldNetwork()
    network.prepare = lambda socket: setattr(socket, "refuses", lambda _: errno.ENETUNREACH)
    with pytest.raises(SendError, match="not a single probe") as caught:
        await traceprobe.trace_async("192.0.2.9", socket_factory=network)
    assert caught.value.code == errno.ENETUNREACH
    assert_everything_given_back(network)


async def test_some_refused_probes_are_data() -> None:
    network = network_of(3)
    path = network.prepare

    def prepare(socket: HeldSocket) -> None:
        path(socket)
        socket.refuses = lambda probe: errno.EPERM if probe.ttl == 2 else None

    network.prepare = prepare
    result = await traceprobe.trace_async("192.0.2.9", socket_factory=network)
    assert [hop.address is None for hop in result] == [False, True, False]
    assert {probe.error for probe in result.hops[1].probes} == {"EPERM"}
    assert result.hops[1].loss is None


async def test_a_slow_consumer_does_not_slow_the_trace() -> None:
    network = network_of(3)
    async with traceprobe.open_trace("192.0.2.9", socket_factory=network) as trace:
        async for _ in trace:
            await trace.wait()
            assert trace.finished
        assert trace.result.reached


async def test_iterating_without_entering_is_refused() -> None:
    trace = traceprobe.open_trace("192.0.2.9", socket_factory=HeldNetwork())
    with pytest.raises(UsageError, match="async with"):
        async for _ in trace:
            pass
    with pytest.raises(UsageError, match="async with"):
        trace.events()
    with pytest.raises(UsageError, match="async with"):
        _ = trace.result
    async with trace:
        pass
    with pytest.raises(UsageError, match="only once"):
        async with trace:
            pass


def test_options_are_told_apart_by_their_types_and_may_be_anything() -> None:
    network = network_of(2)
    assert (
        Tracer(socket_factory=network, max_ttl=7).config is Tracer(socket_factory=network, max_ttl=7).config
    )
    assert Tracer(socket_factory=network, max_ttl=1).config.max_ttl == 1
    with pytest.raises(ConfigError, match="max_ttl"):
        Tracer(socket_factory=network, max_ttl=True)
    with pytest.raises(ConfigError, match="max_ttl"):
        Tracer(socket_factory=network, max_ttl=[1])  # type: ignore[arg-type]


async def test_a_tracer_must_be_entered_once_and_while_open() -> None:
    tracer = Tracer(socket_factory=network_of(2))
    with pytest.raises(UsageError, match="not entered"):
        await tracer.trace("192.0.2.9")
    async with tracer:
        await tracer.trace("192.0.2.9")
        with pytest.raises(UsageError, match="only once"):
            await tracer.__aenter__()
    with pytest.raises(ClosedError):
        await tracer.trace("192.0.2.9")


async def test_who_waits_for_a_socket_that_fails_to_open_opens_it_himself() -> None:
    network = network_of(2)
    opened, opens = network.open, 0

    async def fails_first(config: TracerouteConfig, family: AddressFamily) -> HeldSocket:
        nonlocal opens
        opens += 1
        first = opens == 1
        await anyio.lowlevel.checkpoint()
        if first:
            raise NoUsableSocketError("none is left")
        return await opened(config, family)

    network.open = fails_first  # type: ignore[method-assign]
    outcomes: list[object] = []

    async def one(tracer: traceprobe.Tracer) -> None:
        try:
            outcomes.append((await tracer.trace("target.example")).reached)
        except NoUsableSocketError as error:
            outcomes.append(type(error))

    async with traceprobe.Tracer(socket_factory=network) as tracer, anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(one, tracer)
    assert sorted(outcomes, key=str) == [NoUsableSocketError, True, True, True]
    assert opens == 2
    assert_everything_given_back(network)


async def test_a_receiver_that_outlives_its_socket_is_cancelled() -> None:
    network = network_of(2)
    async with traceprobe.Tracer(socket_factory=network) as tracer:
        await tracer.trace("target.example")
        network.socket._ring = lambda: None  # type: ignore[method-assign]  # closing tells nobody
    assert_everything_given_back(network)


async def test_closing_the_tracer_ends_the_traces_that_are_left() -> None:
    network = HeldNetwork()
    results: list[TraceResult] = []

    async def one() -> None:
        async with tracer.open_trace("192.0.2.9") as trace:
            results.append(await trace.wait())

    async with anyio.create_task_group() as tasks, Tracer(socket_factory=network) as tracer:
        tasks.start_soon(one)
        while not network.sockets or not network.socket.sent:
            await anyio.lowlevel.checkpoint()
    assert [result.stop_reason for result in results] == [StopReason.CANCELLED]
    assert_everything_given_back(network)


async def test_closing_the_tracer_ends_the_traces_that_others_wait_for() -> None:
    network = HeldNetwork()
    results: list[TraceResult] = []

    async def one() -> None:
        results.append(await tracer.trace("192.0.2.9"))
        assert not network.socket.closed, "the trace is over before its socket is closed"

    async with anyio.create_task_group() as tasks, Tracer(socket_factory=network) as tracer:
        for _ in range(3):
            tasks.start_soon(one)
        while not network.sockets or len(network.socket.batches) < 3:
            await anyio.lowlevel.checkpoint()
    assert [result.stop_reason for result in results] == [StopReason.CANCELLED] * 3
    assert_everything_given_back(network)


async def test_a_caller_that_stops_waiting_ends_its_trace() -> None:
    network = HeldNetwork()
    async with Tracer(socket_factory=network) as tracer:

        async def cancel_once_sent(scope: anyio.CancelScope) -> None:
            while not network.sockets or not network.socket.sent:
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_once_sent, scope)
            with scope:
                await tracer.trace("192.0.2.9")
        assert scope.cancelled_caught
        assert not network.socket.unreleased
    assert_everything_given_back(network)


@pytest.mark.parametrize("target", ["", "a\0b", 7, None, "224.0.0.1", "ff02::1", "0.0.0.0", "::"])
async def test_a_target_that_is_none(target: str) -> None:
    with pytest.raises(ConfigError, match="target"):
        await traceprobe.trace_async(target, socket_factory=HeldNetwork())


async def test_failures_before_the_first_probe_are_plain_exceptions() -> None:
    network = HeldNetwork()
    with pytest.raises(NameResolutionError, match=r"nowhere\.example"):
        await traceprobe.trace_async("nowhere.example", socket_factory=network)
    with pytest.raises(FamilyMismatchError, match="IPv6"):
        await traceprobe.trace_async("192.0.2.9", socket_factory=network, family=6)
    with pytest.raises(FamilyMismatchError, match="IPv6"):
        await traceprobe.trace_async("192.0.2.9", socket_factory=network, source="2001:db8::1")
    network.refusal = traceprobe.PrivilegeError("no", remedies=["become root"])
    with pytest.raises(PermissionError, match="become root"):
        await traceprobe.trace_async("192.0.2.9", socket_factory=network)
    with pytest.raises(ConfigError, match="no_such_option"):
        traceprobe.open_trace("192.0.2.9", socket_factory=network, no_such_option=1)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="config"):
        traceprobe.open_trace("192.0.2.9", 5, socket_factory=network)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedOption, match="asn"):
        traceprobe.open_trace(
            "192.0.2.9", socket_factory=network, resolver=SlowNames(), enrichment=EnrichmentConfig(asn=True)
        )


async def test_idle_sockets_are_closed_when_there_are_many() -> None:
    network = network_of(2)
    async with Tracer(socket_factory=network) as tracer:
        for mark in range(20):
            await tracer.trace("192.0.2.9", mark=mark)
        still_open = [socket for socket in network.sockets if not socket.closed]
        assert 1 <= len(still_open) <= 9
        await tracer.trace("192.0.2.9", mark=19)
        assert len(network.sockets) == 20, "the most recently used socket is still open"
    assert_everything_given_back(network)


async def test_idle_sockets_are_closed_by_many_at_once_and_only_while_they_are_idle() -> None:
    """A socket that takes its time to close lets others in between."""

    class SlowlyClosing(HeldSocket):
        async def aclose(self) -> None:
            await super().aclose()
            for _ in range(5):
                await anyio.lowlevel.checkpoint()

    class Network(HeldNetwork):
        make = SlowlyClosing

    network = Network()
    network.prepare = path_of(2)
    async with Tracer(socket_factory=network) as tracer:

        async def hold(mark: int, all_open: anyio.Event, opened: list[int]) -> None:
            async with tracer.open_trace("target.example", mark=mark):
                opened.append(mark)
                if len(opened) == 20:
                    all_open.set()
                await all_open.wait()

        for marks in (range(20), range(10, 30)):
            all_open, opened = anyio.Event(), list[int]()
            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    for mark in marks:
                        tasks.start_soon(hold, mark, all_open, opened)
    assert_everything_given_back(network)


async def test_no_socket_stays_open_because_another_fails_to_close() -> None:
    class Stuck(HeldSocket):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("it is stuck")

    class Network(HeldNetwork):
        make = Stuck

    network = Network()
    network.prepare = path_of(2)
    tracer = await Tracer(socket_factory=network).__aenter__()
    for mark in range(3):
        await tracer.trace("target.example", mark=mark)
    with pytest.raises(OSError, match="it is stuck"):
        await tracer.__aexit__(None, None, None)
    assert_everything_given_back(network)


async def test_packets_per_second_holds_over_all_traces() -> None:
    network = network_of(3)
    config = TracerouteConfig(packets_per_second=2000, max_ttl=3).with_options({"pacing_burst": 0.0005})
    began = network.clock.monotonic_ns()
    async with Tracer(config, socket_factory=network) as tracer, anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(tracer.trace, "192.0.2.9")
    took = network.clock.monotonic_ns() - began
    assert sum(network.socket.batches) == 4 * 9
    assert took >= 35 * MS / 2, "36 probes at 2000 a second can't be out earlier"


class SlowNames:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.asked: list[IPv4Address | IPv6Address] = []

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        self.asked.append(address)
        await self.go.wait()
        return f"host-{str(address).rsplit('.', 1)[1]}.example"


async def test_names_stream_in_without_holding_up_a_hop() -> None:
    names = SlowNames()
    network = network_of(3)
    settled: list[Hop] = []
    async with traceprobe.open_trace("192.0.2.9", socket_factory=network, resolver=names) as trace:
        async for hop in trace.in_order():
            settled.append(hop)
            if hop.ttl == 3:
                break
        assert [hop.hostname for hop in settled] == [None] * 3
        names.go.set()
        named = [hop.hostname async for hop in trace.in_order(until="enriched")]
        assert named == ["host-1.example", "host-2.example", "host-9.example"]
    assert [hop.hostname for hop in trace.result] == named
    assert len(names.asked) == 3, "each address is asked about once"


async def test_names_that_never_come_are_waited_for_no_longer_than_configured() -> None:
    network = network_of(3)
    result = await traceprobe.trace_async(
        "192.0.2.9", socket_factory=network, resolver=SlowNames(), enrichment_timeout=0.01
    )
    assert result.reached
    assert [hop.hostname for hop in result] == [None] * 3


async def test_an_enricher_that_fails_costs_only_its_own_knowledge(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            raise RuntimeError("broken enricher")

    class Works:
        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            return Knowledge(hostname="known.example")

    network = network_of(2)
    result = await traceprobe.trace_async("192.0.2.9", socket_factory=network, enrichers=[Broken(), Works()])
    assert [hop.hostname for hop in result] == ["known.example"] * 2
    assert "broken enricher" in caplog.text


async def test_nothing_is_left_for_the_garbage_collector_to_complain_about() -> None:
    network = network_of(3)
    async with traceprobe.open_trace("192.0.2.9", socket_factory=network) as trace:
        async for _ in trace:
            break
    del trace
    gc.collect()
    assert_everything_given_back(network)


async def test_a_trace_that_is_over_goes_away_with_its_last_user() -> None:
    network = network_of(3)
    async with Tracer(socket_factory=network) as tracer:
        gc.collect()
        gc.disable()
        try:
            async with tracer.open_trace("192.0.2.9") as trace:
                hops = [hop async for hop in trace]
            kept = weakref.ref(trace)
            held = weakref.ref(trace._started())
            assert len(hops) == 3
            del trace
            await anyio.lowlevel.checkpoint()  # the loop lets go of the trace's task
            assert kept() is None
            assert held() is None
        finally:
            gc.enable()


async def test_a_reader_that_comes_late_reads_what_nobody_has_asked_for() -> None:
    network = network_of(3)
    async with traceprobe.open_trace("192.0.2.9", socket_factory=network) as trace:
        result = await trace.wait()
        events = [event async for event in trace.events()]
    assert [type(event).__name__ for event in events[:9]] == ["ProbeSent"] * 9
    assert [event.hop for event in events if isinstance(event, HopSettled)] == list(result.hops)
    assert events[-1] == TraceFinished(result)
    assert [event async for event in trace.events()] == events
