"""A table of prefixes that is asked for the longest one that holds an address.

Prefixes are grouped by their length; a look-up is one dictionary access for each length there is, which
is at most 33 or 129 of them and a dozen in practice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    IPAddress: TypeAlias = IPv4Address | IPv6Address
    IPNetwork: TypeAlias = IPv4Network | IPv6Network

ValueT = TypeVar("ValueT")


class PrefixTable(Generic[ValueT]):
    """Values by prefix; immutable once it is made.

    Args:
        entries: Prefixes and what belongs to them; of equal prefixes the last one counts.
    """

    def __init__(self, entries: Iterable[tuple[IPNetwork, ValueT]]) -> None:
        tables: dict[int, dict[int, dict[int, ValueT]]] = {4: {}, 6: {}}
        for prefix, value in entries:
            bits = int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)
            tables[prefix.version].setdefault(prefix.prefixlen, {})[bits] = value
        self._tables = {
            version: dict(sorted(table.items(), reverse=True)) for version, table in tables.items()
        }

    def longest(self, address: IPAddress) -> ValueT | None:
        """What belongs to the longest prefix that holds an address; None if none does."""
        value, width = int(address), address.max_prefixlen
        for length, blocks in self._tables[address.version].items():
            found = blocks.get(value >> (width - length))
            if found is not None:
                return found
        return None

    def __iter__(self) -> Iterator[ValueT]:
        """Every value, IPv4 first, those of the longest prefixes first."""
        for table in self._tables.values():
            for blocks in table.values():
                yield from blocks.values()
