"""Makes the look-ups that configurations ask for, when the first trace asks, and keeps them for the others.

A resolver that the caller brings answers everything; without one, resolvers are made here, one for each
choice of servers and timing, and closed with the tracer. What asks, reads files or tells segments is
imported when the first address is looked up: the first probe shouldn't wait for it.
"""

from __future__ import annotations

import importlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol, TypeGuard

import anyio

from traceprobe._enrichment_config import NameServer
from traceprobe.enrich._late import LateEnricher
from traceprobe.errors import UnsupportedOption

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import TypeVar

    from traceprobe.config import EnrichmentConfig, TracerouteConfig
    from traceprobe.enrich._database import DatabaseEnricher
    from traceprobe.enrich._ends import OwnNetworkEnricher, PathJudge
    from traceprobe.enrich._exchange import ExchangeEnricher
    from traceprobe.enrich._libraries import DnsSettings
    from traceprobe.enrich._pipeline import EnrichmentPipeline
    from traceprobe.enrich._protocols import Enricher, Resolver, TextResolver
    from traceprobe.enrich._public_address import PublicAddressFinder
    from traceprobe.enrich._resolver import DnsResolver
    from traceprobe.loops import Clock

    MakeEnricher = Callable[[], Awaitable[Enricher]]
    FileT = TypeVar("FileT", DatabaseEnricher, ExchangeEnricher)


class Network(Protocol):
    """A network, as look-ups see it."""

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...


