"""What a look-up looks like from outside: bring your own resolver or enricher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.enrich._text_answer import TextAnswer
    from traceprobe.model import Knowledge


class Resolver(Protocol):
    """A name service for the addresses on a path; ``reverse`` is all that host names need."""

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        """The host name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5); None if it has none.

        Raises:
            OSError: The look-up failed; the name stays unknown, and the reason is kept with the hop.
        """
        ...


class TextResolver(Resolver, Protocol):
    """A resolver that can also tell networks, which stand in TXT records."""

    async def text(self, name: str) -> TextAnswer:
        """The TXT records of an absolute name, such as ``1.2.0.192.origin.asn.cymru.com``.

        Raises:
            OSError: The look-up failed; the network stays unknown, and the reason is kept with the hop.
        """
        ...


class Enricher(Protocol):
    """Finds something out about an address; asked once for each new address of a trace.

    It may have a ``name``, a string by which its failures are called (``EnrichmentError.enricher``);
    without one, they bear the name of its class.
    """

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """What is known of an address; fields that stay unknown are None.

        Raises:
            OSError: The look-up failed; the reason is kept with the hop. Any other exception is taken
                for a fault of the enricher: it is logged, too, and the trace goes on.
        """
        ...


def name_of(enricher: Enricher) -> str:
    """What an enricher's failures are called by."""
    name = getattr(enricher, "name", None)
    return name if isinstance(name, str) else type(enricher).__name__


def reason_of(error: Exception) -> str:
    """Why a look-up failed, in a line."""
    return error.reason if isinstance(error, ResolverError) else str(error) or type(error).__name__
