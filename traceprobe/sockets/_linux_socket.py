"""What all probe sockets of Linux have in common: the life of a probe from encoding to reply.

A way of probing adds which descriptors there are, what a packet looks like to the kernel, and how what
comes in shows the probe that it answers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio.lowlevel

from traceprobe.errors import BusyError, ClosedError
from traceprobe.loops import Readiness
from traceprobe.model import Reply, SentProbe, TimestampSource
from traceprobe.sockets._linux_options import REPLY_COST
from traceprobe.sockets._linux_receive import LinuxReceiver
from traceprobe.sockets._routes import Routes
from traceprobe.sockets._timestamps import RoundTrips, read_clocks
from traceprobe.sockets.codec import ProbeCodec, Refusal, UdpCodec
from traceprobe.sockets.helpers import SendAndReceive
from traceprobe.sockets.protocol import SocketCapabilities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import FlowStrategy, Mode, TracerouteConfig
    from traceprobe.errors import SendError
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId, ReplyKind
    from traceprobe.sockets._linux_send import LinuxSender, Packet
    from traceprobe.sockets._timestamps import ClockReading

CodecT = TypeVar("CodecT", bound=ProbeCodec)

_NS = 1_000_000_000


def linux_capabilities(
    mode: Mode,
    codec: ProbeCodec,
    *,
    flows: frozenset[FlowStrategy],
    timestamps: TimestampSource,
    buffer: int,
    sees_quoted_ttl: bool,
) -> SocketCapabilities:
    """What a socket can do, by its codec and by what the kernel granted.

    Args:
        mode: The way of probing.
        codec: Names family, protocol and flow, and how many probes it can tell apart.
        flows: The flow strategies that the mode can hold.
        timestamps: The best source of round-trip times.
        buffer: Bytes of receive buffer that were granted.
        sees_quoted_ttl: Whether quotes are seen with their IP header.
    """
    return SocketCapabilities(
        family=codec.family,
        protocol=codec.protocol,
        mode=mode.value,
        flow=codec.flow,
        flows=flows,
        descriptors="shared",
        timestamps=timestamps,
        max_in_flight=max(1, min(buffer // REPLY_COST, codec.capacity)),
        sees_quoted_ttl=sees_quoted_ttl,
        sees_reply_ttl=True,
        default_port=codec.default_port if isinstance(codec, UdpCodec) else None,
    )


class LinuxProbeSocket(SendAndReceive, Generic[CodecT]):
    """Base of the probe sockets of Linux; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration that it was opened with.
        codec: Makes and matches packets.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        wait_on: The descriptor that is readable when there is something to receive.
    """

    _source_needed = False
    """Whether a probe can't be encoded without its source address."""

    def __init__(
        self,
        config: TracerouteConfig,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        wait_on: int,
    ) -> None:
        self._family = codec.family
        self._codec = codec
        self._capabilities = capabilities
        self._clock = clock
        self._routes = Routes(codec.family, config)
        self._round_trips = RoundTrips(
            round(config.timing.clock_step_tolerance * _NS),
            stamped=capabilities.timestamps is TimestampSource.KERNEL_TX_RX,
        )
        self._receiver = LinuxReceiver(clock)
        self._readiness = Readiness(wait_on)
        self._discarded: Counter[str] = Counter()
        self._ready: list[Reply] = []
        self._receiving = False
        self._closed = False

    # --- what a way of probing adds ---------------------------------------------------------------------

    _sender: LinuxSender

    @abstractmethod
    def _packet(self, segment: bytes, name: bytes, ttl: int) -> Packet:
        """What to hand to the kernel for a transport segment."""

    @abstractmethod
    def _drain_error_queue(self) -> int:
        """Read the error queue; return how many ICMP errors it held."""

    @abstractmethod
    def _drain_data(self) -> None:
        """Read everything else."""

    @abstractmethod
    def _close_descriptors(self) -> None:
        """Close all descriptors."""

    # --- the protocol -----------------------------------------------------------------------------------

    @property
    def capabilities(self) -> SocketCapabilities:
        """What this socket can do and see."""
        return self._capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        """How many packets were refused, by reason."""
        return MappingProxyType(self._discarded)

    @property
    def clock(self) -> Clock:
        """The clock that replies are timed by."""
        return self._clock

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given; see :meth:`AsyncProbeSocket.send_probes`."""
        self._check_open()
        reports: dict[ProbeId, SentProbe] = {}
        batch, packets, sources = self._encode(probes, reports)
        if packets:

            def sent(place: int, now: ClockReading, number: int) -> None:
                report = SentProbe(batch[place].id, now.monotonic_ns, now.realtime_ns, sources[place])
                reports[report.probe_id] = report
                self._round_trips.sent(report, number)

            def refused(place: int, now: ClockReading, error: SendError) -> None:
                probe = batch[place].id
                self._codec.withdraw((probe,))
                reports[probe] = SentProbe(probe, now.monotonic_ns, now.realtime_ns, sources[place], error)

            try:
                await self._sender.send(packets, sent, refused)
            except BaseException:
                # Nobody will learn what became of them, so nobody would release them.
                self.release([probe.id for probe in batch])
                raise
            if self._round_trips.awaits_stamps:
                self._drain_error_queue()
            if self._ready and self._receiving:
                self._readiness.wake()
        return [reports[probe.id] for probe in probes]

    async def receive(self) -> Sequence[Reply]:
        """Wait until at least one reply has come; see :meth:`AsyncProbeSocket.receive`."""
        self._check_open()
        if self._receiving:
            raise BusyError("another task is receiving from this socket")
        self._receiving = True
        try:
            if self._ready:
                await anyio.lowlevel.checkpoint()
            while not self._ready:
                await self._readiness.wait_readable()
                self._check_open()
                self._drain()
            return self._take_ready()
        finally:
            self._receiving = False

    def receive_nowait(self) -> Sequence[Reply]:
        """Return the replies that have already come, possibly none."""
        self._check_open()
        self._drain()
        return self._take_ready()

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up."""
        if not self._closed:
            self._codec.release(probes, self._clock.monotonic_ns())
            self._round_trips.forget(probes)

    async def aclose(self) -> None:
        """Close the socket and give everything back."""
        if self._closed:
            return
        self._readiness.close()
        self._sender.close()
        self.close_now()

    def close_now(self) -> None:
        """Close a socket that no task waits for, without an event loop."""
        self._closed = True
        self._ready.clear()
        self._close_descriptors()

    # --- for what builds on it ----------------------------------------------------------------------------

    @property
    def receiving(self) -> bool:
        """Whether a task waits in ``receive``."""
        return self._receiving

    def put_back(self, replies: Iterable[Reply]) -> None:
        """Hand replies out again, to whoever receives next."""
        self._ready[:0] = replies

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the socket has been closed")

    def _take_ready(self) -> list[Reply]:
        ready, self._ready = self._ready, []
        return ready

    def _drain(self) -> None:
        # The error queue first: it holds the transmit stamps that replies are measured against.
        self._drain_error_queue()
        self._drain_data()

    def _encode(
        self, probes: Sequence[Probe], reports: dict[ProbeId, SentProbe]
    ) -> tuple[list[Probe], list[Packet], list[IPv4Address | IPv6Address | None]]:
        """Make packets; a probe without a route is reported instead."""
        batch: list[Probe] = []
        packets: list[Packet] = []
        sources: list[IPv4Address | IPv6Address | None] = []
        encode, find, now_ns = self._codec.encode, self._routes.find, self._clock.monotonic_ns()
        largest = 0
        try:
            for probe in probes:
                route = find(probe)
                if route.error is not None and (self._source_needed or not route.name):
                    now = read_clocks(self._clock)
                    reports[probe.id] = SentProbe(
                        probe.id, now.monotonic_ns, now.realtime_ns, None, route.error
                    )
                    continue
                segment = encode(probe, route.source, now_ns)
                batch.append(probe)
                packets.append(self._packet(segment, route.name, probe.ttl))
                sources.append(route.source)
                largest = max(largest, len(segment))
        except BaseException:
            self._codec.withdraw([probe.id for probe in batch])
            raise
        self._receiver.make_room(self._codec.header_size + largest)
        return batch, packets, sources

    def _refuse(self, reason: Refusal) -> None:
        self._discarded[reason.value] += 1

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
    ) -> None:
        """Queue the reply to a probe, or count why there is none."""
        if isinstance(outcome, Refusal):
            self._refuse(outcome)
            return
        if kind is None:
            self._refuse(Refusal.UNEXPECTED)
            return
        trip = self._round_trips.measure(outcome, stamp_ns, now)
        if trip is None:
            self._refuse(Refusal.UNMATCHED)
            return
        self._ready.append(
            Reply(
                outcome,
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
            )
        )
