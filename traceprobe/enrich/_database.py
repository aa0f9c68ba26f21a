"""Networks and places out of a file in MaxMind's format, whoever made it; nobody is asked.

The format says how to find the record of an address, not what stands in it. Two shapes are in use, and
files of both kinds may hold any part of what is read here:

* MaxMind's own, which DB-IP and others follow: ``autonomous_system_number``,
  ``autonomous_system_organization``, ``country.iso_code``, ``city.names.en``;
* IPinfo's flat strings: ``asn`` ("AS15169"), ``as_name`` or ``name``, ``country_code`` or ``country``,
  ``city``.

``maxminddb``, the extra ``geo``, is imported when a file is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from traceprobe.enrich._special import embedded_ipv4
from traceprobe.errors import DataFileError, UnsupportedOption
from traceprobe.model import NOTHING_KNOWN, Asn, Knowledge

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from typing import Self

    from maxminddb import Reader

    Record = Mapping[str, object]

_NUMBER: Final = re.compile(r"(?:AS)?([0-9]{1,10})", re.ASCII | re.IGNORECASE)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_HIGHEST_ASN: Final = 0xFFFFFFFF
"""AS numbers are 32 bits wide (RFC 6793)."""

_ABOUT_NETWORKS: Final = re.compile(r"asn|isp", re.IGNORECASE)
"""In the type of a file: what it has no record of, nobody announces."""


class DatabaseEnricher:
    """Reads one file. Made by :meth:`open`, and closed with :meth:`aclose`.

    The file is mapped into memory and opened in a thread. A look-up reads a few pages of it in less than a
    tenth of a millisecond, and is made where it is asked for: it costs less than to hand it to a thread.
    """

    def __init__(self, path: str, reader: Reader) -> None:
        self.name: Final = Path(path).name
        self._path = path
        self._reader = reader
        metadata = reader.metadata()
        self._reads_ipv6 = metadata.ip_version == 6
        self._knows_networks = _ABOUT_NETWORKS.search(str(metadata.database_type)) is not None

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open a file.

        Raises:
            UnsupportedOption: ``maxminddb`` is not installed.
            DataFileError: The file can't be read, or is not in this format.
        """
        return await anyio.to_thread.run_sync(cls._open, path)

    @classmethod
    def _open(cls, path: str) -> Self:
        try:
            import maxminddb
        except ImportError:
            raise UnsupportedOption(
                "databases", path, mode=None, remedy="it needs: python -m pip install 'traceprobe[geo]'"
            ) from None
        try:
            # One wrong byte leads the reader in C, the default, out of its memory, and ends the process.
            return cls(path, maxminddb.open_database(path, maxminddb.MODE_MMAP))
        except OSError as error:
            raise DataFileError(path, error.strerror or str(error)) from error
        except Exception as error:
            # InvalidDatabaseError, and what damaged metadata makes of itself beyond that.
            raise DataFileError(path, f"not a file in MaxMind's format: {error}") from error

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """What the file says of an address, or of the IPv4 address embedded in it.

        Raises:
            DataFileError: The file is damaged.
        """
        asked = embedded_ipv4(address) or address
        if asked.version == 6 and not self._reads_ipv6:
            return NOTHING_KNOWN
        try:
            record, length = self._reader.get_with_prefix_len(asked)
        except Exception as error:
            # InvalidDatabaseError, and what damaged data makes of itself beyond that.
            raise DataFileError(self._path, f"damaged: {error}") from error
        if not isinstance(record, Mapping):
            return Knowledge(announced=False) if self._knows_networks else NOTHING_KNOWN
        network = ip_network(
            (int(asked), length) if asked.version == 4 else (asked.packed, length), strict=False
        )
        asn = _asn(record, str(network))
        announced = True if asn is not None else False if self._knows_networks else None
        return Knowledge(asn=asn, country=_country(record), city=_city(record), announced=announced)

    async def aclose(self) -> None:
        """Unmap the file."""
        self._reader.close()


def _asn(record: Record, prefix: str) -> Asn | None:
    for field in ("autonomous_system_number", "asn", "as_number"):
        number = _number(record.get(field))
        if number is not None:
            break
    else:
        return None
    fields = ("autonomous_system_organization", "as_name", "name", "as_organization", "organization")
    return Asn(number, prefix=prefix, name=_first_text(record, fields))


def _number(value: object) -> int | None:
    """``15169`` or ``AS15169``; 0 stands for no network (RFC 7607)."""
    if isinstance(value, str):
        digits = _NUMBER.fullmatch(value)
        value = None if digits is None else int(digits[1])
    if type(value) is int and 0 < value <= _HIGHEST_ASN:
        return value
    return None


def _country(record: Record) -> str | None:
    country = record.get("country")
    codes = (
        [country.get("iso_code")] if isinstance(country, Mapping) else [record.get("country_code"), country]
    )
    return next((code for code in codes if isinstance(code, str) and _COUNTRY.fullmatch(code)), None)


def _city(record: Record) -> str | None:
    city = record.get("city")
    if isinstance(city, Mapping):
        names = city.get("names")
        city = names.get("en") if isinstance(names, Mapping) else None
    return city if isinstance(city, str) and city else None


def _first_text(record: Record, fields: tuple[str, ...]) -> str | None:
    values = (record.get(field) for field in fields)
    return next((value for value in values if isinstance(value, str) and value), None)
