"""Asks DNS servers with dnspython: on trio, and on asyncio over TLS and HTTPS or where aiodns is missing.

dnspython checks where an answer comes from, its number and its question, and asks again over TCP what did
not fit into a datagram. It guesses the event loop once for the whole process, so it is told each time.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import anyio

from traceprobe.enrich._dns import Records
from traceprobe.enrich._dns_secure import https_client, https_server, tls_server
from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    import dns.exception
    import dns.message
    import dns.nameserver
    import httpx2

    from traceprobe._enrichment_config import NameServer
    from traceprobe.enrich._dns import DnsSettings


class DnspythonClient:
    """A stub resolver; see :class:`~traceprobe.enrich._dns.DnsClient`.

    Args:
        servers: Whom to ask; None for the system's servers.
        settings: How often and how long.
        loop: The kind of event loop that is running.
        https: What servers at URLs are asked with; closed with this client.

    Raises:
        OSError: The system's servers are not known.
    """

    def __init__(
        self,
        servers: Sequence[dns.nameserver.Nameserver] | None,
        settings: DnsSettings,
        loop: Literal["asyncio", "trio"],
        https: httpx2.AsyncClient | None = None,
    ) -> None:
        import dns.asyncbackend
        import dns.asyncresolver
        import dns.resolver

        try:
            self._resolver = dns.asyncresolver.Resolver(configure=servers is None)
        except dns.resolver.NoResolverConfiguration as error:
            raise ResolverError("servers", f"the system names none: {error}") from error
        if servers is not None:
            self._resolver.nameservers = list(servers)
        asked = len(self._resolver.nameservers)
        self._resolver.timeout = settings.timeout
        self._resolver.lifetime = settings.timeout * settings.attempts * max(1, asked)
        self._backend = dns.asyncbackend.get_backend(loop)
        self._https = https

    @classmethod
    async def open(
        cls, servers: Sequence[NameServer], settings: DnsSettings, loop: Literal["asyncio", "trio"]
    ) -> DnspythonClient:
        """Make a client; the names of servers are resolved by the system.

        Raises:
            OSError: The system knows no servers, or no address of one.
        """
        if not servers:
            return cls(None, settings, loop)
        https: httpx2.AsyncClient | None = None
        reached: list[dns.nameserver.Nameserver] = []
        failures: list[ResolverError] = []
        for server in servers:
            if server.url is None:
                try:
                    reached += await _reach(server)
                except ResolverError as error:
                    failures.append(error)
            else:
                https = https or https_client()
                reached.append(https_server(server.url, https))
        if not reached:
            raise failures[0]
        return cls(reached, settings, loop, https)

    async def pointers(self, name: str) -> Records[str]:
        """The targets of the PTR records of a name."""
        found, ttl = await self._ask(name, "PTR")
        return Records(tuple(record.target.to_text() for record in found), ttl)

    async def texts(self, name: str) -> Records[bytes]:
        """The TXT records of a name."""
        found, ttl = await self._ask(name, "TXT")
        return Records(tuple(b"".join(record.strings) for record in found), ttl)

    async def _ask(self, name: str, kind: str) -> tuple[Sequence[Any], int]:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            question = dns.name.from_text(name)  # absolute, so that search domains stay away
            with anyio.fail_after(self._resolver.lifetime):
                answer = await self._resolver.resolve(
                    question, kind, raise_on_no_answer=False, search=False, backend=self._backend
                )
            return tuple(answer.rrset or ()), answer.chaining_result.minimum_ttl
        except TimeoutError:
            raise self._no_answer(name) from None
        except dns.resolver.NXDOMAIN as error:
            response: dns.message.QueryMessage = error.response(question)  # type: ignore[no-untyped-call]
            return (), response.resolve_chaining().minimum_ttl
        except dns.exception.Timeout:
            raise self._no_answer(name) from None
        except dns.exception.DNSException as error:
            raise ResolverError(name, _reason(error)) from None

    def _no_answer(self, name: str) -> ResolverError:
        return ResolverError(name, f"no server answered within {self._resolver.lifetime:g} s")

    async def aclose(self) -> None:
        """Close what is kept open; but for HTTPS, each query has a socket of its own, and closes it."""
        if self._https is not None:
            await self._https.aclose()


async def _reach(server: NameServer) -> Sequence[dns.nameserver.Nameserver]:
    """A server at each of its addresses, for plain DNS and DNS over TLS.

    Raises:
        OSError: Its name has no address.
    """
    import dns.nameserver

    if server.transport == "dns":
        return [dns.nameserver.Do53Nameserver(server.host, server.port)]
    try:
        found = await anyio.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ResolverError(server.host, f"this DNS server has no address: {error}") from error
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    # The name, or the address itself, is what the certificate has to be made out to.
    return [tls_server(address, server.port, server.host) for address in addresses]


def _reason(error: dns.exception.DNSException) -> str:
    """Why no server answered, in a few words: dnspython tells what became of each attempt."""
    attempts = error.kwargs.get("errors") or ()
    reasons = dict.fromkeys(str(attempt[3]) or type(attempt[3]).__name__ for attempt in attempts)
    return "; ".join(reasons) or str(error)
