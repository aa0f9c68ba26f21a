"""What the simulated internet appends to its answers and shows of the probe, bit by bit.

The answers are read by scapy and by hand; nothing of traceprobe's has a share in it.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.golden import check_golden
from tests.kernel import plain
from tests.rigs.tun import vectors as recorder
from tests.rigs.tun.simulated import load_manners, load_scenario
from traceprobe.testing.topology import Router

if TYPE_CHECKING:
    from typing import TypeAlias

    from tests.rigs.tun import SimulatedInternet

    Vectors: TypeAlias = dict[str, dict[str, Any]]

pytestmark = pytest.mark.tun

both_versions = pytest.mark.parametrize("version", [4, 6])
every_protocol = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp"])


@pytest.fixture(scope="module")
def vectors(internet: SimulatedInternet) -> Vectors:
    pytest.importorskip("scapy.layers.inet")
    return {vector["name"]: vector for vector in recorder.record_vectors(internet)}


def answer(vectors: Vectors, name: str) -> bytes:
    """The answer from its ICMP or TCP header on."""
    datagram = bytes.fromhex(vectors[name]["answer"])
    return datagram[(40, 20)[datagram[0] >> 4 == 4] :]


def quote(vectors: Vectors, name: str) -> bytes:
    return answer(vectors, name)[8:]


def probe(vectors: Vectors, name: str) -> bytes:
    return bytes.fromhex(vectors[name]["probe"])


def test_the_file_for_unit_tests_has_these_bytes(vectors: Vectors) -> None:
    check_golden(recorder.FILE, "[\n" + ",\n".join(map(json.dumps, vectors.values())) + "\n]\n")


def test_every_answer_has_right_checksums(vectors: Vectors) -> None:
    for name, vector in vectors.items():
        datagram = bytes.fromhex(vector["answer"])
        if datagram[0] >> 4 == 4:
            assert plain.checksum(datagram[:20]) == 0, name
            protocol, addresses, transport = datagram[9], datagram[12:20], datagram[20:]
        else:
            protocol, addresses, transport = datagram[6], datagram[8:40], datagram[40:]
        pseudo = b"" if protocol == 1 else addresses + struct.pack("!HH", protocol, len(transport))
        assert plain.checksum(pseudo + transport) == 0, name


# --- extensions --------------------------------------------------------------------------------------------


@both_versions
@every_protocol
def test_an_extension_follows_the_padded_quote(vectors: Vectors, version: int, protocol: str) -> None:
    plain_one, compliant, legacy = (
        answer(vectors, f"extensions: {protocol}{version} at {ttl}") for ttl in (1, 2, 3)
    )
    length_at, unit = (5, 4) if version == 4 else (4, 8)
    sent = probe(vectors, f"extensions: {protocol}{version} at 2")
    assert len(plain_one) == 8 + len(sent)
    assert plain_one[4:8] == legacy[4:8] == bytes(4)
    assert compliant[length_at] * unit == 128
    for message, objects in (
        (compliant, "0008 0101 03e8 1101"),
        (legacy, "0010 0101 05dd 1afd 0001 1002 ffff ffff"),
    ):
        structure = message[8 + 128 :]
        assert not any(message[8 + len(sent) : 8 + 128])
        assert structure[:2] == b"\x20\x00"
        assert plain.checksum(structure) == 0
        assert structure[4:] == bytes.fromhex(objects)


@both_versions
def test_objects_are_those_of_the_rfcs(vectors: Vectors, version: int) -> None:
    def objects(ttl: int) -> str:
        return answer(vectors, f"extensions: udp{version} at {ttl}")[8 + 128 + 4 :].hex()

    # RFC 5837: roles 0 to 3 in the two upper bits; index, address, name and MTU in the four lower ones.
    length = "0024" if version == 4 else "0030"
    address = "00010000 c000022a" if version == 4 else "00020000 20010db8 00420000 00000000 00000042"
    name = "10 67652d302f302f312e343230 000000"
    assert objects(4) == f"{length} 020f 0000002a {address} {name} 000023e8".replace(" ", "")
    assert objects(6) == "00080301001122330004f7ff0005fa00de"


@both_versions
def test_spoilt_structures_are_wrong_in_one_way_each(vectors: Vectors, version: int) -> None:
    def structure(ttl: int) -> bytes:
        return answer(vectors, f"extensions: icmp{version} at {ttl}")[8 + 128 :]

    assert structure(7)[2:4] == b"\0\0"
    assert plain.checksum(structure(8)) != 0
    assert (structure(9)[0], plain.checksum(structure(9))) == (0x30, 0)
    assert (structure(10)[0], plain.checksum(structure(10))) == (0x20, 0)
    assert int.from_bytes(structure(10)[4:6], "big") > len(structure(10)) - 4


@both_versions
def test_long_quotes_leave_room_for_the_extension(vectors: Vectors, version: int) -> None:
    header, longest = (20, 576) if version == 4 else (40, 1280)
    labels = {3: "03e83101", 5: "03e85101", 6: "03e86101"}
    lengths = {}
    for ttl, size in ((1, 32), (2, 32), (1, 1300), (3, 1300), (5, 1300), (6, 1300), (7, 32)):
        message = answer(vectors, f"quotes: udp{version} of {size} at {ttl}")
        lengths[ttl, size] = header + len(message)
        if ttl in labels:
            assert message[-4:] == bytes.fromhex(labels[ttl])
    assert lengths == {
        (1, 32): 2 * header + 8 + 8 + 32,
        (2, 32): 2 * header + 8 + 8,
        (7, 32): 2 * header + 8,
        (1, 1300): longest,
        (3, 1300): header + 8 + 128 + 12,
        (5, 1300): longest if version == 4 else longest - 4,
        (6, 1300): header + 8 + 128 + 12,
    }


# --- what the path did -------------------------------------------------------------------------------------


@both_versions
@every_protocol
def test_quotes_differ_where_they_should_and_nowhere_else(
    vectors: Vectors, version: int, protocol: str
) -> None:
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    def differences(ttl: int) -> set[str]:
        sent = probe(vectors, f"path_changes: {protocol}{version} at {ttl}")
        seen = quote(vectors, f"path_changes: {protocol}{version} at {ttl}")
        found = set()
        kind = IP if version == 4 else IPv6
        before, after = kind(sent), kind(seen)
        for field in before.fields_desc:
            if before.getfieldval(field.name) != after.getfieldval(field.name):
                found.add(field.name)
        at = 20 if version == 4 else 40
        header = {"udp": 8, "icmp": 8, "tcp": 20}[protocol]
        checksum = {"udp": 6, "icmp": 2, "tcp": 16}[protocol]
        if sent[at + checksum : at + checksum + 2] != seen[at + checksum : at + checksum + 2]:
            found.add("transport checksum")
        port = slice(at + 4, at + 6) if protocol == "icmp" else slice(at, at + 2)
        if sent[port] != seen[port]:
            found.add("port")
        assert sent[at + header :] == seen[at + header :]
        if version == 4 and ttl != 7:
            assert plain.checksum(seen[:20]) == 0
        return found - {"ttl", "hlim", "chksum"}

    assert differences(1) == set()
    assert differences(2) == differences(3) == ({"tos"} if version == 4 else {"tc"})
    assert differences(4) == ({"id"} if version == 4 else {"fl"})
    assert differences(5) == ({"flags"} if version == 4 else {"tc", "fl"})
    assert differences(6) == ({"len"} if version == 4 else {"plen"})
    assert differences(7) == set()
    summed = set() if (protocol, version) == ("icmp", 4) else {"transport checksum"}
    assert differences(8) == {"src"} | summed
    assert differences(9) == summed
    assert differences(10) == {"src", "port", "transport checksum"}
    if version == 4:
        assert plain.checksum(quote(vectors, f"path_changes: {protocol}4 at 7")[:20]) != 0


@both_versions
@every_protocol
def test_a_translated_probe_fits_its_new_checksum(vectors: Vectors, version: int, protocol: str) -> None:
    for ttl in (8, 10):
        seen = quote(vectors, f"path_changes: {protocol}{version} at {ttl}")
        at = 20 if version == 4 else 40
        number = seen[9] if version == 4 else seen[6]
        pseudo = (seen[12:20] if version == 4 else seen[8:40]) + struct.pack("!HH", number, len(seen) - at)
        assert plain.checksum((b"" if number == 1 else pseudo) + seen[at:]) == 0
        assert number == 1 or plain.checksum(seen[at:]) != 0


@both_versions
@every_protocol
def test_a_ttl_of_zero_is_answered_by_the_next(vectors: Vectors, version: int, protocol: str) -> None:
    found = []
    for ttl in range(1, 6):
        name = f"ttl_zero: {protocol}{version} at {ttl}"
        datagram, seen = bytes.fromhex(vectors[name]["answer"]), quote(vectors, name)
        sender = datagram[15] if version == 4 else datagram[23]
        found.append((sender, seen[8] if version == 4 else seen[7]))
    assert found == [(1, 1), (2, 1), (4, 0), (4, 1), (5, 1)]


# --- ports and codes ---------------------------------------------------------------------------------------


@both_versions
def test_tcp_ports_answer_as_they_are_told_to(vectors: Vectors, version: int) -> None:
    for port, flags in ((80, 0x12), (443, 0x12), (9, 0x14)):
        name = f"ports: tcp{version} port {port}"
        segment = answer(vectors, name)
        source, destination, sequence, acknowledged = struct.unpack_from("!HHII", segment)
        assert (source, destination) == (port, 45123)
        assert segment[13] == flags
        assert acknowledged == 0x10000000 + 5 + 1
        assert (sequence == 0) is (port == 9)
    prohibited = (3, 13) if version == 4 else (1, 1)
    for port in (8081, 8082):
        vector = vectors[f"ports: tcp{version} port {port}"]
        assert (vector["type"], vector["code"]) == prohibited
    for port in (8080, 8083):
        assert f"ports: tcp{version} port {port}" not in vectors


@both_versions
def test_udp_ports_answer_as_they_are_told_to(vectors: Vectors, version: int) -> None:
    data = answer(vectors, f"ports: udp{version} port 53")
    assert struct.unpack_from("!HH", data) == (53, 45123)
    assert data[8:] == bytes(range(32))
    assert f"ports: udp{version} port 123" not in vectors
    for port, code in ((161, {4: (3, 13), 6: (1, 1)}), (33434, {4: (3, 3), 6: (1, 4)})):
        vector = vectors[f"ports: udp{version} port {port}"]
        assert (vector["type"], vector["code"]) == code[version]


def test_every_refusal_says_what_it_is_told_to(vectors: Vectors) -> None:
    refusals = {
        str(path.target.addresses[0]): load_manners("unreachables")[str(path.hops[1].addresses[0])].refusal
        for path in load_scenario("unreachables").paths
        if isinstance(path.hops[1], Router)
    }
    assert len(refusals) == 35
    for target, refusal in refusals.items():
        message = answer(vectors, f"unreachables: udp to {target}")
        assert struct.unpack_from("!BBxxI", message) == refusal
