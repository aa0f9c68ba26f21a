"""A traceroute of nothing but plain sockets, one system call at a time, to prove the rigs with.

Knows nothing of traceprobe. It sends all probes, then listens until nothing has come for a while.
Its functions run inside a namespace, through ``Namespace.call``.
"""

from __future__ import annotations

import select
import socket
import struct
import time

PORT = 33434
IDENTIFIER = 0x7A7A
PADDING = bytes(range(32))

_ECHO_REQUEST = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}
_IPV6_HOP_LIMIT_SIZE = 4


def trace(target: str, protocol: str, max_ttl: int, queries: int, quiet: float) -> list[list[object]]:
    """Send ``queries`` probes at every TTL and say what came back.

    Needs root. The lists that come back are ``[number, address, type, code, rtt, reply TTL, bytes of ICMP]``
    in the order of arrival; ``number`` counts probes from 0, TTL by TTL. For UDP data from the target,
    type and code are -1.

    Args:
        target: An address.
        protocol: ``icmp`` or ``udp``.
        max_ttl: The last TTL.
        queries: Probes at each TTL.
        quiet: Seconds without a reply after which no more are expected.
    """
    version = 6 if ":" in target else 4
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    icmp = socket.socket(
        family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
    )
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        icmp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if version == 6:
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        udp.bind(("::" if version == 6 else "0.0.0.0", 0))
        sent = {}
        for number in range(max_ttl * queries):
            ttl = number // queries + 1
            sender = icmp if protocol == "icmp" else udp
            if version == 6:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
            else:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sent[number] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if protocol == "icmp":
                icmp.sendto(_echo_request(version, number), (target, 0))
            else:
                udp.sendto(PADDING, (target, PORT + number))
        return _collect(version, target, protocol, icmp, udp, sent, quiet)
    finally:
        icmp.close()
        udp.close()


def _echo_request(version: int, number: int) -> bytes:
    header = struct.pack("!BBHHH", _ECHO_REQUEST[version], 0, 0, IDENTIFIER, number)
    if version == 6:
        return header + PADDING  # the kernel fills the checksum of ICMPv6 (RFC 3542 section 3.1)
    return header[:2] + struct.pack("!H", checksum(header + PADDING)) + header[4:] + PADDING


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
    udp: socket.socket,
    sent: dict[int, int],
    quiet: float,
) -> list[list[object]]:
    replies: list[list[object]] = []
    while True:
        ready, _, _ = select.select([icmp, udp], [], [], quiet)
        if not ready:
            return replies
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if udp in ready:
            _, sender = udp.recvfrom(65536)
            number = sender[1] - PORT
            replies.append([number, sender[0], -1, -1, (now - sent[number]) / 1e9, 0, 0])
        if icmp in ready:
            data, ancillary, _, sender = icmp.recvmsg(65536, socket.CMSG_SPACE(_IPV6_HOP_LIMIT_SIZE))
            if version == 4:
                length = (data[0] & 15) * 4
                if checksum(data[:length]) != 0 or checksum(data[length:]) != 0:
                    replies.append([-1, sender[0], -2, -2, 0.0, data[8], len(data) - length])
                    continue
                reply_ttl, message = data[8], data[length:]
            else:
                reply_ttl = int.from_bytes(ancillary[0][2], "little") if ancillary else 0
                message = data
            number = _which(version, target, protocol, message)
            if number is not None and number in sent:
                rtt = (now - sent[number]) / 1e9
                replies.append([number, sender[0], message[0], message[1], rtt, reply_ttl, len(message)])


def _which(version: int, target: str, protocol: str, message: bytes) -> int | None:
    """The number of the probe that an ICMP message is about, None if it is about something else."""
    if message[0] == _ECHO_REPLY[version]:
        identifier, number = struct.unpack("!HH", message[4:8])
        return int(number) if identifier == IDENTIFIER and protocol == "icmp" else None
    errors = {4: {3, 11, 12}, 6: {1, 2, 3, 4}}
    if message[0] not in errors[version]:
        return None
    quoted = message[8:]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    destination = quoted[16:20] if version == 4 else quoted[24:40]
    if socket.inet_ntop(family, destination) != target:
        return None
    transport = quoted[(quoted[0] & 15) * 4 :] if version == 4 else quoted[40:]
    if protocol == "udp":
        return int.from_bytes(transport[2:4], "big") - PORT
    identifier, number = struct.unpack("!HH", transport[4:8])
    return int(number) if identifier == IDENTIFIER else None


def descriptors() -> int:
    """How many file descriptors this process has open, the one that counts them left out."""
    import os

    return len(os.listdir("/proc/self/fd")) - 1
