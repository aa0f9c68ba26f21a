"""Asks DNS servers with dnspython: on trio, and on asyncio over TLS and HTTPS or where aiodns is missing.

dnspython knows what messages look like and whom the system asks. Its own resolver is not used: it guesses
the event loop once for the whole process, takes a millisecond of computing for each question, and does not
wait for its connections to be closed.
"""

from __future__ import annotations

import re
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from traceprobe.enrich._dns_answers import QUESTIONS, FailureResponseError, read_pointers, read_texts
from traceprobe.enrich._dns_servers import HttpsServer, PlainServer, TlsServer, https_client
from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx2

    from traceprobe._enrichment_config import NameServer
    from traceprobe.enrich._dns import Records
    from traceprobe.enrich._dns_answers import Kind
    from traceprobe.enrich._dns_servers import DnsServer
    from traceprobe.enrich._libraries import DnsSettings

_PORT: Final = 53
_ONE_QUESTION: Final = b"\x01\x00\x00\x01" + bytes(6)
"""The header behind the number: recursion desired, one question (RFC 1035 section 4.1.1)."""
_LONGEST_NAME: Final = 253
_PLAIN_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
"""What stands for itself; anything else is a case for dnspython."""

ValueT = TypeVar("ValueT")


class DnspythonClient:
    """A stub resolver; see :class:`~traceprobe.enrich._dns.DnsClient`.

    Args:
        servers: Whom to ask, in this order.
        settings: How often and how long.
        https: What servers at URLs are asked with; closed with this client.
    """

    def __init__(
        self, servers: Sequence[DnsServer], settings: DnsSettings, https: httpx2.AsyncClient | None = None
    ) -> None:
        self._servers = tuple(servers)
        self._timeout = settings.timeout
        self._attempts = settings.attempts
        self._https = https

    @classmethod
    async def open(cls, servers: Sequence[NameServer], settings: DnsSettings) -> DnspythonClient:
        """Make a client; the names of servers are resolved by the system.

        Args:
            servers: Whom to ask; none for the system's servers.
            settings: How often and how long.

        Raises:
            OSError: The system knows no servers, or no address of one.
        """
        found: dict[NameServer, Sequence[DnsServer]] = {}
        failures: list[ResolverError] = []
        for server in servers:
            if server.url is None:
                try:
                    found[server] = await _reach(server)
                except ResolverError as error:
                    failures.append(error)
        # Made last: whoever is cancelled while a name is looked up has no client to close.
        https = https_client() if any(server.url is not None for server in servers) else None
        reached: list[DnsServer] = []
        for server in servers:
            if server.url is not None and https is not None:
                reached.append(HttpsServer(server.url, https))
            else:
                reached += found.get(server, ())
        if not servers:
            reached += _servers_of_the_system()
        elif not reached:
            raise failures[0]
        return cls(reached, settings, https)

    async def pointers(self, name: str) -> Records[str]:
        """The targets of the PTR records of a name."""
        return await self._ask(name, "PTR", read_pointers)

    async def texts(self, name: str) -> Records[bytes]:
        """The TXT records of a name."""
        return await self._ask(name, "TXT", read_texts)

    async def _ask(self, name: str, kind: Kind, read: Callable[[bytes], Records[ValueT]]) -> Records[ValueT]:
        import dns.exception

        question = _ONE_QUESTION + _on_the_wire(name) + QUESTIONS[kind]
        remaining = list(self._servers)
        reasons: dict[str, None] = {}
        for _ in range(self._attempts):
            for server in tuple(remaining):
                try:
                    with anyio.fail_after(self._timeout):
                        # The number must not be foreseeable (RFC 5452 section 4.3).
                        answer = await server.ask(secrets.token_bytes(2) + question)
                    return read(answer)
                except FailureResponseError as failure:
                    reasons[str(failure)] = None
                    remaining.remove(server)  # it would say so again
                except TimeoutError:
                    pass
                except ConnectionRefusedError:
                    reasons["no server could be reached"] = None
                except OSError as error:
                    reasons[error.strerror or str(error) or type(error).__name__] = None
                except dns.exception.DNSException as error:
                    reasons[f"no server gave a sensible answer: {error}"] = None
        raise ResolverError(name, "; ".join(reasons) or f"no server answered within {self._lifetime:g} s")

    @property
    def _lifetime(self) -> float:
        return self._timeout * self._attempts * len(self._servers)

    async def aclose(self) -> None:
        """Close what is kept open; but for HTTPS, each query has a socket of its own, and closes it."""
        if self._https is not None:
            await self._https.aclose()


def _on_the_wire(name: str) -> bytes:
    """A name as it stands in a message (RFC 1035 section 3.1)."""
    labels = name.removesuffix(".").split(".")
    if len(name) <= _LONGEST_NAME and all(map(_PLAIN_LABEL.fullmatch, labels)):
        return b"".join([bytes((len(label),)) + label.encode("ascii") for label in labels]) + b"\0"
    import dns.name

    return dns.name.from_text(name).to_wire() or b""


async def _reach(server: NameServer) -> Sequence[DnsServer]:
    """A server at each of its addresses, for plain DNS and DNS over TLS.

    Raises:
        OSError: Its name has no address.
    """
    try:
        if server.transport == "dns":
            return [PlainServer(server.host, server.port)]
        found = await anyio.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ResolverError(server.host, f"this DNS server has no address: {error}") from error
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    # The name, or the address itself, is what the certificate has to be made out to.
    return [TlsServer(address, server.port, server.host) for address in addresses]


def _servers_of_the_system() -> Sequence[DnsServer]:
    """Whom the system asks.

    Raises:
        OSError: Nobody, as far as it tells.
    """
    import dns.resolver

    try:
        found = dns.resolver.Resolver().nameservers
    except dns.resolver.NoResolverConfiguration as error:
        raise ResolverError("servers", f"the system names none: {error}") from error
    servers: list[DnsServer] = []
    for server in found:
        with suppress(OSError):  # an address with a zone that is no more
            servers.append(PlainServer(str(server), _PORT))
    if not servers:
        raise ResolverError(
            "servers", f"the system names none that can be asked: {', '.join(map(str, found))}"
        )
    return servers


def load() -> None:
    """Load what questions and answers need; dnspython looks types of records up when it meets them."""
    import dns.message  # noqa: F401
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    rdata: Any = dns.rdata
    for kind in ("PTR", "TXT", "CNAME", "SOA", "NS"):
        rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.from_text(kind))
