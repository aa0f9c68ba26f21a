"""Kernels of the BSDs and macOS as actors: what they were measured or read to do, quirks and lies included.

A fake kernel reads and writes the caller's memory in its own layout and knows its own numbers, which are
written down here a second time: a wrong number or a wrong method does not raise, it ends in a wrong trace,
as it would on the real one. Replies come at once, out of :class:`Path`.
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from traceprobe.packets import (
    TcpFlag,
    build_ipv4,
    build_ipv6,
    build_tcp,
    build_udp,
    internet_checksum,
    parse_ip,
    pseudo_header_sum,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from tests.bsd.paths import Path
    from traceprobe.ffi.bsd import BsdAbi
    from traceprobe.sockets.bsd._kernel import SocketName

RAW, DGRAM, STREAM = 3, 2, 1
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
SOCKET, IP, IPV6 = 0xFFFF, 0, 41
DONTWAIT = 0x80
EPERM, EACCES, EINVAL, EAGAIN, EINPROGRESS = 1, 13, 22, 35, 36
ENOPROTOOPT, EPROTONOSUPPORT, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL = 42, 43, 47, 48, 49
ENOBUFS, ENOTCONN, ECONNREFUSED, EHOSTUNREACH = 55, 57, 61, 65
LARGEST_BUFFER = 2 << 20
HDRINCL, TOS, TTL, UNICAST_HOPS, HOPLIMIT, RECVHOPLIMIT, TCLASS, FILTER = 2, 3, 4, 4, 47, 37, 61, 18


class Quirks(NamedTuple):
    """What one kernel does; numbers of facts are stated anew."""

    inet6: int
    recvttl: int
    timestamp: int
    scm_timestamp: int
    alignment: int
    short_microseconds: bool
    clocks: bool = False
    raw_ttl_ignored: bool = False
    header_in_host_order: bool = False
    length_in_host_order: bool = False
    """Outer ``ip_len`` on receipt: host order, less the header."""
    quote_swapped: bool = False
    """``ip_len`` of the quoted header in host order."""
    raw_control: int = 0
    """What a control message with a TTL does to a raw IPv4 datagram: 0 for ignored, else the error."""
    udp_control: int = 0
    raw_refused: int = EPERM
    dgram_icmp: bool = False
    dgram_options: frozenset[tuple[int, int]] = frozenset()
    udp_expired: tuple[int, int] = (0, 0)
    """What a connected UDP socket is told when a TTL has expired, IPv4 and IPv6."""
    tcp_told_by_connect: bool = False
    """Whether ``connect`` itself says what was learnt before it returned."""
    tcp_expired: int = 0
    """What ends a connection attempt when a TTL has expired; 0 if nothing does."""
    tclass: int = TCLASS
    dontfrag: int | None = None
    bound_if: tuple[int, int] | None = None
    control_ends_options: bool = False
    """Whether a control message puts the IPv6 options of its socket out of force."""
    batches: bool = False


QUIRKS = {
    "freebsd": Quirks(
        inet6=28,
        recvttl=65,
        timestamp=0x400,
        scm_timestamp=2,
        alignment=8,
        short_microseconds=False,
        clocks=True,
        udp_control=ENOPROTOOPT,
        udp_expired=(EHOSTUNREACH, EHOSTUNREACH),
        tcp_expired=EHOSTUNREACH,
        tcp_told_by_connect=True,
        dontfrag=67,
    ),
    "netbsd": Quirks(
        inet6=24,
        recvttl=23,
        timestamp=0x2000,
        scm_timestamp=8,
        alignment=8,
        short_microseconds=True,
        raw_ttl_ignored=True,
        header_in_host_order=True,
        length_in_host_order=True,
        raw_control=EINVAL,
        udp_control=EINVAL,
        batches=True,
    ),
    "openbsd": Quirks(
        inet6=24,
        recvttl=31,
        timestamp=0x800,
        scm_timestamp=4,
        alignment=8,
        short_microseconds=False,
        raw_refused=EACCES,
        batches=True,
    ),
    "dragonfly": Quirks(
        inet6=28,
        recvttl=65,
        timestamp=0x400,
        scm_timestamp=2,
        alignment=8,
        short_microseconds=False,
        header_in_host_order=True,
        length_in_host_order=True,
        udp_expired=(EHOSTUNREACH, EHOSTUNREACH),
        tcp_expired=EHOSTUNREACH,
        tcp_told_by_connect=True,
    ),
    "darwin": Quirks(
        inet6=30,
        recvttl=24,
        timestamp=0x400,
        scm_timestamp=2,
        alignment=4,
        short_microseconds=True,
        header_in_host_order=True,
        length_in_host_order=True,
        quote_swapped=True,
        dgram_icmp=True,
        dgram_options=frozenset({
            *((IP, option) for option in (TTL, TOS, 2, 5, 7, 24, 28, 20, 23, 25)),
            *((IPV6, option) for option in (4, 26, 27, 36, 37, 47, 35, 36, 125)),
            (ICMPV6, FILTER),
        }),
        udp_expired=(EHOSTUNREACH, 0),
        tcp_expired=EHOSTUNREACH,
        tcp_told_by_connect=True,
        tclass=36,
        control_ends_options=True,
        dontfrag=28,
        bound_if=(25, 125),
    ),
}


class Datagram(NamedTuple):
    """Something in a receive buffer."""

    data: bytes
    name: bytes
    control: bytes


class Level:
    """A descriptor that is readable while its level is up, and always takes data."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._up = False

    def fileno(self) -> int:
        return self._near.fileno()

    def set(self, up: bool) -> None:
        if up and not self._up:
            self._far.send(b"!")
        elif self._up and not up:
            self._near.recv(1)
        self._up = up

    def close(self) -> None:
        self._near.close()
        self._far.close()


