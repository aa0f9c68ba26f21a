"""A real trace over loopback whose public address a real STUN server on loopback tells."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from tests.enrich.files import write_database
from tests.enrich.stun_server import SUCCESS, message, stun_server, xor_mapped
from traceprobe import EnrichmentConfig, Segment, Tracer, TraceResult

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="probes by UDP without privileges, on Linux")

OWN = "198.51.100.7"
NETWORKS: dict[str, dict[str, object]] = {
    "198.51.100.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "EXAMPLE-ISP"}
}


async def traced(**fields: Any) -> TraceResult:
    async with Tracer(mode="linux_udp", enrichment=EnrichmentConfig(**fields)) as tracer:
        return await tracer.trace("127.0.0.1")


def tell(transaction_id: bytes, number: int) -> list[bytes]:
    return [message(SUCCESS, transaction_id, xor_mapped(OWN, transaction_id))]


async def test_the_server_is_asked_from_the_source_of_the_probes_and_names_the_provider(
    tmp_path: Path,
) -> None:
    database = str(write_database(tmp_path / "asn.mmdb", NETWORKS))
    async with stun_server(tell) as server:
        result = await traced(public_address=True, stun_servers=(server.name,), databases=(database,))
        assert len(server.requests) == 1
        assert server.sources == [result.source]
    assert result.public_address == ip_address(OWN)
    assert result.isp is not None
    assert (result.isp.number, result.isp.name) == (64500, "EXAMPLE-ISP")
    assert result.hops[0].segment is Segment.LAN


async def test_nobody_is_asked_unless_it_is_asked_for() -> None:
    async with stun_server(tell) as server:
        result = await traced(segments=True, stun_servers=(server.name,))
        assert server.requests == []
    assert result.public_address is None


async def test_a_server_that_is_silent_costs_no_more_than_the_deadline_and_is_named(tmp_path: Path) -> None:
    async with (
        stun_server(lambda *_: []) as server,
        Tracer(
            mode="linux_udp",
            enrichment_timeout=0.05,
            enrichment=EnrichmentConfig(public_address=True, stun_servers=(server.name,)),
        ) as tracer,
    ):
        result = await tracer.trace("127.0.0.1")
    assert result.reached
    assert result.public_address is None
    (error,) = result.enrichment_errors
    assert (error.enricher, "no answer" in error.reason) == ("public_address", True)
