"""Reads captured datagrams field by field, with nothing of traceprobe's."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

TCP, UDP = 6, 17
ECHO_REQUEST = {4: 8, 6: 128}
_FRAGMENT_HEADER = 44
_SYN_AND_ACK, _SYN = 0x12, 0x02


@dataclass(frozen=True)
class Datagram:
    """What can be seen of a datagram on the wire."""

    data: bytes
    version: int
    length: int
    ttl: int
    traffic_class: int
    label: int
    """Flow label, or identification."""
    dont_fragment: bool
    fragment: bool
    """It is part of a larger datagram."""
    source: str
    destination: str
    protocol: int
    transport: bytes

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination port."""
        return struct.unpack_from("!HH", self.transport)

    @property
    def flow(self) -> tuple[object, ...]:
        """What routers balance by."""
        if self.protocol in {TCP, UDP}:
            seen: tuple[object, ...] = self.ports
        else:
            seen = struct.unpack_from("!BBHH", self.transport)
        return (self.source, self.destination, *seen, self.label if self.version == 6 else None)

    @property
    def is_probe(self) -> bool:
        """Whether it is an echo request, UDP or a TCP SYN, rather than the kernel's own doing."""
        if self.protocol == TCP:
            return self.transport[13] & _SYN_AND_ACK == _SYN
        return self.protocol == UDP or self.transport[0] == ECHO_REQUEST[self.version]


def read(data: bytes) -> Datagram:
    """Take a datagram apart."""
    version = data[0] >> 4
    if version == 4:
        _, traffic_class, length, label, flags, ttl, protocol = struct.unpack_from("!BBHHHBB", data)
        start, source, destination = (data[0] & 15) * 4, data[12:16], data[16:20]
        dont_fragment, fragment = bool(flags & 0x4000), bool(flags & 0x3FFF)
    else:
        first, length, protocol, ttl = struct.unpack_from("!IHBB", data)
        traffic_class, label, length = first >> 20 & 0xFF, first & 0xFFFFF, length + 40
        start, source, destination = 40, data[8:24], data[24:40]
        dont_fragment, fragment = True, protocol == _FRAGMENT_HEADER
        if fragment:
            protocol, start = data[40], 48
    return Datagram(
        data,
        version,
        length,
        ttl,
        traffic_class,
        label,
        dont_fragment,
        fragment,
        str(ip_address(source)),
        str(ip_address(destination)),
        protocol,
        data[start:],
    )


def probes(datagrams: list[bytes]) -> list[Datagram]:
    """Those that are probes, fragments left out."""
    seen = [read(data) for data in datagrams]
    return [one for one in seen if not one.fragment and one.is_probe]
