"""What is known of an address, in words: one place, so that text and HTML say the same.

Names of networks, places and exchanges come from the network or from files, and so do reasons for failure.
Everything that is returned is safe to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.render.sanitize import clean_name, clean_text

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Asn, EnrichmentError, Exchange, Responder


def asn_text(asn: Asn) -> str:
    """``AS64500 EXAMPLE-NETWORK, NL``: number, name, and where the prefix was registered."""
    name = clean_text(asn.name) if asn.name else ""
    text = f"AS{asn.number} {name}".rstrip()
    return f"{text}, {clean_name(asn.country)}" if asn.country else text


def exchange_text(exchange: Exchange) -> str:
    """``EXAMPLE-IX (AS64500)``: the exchange, and the member that uses the address."""
    name = clean_text(exchange.name)
    return name if exchange.member_asn is None else f"{name} (AS{exchange.member_asn})"


def place_text(responder: Responder) -> str | None:
    """``Amsterdam, NL``; None if nobody says where it is."""
    places = [clean_text(place) for place in (responder.city, responder.country) if place]
    return ", ".join(places) or None


def segment_text(responder: Responder) -> str | None:
    """``ISP: Its network is the one that connects this machine.``; None if it was not asked for."""
    if responder.segment is None:
        return None
    reason = responder.segment_reason
    return responder.segment.value if reason is None else f"{responder.segment.value}: {reason.sentence}"


def own_network_text(address: IPv4Address | IPv6Address, isp: Asn | None) -> str:
    """``This machine is seen as 192.0.2.77, AS64500 EXAMPLE-ISP, NL.``."""
    facts = [clean_name(str(address)), *([] if isp is None else [asn_text(isp)])]
    return f"This machine is seen as {', '.join(facts)}."


def error_text(error: EnrichmentError) -> str:
    """``look-up failed: inventory: no answer``."""
    return f"look-up failed: {clean_text(error.enricher)}: {clean_text(error.reason)}".rstrip()


def details(responder: Responder) -> list[str]:
    """Everything that is known of a responder but its name, a line for each thing."""
    lines = []
    if responder.asn is not None:
        lines.append(_asn_detail(responder.asn))
    elif responder.announced is False:
        lines.append("announced by nobody")
    if responder.exchange is not None:
        lines.append(_exchange_detail(responder.exchange))
    place = place_text(responder)
    if place is not None:
        lines.append(f"said to be in {place}")
    segment = segment_text(responder)
    if segment is not None and responder.segment_reason is not None:
        lines.append(segment)
    lines += map(error_text, responder.enrichment_errors)
    return [line.rstrip() for line in lines]


def _asn_detail(asn: Asn) -> str:
    facts = [asn_text(asn)]
    if asn.prefix:
        facts.append(f"prefix {clean_name(asn.prefix)}")
    if asn.registry:
        facts.append(f"registered at {clean_name(asn.registry)}")
    if asn.origins:
        facts.append("also announced by " + ", ".join(f"AS{number}" for number in asn.origins))
    return ", ".join(facts)


def _exchange_detail(exchange: Exchange) -> str:
    places = [clean_text(place) for place in (exchange.city, exchange.country) if place]
    text = f"on {clean_name(exchange.prefix)} of {clean_text(exchange.name)}"
    if places:
        text += f" in {', '.join(places)}"
    return text if exchange.member_asn is None else f"{text}, used by AS{exchange.member_asn}"
