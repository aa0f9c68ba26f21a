"""Whole traces through a simulated network: files, exchanges, segments and what connects the machine."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.enrich.files import write_database, write_snapshot
from traceprobe import (
    Asn,
    DataFileError,
    EnrichmentConfig,
    HopEnriched,
    Knowledge,
    Segment,
    SegmentReason,
    Tracer,
    TraceResult,
)
from traceprobe.testing import Router, SimulatedNetwork, Target

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from pathlib import Path

NETWORKS: dict[str, dict[str, object]] = {
    "198.51.100.0/25": {"autonomous_system_number": 64500, "autonomous_system_organization": "EXAMPLE-ISP"},
    "198.51.100.128/26": {
        "autonomous_system_number": 64520,
        "autonomous_system_organization": "EXAMPLE-TRANSIT",
    },
    "203.0.113.128/25": {
        "autonomous_system_number": 64510,
        "autonomous_system_organization": "EXAMPLE-TARGET",
    },
}
PLACES: dict[str, dict[str, object]] = {
    "203.0.113.128/25": {"city": {"names": {"en": "Amsterdam"}}, "country": {"iso_code": "NL"}}
}
EXCHANGES = {
    "ix": [{"id": 1, "name": "EXAMPLE-IX", "city": "Frankfurt", "country": "DE"}],
    "ixlan": [{"id": 1, "ix_id": 1}],
    "ixpfx": [{"ixlan_id": 1, "prefix": "198.51.100.192/27"}],
    "netixlan": [{"asn": 64520, "ipaddr4": "198.51.100.193"}],
}
PATH = {
    1: ("192.168.1.1", Segment.LAN, SegmentReason.LOCAL_ADDRESS),
    2: ("100.64.0.1", Segment.ISP, SegmentReason.SHARED_ADDRESS_SPACE),
    3: ("198.51.100.1", Segment.ISP, SegmentReason.ISP_ASN),
    4: ("10.20.0.1", Segment.ISP, SegmentReason.BETWEEN_ISP),
    5: ("198.51.100.2", Segment.ISP, SegmentReason.ISP_ASN),
    6: ("198.51.100.193", Segment.TRANSIT, SegmentReason.EXCHANGE),
    7: ("198.51.100.129", Segment.TRANSIT, SegmentReason.OTHER_ASN),
    8: ("203.0.113.1", Segment.TRANSIT, SegmentReason.UNANNOUNCED),
    9: ("203.0.113.129", Segment.DESTINATION, SegmentReason.DESTINATION_ASN),
    10: ("203.0.113.200", Segment.DESTINATION, SegmentReason.TARGET_ADDRESS),
}
OWN = "198.51.100.77"


def network(**options: Any) -> SimulatedNetwork:
    *routers, target = PATH.values()
    nodes: list[Router | Target] = [
        Router(address, rtt=0.001 * number) for number, (address, *_) in enumerate(routers, 1)
    ]
    return SimulatedNetwork.path(target[0], [*nodes, Target(target[0], rtt=0.02)], **options)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    return {
        "databases": (
            str(write_database(tmp_path / "networks.mmdb", NETWORKS)),
            str(write_database(tmp_path / "places.mmdb", PLACES, kind="GeoLite2-City")),
        ),
        "exchange_snapshot": str(write_snapshot(tmp_path / "peeringdb.json", EXCHANGES)),
    }


async def traced(*, enrichers: tuple[Any, ...] = (), **fields: Any) -> TraceResult:
    async with Tracer(
        socket_factory=network(), enrichers=enrichers, enrichment=EnrichmentConfig(**fields)
    ) as tracer:
        return await tracer.trace("203.0.113.200")


def segments(result: TraceResult) -> dict[int, tuple[str, Segment | None, SegmentReason | None]]:
    return {hop.ttl: (str(hop.address), hop.segment, hop.segment_reason) for hop in result.hops}


async def test_every_hop_is_put_into_its_part_of_the_path(files: dict[str, Any]) -> None:
    result = await traced(segments=True, own_addresses=(OWN,), **files)
    assert segments(result) == PATH
    hops = {hop.ttl: hop for hop in result.hops}
    assert hops[3].asn == Asn(64500, prefix="198.51.100.0/25", name="EXAMPLE-ISP")
    assert (hops[10].country, hops[10].city) == ("NL", "Amsterdam")
    assert hops[6].exchange is not None
    assert (hops[6].exchange.name, hops[6].exchange.member_asn) == ("EXAMPLE-IX", 64520)
    assert hops[8].announced is False
    assert all(hop.enrichment_errors == () for hop in result.hops)
    assert TraceResult.from_dict(result.to_dict()) == result


async def test_segments_need_no_file_and_say_what_is_not_known() -> None:
    result = await traced(segments=True)
    reasons = {ttl: reason for ttl, (_, _, reason) in segments(result).items()}
    assert reasons[1] is SegmentReason.LOCAL_ADDRESS
    assert reasons[2] is SegmentReason.SHARED_ADDRESS_SPACE
    assert reasons[4] is SegmentReason.PRIVATE_BEYOND_LAN
    assert reasons[10] is SegmentReason.TARGET_ADDRESS


async def test_nothing_is_said_of_segments_unless_it_is_asked_for(files: dict[str, Any]) -> None:
    result = await traced(**files)
    assert {hop.segment for hop in result.hops} == {None}
    assert result.hops[2].asn is not None


async def test_a_network_of_the_callers_own_tells_segments_too() -> None:
    class Inventory:
        name = "inventory"

        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            if address in {ip_address(OWN), ip_address("203.0.113.1")}:
                return Knowledge(asn=Asn(64999))
            return Knowledge()

    result = await traced(segments=True, own_addresses=(OWN,), enrichers=(Inventory(),))
    assert segments(result)[8][1:] == (Segment.ISP, SegmentReason.ISP_ASN)


async def test_segments_stream_in_as_events_and_the_last_of_them_is_the_result(files: dict[str, Any]) -> None:
    wanted = EnrichmentConfig(segments=True, own_addresses=(OWN,), **files)
    told: dict[int, Segment | None] = {}
    async with Tracer(socket_factory=network(), enrichment=wanted) as tracer:
        async with tracer.open_trace("203.0.113.200") as trace:
            async for event in trace.events():
                if isinstance(event, HopEnriched):
                    assert event.knowledge == next(
                        each.knowledge for each in event.hop.responders if each.address == event.address
                    )
                    told[event.hop.ttl] = event.hop.segment
        for hop in trace.result.hops:
            assert told.get(hop.ttl, hop.segment) is hop.segment


async def test_hops_are_held_until_the_ends_of_the_path_are_known(files: dict[str, Any]) -> None:
    class Slow:
        """Knows who connects this machine, but only once everything else is known."""

        def __init__(self) -> None:
            self.asked = anyio.Event()
            self.released = anyio.Event()

        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            if address == ip_address(OWN):
                self.asked.set()
                await self.released.wait()
            return Knowledge()

    slow = Slow()
    wanted = EnrichmentConfig(segments=True, own_addresses=(OWN,), **files)
    settled = 0
    async with (
        Tracer(socket_factory=network(), enrichers=[slow], enrichment=wanted) as tracer,
        tracer.open_trace("203.0.113.200") as trace,
    ):
        async for _ in trace:
            settled += 1
            if settled == len(PATH):
                # Every hop has settled, whoever is still being asked.
                await slow.asked.wait()
                slow.released.set()
        held = [(hop.ttl, hop.segment) async for hop in trace.hops(until="enriched")]
    assert sorted(held) == [(ttl, segment) for ttl, (_, segment, _) in PATH.items()]


async def test_what_connects_the_machine_is_not_waited_for_beyond_the_deadline(files: dict[str, Any]) -> None:
    class Dead:
        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            if address == ip_address(OWN):
                await anyio.sleep_forever()
            return Knowledge()

    result = await traced(segments=True, own_addresses=(OWN,), enrichers=(Dead(),), **files)
    # Without the provider's network, its hops are networks like any other.
    assert segments(result)[3][1:] == (Segment.TRANSIT, SegmentReason.OTHER_ASN)
    assert segments(result)[9][1:] == (Segment.DESTINATION, SegmentReason.DESTINATION_ASN)
    (error,) = result.enrichment_errors
    assert error.enricher == "public_address"
    assert "no answer" in error.reason


@pytest.mark.parametrize("field", ["databases", "exchange_snapshot"])
async def test_a_file_that_is_missing_ends_the_trace_before_it_begins(tmp_path: Path, field: str) -> None:
    path = str(tmp_path / "absent")
    with pytest.raises(DataFileError) as caught:
        await (traced(databases=(path,)) if field == "databases" else traced(exchange_snapshot=path))
    assert caught.value.path == path


async def test_a_file_is_read_once_and_closed_with_the_tracer(
    files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from traceprobe.enrich._database import DatabaseEnricher

    opened: list[str] = []
    closed: list[str] = []
    real_open, real_close = DatabaseEnricher._open, DatabaseEnricher.aclose

    def count_open(path: str) -> DatabaseEnricher:
        opened.append(path)
        return real_open(path)

    async def count_close(database: DatabaseEnricher) -> None:
        closed.append(database.name)
        await real_close(database)

    monkeypatch.setattr(DatabaseEnricher, "_open", staticmethod(count_open))
    monkeypatch.setattr(DatabaseEnricher, "aclose", count_close)
    wanted = EnrichmentConfig(segments=True, **files)
    async with Tracer(socket_factory=network(), enrichment=wanted) as tracer:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(tracer.trace, "203.0.113.200")
        assert closed == []
    assert sorted(opened) == sorted(files["databases"])
    assert sorted(closed) == ["networks.mmdb", "places.mmdb"]


async def test_nobody_on_the_internet_is_asked_for_the_address_in_a_simulated_network(
    files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An exception of an enricher would be a note on the result: what was asked is kept instead.
    asked: list[object] = []

    async def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("somebody was asked")

    monkeypatch.setattr(anyio, "getaddrinfo", refuse)
    monkeypatch.setattr(anyio, "create_connected_udp_socket", refuse)
    result = await traced(public_address=True, segments=True, **files)
    assert result.reached
    assert not asked


async def test_the_result_tells_who_connects_the_machine(files: dict[str, Any]) -> None:
    result = await traced(segments=True, own_addresses=(OWN,), **files)
    assert result.public_address == ip_address(OWN)
    assert result.isp == Asn(64500, prefix="198.51.100.0/25", name="EXAMPLE-ISP")
    unknown = await traced(segments=True, **files)
    assert (unknown.public_address, unknown.isp, unknown.enrichment_errors) == (None, None, ())
