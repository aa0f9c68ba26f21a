"""UDP and TCP probes on Windows, with what routers quote of them: needs the rights of an administrator.

Windows does not let programs write TCP or UDP headers of their own. So UDP probes leave by an ordinary
socket, whose checksum comes out as the codec wants it, and TCP probes are connections (``ConnectEx``), one
socket each. What routers answer comes to a raw ICMP socket. It needs no ``SIO_RCVALL``, which hands over all
packets of an interface and is used only where ``receive_all`` asks for it; but the firewall of Windows drops
such answers unless a rule lets them in, and then probes time out like others that nobody answers.

Where the system has ``TCP_FAIL_CONNECT_ON_ICMP_ERROR`` (Windows 10 2004), TCP needs neither: a connection
then fails with the error that a router sent, and ``TCP_ICMP_ERROR_INFO`` tells which and by whom.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol
from traceprobe.errors import ConfigError, NoUsableSocketError, PrivilegeError, UnsupportedOption
from traceprobe.ffi import windows
from traceprobe.model import ReplyKind, TimestampSource
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets._connects import ConnectCodec
from traceprobe.sockets._modes import quarantine_ns
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.codec import Refusal, SentHeader, UdpCodec
from traceprobe.sockets.windows._datagrams import SystemUdpCodec
from traceprobe.sockets.windows._names import source_name, unpack_name, with_port
from traceprobe.sockets.windows._reactor import process_reactor
from traceprobe.sockets.windows._remedies import administrator_remedies
from traceprobe.sockets.windows._socket import WindowsSocket
from traceprobe.sockets.windows._sockets import (
    DONT_FRAGMENT,
    OverlappedSocket,
    WinsockSocket,
    find_connect_ex,
)
from traceprobe.sockets.windows._tcp import WindowsTcpSocket

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.sockets._catalogue import ModeFacts
    from traceprobe.sockets._probe_socket import Batch
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.protocol import SocketCapabilities
    from traceprobe.sockets.windows._reactor import Reactor, ReactorHolder

_ICMP: Final = {AddressFamily.IPV4: windows.IPPROTO_ICMP, AddressFamily.IPV6: windows.IPPROTO_ICMPV6}
_UDP_HEADER: Final = 8
_PORT_IN_UDP: Final = slice(2, 4)
_REPLY_COST: Final = 1024
"""What an answer takes of a receive buffer at most, roughly: up to 576 bytes (RFC 1812)."""
_MOST_CONNECTIONS: Final = 4096
_MISSING: Final = frozenset({
    windows.WSAEPROTONOSUPPORT,
    windows.WSAESOCKTNOSUPPORT,
    windows.WSAEOPNOTSUPP,
    windows.WSAEAFNOSUPPORT,
})


class WindowsUdpSocket(WindowsSocket[UdpCodec]):
    """Probes by UDP; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked and applied already.
        codec: Makes and matches packets.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by.
        reactor: The reactor, leased.
        icmp: The raw socket that answers come to.
        udp: Sends the probes, and gets what the destination answers by UDP.
    """

    _source_needed = True

    def __init__(
        self,
        config: TracerouteConfig,
        codec: UdpCodec,
        capabilities: SocketCapabilities,
        clock: Clock,
        reactor: Reactor,
        icmp: OverlappedSocket,
        udp: OverlappedSocket,
    ) -> None:
        self._udp = udp
        super().__init__(config, codec, capabilities, clock, reactor, icmp)

    def _pack(self, batch: Batch, segments: list[bytes], name: bytes) -> None:
        # Windows writes the header. The checksum that it computes is the codec's: it is of the same bytes.
        batch.data.extend([segment[_UDP_HEADER:] for segment in segments])
        ports = [int.from_bytes(segment[_PORT_IN_UDP]) for segment in segments]
        batch.names.extend([with_port(name, port) for port in ports])

    def _start(self) -> None:
        super()._start()
        self._udp.receive_forever(self._crosses(self._datagram_came), self._receiving_failed)

    def shut_down(self) -> None:
        """Give up what would never complete by itself."""
        super().shut_down()
        self._udp.close()

    def send_one(self, data: bytes, name: bytes, ttl: int) -> tuple[ClockReading, int]:
        """Send a datagram; when, and 0 or the error of Winsock with which it was refused."""
        refusal = self._udp.set_ttl(ttl)
        now = read_clocks(self._clock)
        return now, refusal or self._udp.send(data, name, self._was_sent)

    def _datagram_came(self, name: bytes, data: bytes, now: ClockReading) -> None:
        named = unpack_name(name)
        if named is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, port = named
        outcome = self._codec.resolve_answer(sender, port, memoryview(data))
        self._answered(outcome, ReplyKind.UDP_DATA, sender, None, now)


def open_windows_raw(
    config: TracerouteConfig,
    family: AddressFamily,
    protocol: Protocol,
    clock: Clock,
    holder: ReactorHolder | None = None,
) -> WindowsUdpSocket | WindowsTcpSocket:
    """Open the sockets of this mode.

    Args:
        config: The configuration.
        family: Address family of all destinations.
        protocol: UDP or TCP.
        clock: The clock that replies are timed by.
        holder: Where the reactor comes from; None for that of this process.

    Raises:
        PrivilegeError: The process must not open raw sockets.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
        AbiError: This is no Windows that is known.
    """
    facts = facts_of(Mode.WINDOWS_RAW, protocol)
    facts.check(config, family)
    flow = facts.choose_flow(config)
    _check_receive_all(config, family)
    holder = process_reactor() if holder is None else holder
    with ExitStack() as stack:
        reactor = holder.lease()
        stack.callback(reactor.release)
        opened = (
            _open_udp(stack, config, family, clock, reactor, facts, flow)
            if protocol is Protocol.UDP
            else _open_tcp(stack, config, family, clock, reactor, facts)
        )
        stack.pop_all()
    return opened


def _check_receive_all(config: TracerouteConfig, family: AddressFamily) -> None:
    if not config.receive_all:
        return
    if family is AddressFamily.IPV6:
        raise UnsupportedOption(
            "receive_all", True, mode=Mode.WINDOWS_RAW.value, remedy="choose IPv4, or leave it out"
        )
    if config.source is None:
        raise UnsupportedOption(
            "receive_all", True, mode=Mode.WINDOWS_RAW.value,
            remedy="name the address of the interface as source: Windows wants to know which one",
        )  # fmt: skip


def _open_udp(
    stack: ExitStack,
    config: TracerouteConfig,
    family: AddressFamily,
    clock: Clock,
    reactor: Reactor,
    facts: ModeFacts,
    flow: FlowStrategy,
) -> WindowsUdpSocket:
    icmp, granted = _open_icmp(stack, config, family, reactor)
    try:
        udp = OverlappedSocket(reactor, family, windows.SOCK_DGRAM, windows.IPPROTO_UDP)
        stack.callback(udp.close_now)
        # Otherwise what a router says of one datagram fails the reception of the next.
        for code in (windows.SIO_UDP_CONNRESET, windows.SIO_UDP_NETRESET):
            _try_control(udp, code, bytes(4))
        udp.try_option(windows.SOL_SOCKET, windows.SO_EXCLUSIVEADDRUSE, 1)
        udp.try_option(windows.SOL_SOCKET, windows.SO_RCVBUF, config.receive_buffer)
        _choose_interface(udp, config)
        if config.dont_fragment is not None:
            udp.set_option(*DONT_FRAGMENT[family], int(config.dont_fragment))
    except OSError as error:
        raise _refusal(error, config) from None
    source_port = _bind(udp, config, family, config.source_port or 0)
    codec = SystemUdpCodec(
        family,
        flow,
        source_port=source_port,
        quarantine_ns=quarantine_ns(config),
        payload_pattern=config.payload_pattern,
    )
    codec.sent_header = SentHeader(
        traffic_class=0, dont_fragment=config.dont_fragment if family is AddressFamily.IPV4 else None
    )
    if config.packet_size is not None:
        codec.check_size(config.packet_size)
    most = max(1, min(granted // _REPLY_COST, codec.capacity))
    capabilities = _capabilities(facts, codec, most)
    return WindowsUdpSocket(config, codec, capabilities, clock, reactor, icmp, udp)


def _open_tcp(
    stack: ExitStack,
    config: TracerouteConfig,
    family: AddressFamily,
    clock: Clock,
    reactor: Reactor,
    facts: ModeFacts,
) -> WindowsTcpSocket:
    try:
        asked = WinsockSocket(reactor.libraries, family, windows.SOCK_STREAM, windows.IPPROTO_TCP)
        stack.callback(asked.close_now)
        connect_ex = find_connect_ex(asked)
        _choose_interface(asked, config)
        _bind(asked, config, family, 0)
        tells_errors = asked.try_option(windows.IPPROTO_TCP, windows.TCP_FAIL_CONNECT_ON_ICMP_ERROR, 1)
    except OSError as error:
        raise _refusal(error, config) from None
    icmp: OverlappedSocket | None = None
    try:
        with ExitStack() as raw:
            icmp, _ = _open_icmp(raw, config, family, reactor)
            stack.push(raw.pop_all())
    except NoUsableSocketError:
        # Errors that connections fail with are less than what a raw socket sees, but need no rights.
        if not tells_errors or config.receive_all:
            raise
    asked.close_now()
    codec = ConnectCodec(family, quarantine_ns=quarantine_ns(config))
    capabilities = _capabilities(facts, codec, _MOST_CONNECTIONS, raw=icmp is not None)
    return WindowsTcpSocket(config, codec, capabilities, clock, reactor, icmp, connect_ex)


def _capabilities(
    facts: ModeFacts, codec: UdpCodec | ConnectCodec, most: int, *, raw: bool = True
) -> SocketCapabilities:
    capabilities = facts.capabilities(
        codec.family,
        codec.flow,
        timestamps=TimestampSource.QPC,
        max_in_flight=most,
        default_port=codec.default_port,
    )
    if not raw:
        return attrs.evolve(
            capabilities,
            sees_quoted_ttl=False,
            sees_reply_ttl=False,
            sees_extensions=False,
            sees_changes=frozenset(),
        )
    # Of IPv6, a raw socket hands out no header.
    return attrs.evolve(capabilities, sees_reply_ttl=codec.family is AddressFamily.IPV4)


def _open_icmp(
    stack: ExitStack, config: TracerouteConfig, family: AddressFamily, reactor: Reactor
) -> tuple[OverlappedSocket, int]:
    """The raw socket that answers come to, and the receive buffer that it was granted."""
    protocol = windows.IPPROTO_IP if config.receive_all else _ICMP[family]
    try:
        icmp = OverlappedSocket(reactor, family, windows.SOCK_RAW, protocol)
        stack.callback(icmp.close_now)
        icmp.try_option(windows.SOL_SOCKET, windows.SO_RCVBUF, config.receive_buffer)
        granted = int.from_bytes(icmp.get_option(windows.SOL_SOCKET, windows.SO_RCVBUF, 4), "little")
    except OSError as error:
        raise _refusal(error, config) from None
    _bind(icmp, config, family, 0)
    if config.receive_all:
        try:
            icmp.ioctl(windows.SIO_RCVALL, windows.RCVALL_ON.to_bytes(4, "little"))
        except OSError as error:
            raise _refusal(error, config) from None
    return icmp, granted


def _bind(opened: WinsockSocket, config: TracerouteConfig, family: AddressFamily, port: int) -> int:
    """Bind to the source address and port that were asked for; returns the port."""
    name = with_port(source_name(family, config), port)
    try:
        opened.bind(name)
        return opened.local_name()[1]
    except OSError as error:
        raise _refusal(error, config) from None


def _choose_interface(opened: WinsockSocket, config: TracerouteConfig) -> None:
    try:
        opened.choose_interface(config.interface)
    except OSError:
        bound = "an interface of this machine, best by its number (ifIndex in the output of Get-NetAdapter)"
        raise ConfigError("interface", config.interface, bound) from None


def _try_control(opened: WinsockSocket, code: int, given: bytes) -> None:
    try:
        opened.ioctl(code, given)
    except OSError:
        return


def _refusal(error: OSError, config: TracerouteConfig) -> NoUsableSocketError | ConfigError:
    """The typed error for what Winsock says when a socket is opened."""
    if isinstance(error, NoUsableSocketError):
        return error
    code, said = error.errno, error.strerror or str(error)
    if code == windows.WSAEACCES:
        return PrivilegeError(
            f"raw sockets need the rights of an administrator ({said})", remedies=administrator_remedies()
        )
    if code == windows.WSAEADDRNOTAVAIL and config.source is not None:
        return ConfigError("source", config.source, "an address of this machine")
    if code == windows.WSAEADDRINUSE and config.source_port is not None:
        return ConfigError("source_port", config.source_port, "a port that nobody else uses")
    if code in _MISSING:
        return NoUsableSocketError(f"this Windows has no such sockets ({said})")
    return NoUsableSocketError(said)
