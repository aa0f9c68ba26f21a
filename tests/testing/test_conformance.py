"""The conformance suite passes simulated sockets, and fails sockets that break the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from traceprobe.config import AddressFamily, FlowStrategy, Protocol, TracerouteConfig
from traceprobe.errors import ClosedError
from traceprobe.model import Probe, ProbeId, Reply, ReplyKind, SentProbe
from traceprobe.testing import SimulatedNetwork, Target, check_probe_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from traceprobe.sockets.protocol import AsyncProbeSocket, SocketCapabilities

V4, V6 = "192.0.2.9", "2001:db8::9"


def two_targets(**options: Any) -> SimulatedNetwork:
    return SimulatedNetwork.paths({
        V4: ["198.51.100.1", Target(V4, **options)],
        V6: ["2001:db8:1::1", Target(V6, **options)],
    })


@pytest.mark.parametrize("flow", FlowStrategy)
@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("destination", [V4, V6])
async def test_simulated_sockets_keep_to_the_contract(
    destination: str, protocol: Protocol, flow: FlowStrategy
) -> None:
    network = two_targets()
    family = AddressFamily.IPV4 if destination == V4 else AddressFamily.IPV6
    config = TracerouteConfig(protocol=protocol, flow=flow)

    async def open_socket() -> AsyncProbeSocket:
        return await network.open(config, family)

    nowhere = "203.0.113.1" if destination == V4 else "2001:db8:ffff::1"
    await check_probe_socket(open_socket, destination, unroutable=nowhere)
    assert network.open_sockets == 0


async def test_a_simulated_service_on_an_open_port_keeps_to_the_contract() -> None:
    network = two_targets(udp="data")

    async def open_socket() -> AsyncProbeSocket:
        return await network.open(TracerouteConfig(protocol="udp"), AddressFamily.IPV4)

    await check_probe_socket(open_socket, V4)


class Wrapped:
    """A sound socket, to break in one point."""

    def __init__(self, socket: AsyncProbeSocket) -> None:
        self.inner = socket

    @property
    def capabilities(self) -> SocketCapabilities:
        return self.inner.capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        return self.inner.discarded

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        return await self.inner.send_probes(probes)

    async def receive(self) -> Sequence[Reply]:
        return await self.inner.receive()

    def receive_nowait(self) -> Sequence[Reply]:
        return self.inner.receive_nowait()

    def release(self, probes: Sequence[ProbeId]) -> None:
        self.inner.release(probes)

    async def aclose(self) -> None:
        await self.inner.aclose()


class OddCapabilities(Wrapped):
    @property
    def capabilities(self) -> SocketCapabilities:
        return attrs.evolve(self.inner.capabilities, max_in_flight=0)


class OtherFamily(Wrapped):
    @property
    def capabilities(self) -> SocketCapabilities:
        return attrs.evolve(self.inner.capabilities, family=AddressFamily.IPV6)


class ForeignFlow(Wrapped):
    @property
    def capabilities(self) -> SocketCapabilities:
        has = self.inner.capabilities
        return attrs.evolve(has, flow=FlowStrategy.DUBLIN, flows=has.flows - {FlowStrategy.DUBLIN})


class PortOfIcmp(Wrapped):
    @property
    def capabilities(self) -> SocketCapabilities:
        return attrs.evolve(self.inner.capabilities, default_port=7)


class ReportsBackwards(Wrapped):
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        return list(await self.inner.send_probes(probes))[::-1]


class ReportsTooFew(Wrapped):
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        return list(await self.inner.send_probes(probes))[:-1]


class SendsNothing(Wrapped):
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        reports = await self.inner.send_probes(probes)
        self.inner.release([probe.id for probe in probes])
        return reports


class RepeatsReplies(Wrapped):
    last: Sequence[Reply] = ()

    async def receive(self) -> Sequence[Reply]:
        self.last = await self.inner.receive()
        return self.last

    def receive_nowait(self) -> Sequence[Reply]:
        last, self.last = self.last, ()
        return [*last, *self.inner.receive_nowait()]


class ReturnsEmpty(Wrapped):
    async def receive(self) -> Sequence[Reply]:
        await anyio.lowlevel.checkpoint()
        return self.inner.receive_nowait()


class LetsTwoReceive(Wrapped):
    def __init__(self, socket: AsyncProbeSocket) -> None:
        super().__init__(socket)
        self.lock: anyio.Lock | None = None

    async def receive(self) -> Sequence[Reply]:
        self.lock = self.lock or anyio.Lock()
        async with self.lock:
            return await self.inner.receive()


class LosesWhenCancelled(Wrapped):
    async def receive(self) -> Sequence[Reply]:
        replies = await self.inner.receive()
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        return replies


class RemembersReleased(Wrapped):
    def release(self, probes: Sequence[ProbeId]) -> None:
        pass


class RefusesUnknownRelease(Wrapped):
    def __init__(self, socket: AsyncProbeSocket) -> None:
        super().__init__(socket)
        self.known: set[ProbeId] = set()

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        self.known |= {probe.id for probe in probes}
        return await self.inner.send_probes(probes)

    def release(self, probes: Sequence[ProbeId]) -> None:
        for probe in probes:
            if probe not in self.known:
                raise AssertionError(f"release() refuses {probe}")
        self.inner.release(probes)


class ReusesIdentifiers(Wrapped):
    """Credits the replies of released probes to those that are sent next."""

    def __init__(self, socket: AsyncProbeSocket) -> None:
        super().__init__(socket)
        self.outstanding: set[ProbeId] = set()
        self.stale: dict[ProbeId, ProbeId] = {}
        self.freed: list[ProbeId] = []

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        for probe in probes:
            if self.freed:
                self.stale[self.freed.pop()] = probe.id
        self.outstanding |= {probe.id for probe in probes}
        return await self.inner.send_probes(probes)

    def release(self, probes: Sequence[ProbeId]) -> None:
        self.freed += [probe for probe in probes if probe in self.outstanding]
        self.outstanding -= set(probes)

    async def receive(self) -> Sequence[Reply]:
        return self.credited(await self.inner.receive())

    def receive_nowait(self) -> Sequence[Reply]:
        return self.credited(self.inner.receive_nowait())

    def credited(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        self.outstanding -= {reply.probe_id for reply in replies}
        return [
            attrs.evolve(reply, probe_id=self.stale.get(reply.probe_id, reply.probe_id)) for reply in replies
        ]


class NeverWakesTheReceiver(Wrapped):
    async def receive(self) -> Sequence[Reply]:
        try:
            return await self.inner.receive()
        except ClosedError:
            await anyio.Event().wait()
            raise


class ClosesOnce(Wrapped):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise AssertionError("aclose() is not idempotent")
        self.closed = True
        await self.inner.aclose()


class SendsWhenClosed(Wrapped):
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        try:
            return await self.inner.send_probes(probes)
        except Exception:
            return []


class ReceivesWhenClosed(Wrapped):
    def receive_nowait(self) -> Sequence[Reply]:
        try:
            return self.inner.receive_nowait()
        except Exception:
            return []


class OddReplies(Wrapped):
    async def receive(self) -> Sequence[Reply]:
        return [
            attrs.evolve(reply, kind=ReplyKind.TIME_EXCEEDED, rtt_ns=-1)
            for reply in await self.inner.receive()
        ]


class StrangeAddress(Wrapped):
    async def receive(self) -> Sequence[Reply]:
        return [attrs.evolve(reply, rtt_ns=-1) for reply in await self.inner.receive()]


class HidesErrors(Wrapped):
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        return [attrs.evolve(report, error=None) for report in await self.inner.send_probes(probes)]


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (OddCapabilities, "max_in_flight is 0"),
        (OtherFamily, "to be probed"),
        (ForeignFlow, "is none of"),
        (PortOfIcmp, "ICMP has no ports"),
        (ReportsBackwards, "not one report for each probe in order"),
        (ReportsTooFew, "not one report for each probe in order"),
        (SendsNothing, "not all are answered"),
        (RepeatsReplies, "more than one reply"),
        (ReturnsEmpty, "returns without a reply"),
        (LetsTwoReceive, "does not raise BusyError"),
        (LosesWhenCancelled, "not all are answered"),
        (RemembersReleased, "not sent or given up"),
        (RefusesUnknownRelease, "refuses"),
        (ReusesIdentifiers, "more than one reply"),
        (NeverWakesTheReceiver, "does not wake the task"),
        (ClosesOnce, "not idempotent"),
        (SendsWhenClosed, "send_probes() of a closed socket does not raise"),
        (ReceivesWhenClosed, "receive_nowait() of a closed socket does not raise"),
        (OddReplies, "does not answer as a destination"),
        (StrangeAddress, "negative round-trip time"),
        (HidesErrors, "is reported as sent"),
    ],
)
async def test_a_socket_that_breaks_the_contract_is_told_where(
    broken: Callable[[AsyncProbeSocket], AsyncProbeSocket], complaint: str
) -> None:
    network = two_targets()

    async def open_socket() -> AsyncProbeSocket:
        return broken(await network.open(TracerouteConfig(), AddressFamily.IPV4))

    with pytest.raises(AssertionError) as caught:
        await check_probe_socket(open_socket, V4, unroutable="203.0.113.1", patience=0.2)
    assert complaint in str(caught.value)


async def test_descriptors_that_stay_open_are_counted() -> None:
    network = two_targets()
    opened = 0

    async def open_socket() -> AsyncProbeSocket:
        nonlocal opened
        opened += 1
        return await network.open(TracerouteConfig(), AddressFamily.IPV4)

    with pytest.raises(AssertionError, match="8 descriptors are left open"):
        await check_probe_socket(open_socket, V4, count_descriptors=lambda: opened)
