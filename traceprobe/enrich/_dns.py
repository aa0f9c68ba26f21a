"""DNS as look-ups see it: questions, answers, how to ask; the libraries that do it are elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from traceprobe._frozen import frozen
from traceprobe.enrich._special import embedded_ipv4

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

ValueT = TypeVar("ValueT")

LONGEST_TTL: Final = 2**31 - 1
"""Longest time to live, in seconds (RFC 2181 section 8)."""


@frozen
class Records(Generic[ValueT]):
    """The records of one name and type; none if it has none, or there is no such name."""

    values: tuple[ValueT, ...]
    ttl: float | None
    """For how many seconds they, or their absence, may be remembered; None if the library remembers that
    by itself and does not say for how long."""


class DnsClient(Protocol):
    """A library that asks DNS servers.

    An answer has been checked when it is handed out: it comes from the server that was asked, with the
    number and the question of the query, and is complete (over TCP, if need be).
    """

    async def pointers(self, name: str) -> Records[str]:
        """The targets of the PTR records of an absolute name, in presentation format, aliases followed.

        Raises:
            ResolverError: No server could answer.
        """
        ...

    async def texts(self, name: str) -> Records[bytes]:
        """The TXT records of an absolute name, the parts of each joined, aliases followed.

        Raises:
            ResolverError: No server could answer.
        """
        ...

    async def aclose(self) -> None:
        """Cancel what is asked and give everything back."""
        ...


def plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address whose name is asked for: the embedded IPv4 address if there is one, without a zone."""
    embedded = embedded_ipv4(address)
    if embedded is not None:
        return embedded
    return type(address)(int(address))  # a zone (RFC 4007 section 11) means nothing elsewhere


def reverse_name(address: IPv4Address | IPv6Address) -> str:
    """The name that an address's PTR records are at (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    return plain(address).reverse_pointer


def reversed_digits(address: IPv4Address | IPv6Address) -> str:
    """The labels of an address, last octet or nibble first, to be put before the name of any zone."""
    return address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
