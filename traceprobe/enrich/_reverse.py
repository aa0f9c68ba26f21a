"""Host names by reverse look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.enrich._dns import plain
from traceprobe.model import Knowledge

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.enrich._protocols import Resolver


class ReverseDnsEnricher:
    """Turns a resolver's host names into knowledge.

    Args:
        resolver: The only one that is asked, about private addresses too.
    """

    name: Final = "reverse_dns"

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """The host name of an address; of an embedded IPv4 address, if there is one."""
        return Knowledge(hostname=await self._resolver.reverse(plain(address)))
