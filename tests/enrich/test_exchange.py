"""Internet exchanges out of a PeeringDB snapshot: prefixes, members, and data that makes no sense."""

from __future__ import annotations

import copy
import json
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from tests.enrich.files import SNAPSHOT, write_snapshot
from traceprobe.enrich import _exchange
from traceprobe.enrich._exchange import ExchangeEnricher
from traceprobe.errors import DataFileError
from traceprobe.model import NOTHING_KNOWN, Exchange, Knowledge

if TYPE_CHECKING:
    from pathlib import Path


async def looked_up(path: Path, address: str) -> Exchange | None:
    enricher = await ExchangeEnricher.open(str(path))
    knowledge = await enricher.enrich(ip_address(address))
    await enricher.aclose()
    assert knowledge == (
        NOTHING_KNOWN if knowledge.exchange is None else Knowledge(exchange=knowledge.exchange)
    )
    return knowledge.exchange


AMSTERDAM = Exchange("EXAMPLE-IX", "80.249.208.0/21", "Amsterdam", "NL")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("80.249.208.7", Exchange("EXAMPLE-IX", "80.249.208.0/21", "Amsterdam", "NL", 64500)),
        ("80.249.215.255", AMSTERDAM),
        ("::ffff:80.249.208.8", Exchange("EXAMPLE-IX", "80.249.208.0/21", "Amsterdam", "NL", 64501)),
        ("2001:7f8:1::a506:4500:1", Exchange("EXAMPLE-IX", "2001:7f8:1::/64", "Amsterdam", "NL", 64500)),
        # The longest prefix counts.
        ("80.249.212.1", Exchange("OTHER-IX", "80.249.212.0/24", None, "DE")),
        # A member that has left, and an exchange that is gone.
        ("80.249.208.9", AMSTERDAM),
        ("37.49.236.1", None),
        ("80.249.216.0", None),
        ("2001:7f8:1:1::1", None),
        ("10.0.0.1", None),
    ],
)
async def test_an_address_on_a_peering_network_is_recognised(
    tmp_path: Path, address: str, expected: Exchange | None
) -> None:
    assert await looked_up(write_snapshot(tmp_path / "peeringdb.json"), address) == expected


async def test_a_directory_of_files_as_the_interface_hands_them_out_will_do(tmp_path: Path) -> None:
    for kind in ("ix", "ixlan", "ixpfx"):
        (tmp_path / f"{kind}.json").write_text(json.dumps({**SNAPSHOT[kind], "meta": {}}))
    assert await looked_up(tmp_path, "80.249.208.7") == AMSTERDAM
    (tmp_path / "netixlan.json").write_text(json.dumps(SNAPSHOT["netixlan"]))
    exchange = await looked_up(tmp_path, "80.249.208.7")
    assert exchange is not None
    assert exchange.member_asn == 64500


async def test_plain_lists_will_do_and_members_are_not_needed(tmp_path: Path) -> None:
    plain = {kind: SNAPSHOT[kind]["data"] for kind in ("ix", "ixlan", "ixpfx")}
    assert await looked_up(write_snapshot(tmp_path / "lists.json", plain), "80.249.208.7") == AMSTERDAM


ODD: list[tuple[str, object]] = [
    ("ix", {"id": [1], "name": "ODD"}),
    ("ix", {"id": 50, "name": 17}),
    ("ix", "a word"),
    ("ixlan", {"id": {}, "ix_id": 26}),
    ("ixlan", {"id": 150, "ix_id": 999}),
    ("ixpfx", {"ixlan_id": 150, "prefix": "80.249.208.0/24"}),
    ("ixpfx", {"ixlan_id": 126, "prefix": "80.249.208.1/24"}),
    ("ixpfx", {"ixlan_id": 126, "prefix": "a word"}),
    ("ixpfx", {"ixlan_id": 126}),
    ("ixpfx", {"prefix": "80.249.208.0/24"}),
    ("netixlan", {"asn": "64999", "ipaddr4": "80.249.208.7"}),
    ("netixlan", {"asn": 0, "ipaddr4": "80.249.208.7"}),
    ("netixlan", {"asn": 2**32, "ipaddr4": "80.249.208.7"}),
    ("netixlan", {"asn": 64999, "ipaddr4": "a word", "ipaddr6": 17}),
    ("netixlan", {"asn": 64999, "ipaddr4": "80.249.208.7\0"}),
    ("netixlan", {"asn": 64999, "ipaddr4": "2001:7f8:1::a506:4500:1", "ipaddr6": "80.249.208.7"}),
    ("netixlan", {"asn": 64999, "ipaddr6": "\ud800"}),
]


@pytest.mark.parametrize(("kind", "row"), ODD)
async def test_an_object_that_makes_no_sense_harms_no_other(tmp_path: Path, kind: str, row: object) -> None:
    snapshot: Any = copy.deepcopy(SNAPSHOT)
    snapshot[kind]["data"].append(row)
    exchange = await looked_up(write_snapshot(tmp_path / "odd.json", snapshot), "80.249.208.7")
    assert exchange == Exchange("EXAMPLE-IX", "80.249.208.0/21", "Amsterdam", "NL", 64500)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be an object"),
        ("{}", "no list of 'ix'"),
        ('{"ix": [], "ixlan": []}', "no list of 'ixpfx'"),
        ('{"ix": {"data": {}}, "ixlan": [], "ixpfx": []}', "no list of 'ix'"),
        ('{"ix": [], "ixlan": [], "ixpfx": [], "netixlan": 1}', "no list of 'netixlan'"),
    ],
)
async def test_what_is_no_snapshot_is_a_typed_error(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "peeringdb.json"
    path.write_text(content)
    with pytest.raises(DataFileError, match=reason) as caught:
        await ExchangeEnricher.open(str(path))
    assert caught.value.path == str(path)


async def test_the_snapshot_is_read_in_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    real_read = _exchange._read

    def read(path: str) -> Any:
        threads.append(threading.get_ident())
        return real_read(path)

    monkeypatch.setattr(_exchange, "_read", read)
    await ExchangeEnricher.open(str(write_snapshot(tmp_path / "peeringdb.json")))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("name", ["absent.json", "empty"])
async def test_a_missing_file_is_a_typed_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="No such file") as caught:
        await ExchangeEnricher.open(str(tmp_path / name))
    assert caught.value.path.startswith(str(tmp_path / name))
