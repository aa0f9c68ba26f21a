"""A probe socket on a simulated network: real packets through the real codec, in virtual time.

Like a socket of the kernel it is handed whole datagrams, checks them, and finds the probe that each one
answers; unlike one it sees no other program's packets. Knows nothing of the topology.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from traceprobe.config import AddressFamily, Protocol
from traceprobe.errors import BusyError, ClosedError
from traceprobe.model import ChangedField, Reply, SentProbe, TimestampSource
from traceprobe.packets import build_ipv4, build_ipv6
from traceprobe.sockets.codec import SentHeader, TcpCodec, UdpCodec
from traceprobe.sockets.helpers import SendAndReceive
from traceprobe.sockets.protocol import SocketCapabilities
from traceprobe.testing._reading import read_reply, wire_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from traceprobe.config import TracerouteConfig
    from traceprobe.model import Probe, ProbeId
    from traceprobe.sockets.codec import ProbeCodec, Refusal
    from traceprobe.testing._wire import Wire
    from traceprobe.testing.clock import VirtualClock

MODE = "simulated"
_DONT_FRAGMENT = 2
_SEEN = frozenset({
    ChangedField.TTL,
    ChangedField.DSCP,
    ChangedField.ECN,
    ChangedField.TOTAL_LENGTH,
    ChangedField.SOURCE,
    ChangedField.TRANSPORT_CHECKSUM,
    ChangedField.PAYLOAD,
})
_SEEN_BY_FAMILY = {
    AddressFamily.IPV4: frozenset({ChangedField.DONT_FRAGMENT, ChangedField.IP_CHECKSUM}),
    AddressFamily.IPV6: frozenset({ChangedField.FLOW_LABEL}),
}
_SEEN_BY_PROTOCOL = {
    Protocol.ICMP: frozenset[ChangedField](),
    Protocol.UDP: frozenset({ChangedField.UDP_LENGTH}),
    Protocol.TCP: frozenset({
        ChangedField.TCP_FLAGS,
        ChangedField.TCP_WINDOW,
        ChangedField.TCP_OPTIONS,
    }),
}
_BYTES_PER_REPLY = 1024
"""What an unread reply occupies of the receive buffer, roughly as in a kernel."""


class SimulatedSocket(SendAndReceive):
    """See :class:`~traceprobe.sockets.protocol.AsyncProbeSocket`; made by ``SimulatedNetwork.open``.

    Args:
        wire: Where it is plugged in.
        codec: Numbers the probes and matches the replies.
        source: Source address of the probes.
        config: Options that are the socket's state.
        random: Source of what a kernel would choose.
    """

    def __init__(
        self,
        wire: Wire,
        codec: ProbeCodec,
        source: IPv4Address | IPv6Address,
        config: TracerouteConfig,
        random: Random,
    ) -> None:
        self._wire = wire
        self._clock = wire.clock
        self._codec = codec
        self._source = source
        self._random = random
        self._traffic_class = (config.dscp or 0) << 2 | (config.ecn or 0)
        self._flags = _DONT_FRAGMENT if config.dont_fragment else 0
        codec.sent_header = SentHeader(self._traffic_class, bool(config.dont_fragment))
        self._room = max(1, config.receive_buffer // _BYTES_PER_REPLY)
        self._protocol = wire_protocol(codec)
        self._sent_ns: dict[ProbeId, int] = {}
        self._inbox: list[Reply] = []
        self._discarded: Counter[str] = Counter()
        self._receiver = wire.clock.participant()
        self._arrival: anyio.Event | None = None
        self._receiving = False
        self._closed = False
        self._capabilities = SocketCapabilities(
            family=codec.family,
            protocol=codec.protocol,
            mode=MODE,
            flow=codec.flow,
            flows=codec.flows,
            descriptors="shared",
            timestamps=TimestampSource.SIMULATED,
            max_in_flight=min(codec.capacity, self._room),
            sees_quoted_ttl=True,
            sees_reply_ttl=True,
            default_port=codec.default_port if isinstance(codec, UdpCodec | TcpCodec) else None,
            sees_extensions=True,
            sees_changes=_SEEN | _SEEN_BY_FAMILY[codec.family] | _SEEN_BY_PROTOCOL[codec.protocol],
        )

    @property
    def capabilities(self) -> SocketCapabilities:
        """What this socket can do and see."""
        return self._capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        """How many packets were received and refused, by reason."""
        return dict(self._discarded)

    @property
    def clock(self) -> VirtualClock:
        """Virtual time."""
        return self._clock

    @property
    def receiving(self) -> bool:
        """Whether a task waits in ``receive``."""
        return self._receiving

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given, all at one instant; see the protocol."""
        self._check_open()
        await anyio.lowlevel.checkpoint()
        self._check_open()
        now_ns = self._clock.monotonic_ns()
        segments: list[bytes] = []
        try:
            segments.extend(self._codec.encode(probe, self._source, now_ns) for probe in probes)
        except BaseException:
            self._codec.withdraw(probe.id for probe in probes[: len(segments)])
            raise
        reports = [
            self._transmit(probe, segment, now_ns) for probe, segment in zip(probes, segments, strict=True)
        ]
        # Time may have stood because nobody had anything to wait for.
        self._clock.nudge()
        return reports

    async def receive(self) -> Sequence[Reply]:
        """Wait until at least one reply has come, and return all that have; see the protocol."""
        self._check_open()
        if self._receiving:
            raise BusyError("another task is receiving from this socket")
        self._receiving = True
        try:
            if self._inbox:
                await anyio.lowlevel.checkpoint()
            while not self._inbox:
                self._check_open()
                await self._wait_for_arrival()
            self._check_open()
            self._receiver.works()
            return self._take()
        finally:
            self._receiving = False

    def receive_nowait(self) -> Sequence[Reply]:
        """Return the replies that have already come, possibly none."""
        self._check_open()
        return self._take()

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up."""
        self._codec.release(probes, self._clock.monotonic_ns())
        for probe in probes:
            self._sent_ns.pop(probe, None)
        if self._inbox:
            released = frozenset(probes)
            self._inbox = [reply for reply in self._inbox if reply.probe_id not in released]

    def put_back(self, replies: Iterable[Reply]) -> None:
        """Hand replies out again, to whoever receives next."""
        self._inbox[:0] = replies
        if self._inbox:
            self._announce()

    async def aclose(self) -> None:
        """Close the socket. Idempotent."""
        if not self._closed:
            self._closed = True
            self._wire.sockets.discard(self)
            self._inbox.clear()
            if self._arrival is not None:
                self._arrival.set()
            self._receiver.leaves()
        await anyio.lowlevel.cancel_shielded_checkpoint()

    # --- for the network --------------------------------------------------------------------------------

    def arrived(self, datagram: bytes) -> Reply | Refusal | str:
        """Take a datagram from the network; returns what was made of it, or why it was dropped."""
        verdict = read_reply(self._codec, datagram, self._sent_ns, self._clock.monotonic_ns())
        if not isinstance(verdict, Reply):
            self._discarded[str(verdict)] += 1
            return verdict
        if len(self._inbox) >= self._room:
            self._discarded["overflow"] += 1
            return "overflow"
        self._inbox.append(verdict)
        self._announce()
        return verdict

    # --- inside -----------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the socket has been closed")

    def _announce(self) -> None:
        if self._arrival is not None and not self._arrival.is_set():
            self._arrival.set()
            self._receiver.wakes()

    def _take(self) -> Sequence[Reply]:
        replies, self._inbox = self._inbox, []
        return replies

    async def _wait_for_arrival(self) -> None:
        self._arrival = event = anyio.Event()
        try:
            self._receiver.waits(self._awaits_replies)
            await event.wait()
        except BaseException:
            self._receiver.leaves()
            raise
        finally:
            self._arrival = None

    def _awaits_replies(self) -> bool:
        return bool(self._sent_ns)

    def _wrap(self, probe: Probe, segment: bytes) -> bytes:
        if self._codec.family is AddressFamily.IPV6:
            return build_ipv6(
                segment,
                source=self._source,
                destination=probe.destination,
                next_header=self._protocol,
                hop_limit=probe.ttl,
                traffic_class=self._traffic_class,
                flow_label=self._codec.flow_labels((probe,))[0],
            )
        return build_ipv4(
            segment,
            source=self._source,
            destination=probe.destination,
            protocol=self._protocol,
            ttl=probe.ttl,
            traffic_class=self._traffic_class,
            identification=self._random.randrange(0x10000),
            flags=self._flags,
        )

    def _transmit(self, probe: Probe, segment: bytes, now_ns: int) -> SentProbe:
        error = self._wire.transmit(self, probe, self._wrap(probe, segment))
        sent_at_ns = self._clock.realtime_ns()
        if error is not None:
            self._codec.withdraw((probe.id,))
            return SentProbe(probe.id, now_ns, sent_at_ns, self._source, error)
        self._sent_ns[probe.id] = now_ns
        return SentProbe(probe.id, now_ns, sent_at_ns, self._source)
