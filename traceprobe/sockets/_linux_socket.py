"""What all probe sockets of Linux have in common: batches with kernel stamps, and error queues.

The life of a probe is told in ``_probe_socket``; a way of probing adds which descriptors there are, what a
packet looks like to the kernel, and how what comes in shows the probe that it answers.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from traceprobe.model import TimestampSource
from traceprobe.sockets._linux_options import (
    REPLY_COST,
    find_source,
    restart_stamp_numbers,
    stamps_can_be_numbered,
    ttl_control,
)
from traceprobe.sockets._linux_receive import LinuxReceiver
from traceprobe.sockets._linux_send import LinuxSender
from traceprobe.sockets._probe_socket import CodecT as CodecT
from traceprobe.sockets._probe_socket import KernelProbeSocket
from traceprobe.sockets._routes import Routes
from traceprobe.sockets._sockaddr import pack_name
from traceprobe.sockets.codec import ProbeCodec, UdpCodec
from traceprobe.sockets.protocol import SocketCapabilities

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from traceprobe.config import FlowStrategy, Mode, TracerouteConfig
    from traceprobe.errors import SendError
    from traceprobe.loops import Clock
    from traceprobe.sockets._linux_send import Batch
    from traceprobe.sockets._timestamps import ClockReading


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


class LinuxProbeSocket(KernelProbeSocket[CodecT]):
    """Base of the probe sockets of Linux; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration that it was opened with.
        codec: Makes and matches packets.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        wait_on: The descriptor that is readable when there is something to receive.
    """

    _sender: LinuxSender

    def __init__(
        self,
        config: TracerouteConfig,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        wait_on: int,
    ) -> None:
        routes = Routes(codec.family, config, partial(find_source, codec.family, config), pack_name)
        super().__init__(config, codec, capabilities, clock, routes, wait_on)
        self._receiver = LinuxReceiver(clock)

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

    @abstractmethod
    def _drain_data(self) -> None:
        """Read everything else."""

    # --- what the kernel adds ---------------------------------------------------------------------------

    def _expect(self, size: int) -> None:
        self._receiver.make_room(size)

    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        await self._sender.send(batch, sent, refused)

    def _drain(self) -> None:
        # The error queue first: it holds the transmit stamps that replies are measured against.
        self._drain_error_queue()
        self._drain_data()

    def _stop_sending(self) -> None:
        self._sender.close()
