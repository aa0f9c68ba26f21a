"""An enricher whose code is loaded when the first address is asked about, behind the first probes.

What asks name servers takes longer to load than many a round trip, and nothing is asked before the first
probes have left. Knows nothing of what it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.enrich._protocols import Enricher
    from traceprobe.model import Knowledge


class LateEnricher:
    """Stands for another enricher, whose name it bears.

    Args:
        name: Its name.
        make: Makes it; called once, unless it fails.
    """

    def __init__(self, name: str, make: Callable[[], Awaitable[Enricher]]) -> None:
        self.name = name
        self._make = make
        self._making = anyio.Lock()
        self._made: Enricher | None = None

    async def load(self) -> Enricher:
        """The enricher itself."""
        if self._made is None:
            async with self._making:
                if self._made is None:
                    self._made = await self._make()
        return self._made

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """What it knows of an address; raises what it raises."""
        return await (self._made or await self.load()).enrich(address)
