"""Name servers for the tests of look-ups, and resolvers that ask them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.dns_server import DnsServer
from traceprobe import EnrichmentConfig, TracerouteConfig
from traceprobe.enrich._libraries import DnsSettings
from traceprobe.enrich._resolver import DnsResolver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A name server that knows nothing yet."""
    with DnsServer() as server:
        yield server


def dns_settings(*servers: str, **options: Any) -> DnsSettings:
    """What a resolver is made of; times that are not named are long, so that none of them strikes."""
    names = {"dns_attempts", "dns_cache_size"}
    wanted = {name: options.pop(name) for name in names & set(options)}
    config = TracerouteConfig(enrichment=EnrichmentConfig(dns_servers=servers, **wanted))
    timing: Any = {"dns_timeout": 5.0} | options
    return DnsSettings.of(config.with_options(timing))


@pytest.fixture
def resolver() -> Callable[..., AbstractAsyncContextManager[DnsResolver]]:
    """Make resolvers for the running event loop; the library is the one that traces would get."""

    @contextlib.asynccontextmanager
    async def make(
        *servers: DnsServer | str,
        now_ns: Callable[[], int] = time.monotonic_ns,
        **options: Any,
    ) -> AsyncGenerator[DnsResolver]:
        addresses = (server if isinstance(server, str) else server.address for server in servers)
        made = await DnsResolver.open(dns_settings(*addresses, **options), now_ns)
        try:
            yield made
        finally:
            await made.aclose()

    return make
