"""Addresses that belong to no network of the Internet: the IANA special-purpose registries, and some more.

The registries (RFC 6890, RFC 8190) are shipped as IANA publishes them, in ``iana/``. Multicast and two
formats that nobody may use any more have other sources and stand here. Python's ``ipaddress`` has an
opinion about such addresses as well, but another one in every release.

Nothing here asks anybody anything.
"""

from __future__ import annotations

import functools
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from traceprobe._frozen import frozen
from traceprobe.enrich._prefixes import PrefixTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceprobe.enrich._prefixes import IPAddress, IPNetwork


@frozen
class SpecialPurpose:
    """An entry of the registries: a block of addresses, and what may be done with it.

    The flags are those of RFC 6890 section 2.2.1; None where the registry says "N/A" or, since the
    entry has been terminated, nothing.
    """

    prefix: IPNetwork
    name: str
    reference: str
    """The document that asks for it, such as ``RFC6890, Section 2.1``."""
    allocated: str | None = None
    """Year and month."""
    terminated: str | None = None
    """Year and month; None while the entry is in force."""
    source: bool | None = None
    destination: bool | None = None
    forwardable: bool | None = None
    globally_reachable: bool | None = None
    reserved_by_protocol: bool | None = None


_REGISTRIES: Final = ("ipv4-special-purpose.csv", "ipv6-special-purpose.csv")

_OTHERS: Final = (
    SpecialPurpose(
        IPv4Network("224.0.0.0/4"),
        "Multicast",
        "RFC5771",
        source=False,
        destination=True,
        forwardable=True,
        globally_reachable=False,
        reserved_by_protocol=True,
    ),
    SpecialPurpose(
        IPv6Network("ff00::/8"),
        "Multicast",
        "RFC4291, Section 2.7",
        source=False,
        destination=True,
        forwardable=True,
        globally_reachable=False,
        reserved_by_protocol=True,
    ),
    SpecialPurpose(IPv6Network("::/96"), "Deprecated (IPv4-compatible)", "RFC4291, Section 2.5.5.1"),
    SpecialPurpose(IPv6Network("fec0::/10"), "Deprecated (site-local)", "RFC3879", terminated="2004-09"),
)
"""What the special-purpose registries leave to other registries. A group is not "globally reachable" here:
it is nobody's address, whatever its scope."""

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""RFC 4291 section 2.5.5.2."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1: the well-known prefix."""

_LOW_32_BITS: Final = 0xFFFFFFFF

_FOOTNOTE: Final = re.compile(r"\s*\[[0-9]+\]$")


def special_purpose(address: IPAddress) -> SpecialPurpose | None:
    """The most specific entry that an address falls under; None if it is an ordinary address."""
    return _table().longest(address)


def special_purposes() -> tuple[SpecialPurpose, ...]:
    """Every entry, IPv4 first, the most specific ones first."""
    return tuple(_table())


def embedded_ipv4(address: IPAddress) -> IPv4Address | None:
    """The IPv4 address within an IPv4-mapped one or one under NAT64's well-known prefix; None in others.

    Local NAT64 prefixes (RFC 8215) aren't read: where the IPv4 address stands in them is up to who runs
    them (RFC 6052 section 2.2).
    """
    if isinstance(address, IPv6Address) and int(address) >> 32 in _EMBEDDING:
        return IPv4Address(int(address) & _LOW_32_BITS)
    return None


_EMBEDDING: Final = frozenset(int(prefix.network_address) >> 32 for prefix in (_MAPPED, _NAT64))


def announced_address(address: IPAddress) -> IPAddress | None:
    """The address to ask about when the network of ``address`` is wanted.

    That is the IPv4 address embedded in it, if there is one. None if nobody can know: the address is of a
    special purpose, so that asking would only tell others about networks that are none of their business.
    """
    asked = embedded_ipv4(address) or address
    return None if special_purpose(asked) is not None else asked


@functools.cache
def _table() -> PrefixTable[SpecialPurpose]:
    entries = (*_OTHERS, *(entry for name in _REGISTRIES for entry in _read(name)))
    return PrefixTable((entry.prefix, entry) for entry in entries)


def _read(name: str) -> Iterator[SpecialPurpose]:
    """The entries of a registry, as IANA writes them: several blocks in a cell, footnotes, broken lines."""
    import csv
    import pkgutil  # a tenth of what importlib.resources brings along, while replies are coming

    data = pkgutil.get_data("traceprobe.enrich", f"iana/{name}")
    assert data is not None, "every loader that Python comes with can hand out data"
    for row in csv.DictReader(data.decode().splitlines(keepends=True)):
        for block in row["Address Block"].split(","):
            yield SpecialPurpose(
                prefix=ip_network(_FOOTNOTE.sub("", block.strip())),
                name=row["Name"].strip('"'),
                reference=_reference(row["RFC"]),
                allocated=_date(row["Allocation Date"]),
                terminated=_date(row["Termination Date"]),
                source=_flag(row["Source"]),
                destination=_flag(row["Destination"]),
                forwardable=_flag(row["Forwardable"]),
                globally_reachable=_flag(row["Globally Reachable"]),
                reserved_by_protocol=_flag(row["Reserved-by-Protocol"]),
            )


def _reference(text: str) -> str:
    """``RFC8190, RFC919, Section 7``; the registry puts each document in brackets, some on another line."""
    return re.sub(r"[][]", "", re.sub(r"\]\s*\[", "], [", text))


def _date(text: str) -> str | None:
    return text if text and text != "N/A" else None


def _flag(text: str) -> bool | None:
    return {"True": True, "False": False}.get(_FOOTNOTE.sub("", text))
