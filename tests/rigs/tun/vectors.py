"""Answers of the simulated internet to probes that are the same each time, as a file for unit tests.

Probes are scapy's, answers the C program's: nothing of traceprobe's has a share in the bytes. What an
answer holds is written beside it, from the scenario. Every scenario that has manners is in the file.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rigs.capture import Capture
from tests.rigs.tun.simulated import DEVICE, load_manners, load_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.tun.log import ReplyRecord
    from tests.rigs.tun.manners import Manner
    from tests.rigs.tun.simulated import SimulatedInternet

FILE = Path(__file__).resolve().parents[2] / "packets" / "internet_vectors.json"
SCENARIOS = ("extensions", "path_changes", "ports", "quotes", "ttl_zero", "unreachables")
TARGETS = {4: "203.0.113.9", 6: "2001:db8:9::9"}

_SOURCES = {4: "192.0.2.77", 6: "2001:db8::77"}
_SOURCE_PORT = 45123
_TCP_PORTS = (80, 443, 8080, 8081, 8082, 8083, 9)
_UDP_PORTS = (53, 123, 161, 33434)
_EXTENDED = {(4, 3), (4, 11), (4, 12), (6, 1), (6, 3)}
"""IP version and type of the errors that can have extensions (RFC 4884 section 4)."""


def probe(protocol: str, target: str, ttl: int, *, port: int | None = None, size: int = 32) -> bytes:
    """A datagram; ``size`` is that of the payload, except for TCP."""
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.packet import Raw

    version = ip_address(target).version
    payload = bytes(index & 0xFF for index in range(size))
    if version == 4:
        header = IP(src=_SOURCES[4], dst=target, ttl=ttl, id=0xBE00 + ttl)
    else:
        header = IPv6(src=_SOURCES[6], dst=target, hlim=ttl, fl=0x12345)
    if protocol == "tcp":
        options = [("MSS", 1460), ("SAckOK", b""), ("NOP", None), ("WScale", 7)]
        segment = TCP(sport=_SOURCE_PORT, dport=port or 80, seq=0x10000000 + ttl, flags="S", options=options)
        return bytes(header / segment)
    if protocol == "udp":
        return bytes(header / UDP(sport=_SOURCE_PORT, dport=port or 33434) / Raw(payload))
    if version == 4:
        return bytes(header / ICMP(id=0x1234, seq=ttl) / Raw(payload))
    return bytes(header / ICMPv6EchoRequest(id=0x1234, seq=ttl, data=payload))


def _probes(scenario: str) -> Iterator[tuple[str, bytes]]:
    """What is sent in a scenario, each with its name."""
    if scenario == "unreachables":
        for path in load_scenario(scenario).paths:
            target = str(path.target.addresses[0])
            yield f"udp to {target}", probe("udp", target, 3)
        return
    for version, target in TARGETS.items():
        if scenario == "ports":
            for port in _TCP_PORTS:
                yield f"tcp{version} port {port}", probe("tcp", target, 5, port=port)
            for port in _UDP_PORTS:
                yield f"udp{version} port {port}", probe("udp", target, 5, port=port)
            continue
        last = len(load_scenario(scenario).paths[0].hops) + 1
        for ttl in range(1, last + 1):
            if scenario == "quotes":
                for size in (32, 1300):
                    yield f"udp{version} of {size} at {ttl}", probe("udp", target, ttl, size=size)
            else:
                for protocol in ("icmp", "udp", "tcp"):
                    yield f"{protocol}{version} at {ttl}", probe(protocol, target, ttl)


def record_vectors(internet: SimulatedInternet) -> list[dict[str, Any]]:
    """Send every probe of every scenario, and note the answers."""
    vectors = []
    for scenario in SCENARIOS:
        manners = load_manners(scenario)
        internet.load(load_scenario(scenario), manners=manners)
        probes = list(_probes(scenario))
        with Capture(internet.namespace, DEVICE) as capture:
            _send(internet, [datagram for _, datagram in probes])
            log = internet.log()
            answers = [frame.datagram for frame in capture.frames() if not frame.outgoing]
        assert [record.length for record in log.replies] == [len(answer) for answer in answers]
        numbers = {record.number: index for index, record in enumerate(log.probes)}
        for record, answer in zip(log.replies, answers, strict=True):
            name, datagram = probes[numbers[record.probe]]
            vectors.append({
                "name": f"{scenario}: {name}",
                "probe": datagram.hex(),
                "answer": answer.hex(),
                "type": record.icmp_type,
                "code": record.icmp_code,
                **_contents(record, manners.get(str(record.address))),
            })
    return sorted(vectors, key=lambda vector: str(vector["name"]))


def _send(internet: SimulatedInternet, datagrams: list[bytes]) -> None:
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        with internet.namespace.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
            for datagram in datagrams:
                if datagram[0] >> 4 == version:
                    destination = datagram[16:20] if version == 4 else datagram[24:40]
                    sender.sendto(datagram, (socket.inet_ntop(family, destination), 0))


def _contents(record: ReplyRecord, manner: Manner | None) -> dict[str, Any]:
    """What the extension of an answer says; None if there is none, or one that must not be believed."""
    if (
        manner is None
        or (record.address.version, record.icmp_type) not in _EXTENDED
        or not manner.extension_objects()
        or manner.spoil in {"checksum", "version", "object"}
    ):
        return {"extension": None}
    return {
        "extension": {
            "mpls": [list(entry) for entry in manner.mpls],
            "interfaces": [
                [one.role, one.index, one.address, one.name, one.mtu] for one in manner.interfaces
            ],
            "objects": [list(one) for one in manner.objects],
        }
    }