class Lookups:
    """The enrichers of one tracer.

    Args:
        resolver: The caller's name service; None to make one when it is wanted.
        enrichers: The caller's own look-ups.
        network: Whose addresses are looked up. Memory goes by its clock, and its ``resolver`` is asked
            if it has one and the caller brings none: names of a simulated network are nobody else's business.
    """

    def __init__(self, resolver: Resolver | None, enrichers: Sequence[Enricher], network: Network) -> None:
        self._always = resolver is not None
        self._is_elsewhere = getattr(network, "resolver", None) is not None
        self._resolver: Resolver | None = resolver or getattr(network, "resolver", None)
        self._enrichers = tuple({id(enricher): enricher for enricher in enrichers}.values())
        self._now_ns = network.clock.monotonic_ns
        self._made: dict[Hashable, Enricher] = {}
        self._resolvers: dict[DnsSettings, DnsResolver] = {}
        self._files: dict[Hashable, DatabaseEnricher | ExchangeEnricher] = {}
        self._finders: dict[Hashable, PublicAddressFinder] = {}
        self._own_networks: dict[Hashable, OwnNetworkEnricher] = {}
        self._making = anyio.Lock()
        self._opening = anyio.Lock()

    def check(self, config: EnrichmentConfig) -> None:
        """Refuse what nothing here can answer.

        Raises:
            UnsupportedOption: The caller's resolver can't tell networks.
        """
        if config.asn and self._resolver is not None and not _tells_networks(self._resolver):
            raise UnsupportedOption(
                "asn",
                True,
                mode=None,
                remedy="the resolver has no text() method: pass another one, or enrichers= that find it out",
            )

    async def enrichers_for(self, config: TracerouteConfig) -> tuple[Enricher, ...]:
        """The enrichers that a trace wants, those of the caller last; nothing is asked yet.

        Those that ask name servers are loaded when they are first asked themselves, or by :meth:`load`.

        Raises:
            DataFileError: A file can't be used.
            UnsupportedOption: A library is missing.
        """
        wanted = config.enrichment
        is_file_wanted = bool(wanted.databases) or wanted.exchange_snapshot is not None
        if not (wanted.reverse_dns or self._always or wanted.asn or is_file_wanted):
            return self._enrichers  # nothing has to be made, so that a thousand traces need not queue here
        async with self._making:
            enrichers: list[Enricher] = []
            if wanted.reverse_dns or self._always:
                enrichers.append(self._reverse_dns(config))
            if wanted.exchange_snapshot is not None:
                from traceprobe.enrich._exchange import ExchangeEnricher

                enrichers.append(await self._file(wanted.exchange_snapshot, ExchangeEnricher.open))
            return (*enrichers, *await self._networks(config))

    async def judge_for(
        self,
        config: TracerouteConfig,
        destination: IPv4Address | IPv6Address,
        pipeline: EnrichmentPipeline,
    ) -> Callable[[], PathJudge] | None:
        """What makes whoever tells the segments of a trace, if it wants any; nobody is asked yet.

        Raises:
            DataFileError: A file can't be used.
            UnsupportedOption: A library is missing.
        """
        wanted = config.enrichment
        if not (wanted.segments or wanted.public_address):
            return None
        async with self._making:
            networks = await self._networks(config)
            finder = None
            # In a simulated network nobody translates addresses, and the real Internet knows none of them.
            if wanted.public_address and not self._is_elsewhere:
                finder = await self._finder(config)

        def judge() -> PathJudge:
            from traceprobe.enrich._ends import OwnNetworkEnricher, PathJudge

            key = wanted.own_addresses, id(finder), tuple(map(id, networks))
            own = self._own_networks.get(key)
            if own is None:
                own = OwnNetworkEnricher(wanted.own_addresses, finder, networks)
                self._own_networks[key] = own
            return PathJudge(pipeline, own, networks, destination)

        return judge

    async def load(self, enrichers: Sequence[Enricher]) -> None:
        """Load all that these enrichers need to ask, and what tells segments by it."""
        if enrichers:
            importlib.import_module("traceprobe.enrich._ends")
        for enricher in enrichers:
            if isinstance(enricher, LateEnricher):
                await enricher.load()

    async def _networks(self, config: TracerouteConfig) -> tuple[Enricher, ...]:
        """Who tells the network of an address, files first: they know at once."""
        wanted = config.enrichment
        enrichers: list[Enricher] = []
        if wanted.databases:
            from traceprobe.enrich._database import DatabaseEnricher

            enrichers += [await self._file(path, DatabaseEnricher.open) for path in wanted.databases]
        if wanted.asn:
            enrichers.append(self._network_service(config))
        return (*enrichers, *self._enrichers)

    async def _file(
        self, path: str, read: Callable[[str], Awaitable[FileT]]
    ) -> DatabaseEnricher | ExchangeEnricher:
        """The enricher of a file, which is read once."""
        key = read, path
        if key not in self._files:
            self._files[key] = await read(path)
        return self._files[key]

    async def _finder(self, config: TracerouteConfig) -> PublicAddressFinder:
        wanted, timing = config.enrichment, config.timing
        key = wanted.stun_servers, wanted.stun_requests, timing
        if key not in self._finders:
            from traceprobe.enrich._public_address import PublicAddressFinder

            self._finders[key] = await PublicAddressFinder.open(wanted, timing, self._now_ns)
        return self._finders[key]

    def _reverse_dns(self, config: TracerouteConfig) -> Enricher:
        async def make() -> Enricher:
            from traceprobe.enrich._reverse import ReverseDnsEnricher

            return ReverseDnsEnricher(self._resolver or await self._own_resolver(config))

        return self._late(("reverse_dns",), config, make)

    def _network_service(self, config: TracerouteConfig) -> Enricher:
        async def make() -> Enricher:
            from traceprobe.enrich._networks import NetworkEnricher

            resolver = self._resolver or await self._own_resolver(config)
            assert _tells_networks(resolver)
            return NetworkEnricher(resolver, config.enrichment, self._now_ns)

        return self._late(("asn", config.enrichment), config, make)

    def _late(
        self, key: tuple[str, *tuple[Hashable, ...]], config: TracerouteConfig, make: MakeEnricher
    ) -> Enricher:
        """An enricher that asks a name service, the same one for all traces that ask alike.

        Raises:
            UnsupportedOption: There is no library to ask with.
        """
        from traceprobe.enrich._libraries import DnsSettings, choose_library, event_loop

        settings = None if self._resolver is not None else DnsSettings.of(config)
        if (key, settings) not in self._made:
            if settings is not None:
                choose_library(event_loop(), tuple(map(NameServer.parse, settings.servers)))
            self._made[key, settings] = LateEnricher(key[0], make)
        return self._made[key, settings]

    async def _own_resolver(self, config: TracerouteConfig) -> DnsResolver:
        from traceprobe.enrich._libraries import DnsSettings
        from traceprobe.enrich._resolver import DnsResolver

        settings = DnsSettings.of(config)
        async with self._opening:
            resolver = self._resolvers.get(settings)
            if resolver is None:
                resolver = self._resolvers[settings] = await DnsResolver.open(settings, self._now_ns)
        return resolver

    async def aclose(self) -> None:
        """Close the resolvers that were made here, and the files."""
        opened = [*self._resolvers.values(), *self._files.values()]
        for kept in (self._resolvers, self._files, self._made, self._finders, self._own_networks):
            kept.clear()
        if not opened:
            return
        async with AsyncExitStack() as closing:
            for each in opened:
                closing.push_async_callback(each.aclose)


def _tells_networks(resolver: Resolver) -> TypeGuard[TextResolver]:
    return callable(getattr(resolver, "text", None))
