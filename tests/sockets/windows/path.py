"""A path of routers for the fake Winsock: what they and the target answer, as bytes on a raw socket."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from tests.sockets.windows.winsock import STATUS_HOST_UNREACHABLE, Datagram, FakeWinsock
from traceprobe.ffi import windows
from traceprobe.packets import (
    IpProtocol,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_tcp,
    build_udp,
)

if TYPE_CHECKING:
    from collections.abc import Collection

TARGET4 = IPv4Address("198.51.100.9")
TARGET6 = IPv6Address("2001:db8:9::9")
REPLY_TTL = 61
SEQUENCE = 0x1234ABCD


class Path:
    """Routers between the source and a target that answers UDP with port-unreachable, and TCP.

    Args:
        winsock: Where the packets come from.
        hops: How many routers there are.
        silent: Those that say nothing.
        open_ports: TCP ports that the target accepts connections on.
        fails_connects: Whether a router's answer makes a connection fail, as TCP_FAIL_CONNECT_ON_ICMP_ERROR
            has it.
    """

    def __init__(
        self,
        winsock: FakeWinsock,
        *,
        hops: int = 4,
        silent: Collection[int] = (),
        open_ports: Collection[int] = (80,),
        fails_connects: bool = False,
    ) -> None:
        self._winsock = winsock
        self._hops = hops
        self._silent = silent
        self._open_ports = open_ports
        self._fails_connects = fails_connects
        self.extension = b""
        winsock.network = self.carry

    def carry(self, sent: Datagram) -> None:
        """Forward a packet as far as it goes."""
        stream = sent.sender.kind == windows.SOCK_STREAM
        if sent.ttl <= self._hops:
            if sent.ttl not in self._silent:
                self._expire(sent, stream=stream)
        elif stream:
            refused = sent.port not in self._open_ports
            self._winsock.finish_connect(sent.sender, windows.STATUS_CONNECTION_REFUSED if refused else 0)
        else:
            self.answer(sent, sent.destination, port_unreachable=True)

    def hop(self, sent: Datagram, ttl: int) -> IPv4Address | IPv6Address:
        """The address of a router."""
        return (
            IPv4Address("192.0.2.100") if sent.destination.version == 4 else IPv6Address("2001:db8::100")
        ) + ttl

    def _expire(self, sent: Datagram, *, stream: bool) -> None:
        router = self.hop(sent, sent.ttl)
        if not self._fails_connects:
            self.answer(sent, router)
        if stream and self._fails_connects:
            info = (
                windows.AF_INET.to_bytes(2, "little") + bytes(2) + router.packed + bytes(20)
                if router.version == 4
                else windows.AF_INET6.to_bytes(2, "little") + bytes(6) + router.packed + bytes(4)
            )
            kind = 11 if router.version == 4 else 3
            info += IpProtocol.TCP.to_bytes(4, "little") + bytes([kind, 0, 0, 0])
            self._winsock.finish_connect(sent.sender, STATUS_HOST_UNREACHABLE, info)

    def answer(
        self, sent: Datagram, sender: IPv4Address | IPv6Address, *, port_unreachable: bool = False
    ) -> None:
        """Say that a packet has expired, or that nobody listens."""
        data = icmp_error(sent, sender, port_unreachable=port_unreachable, extension=self.extension)
        for raw in tuple(self._winsock.sockets.values()):
            # Every raw socket gets a copy.
            if raw.kind == windows.SOCK_RAW and raw.family == sent.sender.family:
                self._winsock.deliver(raw, data, (str(sender), 0))


def quote(sent: Datagram) -> bytes:
    """A packet as the router saw it that it expired at."""
    if sent.sender.kind == windows.SOCK_STREAM:
        protocol = IpProtocol.TCP
        segment = build_tcp(
            sent.source, sent.destination, sent.source_port, sent.port, sequence=SEQUENCE, window=64240
        )
    else:
        protocol = IpProtocol.UDP
        segment = build_udp(sent.source, sent.destination, sent.source_port, sent.port, sent.data)
    if isinstance(sent.source, IPv4Address):
        assert isinstance(sent.destination, IPv4Address)
        return build_ipv4(segment, source=sent.source, destination=sent.destination, protocol=protocol, ttl=1)
    assert isinstance(sent.destination, IPv6Address)
    return build_ipv6(
        segment, source=sent.source, destination=sent.destination, next_header=protocol, hop_limit=1
    )


def icmp_error(
    sent: Datagram,
    sender: IPv4Address | IPv6Address,
    *,
    port_unreachable: bool = False,
    extension: bytes = b"",
) -> bytes:
    """What a raw socket gets: for IPv4 with the IP header."""
    if isinstance(sender, IPv4Address):
        kind, code = (3, 3) if port_unreachable else (11, 0)
        message = build_icmp_error(4, type=kind, code=code, quoted=quote(sent), extension=extension)
        assert isinstance(sent.source, IPv4Address)
        return build_ipv4(
            message, source=sender, destination=sent.source, protocol=IpProtocol.ICMP, ttl=REPLY_TTL
        )
    kind, code = (1, 4) if port_unreachable else (3, 0)
    return build_icmp_error(
        6, type=kind, code=code, quoted=quote(sent), extension=extension, source=sender,
        destination=sent.source,
    )  # fmt: skip
