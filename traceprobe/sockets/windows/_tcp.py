"""TCP probes on Windows: one connection each, begun by ``ConnectEx`` on the reactor's port.

What the host answers is how its connection ends: established, or refused. What routers answer comes to a
raw ICMP socket, or else makes the connection fail, and the system then tells which error it was.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from traceprobe.ffi import windows
from traceprobe.ffi.windows import KNOWN_LAYOUTS
from traceprobe.model import ReplyKind
from traceprobe.sockets._connects import ConnectCodec
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.codec import Refusal, error_kind
from traceprobe.sockets.windows._names import source_name, unpack_name, with_port
from traceprobe.sockets.windows._socket import WindowsSocket
from traceprobe.sockets.windows._sockets import DONT_FRAGMENT, OverlappedSocket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId, SentProbe
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.protocol import SocketCapabilities
    from traceprobe.sockets.windows._reactor import Reactor

_ERROR_INFO: Final = KNOWN_LAYOUTS["icmp_error_info"]
_INITIAL_RTT: Final = Struct("<H")
"""Of ``TCP_INITIAL_RTO_PARAMETERS`` (mstcpip.h): milliseconds until the SYN would be sent again."""
_PER_SECOND: Final = 1000
_LARGEST_RTT: Final = 0xFFFD
"""The two larger numbers mean something else (mstcpip.h)."""
_ABORT: Final = 1
"""``LINGER`` with a time of 0: closing resets the connection."""


class WindowsTcpSocket(WindowsSocket[ConnectCodec]):
    """Probes by connecting; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked already.
        codec: Knows the connections.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by.
        reactor: The reactor, leased.
        icmp: The raw socket that answers come to; None if connections fail with them.
        connect_ex: The function that connects.
    """

    def __init__(
        self,
        config: TracerouteConfig,
        codec: ConnectCodec,
        capabilities: SocketCapabilities,
        clock: Clock,
        reactor: Reactor,
        icmp: OverlappedSocket | None,
        connect_ex: Any,  # noqa: ANN401 - a function of cffi
    ) -> None:
        self._config = config
        self._connect_ex = connect_ex
        self._connections: dict[int, OverlappedSocket] = {}
        self._shut = False
        self._source_name = source_name(codec.family, config)
        super().__init__(config, codec, capabilities, clock, reactor, icmp)

    def _pack(self, batch: Batch, segments: list[bytes], name: bytes) -> None:
        batch.data.extend(segments)
        ports = [self._codec.read_ticket(segment)[1] for segment in segments]
        batch.names.extend([with_port(name, port) for port in ports])

    def _encode(
        self, probes: Sequence[Probe], reports: dict[ProbeId, SentProbe]
    ) -> tuple[Sequence[Probe], Batch, list[IPv4Address | IPv6Address | None]]:
        sendable, batch, sources = super()._encode(probes, reports)
        batch.data[:] = [
            ticket + _INITIAL_RTT.pack(self._initial_rtt_of(probe))
            for ticket, probe in zip(batch.data, sendable, strict=True)
        ]
        return sendable, batch, sources

    def _initial_rtt_of(self, probe: Probe) -> int:
        """For how many milliseconds a connection is waited for; one that names no time-out has ours."""
        seconds = probe.timeout or self._config.timing.probe_timeout
        return min(math.ceil(seconds * _PER_SECOND), _LARGEST_RTT)

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up, and their connections with them."""
        if not self._closed:
            numbers = self._codec.numbers_of(probes)
            super().release(probes)
            if numbers:
                self._reactor.call(partial(self._drop, numbers))

    # --- on the reactor's thread ----------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Give up what would never complete by itself."""
        super().shut_down()
        self._shut = True
        self._drop(tuple(self._connections))

    def send_one(self, data: bytes, name: bytes, ttl: int) -> tuple[ClockReading, int]:
        """Begin to connect; when, and 0 or the error of Winsock with which it was refused."""
        number, _ = self._codec.read_ticket(data[: -_INITIAL_RTT.size])
        try:
            if self._shut:
                raise OSError(windows.STATUS_CANCELLED, "the socket has been closed")
            connection, port = self._open_connection(data[-_INITIAL_RTT.size :])
        except OSError as error:
            return read_clocks(self._clock), error.errno or windows.WSAENOBUFS
        self._connections[number] = connection
        # Known before anything can be said about it.
        self._link.put(partial(self._codec.opened, number, port))
        refusal = connection.set_ttl(ttl)
        now = read_clocks(self._clock)
        code = refusal or connection.connect_to(
            self._connect_ex, name, partial(self._connected, number, connection)
        )
        if code:
            self._drop((number,))
        return now, code

    def _open_connection(self, initial_rtt: bytes) -> tuple[OverlappedSocket, int]:
        """A socket that is ready to connect, and its port; raises OSError."""
        family, config = self._family, self._config
        connection = OverlappedSocket(self._reactor, family, windows.SOCK_STREAM, windows.IPPROTO_TCP)
        try:
            connection.choose_interface(config.interface)
            if config.dont_fragment is not None:
                connection.set_option(*DONT_FRAGMENT[family], int(config.dont_fragment))
            if self._icmp is None:
                connection.set_option(windows.IPPROTO_TCP, windows.TCP_FAIL_CONNECT_ON_ICMP_ERROR, 1)
            _send_once(connection, initial_rtt)
            connection.bind(self._source_name)
            return connection, connection.local_name()[1]
        except OSError:
            connection.close()
            raise

    def _connected(self, number: int, connection: OverlappedSocket, status: int) -> None:
        now = read_clocks(self._clock)
        kind = icmp = None
        if not status:
            kind = ReplyKind.SYN_ACK
            connection.try_option(windows.SOL_SOCKET, windows.SO_CLOSE_BEHAVIOUR, _ABORT)
        elif status == windows.STATUS_CONNECTION_REFUSED:
            kind = ReplyKind.RST
        elif self._icmp is None and status != windows.STATUS_CANCELLED:
            icmp = _error_info(connection)
        if kind is not None:
            self._link.put(partial(self._host_answered, number, kind, now))
        elif icmp is not None:
            self._link.put(partial(self._router_answered, number, icmp, now))
        self._drop((number,))

    def _drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            connection = self._connections.pop(number, None)
            if connection is not None:
                connection.close()

    # --- on the event loop ----------------------------------------------------------------------------------

    def _host_answered(self, number: int, kind: ReplyKind, now: ClockReading) -> None:
        found = self._codec.find(number)
        if found is None:
            self._refuse(Refusal.RELEASED)
        else:
            probe, destination = found
            self._answered(probe, kind, destination, None, now)

    def _router_answered(self, number: int, info: bytes, now: ClockReading) -> None:
        places = _ERROR_INFO[1]
        named = unpack_name(info[places["srcaddress"] :])
        icmp_type, icmp_code = info[places["type"]], info[places["code"]]
        found = self._codec.find(number)
        if named is None:
            self._refuse(Refusal.MALFORMED)
        elif found is None:
            self._refuse(Refusal.RELEASED)
        else:
            kind = error_kind(self._family, icmp_type, icmp_code)
            self._answered(found[0], kind, named[0], None, now, icmp_type=icmp_type, icmp_code=icmp_code)


def _send_once(connection: OverlappedSocket, initial_rtt: bytes) -> None:
    """One SYN for each probe, where Windows can be told so (Windows 8); its copies are discarded else."""
    retransmissions = windows.TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS
    with suppress(OSError):
        connection.ioctl(windows.SIO_TCP_INITIAL_RTO, initial_rtt + bytes((retransmissions, 0)))


def _error_info(connection: OverlappedSocket) -> bytes | None:
    """What made a connection fail, if it was an ICMP error."""
    size = _ERROR_INFO[0]
    try:
        info = connection.get_option(windows.IPPROTO_TCP, windows.TCP_ICMP_ERROR_INFO, size)
    except OSError:
        return None
    return info if len(info) == size else None
