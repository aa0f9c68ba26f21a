"""Autonomous systems of addresses, asked of a name service in Team Cymru's format.

One look-up for who announces an address, one for what that network is called: two round trips for a network
that nothing is known of, none for one that is. An answer speaks of a whole prefix and is remembered for it,
though no farther than around the address that was asked for: within a longer prefix there may be others
that routers prefer. The Internet's routers accept none longer than /24 and /48, so that an answer holds for
the whole of those.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.enrich._cymru import announcements, as_name, name_in, origin_name
from traceprobe.enrich._flights import Flights
from traceprobe.enrich._memory import TtlCache
from traceprobe.enrich._protocols import reason_of
from traceprobe.enrich._special import announced_address
from traceprobe.errors import ResolverError
from traceprobe.model import NOTHING_KNOWN, Asn, EnrichmentError, Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.config import EnrichmentConfig
    from traceprobe.enrich._cymru import Announcement
    from traceprobe.enrich._prefixes import IPAddress
    from traceprobe.enrich._protocols import TextResolver

_LONGEST_ROUTED: Final = {4: 24, 6: 48}
"""Longest prefix that is commonly accepted between networks (RFC 7454 section 6.1.3), by IP version."""


class NetworkEnricher:
    """Finds the autonomous system of an address.

    Args:
        resolver: Whom to ask.
        config: The zones to ask in, and how much to remember.
        now_ns: The monotonic clock that memory goes by.
    """

    name: Final = "asn"

    def __init__(self, resolver: TextResolver, config: EnrichmentConfig, now_ns: Callable[[], int]) -> None:
        self._resolver = resolver
        self._config = config
        self._prefixes = PrefixCache(config.dns_cache_size, now_ns)
        self._names: TtlCache[int, str | None] = TtlCache(config.dns_cache_size, now_ns)
        self._naming: Flights[int, str | None] = Flights()

    async def enrich(self, address: IPAddress) -> Knowledge:
        """The network of an address, or of the IPv4 address embedded in it.

        Addresses of special purpose belong to none, and nobody is asked about them.

        Raises:
            OSError: It could not be found out. If only the name of the network could not, that is told
                in the knowledge's ``errors``.
        """
        asked = announced_address(address)
        if asked is None:
            return NOTHING_KNOWN
        found = self._prefixes.get(asked)
        if found is None:
            found = await self._ask(asked)
        if not found:
            return Knowledge(announced=False)
        best = found[0]
        asn = Asn(
            best.origins[0],
            prefix=str(best.prefix),
            country=best.country,
            registry=best.registry,
            origins=best.origins[1:],
        )
        try:
            name = await self._name(asn.number)
        except OSError as error:
            return Knowledge(asn=asn, announced=True, errors=(EnrichmentError(self.name, reason_of(error)),))
        return Knowledge(asn=attrs.evolve(asn, name=name), announced=True)

    async def _ask(self, address: IPAddress) -> tuple[Announcement, ...]:
        config = self._config
        name = origin_name(address, zone=config.asn_zone, zone_ipv6=config.asn_zone_ipv6)
        answer = await self._resolver.text(name)
        found = announcements(answer.strings, address)
        if answer.strings and not found:
            raise ResolverError(name, "the answer makes no sense")
        if found:
            self._prefixes.put(address, found, answer.ttl)
        return found

    async def _name(self, number: int) -> str | None:
        known = self._names.get(number)
        if known is not None:
            return known[0]
        return await self._naming.share(number, functools.partial(self._ask_name, number))

    async def _ask_name(self, number: int) -> str | None:
        answer = await self._resolver.text(as_name(number, zone=self._config.asn_name_zone))
        name = name_in(answer.strings)
        self._names.put(number, name, answer.ttl)
        return name


class PrefixCache:
    """Announcements by the block of addresses that they hold for; the longest block wins."""

    def __init__(self, size: int, now_ns: Callable[[], int]) -> None:
        self._blocks: TtlCache[tuple[int, int, int], tuple[Announcement, ...]] = TtlCache(size, now_ns)
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}

    def get(self, address: IPAddress) -> tuple[Announcement, ...] | None:
        """What was said of an address, longest prefix first; None if nothing is remembered."""
        for length in sorted(self._lengths[address.version], reverse=True):
            entry = self._blocks.get(_block(address, length))
            if entry is not None:
                return entry[0]
        return None

    def put(self, address: IPAddress, found: tuple[Announcement, ...], ttl: float) -> None:
        """Remember what was said of an address for the block around it that this holds for."""
        length = max(found[0].prefix.prefixlen, _LONGEST_ROUTED[address.version])
        self._lengths[address.version].add(length)
        self._blocks.put(_block(address, length), found, ttl)


def _block(address: IPAddress, length: int) -> tuple[int, int, int]:
    return address.version, length, int(address) >> (address.max_prefixlen - length)