class FakeSocket:
    """A socket of a fake kernel; what Python's would do."""

    def __init__(self, kernel: FakeKernel, family: int, kind: int, protocol: int) -> None:
        self.kernel = kernel
        self.version = 4 if family == 2 else 6
        self.kind = kind
        self.protocol = protocol
        self.options: dict[tuple[int, int], int | bytes] = {(SOCKET, 0x1002): 9216}
        self.local: tuple[str, int] = ("", 0)
        self.peer: tuple[str, int] | None = None
        self.connected = False
        self.error = 0
        self.queue: list[Datagram] = []
        self.level = Level()
        self.closed = False

    def fileno(self) -> int:
        return self.level.fileno()

    @property
    def ready(self) -> bool:
        return bool(self.queue or self.error)

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        quirks = self.kernel.quirks
        restricted = quirks.dgram_icmp and self.kind == DGRAM and self.protocol in {ICMP, ICMPV6}
        if restricted and level != SOCKET and (level, option) not in quirks.dgram_options:
            raise OSError(EINVAL if self.version == 4 else EPERM, "not for datagram sockets")
        if (level, option) not in self.kernel.known_options(self):
            raise OSError(ENOPROTOOPT, f"option {option} of level {level}")
        if option == 0x1002 and level == SOCKET and isinstance(value, int) and value > LARGEST_BUFFER:
            raise OSError(ENOBUFS, "too much")
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int, /) -> int:
        if (level, option) == (SOCKET, 0x1007):
            error, self.error = self.error, 0
            self.kernel.levels(self)
            return error
        value = self.options[level, option]
        assert isinstance(value, int)
        return value

    def number(self, level: int, option: int, default: int = 0) -> int:
        value = self.options.get((level, option), default)
        assert isinstance(value, int)
        return value

    def bind(self, name: SocketName, /) -> None:
        host, port = name[0], name[1]
        mine = self.kernel.path.source(self.version)
        if host and ipaddress.ip_address(host) not in {mine, self.kernel.loopback(self.version)}:
            raise OSError(EADDRNOTAVAIL, "not mine")
        if 0 < port < 1024 and not self.kernel.root:
            raise OSError(EACCES, "reserved")
        if self.kind == RAW or self.protocol in {ICMP, ICMPV6}:
            self.local = (host, 0)
            return
        same = (self.protocol, self.version)
        taken = {other.local[1] for other in self.kernel.sockets if (other.protocol, other.version) == same}
        taken.discard(0)
        if port in taken:
            raise OSError(EADDRINUSE, "taken")
        self.local = (host, port or next(p for p in self.kernel.ports if p not in taken))

    def getsockname(self) -> SocketName:
        return self.local if self.version == 4 else (self.local[0] or "::", self.local[1], 0, 0)

    def getpeername(self) -> SocketName:
        if self.peer is None or not self.connected:
            raise OSError(ENOTCONN, "not connected")
        return self.peer

    def connect_ex(self, name: SocketName, /) -> int:
        destination = ipaddress.ip_address(name[0])
        if destination in self.kernel.path.unroutable:
            return EHOSTUNREACH
        if not self.local[1]:
            self.bind((self.local[0], 0))
        loops = destination == self.kernel.loopback(self.version)
        source = self.kernel.loopback(self.version) if loops else self.kernel.path.source(self.version)
        self.local = (self.local[0] or str(source), self.local[1])
        self.peer = (str(destination), name[1])
        if self.kind == DGRAM:
            self.connected = True
            return 0
        return self.kernel.connect_tcp(self, destination, name[1])

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        self.kernel.sockets.remove(self)
        for gathering in self.kernel.gatherings:
            assert self.fileno() not in gathering.watched, "closed while it was waited for"
        self.level.close()


