"""How name servers are asked, and by which library: known before the first probe leaves.

Nothing of what asks them is loaded here.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

from traceprobe._frozen import frozen
from traceprobe.errors import UnsupportedOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe._enrichment_config import NameServer
    from traceprobe.config import TracerouteConfig

Library: TypeAlias = Literal["aiodns", "dnspython"]


@frozen
class DnsSettings:
    """What distinguishes one resolver from another; see ``EnrichmentConfig`` and ``TimingConfig``."""

    servers: tuple[str, ...]
    attempts: int
    timeout: float
    cache_size: int
    ttl_limit: float
    negative_ttl_limit: float
    failure_ttl: float

    @classmethod
    def of(cls, config: TracerouteConfig) -> DnsSettings:
        """The part of a configuration that is about DNS."""
        wanted, timing = config.enrichment, config.timing
        return cls(
            servers=wanted.dns_servers,
            attempts=wanted.dns_attempts,
            timeout=timing.dns_timeout,
            cache_size=wanted.dns_cache_size,
            ttl_limit=timing.dns_ttl_limit,
            negative_ttl_limit=timing.dns_negative_ttl_limit,
            failure_ttl=timing.dns_failure_ttl,
        )


def event_loop() -> Literal["asyncio", "trio"]:
    """Which kind of event loop runs in this thread."""
    trio = sys.modules.get("trio")
    return "trio" if trio is not None and trio.lowlevel.in_trio_task() else "asyncio"


def choose_library(loop: Literal["asyncio", "trio"], servers: Sequence[NameServer]) -> Library:
    """The library to ask with.

    Raises:
        UnsupportedOption: It is not installed.
    """
    secure = next((server for server in servers if server.transport != "dns"), None)
    if loop == "asyncio" and secure is None and _installed("aiodns"):
        return "aiodns"
    if not _installed("dns"):
        libraries = "aiodns or dnspython" if loop == "asyncio" and secure is None else "dnspython"
        raise UnsupportedOption(
            "enrichment", "DNS look-ups", mode=None, remedy=f"install {libraries}, or pass a resolver="
        )
    if any(server.transport == "https" for server in servers) and not _installed("httpx2"):
        raise UnsupportedOption(
            "dns_servers",
            tuple(server.url for server in servers if server.url is not None),
            mode=None,
            remedy="DNS over HTTPS needs: python -m pip install 'traceprobe[doh]'",
        )
    return "dnspython"


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
