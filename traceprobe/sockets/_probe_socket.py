"""What the probe sockets of all kernels have in common: the life of a probe from encoding to reply.

A kernel's own base class adds how datagrams are handed over and fetched; a way of probing adds which
descriptors there are, what a packet looks like to the kernel, and how what comes in shows the probe that
it answers. Knows no system call.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, overload

from traceprobe.model import SentProbe, TimestampSource, trace_of
from traceprobe.model._probe import build_sent_probe
from traceprobe.model._reply import build_reply
from traceprobe.sockets._receiving import ReceivingSocket
from traceprobe.sockets._receiving import Waiter as Waiter
from traceprobe.sockets._timestamps import RoundTrips, read_clocks
from traceprobe.sockets.codec import NO_EXTENSION, Answer, ProbeCodec, Refusal, are_alike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.errors import SendError
    from traceprobe.loops import Clock
    from traceprobe.model import Change, Probe, ProbeId, ReplyKind
    from traceprobe.sockets._routes import Route, Routes
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.codec import ExtensionValues
    from traceprobe.sockets.protocol import SocketCapabilities

CodecT = TypeVar("CodecT", bound=ProbeCodec)

_NS = 1_000_000_000


class Batch(NamedTuple):
    """Datagrams to send, in columns."""

    data: list[bytes]
    names: list[bytes]
    """Socket addresses of the destinations."""
    ttls: list[int]


class TakenAtOnce(Sequence[SentProbe]):
    """The reports of probes that the kernel took by one call, as nearly all are.

    Each is made when it is looked at, and not before what the nearest routers have answered by then.

    Args:
        ids: The probes.
        sources: Source address of each.
        now: Both clocks just before the call.
        accepted_ns: Monotonic clock when it returned.
    """

    __slots__ = ("_accepted_ns", "_now", "_sources", "ids")

    def __init__(
        self,
        ids: Sequence[ProbeId],
        sources: Sequence[IPv4Address | IPv6Address | None],
        now: ClockReading,
        accepted_ns: int,
    ) -> None:
        self.ids = ids
        self._sources = sources
        self._now = now
        self._accepted_ns = accepted_ns

    def __len__(self) -> int:
        """How many probes they are."""
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> SentProbe: ...
    @overload
    def __getitem__(self, place: slice) -> TakenAtOnce: ...
    def __getitem__(self, place: int | slice) -> SentProbe | TakenAtOnce:
        """One report, or some."""
        if isinstance(place, slice):
            return TakenAtOnce(self.ids[place], self._sources[place], self._now, self._accepted_ns)
        now = self._now
        return SentProbe(
            self.ids[place], now.monotonic_ns, now.realtime_ns, self._sources[place], None, self._accepted_ns
        )

    def __iter__(self) -> Iterator[SentProbe]:
        """All of them, in order."""
        sent_ns, sent_at_ns, accepted_ns = self._now.monotonic_ns, self._now.realtime_ns, self._accepted_ns
        for probe, source in zip(self.ids, self._sources, strict=True):
            yield build_sent_probe(probe, sent_ns, sent_at_ns, source, None, accepted_ns)


class KernelProbeSocket(ReceivingSocket, Generic[CodecT]):
    """Base of the probe sockets of a kernel; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration that it was opened with.
        codec: Makes and matches packets.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        routes: Finds the way to each destination.
        wait_on: The descriptor that is readable when there is something to receive, or what else to
            wait on.
    """

    _source_needed = False
    """Whether a probe can't be encoded without its source address."""

    def __init__(
        self,
        config: TracerouteConfig,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        routes: Routes,
        wait_on: int | Waiter,
    ) -> None:
        super().__init__(capabilities, clock, wait_on)
        self._family = codec.family
        self._codec = codec
        self._routes = routes
        self._round_trips = RoundTrips(
            round(config.timing.clock_step_tolerance * _NS),
            stamped=capabilities.timestamps is TimestampSource.KERNEL_TX_RX,
            unstamped=(
                TimestampSource.QPC
                if capabilities.timestamps is TimestampSource.QPC
                else TimestampSource.USER
            ),
        )

    # --- what a kernel and a way of probing add ---------------------------------------------------------

    def _pack(self, batch: Batch, segments: list[bytes], name: bytes) -> None:
        """Add to a batch what the kernel gets for transport segments to one destination."""
        batch.data.extend(segments)
        batch.names.extend([name] * len(segments))

    def _expect(self, size: int) -> None:
        """Make room for replies that bring back probes of a size."""

    def _take_in_stamps(self) -> bool:
        """Take in the transmit stamps that have come; whether none can have got lost. Must not raise."""
        return False

    @abstractmethod
    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        """Send a batch in order.

        Args:
            batch: What to send.
            sent: Called for each range of datagrams that the kernel took: from where to where (exclusive),
                both clocks just before the call, and the number of the first transmit stamp.
            refused: Called for each datagram that it refused: its place, both clocks, and the reason.

        Raises:
            ClosedError: The socket was closed meanwhile.
        """

    # --- the protocol -----------------------------------------------------------------------------------

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given; see :meth:`AsyncProbeSocket.send_probes`."""
        self._check_open()
        reports: dict[ProbeId, SentProbe] = {}
        sendable, batch, sources = self._encode(probes, reports)
        if sendable:
            ids = [probe.id for probe in sendable]
            whole: TakenAtOnce | None = None

            def sent(start: int, stop: int, now: ClockReading, number: int) -> None:
                nonlocal whole
                accepted_ns = self._clock.monotonic_ns()
                taken = TakenAtOnce(ids[start:stop], sources[start:stop], now, accepted_ns)
                self._round_trips.sent(taken.ids, now, number)
                if len(taken) == len(probes):
                    whole = taken
                else:
                    reports.update(zip(taken.ids, taken, strict=True))

            def refused(place: int, now: ClockReading, error: SendError) -> None:
                probe = ids[place]
                self._codec.withdraw((probe,))
                reports[probe] = SentProbe(probe, now.monotonic_ns, now.realtime_ns, sources[place], error)

            try:
                await self._transmit(batch, sent, refused)
            except BaseException:
                # Nobody will learn what became of them, so nobody would release them.
                self.release(ids)
                raise
            # Transmit stamps are left where they are: who drains next reads them before any reply.
            if self._ready and self._receiving:
                self._readiness.wake()
            if whole is not None:
                return whole
        return [reports[probe.id] for probe in probes]

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up."""
        if not self._closed:
            unstamped = self._round_trips.unstamped(probes)
            if unstamped and self._take_in_stamps() and (unsent := self._round_trips.unstamped(unstamped)):
                self._refuse(Refusal.FAILED, len(unsent))
            self._codec.release(probes, self._clock.monotonic_ns())
            self._round_trips.forget(probes)
            if self._ready:
                released = frozenset(probes)
                self._ready = [reply for reply in self._ready if reply.probe_id not in released]

    def _encode(
        self, probes: Sequence[Probe], reports: dict[ProbeId, SentProbe]
    ) -> tuple[Sequence[Probe], Batch, list[IPv4Address | IPv6Address | None]]:
        """Make packets; a probe without a route is reported instead."""
        sendable: list[Probe] = []
        batch = Batch([], [], [])
        sources: list[IPv4Address | IPv6Address | None] = []
        now_ns = self._clock.monotonic_ns()
        largest = 0
        alike = bool(probes) and are_alike(probes)
        runs: Iterable[tuple[Route, Sequence[Probe]]]
        if alike:
            runs = ((self._routes.find(trace_of(probes[0].id), probes[0].destination), probes),)
        else:
            runs = self._routes.runs(probes)
        try:
            for route, run in runs:
                if route.error is not None and (self._source_needed or not route.name):
                    now = read_clocks(self._clock)
                    reports.update(
                        (
                            probe.id,
                            SentProbe(probe.id, now.monotonic_ns, now.realtime_ns, None, route.error),
                        )
                        for probe in run
                    )
                    continue
                segments = self._codec.encode_batch(run, route.source, now_ns, alike=alike)
                sendable += run
                self._pack(batch, segments, route.name)
                batch.ttls.extend([probe.ttl for probe in run])
                sources += [route.source] * len(run)
                largest = max(largest, *map(len, segments))
        except BaseException:
            self._codec.withdraw([probe.id for probe in sendable])
            raise
        self._expect(self._codec.header_size + largest)
        return sendable, batch, sources

    def _answered(
        self,
        outcome: ProbeId | Refusal,
        kind: ReplyKind | None,
        address: IPv4Address | IPv6Address,
        stamp_ns: int | None,
        now: ClockReading,
        *,
        icmp_type: int | None = None,
        icmp_code: int | None = None,
        reply_ttl: int | None = None,
        quoted_ttl: int | None = None,
        mtu: int | None = None,
        extension: ExtensionValues = NO_EXTENSION,
        changes: tuple[Change, ...] = (),
    ) -> None:
        """Queue the reply to a probe, or count why there is none."""
        if isinstance(outcome, Refusal):
            self._refuse(outcome)
        elif kind is None:
            self._refuse(Refusal.UNEXPECTED)
        else:
            answer = Answer(outcome, kind, icmp_type, icmp_code, quoted_ttl, mtu, extension, changes)
            self._answer_came(answer, address, stamp_ns, now, reply_ttl)

    def _answer_came(
        self,
        answer: Answer | Refusal,
        address: IPv4Address | IPv6Address,
        stamp_ns: int | None,
        now: ClockReading,
        reply_ttl: int | None,
    ) -> None:
        """Time an answer and queue the reply, or count why there is none.

        Args:
            answer: What a message said.
            address: Who sent it.
            stamp_ns: The kernel's stamp of its arrival, wall clock; None if there is none.
            now: Both clocks, read when the message was taken from the kernel.
            reply_ttl: TTL or hop limit that it arrived with.
        """
        if isinstance(answer, Refusal):
            self._refuse(answer)
            return
        probe, kind, icmp_type, icmp_code, quoted_ttl, mtu, extension, changes = answer
        trip = self._round_trips.measure(probe, stamp_ns, now)
        if trip is None:
            self._refuse(Refusal.UNMATCHED)
            return
        self._ready.append(
            build_reply(
                probe,
                kind,
                address,
                trip.rtt_ns,
                trip.received_ns,
                trip.source,
                trip.sent_at_ns,
                icmp_type,
                icmp_code,
                reply_ttl,
                quoted_ttl,
                mtu,
                *extension,
                changes,
            )
        )
