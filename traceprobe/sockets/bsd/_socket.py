"""What the probe sockets of the BSDs and macOS have in common: an ICMP socket that hears all errors.

Whatever the probes are made of, what routers say about them is read from one ICMP socket, raw or, on macOS
without privileges, a datagram socket: both get every ICMP message that the machine receives, so each is
matched here. What an ICMP error turns into on a socket that sends is nobody's reply.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from traceprobe.errors import PacketError
from traceprobe.model import ChangedField
from traceprobe.sockets._modes import traffic_class
from traceprobe.sockets._probe_socket import CodecT, KernelProbeSocket
from traceprobe.sockets._routes import Routes
from traceprobe.sockets.bsd._header import HeaderMaker
from traceprobe.sockets.bsd._names import pack_name, unpack_name
from traceprobe.sockets.bsd._receive import BsdReceiver, decode_icmp
from traceprobe.sockets.bsd._send import BsdSender
from traceprobe.sockets.bsd._systems import TtlMethod
from traceprobe.sockets.codec import Answer, Refusal, SentHeader, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.errors import SendError
    from traceprobe.ffi.bsd_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId, SentProbe
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.bsd._control import Control
    from traceprobe.sockets.bsd._kernel import Gathering, KernelSocket
    from traceprobe.sockets.bsd._options import Opener
    from traceprobe.sockets.protocol import SocketCapabilities

_UNBELIEVABLE = frozenset({
    ChangedField.TOTAL_LENGTH,
    ChangedField.DONT_FRAGMENT,
    ChangedField.IP_CHECKSUM,
})
"""What rests on fields of a quoted header that a kernel may rewrite before it hands the quote out."""


class BsdProbeSocket(KernelProbeSocket[CodecT]):
    """Probes through one socket, and their replies from the ICMP socket.

    Args:
        opener: Knows kernel, system and configuration.
        codec: Makes and matches packets.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        icmp: The ICMP socket.
        outgoing: The socket that sends; may be the same.
        method: How the TTL is set on it.
        protocol: Protocol number of the probes.
        gathering: What to wait on, if there is more than the ICMP socket to hear; watches it already.
    """

    def __init__(
        self,
        opener: Opener,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        *,
        icmp: KernelSocket,
        outgoing: KernelSocket,
        method: TtlMethod,
        protocol: int,
        gathering: Gathering | None = None,
    ) -> None:
        config, kernel = opener.config, opener.kernel
        routes = Routes(codec.family, config, opener.find_source, partial(pack_name, kernel.abi))
        wait_on = icmp.fileno() if gathering is None else gathering.fileno()
        super().__init__(config, codec, capabilities, clock, routes, wait_on)
        self._abi = kernel.abi
        self._icmp = icmp
        self._outgoing = outgoing
        self._gathering = gathering
        self._receiver = BsdReceiver(kernel.abi, kernel.calls, clock)
        self._sender = BsdSender(kernel, outgoing, codec.family, method, clock)
        self._header = None
        if method is TtlMethod.HEADER:
            self._header = HeaderMaker(
                protocol,
                in_host_order=opener.system.header_in_host_order,
                traffic_class=traffic_class(config),
                dont_fragment=bool(config.dont_fragment),
            )
        codec.sent_header = SentHeader(traffic_class=traffic_class(config))

    # --- what the kernel adds ---------------------------------------------------------------------------

    def _encode(
        self, probes: Sequence[Probe], reports: dict[ProbeId, SentProbe]
    ) -> tuple[Sequence[Probe], Batch, list[IPv4Address | IPv6Address | None]]:
        sendable, batch, sources = super()._encode(probes, reports)
        if self._header is not None:
            batch.data[:] = map(self._header.with_header, batch.data, batch.names, sources, batch.ttls)
        return sendable, batch, sources

    def _expect(self, size: int) -> None:
        self._receiver.make_room(size)

    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        await self._sender.send(batch, sent, refused)

    def _stop_sending(self) -> None:
        self._sender.close()

    def _drain(self) -> None:
        self._receiver.drain(self._icmp.fileno(), self._icmp_came)
        self._drain_others()
        if self._gathering is not None:
            self._gathering.settle()

    def _drain_others(self) -> None:
        """Read what is waited for beside the ICMP socket."""

    def _close_descriptors(self) -> None:
        if self._gathering is not None:
            self._gathering.close()
        self._icmp.close()
        if self._outgoing is not self._icmp:
            self._outgoing.close()

    def _icmp_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(self._abi, message.name)
        try:
            decoded = decode_icmp(self._family, message.data)
        except PacketError:
            self._refuse(Refusal.MALFORMED)
            return
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        answer = read_answer(self._codec, decoded.message, name[0])
        if isinstance(answer, Answer) and answer.changes:
            answer = answer._replace(
                changes=tuple(change for change in answer.changes if change.field not in _UNBELIEVABLE)
            )
        ttl = control.ttl if decoded.ttl is None else decoded.ttl
        self._answer_came(answer, name[0], control.stamp_ns, now, ttl)
