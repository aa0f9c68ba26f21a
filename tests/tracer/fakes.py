"""A probe socket that a test holds in its hand: it says what is answered, what fails and when."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from traceprobe import (
    AddressFamily,
    FlowStrategy,
    NameResolutionError,
    Probe,
    ProbeId,
    Protocol,
    Reply,
    ReplyKind,
    SendError,
    SentProbe,
    SocketCapabilities,
    TimestampSource,
    TracerouteConfig,
)
from traceprobe.errors import BusyError, ClosedError
from traceprobe.loops import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

MS = 1_000_000


class HeldSocket:
    """Sends nothing; replies are what the test puts in, or what ``answers`` makes of each probe."""

    def __init__(self, clock: SystemClock, family: AddressFamily, max_in_flight: int) -> None:
        self.clock = clock
        self.capabilities = SocketCapabilities(
            family=family,
            protocol=Protocol.ICMP,
            mode="held",
            flow=FlowStrategy.PARIS,
            flows=frozenset({FlowStrategy.PARIS}),
            descriptors="shared",
            timestamps=TimestampSource.USER,
            max_in_flight=max_in_flight,
            sees_quoted_ttl=False,
            sees_reply_ttl=False,
            default_port=None,
        )
        self.discarded: Counter[str] = Counter()
        self.sent: list[Probe] = []
        self.batches: list[int] = []
        self.unreleased: set[ProbeId] = set()
        self.most_in_flight = 0
        self.closed = False
        self.answers: Callable[[Probe], Reply | None] = lambda _: None
        self.refuses: Callable[[Probe], int | None] = lambda _: None
        self.failure: Exception | None = None
        self.while_sending: Callable[[], object] | None = None
        self._inbox: list[Reply] = []
        self._came: anyio.Event | None = None

    def put(self, *replies: Reply) -> None:
        self._inbox.extend(replies)
        self._ring()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self._ring()

    def reply(self, probe: Probe, address: str, kind: ReplyKind = ReplyKind.TIME_EXCEEDED) -> Reply:
        return Reply(
            probe_id=probe.id,
            kind=kind,
            address=IPv4Address(address),
            rtt_ns=MS,
            received_ns=self.clock.monotonic_ns(),
            timestamp_source=TimestampSource.USER,
        )

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        if self.closed:
            raise ClosedError("closed")
        now, wall = self.clock.monotonic_ns(), self.clock.realtime_ns()
        reports = []
        self.batches.append(len(probes))
        for probe in probes:
            refusal = self.refuses(probe)
            if refusal is None:
                self.sent.append(probe)
                self.unreleased.add(probe.id)
                reply = self.answers(probe)
                if reply is not None:
                    self._inbox.append(reply)
            error = None if refusal is None else SendError(refusal)
            reports.append(SentProbe(probe.id, now, wall, IPv4Address("192.0.2.77"), error))
        self._ring()
        if self.while_sending is not None:
            self.while_sending()
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
        return reports

    async def receive(self) -> Sequence[Reply]:
        if self._came is not None:
            raise BusyError("busy")
        while not self._inbox:
            if self.failure is not None:
                raise self.failure
            if self.closed:
                raise ClosedError("closed")
            self._came = anyio.Event()
            try:
                await self._came.wait()
            finally:
                self._came = None
        return self.receive_nowait()

    def receive_nowait(self) -> Sequence[Reply]:
        replies, self._inbox = self._inbox, []
        return replies

    def release(self, probes: Sequence[ProbeId]) -> None:
        self.unreleased.difference_update(probes)

    async def aclose(self) -> None:
        self.closed = True
        self._ring()

    def _ring(self) -> None:
        if self._came is not None:
            self._came.set()


class HeldNetwork:
    """A socket factory over sockets that the test holds."""

    make: type[HeldSocket] = HeldSocket

    def __init__(self, *, max_in_flight: int = 1000) -> None:
        self.clock = SystemClock()
        self.max_in_flight = max_in_flight
        self.sockets: list[HeldSocket] = []
        self.prepare: Callable[[HeldSocket], None] = lambda _: None
        self.refusal: Exception | None = None

    async def lookup(self, host: str, family: AddressFamily | None) -> Sequence[IPv4Address | IPv6Address]:
        if host == "nowhere.example":
            raise NameResolutionError(host, "no such name")
        return [IPv4Address("192.0.2.9")]

    def socket_key(self, config: TracerouteConfig, family: AddressFamily) -> Hashable:
        return family, config.mark

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> HeldSocket:
        await anyio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        socket = self.make(self.clock, family, self.max_in_flight)
        self.prepare(socket)
        self.sockets.append(socket)
        return socket

    @property
    def socket(self) -> HeldSocket:
        assert len(self.sockets) == 1
        return self.sockets[0]


def path_of(length: int) -> Callable[[HeldSocket], None]:
    """Answer every probe at once: routers 10.0.0.TTL, and the destination at ``length``."""

    def prepare(socket: HeldSocket) -> None:
        def answer(probe: Probe) -> Reply:
            if probe.ttl < length:
                return socket.reply(probe, f"10.0.0.{probe.ttl}")
            return socket.reply(probe, str(probe.destination), ReplyKind.ECHO_REPLY)

        socket.answers = answer

    return prepare


def path_over(hops: Sequence[str]) -> Callable[[HeldSocket], None]:
    """Answer every probe at once: routers by their addresses, and last the destination."""

    def prepare(socket: HeldSocket) -> None:
        def answer(probe: Probe) -> Reply | None:
            kind = ReplyKind.ECHO_REPLY if probe.ttl == len(hops) else ReplyKind.TIME_EXCEEDED
            return socket.reply(probe, hops[probe.ttl - 1], kind) if probe.ttl <= len(hops) else None

        socket.answers = answer

    return prepare


def counts(discarded: Mapping[str, int]) -> dict[str, int]:
    """The reasons that were counted at all."""
    return {reason: count for reason, count in discarded.items() if count}
