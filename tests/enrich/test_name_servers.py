"""From the configuration to the result: a tracer asks real name servers, on every event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rigs.dns_server import Manner
from tests.tracer.fakes import HeldNetwork, path_over
from traceprobe import (
    Asn,
    EnrichmentConfig,
    EnrichmentError,
    HopEnriched,
    ReplyReceived,
    TraceFinished,
    Tracer,
    TracerouteConfig,
)

if TYPE_CHECKING:
    from tests.rigs.dns_server import DnsServer

TARGET = "11.0.5.9"
HOPS = ["192.168.0.1", "11.0.1.1", "11.0.2.1", "11.0.3.1", "11.0.4.1", TARGET]


def network() -> HeldNetwork:
    """A path through networks that belong to somebody, which only this process knows of."""
    held = HeldNetwork()
    held.prepare = path_over(HOPS)
    return held


def config(server: DnsServer, **timing: float) -> TracerouteConfig:
    enrichment = EnrichmentConfig(
        reverse_dns=True,
        asn=True,
        dns_servers=(server.address,),
        asn_zone="origin.example",
        asn_name_zone="names.example",
    )
    options = {"dns_timeout": 30.0, "enrichment_timeout": 30.0} | timing
    return TracerouteConfig(enrichment=enrichment, max_ttl=8).with_options(options)  # type: ignore[arg-type]


def origin(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".origin.example"


async def test_every_manner_of_answer_has_its_place_in_the_result(server: DnsServer) -> None:
    for number, address in enumerate(HOPS[:4], 1):
        server.pointer(address, f"hop{number}.example.", delay=0.02)
    server.text(
        origin(HOPS[1]), "64501 64502 | 11.0.0.0/15 | US | arin |", "64509 | 11.0.0.0/8 | US | arin |"
    )
    server.text("AS64501.names.example", "64501 | US | arin | | ONE - Network One, US")
    server.text(origin(HOPS[2]), "64501 | 11.0.0.0/15 | US | arin |", truncated=True, delay=0.02)
    server.text(origin(HOPS[3]), "64503 | 11.0.3.0/24 |  |  |", forgeries=("wrong_id", "wrong_source"))
    server.on("AS64503.names.example", "TXT", Manner(rcode="REFUSED"))
    server.on(origin(HOPS[4]), "TXT", Manner(rcode="SERVFAIL"))
    # HOPS[4] has no name; the target has neither a name nor a network.
    async with Tracer(config(server), socket_factory=network()) as tracer:
        result = await tracer.trace(TARGET)
        asked = len(server.asked)
        again = await tracer.trace(TARGET)
    first, second, third, fourth, fifth, last = result
    assert [hop.hostname for hop in result] == [*(f"hop{n}.example" for n in range(1, 5)), None, None]
    assert (first.asn, first.announced) == (None, None)
    assert second.asn == Asn(64501, "11.0.0.0/15", "US", "arin", "ONE - Network One", (64502,))
    assert third.asn == Asn(64501, "11.0.0.0/15", "US", "arin", "ONE - Network One")
    assert fourth.asn == Asn(64503, "11.0.3.0/24")
    assert [error.enricher for error in fourth.enrichment_errors] == ["asn"]
    assert "REFUSED" in fourth.enrichment_errors[0].reason
    assert (fifth.asn, fifth.announced) == (None, None)
    assert [error.enricher for error in fifth.enrichment_errors] == ["asn"]
    assert "SERVFAIL" in fifth.enrichment_errors[0].reason
    assert (last.asn, last.announced, last.enrichment_errors) == (None, False, ())
    # All of it is remembered, what failed included.
    assert [(hop.hostname, hop.asn, hop.announced) for hop in again] == [
        (hop.hostname, hop.asn, hop.announced) for hop in result
    ]
    assert len(server.asked) == asked
    assert not any(name.startswith("1.0.168.192.origin") for name in server.names())


async def test_names_come_after_the_replies_and_never_in_their_way(server: DnsServer) -> None:
    for number, address in enumerate(HOPS, 1):
        server.pointer(address, f"hop{number}.example.", delay=0.1)
    async with (
        Tracer(config(server), socket_factory=network()) as tracer,
        tracer.open_trace(TARGET) as trace,
    ):
        kinds = [type(event) async for event in trace.events()]
    last_reply = max(place for place, kind in enumerate(kinds) if kind is ReplyReceived)
    assert last_reply < kinds.index(HopEnriched)
    assert kinds[-1] is TraceFinished


async def test_a_silent_server_is_told_on_every_hop(server: DnsServer) -> None:
    server.default = Manner(silent=-1)
    async with Tracer(config(server, enrichment_timeout=0.1), socket_factory=network()) as tracer:
        result = await tracer.trace(TARGET)
    assert result.reached
    missing = "no answer 0.1 s after the end of the trace"
    assert result.hops[0].enrichment_errors == (EnrichmentError("reverse_dns", missing),)
    for hop in result.hops[1:]:
        assert hop.enrichment_errors == (
            EnrichmentError("reverse_dns", missing),
            EnrichmentError("asn", missing),
        )
