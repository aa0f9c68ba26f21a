"""tshark objects to what is wrong with a packet, and to nothing else."""

from __future__ import annotations

import pytest

from tests.rigs.require import require
from tests.rigs.tshark import dissect, missing_tshark
from tests.rigs.tun.vectors import TARGETS, probe

CHECKSUM_AT = {"icmp": 2, "udp": 6, "tcp": 16}
HEADER = {4: 20, 6: 40}

both_versions = pytest.mark.parametrize("version", [4, 6])
every_protocol = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp"])


@pytest.fixture(scope="module", autouse=True)
def _tshark() -> None:
    require("tshark", missing_tshark())
    pytest.importorskip("scapy.layers.inet")


def layer(version: int, protocol: str) -> str:
    return "icmpv6" if (version, protocol) == (6, "icmp") else protocol


@both_versions
@every_protocol
def test_good_packets_are_found_good(version: int, protocol: str) -> None:
    (one,) = dissect([probe(protocol, TARGETS[version], 3)])
    assert one.protocols[1] == layer(version, protocol)
    assert one.checksums == ({"ip": True} if version == 4 else {}) | {layer(version, protocol): True}
    assert one.objections == ()


@both_versions
@every_protocol
def test_wrong_checksums_are_found(version: int, protocol: str) -> None:
    datagram = bytearray(probe(protocol, TARGETS[version], 3))
    datagram[HEADER[version] + CHECKSUM_AT[protocol]] ^= 0x55
    (one,) = dissect([bytes(datagram)])
    assert one.checksums[layer(version, protocol)] is False
    assert "checksum" in one.objections[0].lower()


def test_malformed_packets_are_found() -> None:
    datagram = bytearray(probe("tcp", TARGETS[4], 3))
    datagram[32] = 0xF0
    (one,) = dissect([bytes(datagram)])
    assert "malformed" in one.objections
