"""UDP probes of the BSDs and macOS: raw ones with a port that is only held, or those of an ordinary socket.

The ordinary socket stays unconnected, so that no error is ever told to it: the ICMP socket hears them all,
and knows from whom. What the destination answers by UDP comes to the socket that has the port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.model import ReplyKind
from traceprobe.sockets.bsd._names import unpack_name, with_port
from traceprobe.sockets.bsd._socket import BsdProbeSocket
from traceprobe.sockets.codec import Refusal, UdpCodec

if TYPE_CHECKING:
    from traceprobe.ffi.bsd_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.bsd._control import Control
    from traceprobe.sockets.bsd._kernel import Gathering, KernelSocket
    from traceprobe.sockets.bsd._options import Opener
    from traceprobe.sockets.bsd._systems import TtlMethod
    from traceprobe.sockets.protocol import SocketCapabilities

_PORT: Final = slice(2, 4)
_HEADER_SIZE: Final = 8


class BsdUdpSocket(BsdProbeSocket[UdpCodec]):
    """Probes by UDP; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        opener: Knows kernel, system and configuration.
        codec: Makes and matches packets.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        icmp: The ICMP socket.
        holder: The ordinary UDP socket that has the source port.
        raw: The raw socket that sends; None if ``holder`` does.
        method: How the TTL is set on the socket that sends.
        gathering: Watches ``icmp`` and ``holder``.
    """

    def __init__(
        self,
        opener: Opener,
        codec: UdpCodec,
        capabilities: SocketCapabilities,
        clock: Clock,
        *,
        icmp: KernelSocket,
        holder: KernelSocket,
        raw: KernelSocket | None,
        method: TtlMethod,
        gathering: Gathering,
    ) -> None:
        super().__init__(
            opener,
            codec,
            capabilities,
            clock,
            icmp=icmp,
            outgoing=holder if raw is None else raw,
            method=method,
            protocol=opener.abi.ipproto_udp,
            gathering=gathering,
        )
        self._holder = holder
        self._source_needed = raw is not None
        self._kernel_writes_header = raw is None

    def _pack(self, batch: Batch, segments: list[bytes], name: bytes) -> None:
        if not self._kernel_writes_header:
            super()._pack(batch, segments, name)
            return
        batch.data.extend([segment[_HEADER_SIZE:] for segment in segments])
        batch.names.extend([with_port(name, segment[_PORT]) for segment in segments])

    def _drain_others(self) -> None:
        self._receiver.drain(self._holder.fileno(), self._datagram_came)

    def _close_descriptors(self) -> None:
        super()._close_descriptors()
        if self._holder is not self._outgoing:
            self._holder.close()

    def _datagram_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(self._abi, message.name)
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, port = name
        outcome = self._codec.resolve_answer(sender, port, message.data)
        self._answered(outcome, ReplyKind.UDP_DATA, sender, control.stamp_ns, now, reply_ttl=control.ttl)
