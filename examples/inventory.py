"""Tell of each hop what your own inventory knows of it; what it tells streams in like any look-up.

``python examples/inventory.py [TARGET]``
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from network import choose

import traceprobe
from traceprobe import Asn, EnrichmentConfig, Knowledge

SITES = {ip_network("192.0.2.0/24"): ("Turin", "IT"), ip_network("198.51.100.0/26"): ("Lyon", "FR")}
PROVIDER = ip_network("198.51.100.0/24")


class Inventory:
    """Knows where our routers stand, and who our provider is."""

    name = "inventory"

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        """Look an address up; a real inventory would be awaited here."""
        if address == ip_address("198.51.100.77"):
            raise OSError("two routers have this address")
        city, country = next((site for prefix, site in SITES.items() if address in prefix), (None, None))
        asn = Asn(64500, prefix=str(PROVIDER), name="EXAMPLE-PROVIDER") if address in PROVIDER else None
        return Knowledge(asn=asn, city=city, country=country)


async def main() -> None:
    """Print each hop as soon as the inventory has told of it."""
    targets, network = choose()
    async with traceprobe.open_trace(
        targets[-1],
        socket_factory=network,
        enrichers=[Inventory()],
        enrichment=EnrichmentConfig(segments=True, own_addresses=("198.51.100.200",)),
        max_ttl=8,
    ) as trace:
        async for hop in trace.in_order(until="enriched"):
            network_name = "" if hop.asn is None else hop.asn.name
            print(f"{hop.ttl:>2}  {hop.address}  {hop.segment}  {network_name}  {hop.city or ''}")
            for error in hop.enrichment_errors:
                print(f"    {error.enricher} failed: {error.reason}")


asyncio.run(main())
