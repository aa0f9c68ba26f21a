"""Asks DNS servers with aiodns, which is c-ares underneath; asyncio and uvloop only.

c-ares checks where an answer comes from, its number and its question, and asks again over TCP what did not
fit into a datagram. It tells nothing of an answer without records, not even for how long that holds; but it
remembers such answers itself, for as long as their zone says (RFC 2308 section 5), an hour at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from traceprobe.enrich._dns import LONGEST_TTL, Records
from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pycares

    from traceprobe._enrichment_config import NameServer
    from traceprobe.enrich._libraries import DnsSettings

_REASONS: Final = {
    "ARES_EFORMERR": "FORMERR",
    "ARES_ESERVFAIL": "SERVFAIL",
    "ARES_ENOTIMP": "NOTIMP",
    "ARES_EREFUSED": "REFUSED",
    "ARES_ECONNREFUSED": "no server could be reached",
    "ARES_EBADRESP": "no server gave a sensible answer",
    "ARES_ECANCELLED": "cancelled",
}
"""What c-ares calls a failure, and what it is."""


class AiodnsClient:
    """A channel of c-ares; see :class:`~traceprobe.enrich._dns.DnsClient`.

    Args:
        servers: Whom to ask; none for the system's servers.
        settings: How often and how long.

    Raises:
        OSError: c-ares can't use the servers.
    """

    def __init__(self, servers: Sequence[NameServer], settings: DnsSettings) -> None:
        import aiodns
        import pycares

        try:
            self._resolver = aiodns.DNSResolver(
                nameservers=[_written(server) for server in servers] or None,
                timeout=settings.timeout,
                tries=settings.attempts,
            )
        except pycares.AresError as error:
            raise ResolverError("servers", f"c-ares can't use them: {error}") from error
        asked = len(servers) or len(self._resolver.nameservers)
        self._lifetime = settings.timeout * settings.attempts * max(1, asked)
        self._failure = aiodns.error.DNSError
        self._absent = {aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA}
        self._timed_out = aiodns.error.ARES_ETIMEOUT
        self._reasons = {getattr(aiodns.error, name): words for name, words in _REASONS.items()}
        self._types = {"PTR": pycares.QUERY_TYPE_PTR, "TXT": pycares.QUERY_TYPE_TXT}
        self._alias = pycares.QUERY_TYPE_CNAME

    async def pointers(self, name: str) -> Records[str]:
        """The targets of the PTR records of a name."""
        found, ttl = await self._ask(name, "PTR")
        return Records(tuple(record.data.dname for record in found), ttl)

    async def texts(self, name: str) -> Records[bytes]:
        """The TXT records of a name."""
        found, ttl = await self._ask(name, "TXT")
        return Records(tuple(record.data.data for record in found), ttl)

    async def _ask(self, name: str, kind: str) -> tuple[Sequence[Any], int | None]:
        try:
            with anyio.fail_after(self._lifetime):
                # The dot at the end keeps search domains away.
                result = await self._resolver.query_dns(name.removesuffix(".") + ".", kind)
        except TimeoutError:
            raise self._no_answer(name) from None
        except self._failure as error:
            code = error.args[0]
            if code in self._absent:
                return (), None
            if code == self._timed_out:
                raise self._no_answer(name) from None
            raise ResolverError(name, self._reasons.get(code, str(error.args[-1]))) from None
        return self._behind_aliases(result.answer, name, self._types[kind])

    def _behind_aliases(
        self, answer: Sequence[pycares.DNSRecord], name: str, wanted: int
    ) -> tuple[Sequence[Any], int | None]:
        """The records of one type, and how long they and the aliases on the way to them may be remembered."""
        here = name
        ttls: list[int] = []
        for _ in answer:
            records = [record for record in answer if _is_at(record, here)]
            found = [record for record in records if record.type == wanted]
            if found:
                return found, min(*ttls, *(record.ttl for record in found), LONGEST_TTL)
            alias: Any = next((record for record in records if record.type == self._alias), None)
            if alias is None:
                break
            here = alias.data.cname
            ttls.append(alias.ttl)
        return (), None

    def _no_answer(self, name: str) -> ResolverError:
        return ResolverError(name, f"no server answered within {self._lifetime:g} s")

    async def aclose(self) -> None:
        """Cancel what is asked and give the channel back."""
        await self._resolver.close()


def _is_at(record: pycares.DNSRecord, name: str) -> bool:
    return record.name.removesuffix(".").casefold() == name.removesuffix(".").casefold()


def _written(server: NameServer) -> str:
    """A server as c-ares wants it: the zone of a link-local address stands behind the port."""
    host, _, zone = server.host.partition("%")
    where = f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
    return f"{where}%{zone}" if zone else where
