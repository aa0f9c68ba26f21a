"""A path of routers with a target at its end, which answers packets with packets at once."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from traceprobe.packets import (
    EchoMessage,
    IpProtocol,
    TcpFlag,
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_tcp,
    parse_icmp,
    parse_ip,
    parse_tcp,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

ROUTERS = 3


class Path:
    """Routers 10.0.k.2 and fd00:k::2 on the way to 10.0.9.2 and fd00:9::2.

    Args:
        quoted: Bytes of the transport header that routers quote; None for all.
        noise: Whether packets that answer somebody else come with every reply.
    """

    def __init__(self, *, quoted: int | None = None, noise: bool = False) -> None:
        self.quoted = quoted
        self.noise = noise
        self.unroutable: set[IPv4Address | IPv6Address] = set()
        self.open_ports = {443}
        self.silent = False
        self.firewall: int | None = None
        """Router that refuses whatever gets to it."""

    def source(self, version: int) -> IPv4Address | IPv6Address:
        return ipaddress.ip_address("10.0.1.1" if version == 4 else "fd00:1::1")

    def target(self, version: int) -> IPv4Address | IPv6Address:
        return ipaddress.ip_address("10.0.9.2" if version == 4 else "fd00:9::2")

    def router(self, version: int, hop: int) -> IPv4Address | IPv6Address:
        return ipaddress.ip_address(f"10.0.{hop}.2" if version == 4 else f"fd00:{hop}::2")

    def hops(self, version: int) -> list[IPv4Address | IPv6Address]:
        """Who answers, hop by hop."""
        return [*(self.router(version, hop) for hop in range(1, ROUTERS + 1)), self.target(version)]

    def replies(self, packet: bytes) -> list[bytes]:
        """What comes back for a packet that left."""
        if self.silent:
            return []
        datagram = parse_ip(packet)
        version, payload = datagram.version, bytes(datagram.payload)
        here = datagram.destination in {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")}
        if datagram.ttl <= ROUTERS and not here:
            found = [self._error(packet, self.router(version, datagram.ttl), 11 if version == 4 else 3, 0)]
        elif self.firewall is not None:
            code = (3, 3) if version == 4 else (1, 4)
            found = [self._error(packet, self.router(version, self.firewall), *code)]
        elif datagram.protocol in {IpProtocol.ICMP, IpProtocol.ICMPV6}:
            message = parse_icmp(
                version, payload, verify=True, pseudo=(datagram.source, datagram.destination)
            )
            assert isinstance(message, EchoMessage)
            found = [self._echo(version, datagram.destination, datagram.source, message)]
        elif datagram.protocol == IpProtocol.TCP:
            found = [self._segment(version, datagram.destination, datagram.source, payload)]
        else:
            code = (3, 3) if version == 4 else (1, 4)
            found = [self._error(packet, datagram.destination, *code)]
        if self.noise:
            foreign = EchoMessage(True, 0xBEEF, 7, memoryview(b"somebody else's"))
            found.insert(0, self._echo(version, self.target(version), datagram.source, foreign))
            found.insert(0, self._somebody_elses_error(packet))
        return found

    def _somebody_elses_error(self, packet: bytes) -> bytes:
        version = packet[0] >> 4
        header = 20 if version == 4 else 40
        other = bytearray(packet)
        other[header:] = bytes(255 - byte for byte in packet[header:])
        return self._error(bytes(other), self.router(version, 1), 11 if version == 4 else 3, 0)

    def _echo(
        self,
        version: int,
        sender: IPv4Address | IPv6Address,
        receiver: IPv4Address | IPv6Address,
        message: EchoMessage,
    ) -> bytes:
        reply = build_icmp_echo(
            version,
            identifier=message.identifier,
            sequence=message.sequence,
            payload=message.payload,
            request=False,
            source=sender,
            destination=receiver,
        )
        return self._back(version, sender, receiver, reply)

    def _segment(
        self,
        version: int,
        sender: IPv4Address | IPv6Address,
        receiver: IPv4Address | IPv6Address,
        segment: bytes,
    ) -> bytes:
        syn = parse_tcp(segment)
        flags = TcpFlag.SYN if syn.destination_port in self.open_ports else TcpFlag.RST
        reply = build_tcp(
            sender,
            receiver,
            syn.destination_port,
            syn.source_port,
            sequence=1,
            acknowledgement=syn.sequence + 1,
            flags=flags | TcpFlag.ACK,
            window=1000,
        )
        return self._back(version, sender, receiver, reply, IpProtocol.TCP)

    def _error(self, packet: bytes, sender: IPv4Address | IPv6Address, kind: int, code: int) -> bytes:
        datagram = parse_ip(packet)
        version = datagram.version
        quote = bytearray(packet)
        quote[8 if version == 4 else 7] = 1 if kind in {11, 3} and code == 0 else datagram.ttl - ROUTERS
        if self.quoted is not None:
            quote = quote[: (20 if version == 4 else 40) + self.quoted]
        error = build_icmp_error(
            version, type=kind, code=code, quoted=quote, source=sender, destination=datagram.source
        )
        return self._back(version, sender, datagram.source, error)

    def _back(
        self,
        version: int,
        sender: IPv4Address | IPv6Address,
        receiver: IPv4Address | IPv6Address,
        message: bytes,
        protocol: IpProtocol | None = None,
    ) -> bytes:
        if version == 4:
            number = protocol or IpProtocol.ICMP
            return build_ipv4(message, source=sender, destination=receiver, protocol=number, ttl=61)
        number = protocol or IpProtocol.ICMPV6
        return build_ipv6(message, source=sender, destination=receiver, next_header=number, hop_limit=61)
