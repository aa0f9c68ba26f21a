"""The answers of the simulated internet as error queues show them: without the first headers of the quote."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from traceprobe.config import AddressFamily
from traceprobe.sockets.codec import ExtensionValues, connection_changes, read_extension
from traceprobe.sockets.linux._control import ExtendedError
from traceprobe.sockets.linux._errqueue import IP_HEADER, split_quote

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "packets" / "internet_vectors.json").read_text(encoding="ascii")
)
ERRORS = [vector for vector in VECTORS if vector["type"] not in {None, 0, 129}]
SHOWN = {"icmp": 0, "udp": 8, "tcp": 0}
"""Bytes of the transport header that the kernel keeps to itself besides the IP header."""
SPOILT = (" at 8", " at 9", " at 10")
INVALID = 1 << 16


def entry(vector: dict[str, Any]) -> tuple[AddressFamily, bytes, int, ExtendedError]:
    """Family, data, hidden bytes and what a kernel says that knows RFC 4884."""
    datagram = bytes.fromhex(vector["answer"])
    family = AddressFamily(datagram[0] >> 4)
    message = datagram[IP_HEADER[family] :]
    protocol = vector["name"].split(": ")[1][:3].replace("icm", "icmp")
    hidden = IP_HEADER[family] + SHOWN[protocol]
    quoted = message[5] * 4 if family is AddressFamily.IPV4 else message[4] * 8
    place = quoted - hidden if quoted else 0
    if (family, vector["type"]) in {(4, 12), (6, 2), (6, 4)}:
        place = 0
    spoilt = vector["name"].startswith("extensions") and vector["name"].endswith(SPOILT)
    error = ExtendedError(2, vector["type"], vector["code"], 0, place | (INVALID if spoilt else 0), None)
    return family, message[8 + hidden :], hidden, error


def as_told(vector: dict[str, Any]) -> dict[str, list[Any]]:
    """What the file says of the extension; all of it empty where there is none."""
    return vector["extension"] or {"mpls": [], "interfaces": [], "objects": []}


def as_read(values: ExtensionValues) -> dict[str, list[Any]]:
    return {
        "mpls": [[one.label, one.tc, one.s, one.ttl] for one in values.mpls],
        "interfaces": [
            [one.role.value, one.index, None if one.address is None else str(one.address), one.name, one.mtu]
            for one in values.interfaces
        ],
        "objects": [[one.class_num, one.c_type, one.payload.hex()] for one in values.extensions],
    }


@pytest.mark.parametrize("vector", ERRORS, ids=lambda vector: str(vector["name"]))
def test_extensions_are_found_in_error_queues(vector: dict[str, Any]) -> None:
    family, data, hidden, error = entry(vector)
    quote, structure = split_quote(family, memoryview(data), hidden, error)
    assert as_read(read_extension(structure)) == as_told(vector)
    assert bytes(quote) + bytes(structure) == data
    # Older kernels say nothing. Then the usual place is tried, and only a right checksum convinces.
    if " of 1300 " not in vector["name"] and not vector["name"].endswith(" at 7"):
        _, structure = split_quote(family, memoryview(data), hidden, error._replace(data=0))
        assert as_read(read_extension(structure)) == as_told(vector)


def test_spoilt_or_cut_anywhere_they_do_no_harm() -> None:
    random = Random(4884)
    for vector in ERRORS:
        family, data, hidden, error = entry(vector)
        for place in range(min(len(data), 200)):
            spoilt = bytearray(data)
            spoilt[place] ^= random.randrange(1, 256)
            told = error._replace(data=random.choice((error.data, 0, random.randrange(1 << 17))))
            for shown in (bytes(spoilt), data[:place]):
                quote, structure = split_quote(family, memoryview(shown), hidden, told)
                assert len(quote) + len(structure) == len(shown)
                read_extension(structure)
                connection_changes(quote)
