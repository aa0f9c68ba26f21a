"""Networks and places out of files in MaxMind's format: shapes, prefixes, and files that are none."""

from __future__ import annotations

import builtins
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import maxminddb
import pytest

from tests.enrich.files import GEOLITE_ASN, GEOLITE_CITY, IPINFO, write_database
from traceprobe.enrich._database import DatabaseEnricher
from traceprobe.errors import DataFileError, UnsupportedOption
from traceprobe.model import NOTHING_KNOWN, Asn, Knowledge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


async def looked_up(path: Path, address: str) -> Knowledge:
    database = await DatabaseEnricher.open(str(path))
    try:
        return await database.enrich(ip_address(address))
    finally:
        await database.aclose()


SEARCH = Asn(15169, prefix="8.8.8.0/24", name="EXAMPLE-SEARCH")


@pytest.mark.parametrize(
    ("address", "asn"),
    [
        ("8.8.8.8", SEARCH),
        ("::ffff:8.8.8.8", SEARCH),
        ("64:ff9b::808:808", SEARCH),
        ("8.9.0.1", Asn(3356, prefix="8.9.0.0/16", name="EXAMPLE-TRANSIT")),
        ("2001:4860:4860::8888", Asn(15169, prefix="2001:4860::/32", name="EXAMPLE-SEARCH")),
    ],
)
async def test_networks_of_the_geolite_shape_with_the_prefix_that_the_file_holds(
    tmp_path: Path, address: str, asn: Asn
) -> None:
    path = write_database(tmp_path / "GeoLite2-ASN.mmdb", GEOLITE_ASN)
    assert await looked_up(path, address) == Knowledge(asn=asn, announced=True)


@pytest.mark.parametrize("mode", [maxminddb.MODE_AUTO, maxminddb.MODE_MMAP, maxminddb.MODE_MEMORY])
async def test_the_prefix_is_the_same_whatever_reads_the_file(tmp_path: Path, mode: int) -> None:
    path = write_database(tmp_path / "asn.mmdb", GEOLITE_ASN)
    database = DatabaseEnricher(str(path), maxminddb.open_database(str(path), mode))
    assert (await database.enrich(ip_address("8.8.8.8"))).asn == SEARCH
    await database.aclose()


async def test_places_of_the_geolite_shape(tmp_path: Path) -> None:
    path = write_database(tmp_path / "GeoLite2-City.mmdb", GEOLITE_CITY, kind="GeoLite2-City")
    assert await looked_up(path, "8.8.8.8") == Knowledge(country="NL", city="Amsterdam")
    assert await looked_up(path, "8.8.9.9") == Knowledge(country="DE")
    # A file of places that doesn't know an address says nothing about who announces it.
    assert await looked_up(path, "9.9.9.9") == NOTHING_KNOWN


async def test_the_ipinfo_shape(tmp_path: Path) -> None:
    path = write_database(tmp_path / "lite.mmdb", IPINFO, kind="ipinfo generic_asn_country.mmdb")
    assert await looked_up(path, "8.8.8.8") == Knowledge(
        asn=Asn(15169, prefix="8.8.8.0/24", name="Example Search LLC"), country="US", announced=True
    )
    assert await looked_up(path, "8.8.9.9") == Knowledge(
        asn=Asn(64500, prefix="8.8.9.0/24", name="Example"), country="NL", city="Amsterdam", announced=True
    )
    # Empty and odd fields are absent knowledge.
    assert await looked_up(path, "8.8.10.10") == Knowledge(announced=False)


async def test_what_a_file_of_networks_does_not_hold_is_unannounced(tmp_path: Path) -> None:
    path = write_database(tmp_path / "asn.mmdb", GEOLITE_ASN)
    assert await looked_up(path, "9.9.9.9") == Knowledge(announced=False)
    assert await looked_up(path, "2001:db8::1") == Knowledge(announced=False)


async def test_an_ipv4_file_knows_nothing_of_ipv6(tmp_path: Path) -> None:
    records = {"8.8.8.0/24": GEOLITE_ASN["8.8.8.0/24"]}
    path = write_database(tmp_path / "v4.mmdb", records, ip_version=4)
    assert await looked_up(path, "2001:4860::1") == NOTHING_KNOWN
    assert (await looked_up(path, "8.8.8.8")).asn == SEARCH


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"autonomous_system_number": 0}, None),
        ({"asn": "AS4294967295"}, 4294967295),
        ({"asn": "AS4294967296"}, None),
        ({"asn": "as64500"}, 64500),
        ({"asn": "64500"}, 64500),
        ({"asn": "ASx"}, None),
        ({"asn": {"number": 64500}}, None),
        ({"asn": True}, None),
        ({"as_number": 64500}, 64500),
    ],
)
async def test_only_what_is_a_number_is_one(
    tmp_path: Path, record: Mapping[str, Any], expected: int | None
) -> None:
    path = write_database(tmp_path / "some.mmdb", {"8.8.8.0/24": record}, kind="ipinfo asn")
    asn = (await looked_up(path, "8.8.8.8")).asn
    assert (None if asn is None else asn.number) == expected


async def test_a_record_that_is_no_map_says_nothing(tmp_path: Path) -> None:
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    writer = MMDBWriter(ip_version=4, database_type="words")
    writer.insert_network(IPSet(["8.8.8.0/24"]), "a word")
    writer.to_db_file(str(tmp_path / "words.mmdb"))
    assert await looked_up(tmp_path / "words.mmdb", "8.8.8.8") == NOTHING_KNOWN


async def test_a_missing_file_is_a_typed_error_that_names_it(tmp_path: Path) -> None:
    path = str(tmp_path / "absent.mmdb")
    with pytest.raises(DataFileError) as caught:
        await DatabaseEnricher.open(path)
    assert caught.value.path == path
    assert "No such file" in caught.value.reason
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("content", [b"", b"no database", b"\xab\xcd\xefMaxMind.com"])
async def test_a_file_of_another_format_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.mmdb"
    path.write_bytes(content)
    with pytest.raises(DataFileError):
        await DatabaseEnricher.open(str(path))


async def test_a_damaged_file_fails_the_look_up_and_nothing_else(tmp_path: Path) -> None:
    path = write_database(tmp_path / "asn.mmdb", GEOLITE_ASN)
    content = bytearray(path.read_bytes())
    marker = content.index(b"\xab\xcd\xefMaxMind.com")
    start = content.index(b"autonomous_system_number") - 1
    content[start:marker] = b"\xff" * (marker - start)
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="damaged"):
        await looked_up(path, "8.8.8.8")


async def test_the_file_is_opened_in_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    real_open = maxminddb.open_database

    def open_database(path: str, mode: int) -> maxminddb.Reader:
        threads.append(threading.get_ident())
        return real_open(path, mode)

    monkeypatch.setattr(maxminddb, "open_database", open_database)
    await looked_up(write_database(tmp_path / "asn.mmdb", GEOLITE_ASN), "8.8.8.8")
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_without_the_extra_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "maxminddb":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedOption) as caught:
        await DatabaseEnricher.open(str(tmp_path / "asn.mmdb"))
    assert "pip install 'traceprobe[geo]'" in str(caught.value)