class FakeGathering:
    """Several sockets waited for as one; like a kqueue, it only finds out what is over when it is asked."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.watched: dict[int, bool] = {}
        self.closed = False
        self._level = Level()

    def fileno(self) -> int:
        return self._level.fileno()

    def watch(self, descriptor: int, *, connecting: bool = False) -> None:
        self.watched[descriptor] = connecting
        self.kernel.deliver_later()
        self.notice()

    def forget(self, descriptor: int, *, connecting: bool = False) -> None:
        assert self.watched.pop(descriptor) is connecting

    def notice(self) -> None:
        if not self.closed and self._ready():
            self._level.set(True)

    def settle(self) -> list[int]:
        ready = self._ready()
        self._level.set(bool(ready))
        return ready

    def close(self) -> None:
        self.closed = True
        self.kernel.gatherings.remove(self)
        self._level.close()

    def _ready(self) -> list[int]:
        found = []
        for opened in self.kernel.sockets:
            connecting = self.watched.get(opened.fileno())
            if connecting is not None and (opened.ready or (connecting and opened.connected)):
                found.append(opened.fileno())
        return found


class FakeKernel:
    """A kernel of one system, at the head of a path.

    Args:
        abi: What the caller believes the layout to be.
        path: The network.
        root: Whether the caller may do everything.
        latency: Whether what TCP learns comes later than ``connect`` returns.
    """

    def __init__(self, abi: BsdAbi, path: Path, *, root: bool = True, latency: bool = False) -> None:
        self._abi = abi
        self.name = abi.name
        self.quirks = QUIRKS[abi.name]
        self.path = path
        self.root = root
        self.latency = latency
        self.sockets: list[FakeSocket] = []
        self.gatherings: list[FakeGathering] = []
        self.ports = itertools.cycle(range(50000, 60000))
        self.sent: list[bytes] = []
        """Every packet that left, as it looked on the wire."""
        self.later: list[bytes] = []
        self.refusals: list[int] = []
        """Errors for the next datagrams that are sent; 0 lets one pass."""
        self.system_calls = 0

    @property
    def abi(self) -> BsdAbi:
        return self._abi

    @property
    def calls(self) -> FakeKernel:
        return self

    @property
    def batches(self) -> bool:
        return self.quirks.batches

    def loopback(self, version: int) -> IPv4Address | IPv6Address:
        return ipaddress.ip_address("127.0.0.1" if version == 4 else "::1")

    # --- sockets ------------------------------------------------------------------------------------------

    def open(self, family: int, kind: int, protocol: int) -> FakeSocket:
        if family not in {2, self.quirks.inet6}:
            raise OSError(EAFNOSUPPORT, "no such family")
        if kind == RAW and not self.root:
            raise OSError(self.quirks.raw_refused, "not permitted")
        if kind == DGRAM and protocol in {ICMP, ICMPV6} and not self.quirks.dgram_icmp:
            raise OSError(EPROTONOSUPPORT, "Protocol not supported")
        opened = FakeSocket(self, family, kind, protocol)
        self.sockets.append(opened)
        return opened

    def gather(self) -> FakeGathering:
        gathering = FakeGathering(self)
        self.gatherings.append(gathering)
        return gathering

    def writable(self, descriptor: int) -> bool:
        return True

    def known_options(self, opened: FakeSocket) -> set[tuple[int, int]]:
        quirks = self.quirks
        known = {(SOCKET, 0x1002), (SOCKET, 0x80), (SOCKET, quirks.timestamp)}
        if quirks.clocks:
            known.add((SOCKET, 0x1017))
        if opened.version == 4:
            known |= {(IP, TTL), (IP, TOS), (IP, quirks.recvttl)}
            if opened.kind == RAW:
                known.add((IP, HDRINCL))
            if quirks.dontfrag is not None:
                known.add((IP, quirks.dontfrag))
            if quirks.bound_if is not None:
                known.add((IP, quirks.bound_if[0]))
        else:
            known |= {(IPV6, UNICAST_HOPS), (IPV6, RECVHOPLIMIT), (IPV6, 27), (IPV6, 62)}
            known.add((IPV6, quirks.tclass))
            if quirks.bound_if is not None:
                known.add((IPV6, quirks.bound_if[1]))
            if opened.protocol == ICMPV6:
                known.add((ICMPV6, FILTER))
        return known

    def levels(self, opened: FakeSocket) -> None:
        opened.level.set(opened.ready)
        for gathering in self.gatherings:
            gathering.notice()

    def _socket(self, descriptor: int) -> FakeSocket:
        return next(opened for opened in self.sockets if opened.fileno() == descriptor)

    # --- moving messages ------------------------------------------------------------------------------------

    def sendmsg(self, descriptor: int, message: int, flags: int) -> int:
        self.system_calls += 1
        return self._send_one(descriptor, message, flags)

    def sendmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        assert self.quirks.batches, "not a system call here"
        self.system_calls += 1
        for place in range(count):
            address = messages + 56 * place
            sent = self._send_one(descriptor, address, flags)
            if sent < 0:
                if place:
                    self.refusals.insert(0, -sent)  # what stood in the way still does
                return place or sent
            _write(address + 48, struct.pack("=I", sent))
        return count

    def recvmsg(self, descriptor: int, message: int, flags: int) -> int:
        self.system_calls += 1
        return self._receive_one(descriptor, message, flags)

    def recvmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        assert self.quirks.batches, "not a system call here"
        self.system_calls += 1
        for place in range(count):
            address = messages + 56 * place
            received = self._receive_one(descriptor, address, flags)
            if received < 0:
                return place or received
            _write(address + 48, struct.pack("=I", received))
        return count

    def _receive_one(self, descriptor: int, message: int, flags: int) -> int:
        assert flags & DONTWAIT, "would block"
        opened = self._socket(descriptor)
        if opened.error:
            error, opened.error = opened.error, 0
            self.levels(opened)
            return -error
        if not opened.queue:
            return -EAGAIN
        got = opened.queue.pop(0)
        self.levels(opened)
        name, name_size, vector, count, control, control_size, _ = _header(message)
        assert count == 1
        base, size = _vector(vector)
        told = 0
        _write(base, got.data[:size])
        if len(got.data) > size:
            told |= 0x10
        _write(name, got.name[:name_size])
        _write(control, got.control[:control_size])
        if len(got.control) > control_size:
            told |= 0x20
        _write(message + 8, struct.pack("=I", len(got.name)))
        _write(message + 40, struct.pack("=Ii", min(len(got.control), control_size), told))
        return min(len(got.data), size)

    def _send_one(self, descriptor: int, message: int, flags: int) -> int:
        assert flags & DONTWAIT, "would block"
        opened = self._socket(descriptor)
        name, name_size, vector, count, control, control_size, _ = _header(message)
        base, size = _vector(vector)
        assert count == 1
        data = _read(base, size)
        destination = self._destination(opened, _read(name, name_size))
        if isinstance(destination, int):
            return -destination
        address, port = destination
        hops: int | None = None
        if control_size:
            level, kind, value = self._control(_read(control, control_size))
            if opened.version == 6:
                if (level, kind, len(value)) != (IPV6, HOPLIMIT, 4):
                    return -EINVAL
                (hops,) = struct.unpack("=i", value)
            else:
                refusal = self.quirks.raw_control if opened.kind == RAW else self.quirks.udp_control
                if refusal:
                    return -refusal
        if address in self.path.unroutable:
            return -EHOSTUNREACH
        if self.refusals and (refusal := self.refusals.pop(0)):
            return -refusal
        packet = self._packet(opened, data, address, port, hops)
        if isinstance(packet, int):
            return -packet
        self.transmit(packet)
        return size

    def _destination(self, opened: FakeSocket, name: bytes) -> tuple[IPv4Address | IPv6Address, int] | int:
        if len(name) < 2 or name[0] != len(name):
            return EINVAL
        (port,) = struct.unpack("!H", name[2:4])
        if opened.version == 4:
            if name[1] != 2 or len(name) != 16:
                return EAFNOSUPPORT
            return ipaddress.IPv4Address(name[4:8]), port
        if name[1] != self.quirks.inet6 or len(name) != 28:
            return EAFNOSUPPORT
        return ipaddress.IPv6Address(name[8:24]), port

    def _control(self, control: bytes) -> tuple[int, int, bytes]:
        length, level, kind = struct.unpack("=Iii", control[:12])
        header = self._aligned(12)
        assert len(control) == header + self._aligned(length - header)
        return level, kind, control[header:length]

    def _aligned(self, size: int) -> int:
        return -(-size // self.quirks.alignment) * self.quirks.alignment

    def _packet(
        self,
        opened: FakeSocket,
        data: bytes,
        destination: IPv4Address | IPv6Address,
        port: int,
        hops: int | None,
    ) -> bytes | int:
        version = opened.version
        loops = destination == self.loopback(version)
        source = self.loopback(version) if loops else self.path.source(version)
        if opened.local[0] and opened.local[0] != "::":
            source = ipaddress.ip_address(opened.local[0])
        if (
            opened.kind == DGRAM
            and opened.protocol in {ICMP, ICMPV6}
            and data[:2]
            != bytes((
                8 if version == 4 else 128,
                0,
            ))
        ):
            return EINVAL if version == 4 else EPERM
        if opened.kind == DGRAM and opened.protocol == UDP:
            if not opened.local[1]:
                opened.bind((opened.local[0], 0))
            data = build_udp(source, destination, opened.local[1], port, data)
        if version == 6:
            if opened.protocol == ICMPV6:
                data = data[:2] + b"\0\0" + data[4:]
                total = pseudo_header_sum(source, destination, ICMPV6, len(data))
                data = data[:2] + internet_checksum(data, total).to_bytes(2, "big") + data[4:]
            limit = opened.number(IPV6, UNICAST_HOPS, 64) if hops is None else hops
            forgets = hops is not None and self.quirks.control_ends_options
            return build_ipv6(
                data,
                source=source,
                destination=destination,
                next_header=opened.protocol,
                hop_limit=limit,
                traffic_class=0 if forgets else opened.number(IPV6, self.quirks.tclass),
            )
        if opened.kind == RAW and opened.number(IP, HDRINCL):
            return self._included(data, source)
        ttl = opened.number(IP, TTL, 64)
        if opened.kind == RAW and self.quirks.raw_ttl_ignored:
            ttl = 255
        return build_ipv4(
            data,
            source=source,
            destination=destination,
            protocol=opened.protocol,
            ttl=ttl,
            traffic_class=opened.number(IP, TOS),
        )

    def _included(self, data: bytes, source: IPv4Address | IPv6Address) -> bytes | int:
        order = "=" if self.quirks.header_in_host_order else "!"
        length, _, fragment = struct.unpack(order + "HHH", data[2:8])
        if length != len(data):
            return EINVAL
        header = bytearray(data[:20])
        header[2:8] = struct.pack("!HHH", length, 0x1234, fragment)
        if header[12:16] == bytes(4):
            header[12:16] = source.packed
        header[10:12] = bytes(2)
        header[10:12] = internet_checksum(header).to_bytes(2, "big")
        return bytes(header) + data[20:]

    # --- the network ----------------------------------------------------------------------------------------

    def transmit(self, packet: bytes) -> None:
        """Send a packet, and take in what comes back."""
        parse_ip(packet, verify=True)
        self.sent.append(packet)
        for reply in self.path.replies(packet):
            self.arrive(reply)

    def arrive(self, packet: bytes) -> None:
        """Deliver a packet from the network, as it looks on the wire."""
        datagram = parse_ip(packet)
        version = datagram.version
        payload = bytes(datagram.payload)
        if datagram.protocol == TCP:
            self._segment_came(version, payload)
            return
        if datagram.protocol == UDP:
            (port,) = struct.unpack("!H", payload[2:4])
            (sender,) = struct.unpack("!H", payload[:2])
            for opened in list(self.sockets):
                what = (opened.kind, opened.protocol, opened.version, opened.local[1])
                if what == (DGRAM, UDP, version, port):
                    self._deliver(opened, payload[8:], datagram.source, sender, datagram.ttl)
            return
        seen = payload if version == 6 else self._as_seen(packet, payload)
        for opened in list(self.sockets):
            heard = opened.kind == RAW or (opened.kind == DGRAM and self.quirks.dgram_icmp)
            if heard and opened.protocol == datagram.protocol and opened.version == version:
                mask = opened.options.get((ICMPV6, FILTER))
                if isinstance(mask, bytes):
                    words = struct.unpack("=8I", mask)
                    if not words[payload[0] >> 5] >> (payload[0] & 31) & 1:
                        continue
                self._deliver(opened, seen, datagram.source, 0, datagram.ttl)
        self._notify(version, payload)

    def _as_seen(self, packet: bytes, payload: bytes) -> bytes:
        """A raw IPv4 datagram as this kernel hands it out."""
        header = bytearray(packet[: (packet[0] & 15) * 4])
        if self.quirks.length_in_host_order:
            header[2:4] = struct.pack("=H", len(packet) - len(header))
        body = bytearray(payload)
        if self.quirks.quote_swapped and body[0] in {3, 4, 5, 11, 12} and len(body) >= 28:
            body[10:12] = body[11], body[10]
        return bytes(header + body)

    def _deliver(
        self,
        opened: FakeSocket,
        data: bytes,
        sender: IPv4Address | IPv6Address,
        port: int,
        ttl: int,
    ) -> None:
        if opened.version == 4:
            name = struct.pack("!BBH4s8x", 16, 2, port, sender.packed)
        else:
            name = struct.pack("!BBHI16sI", 28, self.quirks.inet6, port, 0, sender.packed, 0)
        opened.queue.append(Datagram(data, name, self._told(opened, ttl)))
        self.levels(opened)

    def _told(self, opened: FakeSocket, ttl: int) -> bytes:
        quirks, now = self.quirks, time.time_ns()
        seconds, nanoseconds = divmod(now, 10**9)
        found: list[tuple[int, int, bytes]] = []
        if opened.number(SOCKET, quirks.timestamp):
            if quirks.clocks and opened.number(SOCKET, 0x1017) == 2:
                found.append((SOCKET, 5, struct.pack("=qq", seconds, nanoseconds)))
            elif quirks.short_microseconds:
                padding = b"\x29\x7f\0\0"
                found.append((
                    SOCKET,
                    quirks.scm_timestamp,
                    struct.pack("=qI", seconds, nanoseconds // 1000) + padding,
                ))
            else:
                stamp = struct.pack("=qq", seconds, nanoseconds // 1000)
                found.append((SOCKET, quirks.scm_timestamp, stamp))
        if opened.version == 4 and opened.number(IP, quirks.recvttl):
            found.append((IP, quirks.recvttl, bytes((ttl,))))
        if opened.version == 6 and opened.number(IPV6, RECVHOPLIMIT):
            found.append((IPV6, HOPLIMIT, struct.pack("=i", ttl)))
        told = b""
        for level, kind, value in found:
            header = struct.pack("=Iii", self._aligned(12) + len(value), level, kind)
            told += header.ljust(self._aligned(12), b"\xaa") + value.ljust(self._aligned(len(value)), b"\xbb")
        return told

    def _notify(self, version: int, payload: bytes) -> None:
        """Tell the sockets of transport protocols what an ICMP error means to them."""
        expired = payload[0] == (11 if version == 4 else 3)
        unreachable = payload[:2] == (b"\x03\x03" if version == 4 else b"\x01\x04")
        if not expired and not unreachable:
            return
        quote = payload[8:]
        header = 20 if version == 4 else 40
        protocol = quote[9] if version == 4 else quote[6]
        (port,) = struct.unpack("!H", quote[header : header + 2])
        for opened in list(self.sockets):
            if opened.protocol == protocol and opened.version == version and opened.local[1] == port:
                if opened.kind == DGRAM and opened.connected:
                    error = ECONNREFUSED if unreachable else self.quirks.udp_expired[version == 6]
                elif opened.kind == STREAM and not opened.connected:
                    error = ECONNREFUSED if unreachable else self.quirks.tcp_expired
                else:
                    continue
                if error:
                    opened.error = error
                    self.levels(opened)

    def connect_tcp(self, opened: FakeSocket, destination: IPv4Address | IPv6Address, port: int) -> int:
        """Send a SYN, and tell what has come of it by the time that connect(2) returns."""
        version = opened.version
        source = self.loopback(version) if destination.is_loopback else self.path.source(version)
        segment = build_tcp(source, destination, opened.local[1], port, sequence=0x1234, window=65535)
        if version == 4:
            packet = build_ipv4(
                segment,
                source=source,
                destination=destination,
                protocol=TCP,
                ttl=opened.number(IP, TTL, 64),
                traffic_class=opened.number(IP, TOS),
            )
        else:
            packet = build_ipv6(
                segment,
                source=source,
                destination=destination,
                next_header=TCP,
                hop_limit=opened.number(IPV6, UNICAST_HOPS, 64),
                traffic_class=opened.number(IPV6, self.quirks.tclass),
            )
        if self.latency:
            self.later.append(packet)
            return EINPROGRESS
        self.transmit(packet)
        if self.quirks.tcp_told_by_connect:
            if opened.error:
                error, opened.error = opened.error, 0
                return error
            if opened.connected:
                return 0
        return EINPROGRESS

    def deliver_later(self) -> None:
        """Let the packets go that were held back until ``connect`` had returned."""
        while self.later:
            self.transmit(self.later.pop(0))

    def _segment_came(self, version: int, segment: bytes) -> None:
        (port,) = struct.unpack("!H", segment[2:4])
        for opened in list(self.sockets):
            if (opened.kind, opened.version, opened.local[1]) == (STREAM, version, port):
                if segment[13] & TcpFlag.RST:
                    opened.error = ECONNREFUSED
                else:
                    opened.connected = True
                self.levels(opened)


def _header(message: int) -> tuple[int, int, int, int, int, int, int]:
    fields: tuple[int, int, int, int, int, int, int] = struct.unpack("=QI4xQi4xQIi", _read(message, 48))
    return fields


def _vector(address: int) -> tuple[int, int]:
    base, size = struct.unpack("=QQ", _read(address, 16))
    return base, size


def _read(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size) if size else b""


def _write(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))
