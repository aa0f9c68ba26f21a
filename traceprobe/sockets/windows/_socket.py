"""What the raw modes of Windows have in common: the reactor works for them, the codec stays with the loop.

The reactor's thread sends, receives and reads the clocks. What it has done and what has come crosses over
to the event loop in the order in which it happened, as functions to call; so that a probe is known as sent
before its answer is looked at, and codecs are never touched by two threads.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from traceprobe.config import AddressFamily
from traceprobe.errors import PacketError
from traceprobe.ffi import windows
from traceprobe.packets import ones_complement_sum, parse_icmp
from traceprobe.sockets._probe_socket import CodecT, KernelProbeSocket
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.codec import Refusal, read_answer
from traceprobe.sockets.windows._crossing import Crossing
from traceprobe.sockets.windows._names import unpack_name
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
        self._crossing: Crossing[Callable[[], None]] = Crossing()
        routes = windows_routes(reactor.libraries, codec.family, config)
        super().__init__(config, codec, capabilities, clock, routes, self._crossing)
        self._reactor = reactor
        self._icmp = icmp
        self._bursts: set[Burst] = set()
        self._failure: Exception | None = None
        reactor.call(self._start)

    # --- on the event loop --------------------------------------------------------------------------------

    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        self._crossing.attach()
        burst = Burst(self, batch, sent, refused)
        self._bursts.add(burst)
        try:
            self._reactor.call(burst.step)
            await burst.done.wait()
            self._check_open()
            self._drain()
        except BaseException:
            burst.given_up = True
            raise
        finally:
            self._bursts.discard(burst)

    def _drain(self) -> None:
        for happened in self._crossing.take():
            happened()
        if self._failure is not None:
            raise self._failure

    def _stop_sending(self) -> None:
        for burst in self._bursts:
            burst.given_up = True
            burst.done.set()

    def _close_descriptors(self) -> None:
        self._reactor.call(self.shut_down)
        self._reactor.release()

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

    def _fail(self, error: Exception) -> None:
        self._failure = error

    # --- on the reactor's thread ----------------------------------------------------------------------------

    def _start(self) -> None:
        self._reactor.add_owner(self)
        if self._icmp is not None:
            self._icmp.receive_forever(self._crosses(self._icmp_came), self._receiving_failed)

    def shut_down(self) -> None:
        """Give up what would never complete by itself."""
        self._reactor.remove_owner(self)
        if self._icmp is not None:
            self._icmp.close()

    def reactor_failed(self, error: Exception) -> None:
        """Nothing more will come."""
        self._crossing.put(partial(self._fail, error))
        for burst in tuple(self._bursts):
            self._crossing.post(burst.done.set)

    @abstractmethod
    def send_one(self, data: bytes, name: bytes, ttl: int) -> tuple[ClockReading, int]:
        """Send a probe.

        Returns:
            Both clocks just before the call that sent it; 0, or the error of Winsock that refused it.
        """

    def transmit(self, burst: Burst) -> None:
        """Send the next datagram of a burst, and tell the event loop what came of it."""
        place = burst.next
        data, name, ttl = burst.batch.data[place], burst.batch.names[place], burst.batch.ttls[place]
        now, code = self.send_one(data, name, ttl)
        if code:
            self._crossing.put(partial(burst.tell_refused, place, now, failure_of(code, _shown(name))))
        else:
            self._crossing.put(partial(burst.tell_sent, place, now))

    def call(self, function: Callable[[], None]) -> None:
        """Have the reactor's thread call something."""
        self._reactor.call(function)

    def finish(self, burst: Burst) -> None:
        """All of a burst is on its way."""
        self._crossing.post(burst.done.set)

    def _crosses(
        self, function: Callable[[bytes, bytes, ClockReading], None]
    ) -> Callable[[bytes, bytes], None]:
        """What a receiving socket calls: reads the clocks, and leaves the rest to the event loop."""

        def came(name: bytes, data: bytes) -> None:
            self._crossing.put(partial(function, name, data, read_clocks(self._clock)))

        return came

    def _receiving_failed(self, code: int) -> None:
        error = OSError(failure_of(code, "").code, f"nothing can be received any more: Windows error {code}")
        self._crossing.put(partial(self._fail, error))

    def _was_sent(self, status: int) -> None:
        if status:
            self._crossing.put(partial(self._refuse, Refusal.FAILED))


class Burst:
    """Datagrams on their way out: each is sent by a call of its own, which asks for the next."""

    def __init__(
        self,
        socket: WindowsSocket[CodecT],
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        self.batch = batch
        self.done: anyio.Event = anyio.Event()
        self.given_up = False
        self.next: int = 0
        self._transmit = partial(socket.transmit, self)
        self._finish = partial(socket.finish, self)
        self._call = socket.call
        self._sent = sent
        self._refused = refused

    def step(self) -> None:
        """Send one datagram; on the reactor's thread."""
        if self.given_up:
            return
        if self.next < len(self.batch.data):
            self._transmit()
            self.next += 1
            # What completes meanwhile comes between.
            self._call(self.step)
        else:
            self._finish()

    def tell_sent(self, place: int, now: ClockReading) -> None:
        """A datagram was sent; on the event loop."""
        if not self.given_up:
            self._sent(place, place + 1, now, 0)

    def tell_refused(self, place: int, now: ClockReading, error: SendError) -> None:
        """A datagram was refused; on the event loop."""
        if not self.given_up:
            self._refused(place, now, error)


def _shown(name: bytes) -> str:
    named = unpack_name(name)
    return "nowhere" if named is None else str(named[0])
