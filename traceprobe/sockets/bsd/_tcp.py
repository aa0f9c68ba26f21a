"""TCP probes of the BSDs and macOS: each one is a connection that is only begun.

Raw sockets of these systems never see TCP, so the kernel sends the SYN, and its socket tells what the target
answers: a connection, or a refusal. What routers say is heard by the ICMP socket. Some kernels also end the
attempt then, at once or within ``connect`` itself, others try again: either way the ICMP socket alone knows
who it was, and a probe is closed with its answer, so that no SYN is sent twice for it.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

import anyio.lowlevel

from traceprobe.errors import ClosedError, SendError, TraceprobeError
from traceprobe.model import ReplyKind
from traceprobe.sockets._connects import ConnectCodec
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.bsd._names import python_name, unpack_name, with_port
from traceprobe.sockets.bsd._send import ttl_option
from traceprobe.sockets.bsd._socket import BsdProbeSocket
from traceprobe.sockets.bsd._systems import TtlMethod
from traceprobe.sockets.codec import Answer, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.loops import Clock
    from traceprobe.model import ProbeId
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.bsd._kernel import Gathering, KernelSocket
    from traceprobe.sockets.bsd._options import Opener
    from traceprobe.sockets.protocol import SocketCapabilities

_LINGER: Final = Struct("=ii")
_PORT_BYTES: Final = 2


class _Attempt:
    """One connection that was begun."""

    __slots__ = ("destination", "number", "opened", "watched")

    def __init__(self, number: int, opened: KernelSocket, destination: IPv4Address | IPv6Address) -> None:
        self.number = number
        self.opened = opened
        self.destination = destination
        self.watched = False


class BsdTcpSocket(BsdProbeSocket[ConnectCodec]):
    """Probes by connecting; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        opener: Knows kernel, system and configuration.
        codec: Knows the connections.
        capabilities: What it can do.
        clock: The clock that replies are timed by.
        icmp: The ICMP socket.
        gathering: Watches ``icmp``, and will watch all connections.
    """

    # connect(2) says the same of a target without a route as of a probe that has expired.
    _source_needed = True

    def __init__(
        self,
        opener: Opener,
        codec: ConnectCodec,
        capabilities: SocketCapabilities,
        clock: Clock,
        *,
        icmp: KernelSocket,
        gathering: Gathering,
    ) -> None:
        super().__init__(
            opener,
            codec,
            capabilities,
            clock,
            icmp=icmp,
            outgoing=icmp,
            method=TtlMethod.OPTION,
            protocol=opener.abi.ipproto_tcp,
            gathering=gathering,
        )
        self._opener = opener
        self._connections = gathering
        self._option = ttl_option(opener.abi, opener.family)
        self._attempts: dict[int, _Attempt] = {}
        self._by_descriptor: dict[int, _Attempt] = {}

    # --- sending ------------------------------------------------------------------------------------------

    def _pack(self, batch: Batch, segments: list[bytes], name: bytes) -> None:
        batch.data.extend(segments)
        ports = [self._codec.read_ticket(segment)[1] for segment in segments]
        batch.names.extend([with_port(name, port.to_bytes(_PORT_BYTES, "big")) for port in ports])

    async def _transmit(
        self,
        batch: Batch,
        sent: Callable[[int, int, ClockReading, int], None],
        refused: Callable[[int, ClockReading, SendError], None],
    ) -> None:
        for place, ticket in enumerate(batch.data):
            number, _ = self._codec.read_ticket(ticket)
            target = unpack_name(self._abi, memoryview(batch.names[place]))
            assert target is not None
            try:
                opened, source_port = self._open_connection(batch.ttls[place])
            except (TraceprobeError, OSError) as error:
                code = getattr(error, "errno", None) or self._abi.enobufs
                refused(place, read_clocks(self._clock), SendError(code, str(error)))
                continue
            self._codec.opened(number, source_port)
            destination, port = target
            attempt = _Attempt(number, opened, destination)
            now = read_clocks(self._clock)
            code = opened.connect_ex(python_name(destination, self._family, port))
            if not self._under_way(code):
                opened.close()
                refused(place, now, SendError(code))
                continue
            self._attempts[number] = self._by_descriptor[opened.fileno()] = attempt
            sent(place, place + 1, now, 0)
            self._begun(attempt, code)
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise ClosedError("the socket was closed while it was sending")

    def _open_connection(self, ttl: int) -> tuple[KernelSocket, int]:
        """A socket that is ready to connect, and its port."""
        abi = self._abi
        opened = self._opener.open(abi.sock_stream, abi.ipproto_tcp)
        try:
            opened.setsockopt(self._option.level, self._option.option, ttl)
            opened.setsockopt(abi.sol_socket, abi.so_linger, _LINGER.pack(1, 0))
            return opened, self._opener.bind(opened)
        except BaseException:
            opened.close()
            raise

    def _under_way(self, code: int) -> bool:
        """Whether a SYN has left, by what connect(2) said."""
        abi = self._abi
        return code in {0, abi.einprogress, abi.econnrefused, abi.econnreset, abi.ehostunreach}

    def _begun(self, attempt: _Attempt, code: int) -> None:
        abi = self._abi
        if code == abi.einprogress:
            attempt.watched = True
            self._connections.watch(attempt.opened.fileno(), connecting=True)
        else:
            # The answer was there before connect(2) returned. If a router gave it, the ICMP socket knows.
            self._receiver.drain(self._icmp.fileno(), self._icmp_came)
            self._conclude(attempt, code)

    # --- receiving ----------------------------------------------------------------------------------------

    def _drain_others(self) -> None:
        for descriptor in self._connections.settle():
            attempt = self._by_descriptor.get(descriptor)
            if attempt is None:
                continue
            code = attempt.opened.getsockopt(self._abi.sol_socket, self._abi.so_error)
            self._stop_watching(attempt)
            if not code and not _is_connected(attempt.opened):
                continue  # its error has been told already
            self._conclude(attempt, code)

    def _conclude(self, attempt: _Attempt, code: int) -> None:
        """Take note of what became of a connection, if it was the target's doing.

        Any other error says that a router was heard: the socket stays, and keeps its port, until the ICMP
        socket has told which one, or the probe is given up.
        """
        kind = {
            0: ReplyKind.SYN_ACK,
            self._abi.econnreset: ReplyKind.SYN_ACK,  # and reset at once
            self._abi.econnrefused: ReplyKind.RST,
        }.get(code)
        if kind is None or attempt.number not in self._attempts:
            return
        found = self._codec.find(attempt.number)
        now = read_clocks(self._clock)
        if found is None:
            self._refuse(Refusal.RELEASED)
            self._end(attempt.number)
        else:
            self._answer_came(Answer(found[0], kind), attempt.destination, None, now, None)

    def _answer_came(
        self,
        answer: Answer | Refusal,
        address: IPv4Address | IPv6Address,
        stamp_ns: int | None,
        now: ClockReading,
        reply_ttl: int | None,
    ) -> None:
        super()._answer_came(answer, address, stamp_ns, now, reply_ttl)
        if isinstance(answer, Answer):
            for number in self._codec.numbers_of((answer.probe_id,)):
                self._end(number)

    # --- the end of an attempt ----------------------------------------------------------------------------

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up, and their connections with them."""
        if not self._closed:
            numbers = self._codec.numbers_of(probes)
            super().release(probes)
            for number in numbers:
                self._end(number)

    def _end(self, number: int) -> None:
        attempt = self._attempts.pop(number, None)
        if attempt is not None:
            self._stop_watching(attempt)
            del self._by_descriptor[attempt.opened.fileno()]
            attempt.opened.close()

    def _stop_watching(self, attempt: _Attempt) -> None:
        if attempt.watched:
            attempt.watched = False
            self._connections.forget(attempt.opened.fileno(), connecting=True)

    def _close_descriptors(self) -> None:
        for number in list(self._attempts):
            self._end(number)
        super()._close_descriptors()


def _is_connected(opened: KernelSocket) -> bool:
    try:
        opened.getpeername()
    except OSError:
        return False
    return True
