"""Hand-made results that the tests of documents and renderers share."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias

import attrs

from traceprobe.config import FlowStrategy, Protocol
from traceprobe.model import (
    Asn,
    Change,
    ChangedField,
    EnrichmentError,
    Exchange,
    ExtensionObject,
    Hop,
    InterfaceInformation,
    InterfaceRole,
    Knowledge,
    MplsLabel,
    ProbeResult,
    ProbeStatus,
    ReplyKind,
    Segment,
    SegmentReason,
    StopReason,
    TimestampSource,
    TraceResult,
    TraceTimings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STARTED_AT_NS = 1_795_341_600_000_000_000  # 2026-11-22T10:00:00Z
UNQUOTED = {ReplyKind.ECHO_REPLY, ReplyKind.SYN_ACK, ReplyKind.RST, ReplyKind.UDP_DATA}
Outcome: TypeAlias = ProbeResult | tuple[str, float] | None


def replied(
    address: str,
    rtt_ms: float,
    *,
    attempt: int = 1,
    kind: ReplyKind = ReplyKind.TIME_EXCEEDED,
    icmp: tuple[int, int] | None = (11, 0),
    late: bool = False,
    mtu: int | None = None,
    mpls: Sequence[MplsLabel] = (),
    interfaces: Sequence[InterfaceInformation] = (),
    extensions: Sequence[ExtensionObject] = (),
    changes: Sequence[Change] = (),
    quoted_ttl: int | None = 1,
) -> ProbeResult:
    """A probe that was answered."""
    return ProbeResult(
        attempt,
        0,
        ProbeStatus.REPLY,
        late=late,
        address=ip_address(address),
        rtt_ns=round(rtt_ms * 1_000_000),
        sent_at_ns=STARTED_AT_NS + 312_000,
        timestamp_source=TimestampSource.KERNEL_TX_RX,
        reply=kind,
        icmp_type=None if icmp is None else icmp[0],
        icmp_code=None if icmp is None else icmp[1],
        reply_ttl=64,
        quoted_ttl=None if kind in UNQUOTED else quoted_ttl,
        mtu=mtu,
        mpls=tuple(mpls),
        interfaces=tuple(interfaces),
        extensions=tuple(extensions),
        changes=tuple(changes),
    )


def silent(*, waited_ms: float = 1000.0) -> ProbeResult:
    """A probe that nothing answered."""
    return ProbeResult(
        1,
        0,
        ProbeStatus.TIMEOUT,
        sent_at_ns=STARTED_AT_NS + 312_000,
        waited_ns=round(waited_ms * 1_000_000),
    )


def unsent(error: str = "ENETUNREACH") -> ProbeResult:
    """A probe that the kernel refused."""
    return ProbeResult(1, 0, ProbeStatus.SEND_ERROR, error=error)


def cancelled() -> ProbeResult:
    """A probe that was on its way when the trace was cut short."""
    return ProbeResult(1, 0, ProbeStatus.CANCELLED, sent_at_ns=STARTED_AT_NS + 312_000)


def hop(ttl: int, *outcomes: Outcome, names: Mapping[str, Knowledge | str] | None = None) -> Hop:
    """A hop from its probes in order: a result, ``(address, ms)``, or None for silence."""
    probes = []
    for attempt, outcome in enumerate(outcomes, 1):
        if outcome is None:
            probe = silent()
        elif isinstance(outcome, tuple):
            probe = replied(*outcome)
        else:
            probe = outcome
        probes.append(attrs.evolve(probe, attempt=attempt))
    known = {
        ip_address(address): Knowledge(hostname=name) if isinstance(name, str) else name
        for address, name in (names or {}).items()
    }
    return Hop.from_probes(ttl, probes, known)


def result(
    *hops: Hop,
    target: str = "www.example.net",
    address: str = "203.0.113.80",
    stop_reason: StopReason = StopReason.DESTINATION_REACHED,
    protocol: Protocol = Protocol.ICMP,
    mode: str = "linux_raw",
    discarded: Mapping[str, int] | None = None,
    duration_ms: float = 48.125,
) -> TraceResult:
    """A result around hops."""
    probes = [probe for each in hops for probe in each.probes]
    return TraceResult(
        target=target,
        address=ip_address(address),
        source=ip_address("192.0.2.77"),
        protocol=protocol,
        mode=mode,
        flow=FlowStrategy.PARIS,
        port=None if protocol is Protocol.ICMP else 33434,
        started_at_ns=STARTED_AT_NS,
        duration_ns=round(duration_ms * 1_000_000),
        stop_reason=stop_reason,
        timings=TraceTimings(
            submit=0.00021,
            first_reply=0.0009,
            overhead=0.0006,
            probes_sent=sum(probe.sent_at_ns is not None for probe in probes),
            replies=sum(probe.status is ProbeStatus.REPLY for probe in probes),
        ),
        discarded=dict(discarded or {"unmatched": 0}),
        hops=hops,
    )


TRANSIT = Asn(
    64500,
    prefix="198.51.100.0/24",
    country="NL",
    registry="ripencc",
    name="EXAMPLE-TRANSIT",
    origins=(64501,),
)
AT_HOME = Knowledge("gateway.home.example", segment=Segment.LAN, segment_reason=SegmentReason.LOCAL_ADDRESS)
AT_AN_EXCHANGE = Knowledge(
    "ae1.core.transit.example",
    TRANSIT,
    Segment.TRANSIT,
    SegmentReason.OTHER_ASN,
    country="NL",
    city="Amsterdam",
    exchange=Exchange("EXAMPLE-IX", "198.51.100.0/25", "Amsterdam", "NL", 64500),
    announced=True,
    errors=(EnrichmentError("inventory", "the inventory did not answer"),),
)

TYPICAL = attrs.evolve(
    result(
        hop(
            1,
            ("192.168.1.1", 0.412),
            ("192.168.1.1", 0.398),
            ("192.168.1.1", 0.421),
            names={"192.168.1.1": AT_HOME},
        ),
        hop(2, ("100.64.0.1", 1.812), ("100.64.0.1", 1.79), ("100.64.0.1", 1.854)),
        hop(3, None, None, None),
        hop(
            4,
            replied(
                "198.51.100.9",
                9.433,
                mpls=[MplsLabel(16001, 0, 0, 1), MplsLabel(24005, 0, 1, 1)],
                interfaces=[
                    InterfaceInformation(
                        InterfaceRole.INCOMING, 530, ip_address("198.51.100.9"), "xe-0/0/3.530", 1500
                    ),
                    InterfaceInformation(InterfaceRole.NEXT_HOP, address=ip_address("198.51.100.33")),
                ],
                extensions=[ExtensionObject(3, 2, b"\x00\x00\x00\x2a")],
                changes=[
                    Change(ChangedField.DSCP, 0, 46),
                    Change(ChangedField.SOURCE, "192.168.1.23", "192.0.2.77"),
                ],
            ),
            None,
            ("198.51.100.9", 9.398),
            names={"198.51.100.9": AT_AN_EXCHANGE},
        ),
        hop(
            5,
            ("198.51.100.33", 12.101),
            ("198.51.100.33", 12.377),
            replied("198.51.100.34", 42.24, late=True),
            names={"198.51.100.33": "edge1.transit.example", "198.51.100.34": "edge2.transit.example"},
        ),
        hop(
            6,
            *(
                replied("203.0.113.80", ms, kind=ReplyKind.ECHO_REPLY, icmp=(0, 0))
                for ms in (20.112, 20.084, 20.155)
            ),
            names={"203.0.113.80": Knowledge("www.example.net", segment=Segment.DESTINATION)},
        ),
    ),
    public_address=ip_address("192.0.2.77"),
    isp=Asn(64496, prefix="192.0.2.0/24", country="NL", registry="ripencc", name="EXAMPLE-ISP"),
    enrichment_errors=(EnrichmentError("inventory", "no answer"),),
)
"""Names, a silent hop, MPLS labels and all else that a router tells, loss, a late reply, the destination."""
