"""Makes the look-ups that configurations ask for, when the first trace asks, and keeps them for the others.

A resolver that the caller brings answers everything; without one, resolvers are made here, one for each
choice of servers and timing, and closed with the tracer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeGuard

import anyio

from traceprobe.enrich._dns import DnsSettings
from traceprobe.enrich._networks import NetworkEnricher
from traceprobe.enrich._resolver import DnsResolver
from traceprobe.enrich._reverse import ReverseDnsEnricher
from traceprobe.errors import UnsupportedOption

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from traceprobe.config import EnrichmentConfig, TracerouteConfig
    from traceprobe.enrich._protocols import Enricher, Resolver, TextResolver
    from traceprobe.loops import Clock


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
        self._resolver: Resolver | None = resolver or getattr(network, "resolver", None)
        self._enrichers = tuple({id(enricher): enricher for enricher in enrichers}.values())
        self._now_ns = network.clock.monotonic_ns
        self._made: dict[Hashable, Enricher] = {}
        self._resolvers: dict[DnsSettings, DnsResolver] = {}
        self._making = anyio.Lock()

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
                remedy="pass a resolver= that has a text() method, or none for a built-in one",
            )

    async def enrichers_for(self, config: TracerouteConfig) -> tuple[Enricher, ...]:
        """The enrichers that a trace wants, those of the caller last; nothing is asked yet.

        Raises:
            UnsupportedOption: A library is missing.
        """
        wanted = config.enrichment
        names = wanted.reverse_dns or self._always
        if not (names or wanted.asn):
            return self._enrichers
        async with self._making:
            enrichers: list[Enricher] = []
            if names:
                enrichers.append(await self._reverse_dns(config))
            if wanted.asn:
                enrichers.append(await self._networks(config))
        return (*enrichers, *self._enrichers)

    async def _reverse_dns(self, config: TracerouteConfig) -> Enricher:
        resolver = self._resolver or await self._own_resolver(config)
        return self._made.setdefault(("reverse_dns", id(resolver)), ReverseDnsEnricher(resolver))

    async def _networks(self, config: TracerouteConfig) -> Enricher:
        resolver = self._resolver or await self._own_resolver(config)
        assert _tells_networks(resolver)
        key = ("asn", id(resolver), config.enrichment)
        return self._made.setdefault(key, NetworkEnricher(resolver, config.enrichment, self._now_ns))

    async def _own_resolver(self, config: TracerouteConfig) -> DnsResolver:
        settings = DnsSettings.of(config)
        resolver = self._resolvers.get(settings)
        if resolver is None:
            resolver = self._resolvers[settings] = await DnsResolver.open(settings, self._now_ns)
        return resolver

    async def aclose(self) -> None:
        """Close the resolvers that were made here."""
        resolvers, self._resolvers = list(self._resolvers.values()), {}
        self._made.clear()
        for resolver in resolvers:
            await resolver.aclose()


def _tells_networks(resolver: Resolver) -> TypeGuard[TextResolver]:
    return callable(getattr(resolver, "text", None))
