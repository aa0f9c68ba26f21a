"""The resolver that a tracer makes itself: what it asks, shares and remembers, over either DNS library.

``aiodns`` asks on asyncio and uvloop; ``dnspython`` asks on trio, over TLS and HTTPS, and wherever aiodns
is not installed. Neither is imported before a trace wants something looked up.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

import anyio.to_thread

from traceprobe._enrichment_config import NameServer
from traceprobe.enrich._dns import reverse_name
from traceprobe.enrich._flights import Flights
from traceprobe.enrich._libraries import choose_library, event_loop
from traceprobe.enrich._questions import Questions
from traceprobe.enrich._text_answer import TextAnswer
from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import Self

    from traceprobe.enrich._dns import DnsClient, Records
    from traceprobe.enrich._libraries import DnsSettings, Library


class DnsResolver:
    """Names and texts from DNS; a :class:`~traceprobe.enrich.TextResolver`.

    Args:
        client: Asks the servers; closed with the resolver.
        settings: How long to remember what.
        now_ns: The monotonic clock that memory goes by.
    """

    def __init__(self, client: DnsClient, settings: DnsSettings, now_ns: Callable[[], int]) -> None:
        self._client = client
        self._pointers = Questions(client.pointers, settings, now_ns)
        self._texts = Questions(client.texts, settings, now_ns)

    @classmethod
    async def open(cls, settings: DnsSettings, now_ns: Callable[[], int]) -> Self:
        """Make a resolver for the running event loop.

        Raises:
            UnsupportedOption: A library is missing.
        """
        return cls(await open_client(settings), settings, now_ns)

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        """The host name of an address: of several, the first in alphabetical order, which stays the same.

        Raises:
            ResolverError: No server could answer.
        """
        records = await self._pointers.answer(reverse_name(address))
        names = (name.removesuffix(".") for name in records.values)
        return min((name for name in names if name), default=None)

    async def text(self, name: str) -> TextAnswer:
        """The TXT records of an absolute name.

        Raises:
            ResolverError: No server could answer.
        """
        records = await self._texts.answer(name)
        return TextAnswer(records.values, records.ttl or 0.0)

    async def aclose(self) -> None:
        """Cancel what is asked and give everything back."""
        await self._client.aclose()


class LateClient:
    """Stands in for a client that could not be made yet: the network may come up later.

    Args:
        make: Makes the client; tried again with each question until it succeeds.
    """

    def __init__(self, make: Callable[[], Awaitable[DnsClient]]) -> None:
        self._make = make
        self._making: Flights[None, DnsClient] = Flights()
        self._client: DnsClient | None = None

    async def pointers(self, name: str) -> Records[str]:
        """The targets of the PTR records of a name."""
        return await (await self._made(name)).pointers(name)

    async def texts(self, name: str) -> Records[bytes]:
        """The TXT records of a name."""
        return await (await self._made(name)).texts(name)

    async def _made(self, name: str) -> DnsClient:
        if self._client is None:
            try:
                self._client = await self._making.share(None, self._make)
            except ResolverError as error:
                raise ResolverError(name, str(error)) from None
        return self._client

    async def aclose(self) -> None:
        """Give back what was made."""
        if self._client is not None:
            await self._client.aclose()


async def open_client(settings: DnsSettings) -> DnsClient:
    """Make a client for the running event loop.

    Raises:
        UnsupportedOption: A library is missing.
    """
    loop = event_loop()
    servers = tuple(map(NameServer.parse, settings.servers))
    library = choose_library(loop, servers)
    # Loading a library takes longer than many a round trip: in a thread, so that whatever else runs on the
    # loop goes on.
    await anyio.to_thread.run_sync(_load, library)
    make = functools.partial(_make_client, library, servers, settings)
    try:
        return await make()
    except ResolverError:
        return LateClient(make)


def _load(library: Library) -> None:
    if library == "aiodns":
        importlib.import_module(library)
    else:
        from traceprobe.enrich._dnspython import load

        load()


async def _make_client(
    library: Library,
    servers: Sequence[NameServer],
    settings: DnsSettings,
) -> DnsClient:
    if library == "aiodns":
        from traceprobe.enrich._aiodns import AiodnsClient

        return AiodnsClient(servers, settings)
    from traceprobe.enrich._dnspython import DnspythonClient

    return await DnspythonClient.open(servers, settings)
