"""What the raw modes of Windows have in common: the reactor works for them, the codec stays with the loop.

A probe is known as sent before its answer is looked at, and codecs are never touched by two threads: what
happens crosses over in order, see ``_reactor_link``.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily
from traceprobe.errors import PacketError
from traceprobe.ffi import windows
from traceprobe.packets import ones_complement_sum, parse_icmp
from traceprobe.sockets._probe_socket import CodecT, KernelProbeSocket
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.codec import Refusal, read_answer
from traceprobe.sockets.windows._names import unpack_name
from traceprobe.sockets.windows._reactor_link import ReactorLink
from traceprobe.sockets.windows._routes import windows_routes
from traceprobe.sockets.windows._status import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.config import TracerouteConfig
    from traceprobe.errors import SendError
    from traceprobe.loops import Clock
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.protocol import SocketCapabilities
    from traceprobe.sockets.windows._reactor import Reactor
    from traceprobe.sockets.windows._sockets import OverlappedSocket

_GOOD_SUM: Final = 0xFFFF
_IPV4_TTL_AT: Final = 8  # RFC 791 section 3.1
_IPV4_PROTOCOL_AT: Final = 9
_IPV4_HEADER: Final = 20
_IPV4_LENGTH_MASK: Final = 0xF
_IPV4_LENGTH_UNIT: Final = 4


class WindowsSocket(KernelProbeSocket[CodecT]):
    """Base of the raw modes of Windows; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked and applied already.
        codec: Makes and matches packets.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by; on Windows it reads the performance counter.
        reactor: The reactor, leased; the socket releases it.
        icmp: The raw socket that answers come to; None if they are asked for otherwise.
    """

    def __init__(
        self,
        config: TracerouteConfig,
        codec: CodecT,
        capabilities: SocketCapabilities,
        clock: Clock,
        reactor: Reactor,
        icmp: OverlappedSocket | None,
    ) -> None:
        self._link = ReactorLink(reactor)
        routes = windows_routes(reactor.libraries, codec.family, config)
        super().__init__(config, codec, capabilities, clock, routes, self._link.crossing)
        self._reactor = reactor
        self._icmp = icmp
        reactor.add_owner(self)
        reactor.call(self._start)

    # --- on the event loop --------------------------------------------------------------------------------

    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        def transmit(place: int) -> Callable[[], None]:
            name = batch.names[place]
            now, code = self.send_one(batch.data[place], name, batch.ttls[place])
            if code:
                return partial(refused, place, now, failure_of(code, _shown(name)))
            return partial(sent, place, place + 1, now, 0)

        await self._link.send(len(batch.data), transmit)
        self._check_open()

    def _drain(self) -> None:
        self._link.drain()

    def _stop_sending(self) -> None:
        self._link.give_up()

    def _close_descriptors(self) -> None:
        self._link.close(self.shut_down)

    def _icmp_came(self, name: bytes, data: bytes, now: ClockReading) -> None:
        named = unpack_name(name)
        if named is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, message, reply_ttl = named[0], memoryview(data), None
        if self._family is AddressFamily.IPV4:
            # Only IPv4 hands out the IP header, with everything else that was asked for: all protocols, if
            # SIO_RCVALL was.
            if len(data) < _IPV4_HEADER:
                self._refuse(Refusal.MALFORMED)
                return
            if data[_IPV4_PROTOCOL_AT] != windows.IPPROTO_ICMP:
                return
            reply_ttl = data[_IPV4_TTL_AT]
            message = message[(data[0] & _IPV4_LENGTH_MASK) * _IPV4_LENGTH_UNIT :]
            if ones_complement_sum(message) != _GOOD_SUM:
                self._refuse(Refusal.BAD_CHECKSUM)
                return
        try:
            parsed = parse_icmp(self._family, message)
        except PacketError:
            self._refuse(Refusal.MALFORMED)
            return
        self._answer_came(read_answer(self._codec, parsed, sender), sender, None, now, reply_ttl)

    # --- on the reactor's thread ----------------------------------------------------------------------------

    def _start(self) -> None:
        if self._icmp is not None:
            self._icmp.receive_forever(self._crosses(self._icmp_came), self._receiving_failed)

    def shut_down(self) -> None:
        """Give up what would never complete by itself."""
        self._reactor.remove_owner(self)
        if self._icmp is not None:
            self._icmp.close()

    def reactor_failed(self, error: Exception) -> None:
        """Nothing more will come."""
        self._link.fail(error)

    @abstractmethod
    def send_one(self, data: bytes, name: bytes, ttl: int) -> tuple[ClockReading, int]:
        """Send a probe.

        Returns:
            Both clocks just before the call that sent it; 0, or the error of Winsock that refused it.
        """

    def _crosses(
        self, function: Callable[[bytes, bytes, ClockReading], None]
    ) -> Callable[[bytes, bytes], None]:
        """What a receiving socket calls: reads the clocks, and leaves the rest to the event loop."""

        def came(name: bytes, data: bytes) -> None:
            self._link.put(partial(function, name, data, read_clocks(self._clock)))

        return came

    def _receiving_failed(self, code: int) -> None:
        error = OSError(failure_of(code, "").code, f"nothing can be received any more: Windows error {code}")
        self._link.fail(error)

    def _was_sent(self, status: int) -> None:
        if status:
            self._link.put(partial(self._refuse, Refusal.FAILED))


def _shown(name: bytes) -> str:
    named = unpack_name(name)
    return "nowhere" if named is None else str(named[0])
