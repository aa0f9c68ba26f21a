"""What Team Cymru's name service says of networks, and how to ask it; sans-IO.

The service answers with text, documented at https://www.team-cymru.com/ip-asn-mapping::

    31.108.90.216.origin.asn.cymru.com  "3561 | 216.88.0.0/14 | US | arin | 1998-09-25"
    AS3561.asn.cymru.com                "3561 | US | arin | 1994-10-25 | CENTURYLINK-..., US"

Several networks may announce one prefix: they stand in the first field, with blanks between them. Several
prefixes may cover one address: each has a string of its own. Any field but the first may be empty.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe._frozen import frozen
from traceprobe.enrich._dns import reversed_digits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.enrich._prefixes import IPNetwork

_HIGHEST_ASN: Final = 0xFFFFFFFF
"""AS numbers are 32 bits wide (RFC 6793)."""

_COUNTRY_AT_END: Final = re.compile(r",\s*[A-Z]{2}$")


@frozen
class Announcement:
    """A prefix and who announces it."""

    prefix: IPNetwork
    origins: tuple[int, ...]
    country: str | None
    registry: str | None


def origin_name(address: IPv4Address | IPv6Address, *, zone: str, zone_ipv6: str) -> str:
    """The name whose texts tell who announces an address."""
    return f"{reversed_digits(address)}.{zone if address.version == 4 else zone_ipv6}"


def as_name(number: int, *, zone: str) -> str:
    """The name whose text tells what an autonomous system is called."""
    return f"AS{number}.{zone}"


def announcements(strings: Iterable[bytes], address: IPv4Address | IPv6Address) -> tuple[Announcement, ...]:
    """What the service says of an address, longest prefix first; what makes no sense is passed over.

    Those who announce one prefix may stand in one string or in several, which come in any order.
    """
    found: dict[IPNetwork, Announcement] = {}
    for string in sorted(strings):
        entry = _announcement(string)
        if entry is None or not _covers(entry.prefix, address):
            continue
        other = found.get(entry.prefix)
        found[entry.prefix] = entry if other is None else _together(other, entry)
    return tuple(sorted(found.values(), key=lambda entry: -entry.prefix.prefixlen))


def _together(one: Announcement, other: Announcement) -> Announcement:
    return attrs.evolve(
        one,
        origins=tuple(dict.fromkeys((*one.origins, *other.origins))),
        country=one.country or other.country,
        registry=one.registry or other.registry,
    )


def _announcement(string: bytes) -> Announcement | None:
    fields = [*_fields(string), "", "", ""]
    origins = tuple(dict.fromkeys(_numbers(fields[0])))
    if not origins:
        return None
    try:
        prefix = ip_network(fields[1], strict=False)
    except ValueError:
        return None
    return Announcement(prefix, origins, country=fields[2] or None, registry=fields[3] or None)


def _covers(prefix: IPNetwork, address: IPv4Address | IPv6Address) -> bool:
    return prefix.version == address.version and address in prefix


def name_in(strings: Iterable[bytes]) -> str | None:
    """The name of an autonomous system, without the country that the service puts behind it."""
    for string in strings:
        fields = _fields(string, most=5)
        if len(fields) == 5 and fields[4]:
            return _COUNTRY_AT_END.sub("", fields[4]).strip() or None
    return None


def _fields(string: bytes, *, most: int = 0) -> list[str]:
    # Names are mostly ASCII; whatever they are, they are kept readable and harmless is what shows them.
    text = string.decode("utf-8", "replace")
    return [field.strip() for field in text.split("|", most - 1 if most else -1)]


def _numbers(text: str) -> Iterable[int]:
    for word in text.split():
        if re.fullmatch(r"[0-9]{1,10}", word) and int(word) <= _HIGHEST_ASN:
            yield int(word)
