"""Peering networks of Internet exchanges, out of a snapshot of PeeringDB that the user supplies.

A snapshot holds lists of objects by their kind, as PeeringDB's interface hands them out: ``ix`` (names,
places), ``ixlan`` (which exchange a network belongs to), ``ixpfx`` (its prefixes) and, if it is there,
``netixlan`` (which member uses which address). It is one file, ``{"ix": {"data": [...]}, ...}``, or a
directory with ``ix.json``, ``ixlan.json`` and so on. Everything else in it is left alone, and so is an
object that makes no sense: the data is typed in by thousands of people.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import attrs

from traceprobe.enrich._prefixes import PrefixTable
from traceprobe.enrich._special import embedded_ipv4
from traceprobe.errors import DataFileError
from traceprobe.model import NOTHING_KNOWN, Exchange, Knowledge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
    from typing import Self

    Row = Mapping[str, object]

_NEEDED: Final = ("ix", "ixlan", "ixpfx")
_WELCOME: Final = "netixlan"
_HIGHEST: Final = 0xFFFFFFFF


class ExchangeEnricher:
    """Knows which addresses are on the peering network of an exchange. Made by :meth:`open`."""

    name: Final = "exchanges"

    def __init__(self, snapshot: Mapping[str, list[Row]]) -> None:
        self._prefixes = PrefixTable(_exchanges(snapshot))
        self._members = dict(_members(snapshot.get(_WELCOME, [])))

    @classmethod
    async def open(cls, path: str) -> Self:
        """Read a snapshot, in a thread.

        Raises:
            DataFileError: It can't be read, or isn't one.
        """
        return await anyio.to_thread.run_sync(lambda: cls(_read(path)))

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """The exchange of an address, or of the IPv4 address embedded in it."""
        asked = embedded_ipv4(address) or address
        exchange = self._prefixes.longest(asked)
        if exchange is None:
            return NOTHING_KNOWN
        return Knowledge(exchange=attrs.evolve(exchange, member_asn=self._members.get(asked.packed)))

    async def aclose(self) -> None:
        """Nothing is held open."""


def _read(path: str) -> Mapping[str, list[Row]]:
    try:
        if Path(path).is_dir():
            kinds = (*_NEEDED, _WELCOME)
            files = {kind: Path(path, f"{kind}.json") for kind in kinds}
            present = {kind: file for kind, file in files.items() if kind in _NEEDED or file.exists()}
            document: object = {kind: _parse(file) for kind, file in present.items()}
        else:
            document = _parse(Path(path))
    except OSError as error:
        raise DataFileError(str(error.filename or path), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise DataFileError(path, f"not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise DataFileError(
            path, "not a snapshot of PeeringDB: it must be an object with 'ix', 'ixlan' and 'ixpfx'"
        )
    snapshot: dict[str, list[Row]] = {}
    for kind in (*_NEEDED, _WELCOME):
        if kind not in document and kind == _WELCOME:
            continue
        listed = document.get(kind)
        rows = listed.get("data") if isinstance(listed, Mapping) else listed
        if not isinstance(rows, list):
            raise DataFileError(path, f"not a snapshot of PeeringDB: no list of {kind!r} is in it")
        snapshot[kind] = [row for row in rows if isinstance(row, Mapping) and row.get("status", "ok") == "ok"]
    return snapshot


def _parse(file: Path) -> object:
    document: object = json.loads(file.read_bytes())
    return document


def _exchanges(snapshot: Mapping[str, list[Row]]) -> Iterator[tuple[IPv4Network | IPv6Network, Exchange]]:
    """The exchange of each prefix."""
    exchanges = {_number(row, "id"): row for row in snapshot["ix"] if _text(row, "name") is not None}
    exchange_of = {_number(row, "id"): exchanges.get(_number(row, "ix_id")) for row in snapshot["ixlan"]}
    for row in snapshot["ixpfx"]:
        exchange = exchange_of.get(_number(row, "ixlan_id"))
        prefix = _text(row, "prefix")
        if exchange is None or prefix is None:
            continue
        try:
            network = ip_network(prefix)
        except ValueError:
            continue
        name = _text(exchange, "name")
        assert name is not None
        city, country = _text(exchange, "city"), _text(exchange, "country")
        yield network, Exchange(name, str(network), city=city, country=country)


def _members(rows: list[Row]) -> Iterator[tuple[bytes, int]]:
    """The network of each member's address, packed: there are a hundred thousand of them."""
    for row in rows:
        number = _number(row, "asn")
        if number is None:
            continue
        for field, family in (("ipaddr4", socket.AF_INET), ("ipaddr6", socket.AF_INET6)):
            address = _text(row, field)
            if address is None:
                continue
            try:
                yield socket.inet_pton(family, address), number
            except (OSError, ValueError):
                continue


def _number(row: Row, field: str) -> int | None:
    """An AS number or the number of an object: both are from 1 to 2**32 - 1."""
    value = row.get(field)
    return value if type(value) is int and 0 < value <= _HIGHEST else None


def _text(row: Row, field: str) -> str | None:
    value = row.get(field)
    return value if isinstance(value, str) and value else None
