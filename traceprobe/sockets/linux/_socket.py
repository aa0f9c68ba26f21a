"""What all probe sockets of Linux have in common: batches with kernel stamps, and error queues.

The life of a probe is told in ``_probe_socket``; a way of probing adds which descriptors there are, what a
packet looks like to the kernel, and how what comes in shows the probe that it answers.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypedDict, cast

from traceprobe.model import TimestampSource
from traceprobe.sockets._modes import quarantine_ns, traffic_class
from traceprobe.sockets._probe_socket import CodecT as CodecT
from traceprobe.sockets._probe_socket import KernelProbeSocket
from traceprobe.sockets._routes import Routes
from traceprobe.sockets.codec import IcmpCodec, ProbeCodec, Refusal, SentHeader
from traceprobe.sockets.linux._drops import DropCounts
from traceprobe.sockets.linux._options import (
    REPLY_COST,
    find_source,
    restart_stamp_numbers,
    stamps_can_be_numbered,
    ttl_control,
)
from traceprobe.sockets.linux._receive import LinuxReceiver
from traceprobe.sockets.linux._send import LinuxSender
from traceprobe.sockets.linux._sockaddr import pack_name, with_label
from traceprobe.sockets.protocol import SocketCapabilities

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.errors import SendError
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId, Reply, SentProbe
    from traceprobe.sockets._catalogue import ModeFacts
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.codec import TcpCodec, UdpCodec
    from traceprobe.sockets.linux._send import Batch


def linux_capabilities(
    facts: ModeFacts, codec: ProbeCodec, *, timestamps: TimestampSource, buffer: int
) -> SocketCapabilities:
    """What a socket can do, by its codec and by what the kernel granted.

    Args:
        facts: What is known of the way of probing.
        codec: Names family and flow, and how many probes it can tell apart.
        timestamps: The best source of round-trip times.
        buffer: Bytes of receive buffer that were granted.
    """
    return SocketCapabilities(
        family=codec.family,
        protocol=codec.protocol,
        mode=facts.mode.value,
        flow=codec.flow,
        flows=frozenset(facts.flows),
        descriptors=facts.descriptors,
        timestamps=timestamps,
        max_in_flight=max(1, min(buffer // REPLY_COST, codec.capacity)),
        sees_quoted_ttl=facts.sees_quoted_ttl,
        sees_reply_ttl=facts.sees_reply_ttl,
        default_port=None
        if isinstance(codec, IcmpCodec)
        else cast("UdpCodec | TcpCodec", codec).default_port,
        sees_extensions=facts.sees_extensions,
        sees_changes=facts.changes_seen(codec.family),
    )


class CodecOptions(TypedDict):
    """What all codecs take from a configuration."""

    quarantine_ns: int
    payload_pattern: bytes | None
    labelled: bool
    flow_label: int | None


def codec_options(config: TracerouteConfig, *, labelled: bool) -> CodecOptions:
    """What all codecs take from a configuration.

    Args:
        config: The configuration.
        labelled: Whether the flow label of each datagram can be set.
    """
    return {
        "quarantine_ns": quarantine_ns(config),
        "payload_pattern": config.payload_pattern,
        "labelled": labelled,
        "flow_label": config.flow_label,
    }


def sent_header(config: TracerouteConfig) -> SentHeader:
    """What is certain of the IP headers that the kernel will write.

    Whether it sets the don't-fragment bit by itself depends on the route, and what it then takes for the
    identification on chance. If it was asked to set it, no datagram needs an identification (RFC 6864).
    """
    return SentHeader(traffic_class(config), config.dont_fragment, 0 if config.dont_fragment else None)


class LinuxProbeSocket(KernelProbeSocket[CodecT]):
    """Base of the probe sockets of Linux; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration that it was opened with.
        codec: Makes and matches packets.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        wait_on: The descriptor that is readable when there is something to receive.
        receivers: The sockets that datagrams are read from.
    """

    _sender: LinuxSender
    _errors_are_stamps = False
    """Whether the error queue holds transmit stamps and nothing else."""
    _looks_at_nearest = False
    """Whether only the first transmit stamps are to be read."""
    _was_crowded = False
    """Whether more has waited at once than there is sure to be room for; stamps may have found none."""

    def __init__(
        self,
        config: TracerouteConfig,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        wait_on: int,
        receivers: Sequence[socket.socket],
    ) -> None:
        routes = Routes(codec.family, config, partial(find_source, codec.family, config), pack_name)
        super().__init__(config, codec, capabilities, clock, routes, wait_on)
        codec.sent_header = sent_header(config)
        self._drops = DropCounts(receivers, partial(self._refuse, Refusal.OVERFLOW))
        self._receiver = LinuxReceiver(clock, self._drops.told)

    @property
    def discarded(self) -> Mapping[str, int]:
        """How many packets were refused, by reason; those that the kernel had no room for are up to date."""
        if not self._closed:
            self._drops.look()
        return super().discarded

    def _encode(
        self, probes: Sequence[Probe], reports: dict[ProbeId, SentProbe]
    ) -> tuple[Sequence[Probe], Batch, list[IPv4Address | IPv6Address | None]]:
        sendable, batch, sources = super()._encode(probes, reports)
        if self._codec.labelled:
            # The label travels in the socket address; probes of a flow share one, and its bytes.
            labelled: dict[tuple[bytes, int], bytes] = {}
            for place, label in enumerate(self._codec.flow_labels(sendable)):
                key = (batch.names[place], label)
                name = labelled.get(key)
                if name is None:
                    name = labelled[key] = with_label(*key)
                batch.names[place] = name
        return sendable, batch, sources

    # --- what a way of probing adds ---------------------------------------------------------------------

    def _make_sender(self, outgoing: socket.socket, drain_errors: Callable[[], int] | None) -> LinuxSender:
        """A sender for a socket; ``drain_errors`` if ICMP errors can get in its way."""
        stamped = self._capabilities.timestamps is TimestampSource.KERNEL_TX_RX
        numbered = stamped and stamps_can_be_numbered()

        def restart_numbers() -> None:
            self._drain_error_queue()
            self._round_trips.stop_awaiting()
            restart_stamp_numbers(outgoing)

        return LinuxSender(
            outgoing.fileno(),
            ttl_control=ttl_control(self._codec.family),
            clock=self._clock,
            numbered=numbered,
            drain_errors=drain_errors,
            restart_numbers=restart_numbers if stamped and not numbered else None,
        )

    @abstractmethod
    def _drain_error_queue(self) -> int:
        """Read the error queue; return how many ICMP errors it held."""

    def _drain_error_queue_in_part(self) -> None:
        """Read what stands first in an error queue that holds nothing but transmit stamps."""
        self._drain_error_queue()

    @abstractmethod
    def _drain_data(self) -> int:
        """Read everything else; return how many datagrams that were."""

    # --- what the kernel adds ---------------------------------------------------------------------------

    def _expect(self, size: int) -> None:
        self._receiver.make_room(size)

    def _take_in_stamps(self) -> bool:
        with suppress(OSError):  # who receives next will be told
            self._drain_error_queue()
        if self._ready and self._receiving:
            self._readiness.wake()
        return not self._was_crowded

    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        await self._sender.send(batch, sent, refused)

    def receive_nearest(self) -> Sequence[Reply]:
        """Return what the nearest routers have answered by now, with as little work as it takes.

        Like :meth:`receive_nowait`, for right after the sending: transmit stamps stand in the order of the
        probes, so those of the nearest are read first, and the others when they are needed. They keep the
        socket ready.
        """
        self._looks_at_nearest = self._errors_are_stamps
        try:
            return self.receive_nowait()
        finally:
            self._looks_at_nearest = False
            self._round_trips.fetch_other_stamps = None

    def _fetch_other_stamps(self) -> None:
        """Read the stamps that were left, while what needs them stands in the arena."""
        self._round_trips.fetch_other_stamps = None
        with self._receiver.aside():
            self._drain_error_queue()

    def _drain(self) -> None:
        if self._looks_at_nearest:
            self._drain_error_queue_in_part()
            if self._round_trips.awaits_stamps:
                self._round_trips.fetch_other_stamps = self._fetch_other_stamps
            count = self._drain_data()
        # The error queue first: it holds the transmit stamps that replies are measured against. Where it
        # holds nothing else it need not be looked at once they have come, unless nothing else explains
        # that the socket is ready.
        elif not self._errors_are_stamps or self._round_trips.awaits_stamps:
            count = self._drain_error_queue() + self._drain_data()
        else:
            count = self._drain_data()
            if not count:
                self._drain_error_queue()
        if count > self._capabilities.max_in_flight:
            self._was_crowded = True

    def _stop_sending(self) -> None:
        self._sender.close()

    def close_now(self) -> None:
        """Close a socket that no task waits for; see :meth:`ReceivingSocket.close_now`."""
        was_open = not self._closed
        super().close_now()
        if was_open:
            self._receiver.close()
