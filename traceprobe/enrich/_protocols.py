"""What a look-up looks like from outside: bring your own resolver or enricher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Knowledge


class Resolver(Protocol):
    """A name service for the addresses on a path."""

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        """The host name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5); None if it has none.

        Raises:
            OSError: The look-up failed; the name stays unknown.
        """
        ...


class Enricher(Protocol):
    """Finds something out about an address; asked once for each new address of a trace."""

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """What is known of an address; fields that stay unknown are None.

        Raises:
            OSError: The look-up failed; what it would have told stays unknown.
        """
        ...


class ReverseDnsEnricher:
    """Turns a resolver's host names into knowledge."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """The host name of an address."""
        from traceprobe.model import Knowledge

        return Knowledge(hostname=await self._resolver.reverse(address))
