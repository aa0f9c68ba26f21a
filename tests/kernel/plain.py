"""A traceroute of nothing but plain sockets, one system call at a time, to prove the rigs with.

Knows nothing of traceprobe. It sends all probes, then listens until nothing has come for a while.
Its functions run inside a namespace, through ``Namespace.call``.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import cast

PORT = 33434
IDENTIFIER = 0x7A7A

# ip(7), ipv6(7); <linux/in.h>, <linux/in6.h>. PMTUDISC_PROBE sets the don't-fragment bit and ignores what
# the kernel knows about the path.
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_PROBE = 3

_ECHO_REQUEST = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}
_IPV6_HOP_LIMIT_SIZE = 4
_NEIGHBOUR_DISCOVERY = range(133, 138)  # RFC 4861; a raw socket gets to see it too


def trace(
    target: str, protocol: str, max_ttl: int, queries: int, quiet: float, size: int = 32
) -> list[list[object]]:
    """Send ``queries`` probes at every TTL and say what came back; needs root.

    The lists that come back are ``[number, address, type, code, TTL, ICMP message in hexadecimal]`` in the
    order of arrival; ``number`` counts probes from 0, TTL by TTL. For UDP data from the target, type and
    code are -1, and the message is the data. A message that is about no probe has the number -1, one with
    a wrong checksum (which only a raw IPv4 socket gets to see) has -2.

    Args:
        target: An address.
        protocol: ``icmp`` or ``udp``.
        max_ttl: The last TTL.
        queries: Probes at each TTL.
        quiet: Seconds without a reply after which no more are expected.
        size: Bytes of payload in each probe. They go unfragmented.
    """
    version = 6 if ":" in target else 4
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    icmp = socket.socket(
        family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
    )
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        icmp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for sender in (icmp, udp):
            if version == 6:
                sender.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
            else:
                sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
        if version == 6:
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        udp.bind(("::" if version == 6 else "0.0.0.0", 0))
        padding = bytes(index & 0xFF for index in range(size))
        for number in range(max_ttl * queries):
            ttl = number // queries + 1
            sender = icmp if protocol == "icmp" else udp
            if version == 6:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
            else:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            if protocol == "icmp":
                icmp.sendto(echo_request(version, number, padding), (target, 0))
            else:
                udp.sendto(padding, (target, PORT + number))
        return _collect(version, target, protocol, icmp, udp, quiet)
    finally:
        icmp.close()
        udp.close()


def echo_request(version: int, number: int, padding: bytes) -> bytes:
    header = struct.pack("!BBHHH", _ECHO_REQUEST[version], 0, 0, IDENTIFIER, number)
    if version == 6:
        return header + padding  # the kernel fills the checksum of ICMPv6 (RFC 3542 section 3.1)
    return header[:2] + struct.pack("!H", checksum(header + padding)) + header[4:] + padding


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071), written as naively as can be; 0 if the data includes a right one."""
    total = 0
    for index in range(0, len(data) - 1, 2):
        total += data[index] << 8 | data[index + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _collect(
    version: int,
    target: str,
    protocol: str,
    icmp: socket.socket,
    udp: socket.socket | None,
    quiet: float,
) -> list[list[object]]:
    replies: list[list[object]] = []
    sockets = [icmp] if udp is None else [icmp, udp]
    while True:
        ready, _, _ = select.select(sockets, [], [], quiet)
        if not ready:
            return replies
        if udp is not None and udp in ready:
            data, sender = udp.recvfrom(65536)
            replies.append([sender[1] - PORT, sender[0], -1, -1, 0, data.hex()])
        if icmp in ready:
            data, ancillary, _, sender = icmp.recvmsg(65536, socket.CMSG_SPACE(_IPV6_HOP_LIMIT_SIZE))
            if version == 4:
                length = (data[0] & 15) * 4
                reply_ttl, message = data[8], data[length:]
                assert checksum(data[:length]) == 0
            else:
                reply_ttl, message = int.from_bytes(ancillary[0][2], "little"), data
            number = _which(version, target, protocol, message)
            if version == 4 and checksum(message) != 0:
                number = -2
            if version == 4 or message[0] not in _NEIGHBOUR_DISCOVERY:
                replies.append([number, sender[0], message[0], message[1], reply_ttl, message.hex()])


def _which(version: int, target: str, protocol: str, message: bytes) -> int:
    """The number of the probe that an ICMP message is about, -1 if it is about something else."""
    if len(message) < 8:
        return -1
    if message[0] == _ECHO_REPLY[version]:
        identifier, number = struct.unpack("!HH", message[4:8])
        return int(number) if identifier == IDENTIFIER and protocol == "icmp" else -1
    errors = {4: {3, 11, 12}, 6: {1, 2, 3, 4}}
    quoted = message[8:]
    if message[0] not in errors[version] or len(quoted) < (28 if version == 4 else 48):
        return -1
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    destination = quoted[16:20] if version == 4 else quoted[24:40]
    if target and socket.inet_ntop(family, destination) != target:
        return -1
    transport = quoted[(quoted[0] & 15) * 4 :] if version == 4 else quoted[40:]
    if protocol == "udp":
        return int.from_bytes(transport[2:4], "big") - PORT
    identifier, number = struct.unpack("!HH", transport[4:8])
    return int(number) if identifier == IDENTIFIER else -1


def descriptors() -> int:
    """How many file descriptors this process has open, the one that counts them left out."""
    return len(os.listdir("/proc/self/fd")) - 1


def ping(targets: list[str], quiet: float) -> list[str]:
    """Send one echo request to each target, all at once, and say which of them answered."""
    found: list[str] = []
    for version in (4, 6):
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
        with socket.socket(family, socket.SOCK_RAW, protocol) as icmp:
            if version == 6:
                icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            icmp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            for number, target in enumerate(targets):
                if (":" in target) is (version == 6):
                    icmp.sendto(echo_request(version, number, b""), (target, 0))
            replies = _collect(version, "", "icmp", icmp, None, quiet)
        found += [str(reply[1]) for reply in replies if targets[cast("int", reply[0])] == reply[1]]
    return sorted(found)


def expire(targets: list[str], ttl: int, quiet: float) -> list[str | None]:
    """Send one echo request with a TTL to each target, all of one family, and say who answered each."""
    found: list[str | None] = [None] * len(targets)
    version = 6 if ":" in targets[0] else 4
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
    with socket.socket(family, socket.SOCK_RAW, protocol) as icmp:
        if version == 6:
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            icmp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        for number, target in enumerate(targets):
            icmp.sendto(echo_request(version, number, b""), (target, 0))
        for reply in _collect(version, "", "icmp", icmp, None, quiet):
            found[cast("int", reply[0])] = str(reply[1])
    return found


def send_corrupt(target: str) -> None:
    """Send an echo request with a wrong checksum."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        request = bytearray(echo_request(4, 0, b"payload"))
        request[-1] ^= 1
        icmp.sendto(request, (target, 0))


def connect(target: str, port: int) -> None:
    """Begin a TCP connection and give it up at once."""
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_STREAM) as tcp:
        tcp.setblocking(False)
        tcp.connect_ex((target, port))


def send_echo_reply(target: str) -> None:
    """Send an echo reply that nobody has asked for."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.sendto(b"\x00" + echo_request(4, 0, b"")[1:], (target, 0))
