"""Hypothesis strategies for hops and results such as a trace could have ended with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.model import (
    NOTHING_KNOWN,
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
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

# Two weeks: twice as long as any time-out that makes sense, and exact in a double of milliseconds.
durations_ns = st.integers(0, 14 * 86_400 * 10**9)
wall_times_ns = st.integers(-(10**15), 4 * 10**15).map(lambda microseconds: microseconds * 1000)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
octets = st.integers(0, 255)
# Whatever a name server sends, surrogates out of a bad decoder included.
texts = st.text(st.characters(), max_size=30)

labels = st.builds(
    MplsLabel, label=st.integers(0, 2**20 - 1), tc=st.integers(0, 7), s=st.integers(0, 1), ttl=octets
)
asn_numbers = st.integers(0, 2**32 - 1)
asns = st.builds(
    Asn,
    number=asn_numbers,
    prefix=st.none() | texts,
    country=st.none() | texts,
    registry=st.none() | texts,
    name=st.none() | texts,
    origins=st.lists(asn_numbers, max_size=3).map(tuple),
)
exchanges = st.builds(
    Exchange,
    name=texts,
    prefix=texts,
    city=st.none() | texts,
    country=st.none() | texts,
    member_asn=st.none() | asn_numbers,
)
enrichment_errors = st.builds(EnrichmentError, enricher=texts, reason=texts)
knowledge = st.just(NOTHING_KNOWN) | st.builds(
    Knowledge,
    hostname=st.none() | texts,
    asn=st.none() | asns,
    announced=st.none() | st.booleans(),
    segment=st.none() | st.sampled_from(Segment),
    segment_reason=st.none() | st.sampled_from(SegmentReason),
    country=st.none() | texts,
    city=st.none() | texts,
    exchange=st.none() | exchanges,
    errors=st.lists(enrichment_errors, max_size=2, unique=True).map(tuple),
)


words = st.integers(0, 2**32 - 1)
interfaces = st.builds(
    InterfaceInformation,
    st.sampled_from(InterfaceRole),
    st.none() | words,
    st.none() | addresses,
    st.none() | texts,
    st.none() | words,
)
extensions = st.builds(ExtensionObject, octets, octets, st.binary(max_size=20))
changes = st.builds(Change, st.sampled_from(ChangedField), words | texts, words | texts)


@st.composite
def probe_results(
    draw: st.DrawFn, attempt: int, responders: Sequence[IPv4Address | IPv6Address]
) -> ProbeResult:
    status = draw(st.sampled_from(ProbeStatus))
    flow = draw(st.integers(0, 2**16))
    sent_at_ns = draw(wall_times_ns)
    if status is ProbeStatus.REPLY:
        return draw(
            st.builds(
                ProbeResult,
                attempt=st.just(attempt),
                flow=st.just(flow),
                status=st.just(status),
                late=st.booleans(),
                address=st.sampled_from(responders),
                rtt_ns=durations_ns,
                sent_at_ns=st.just(sent_at_ns),
                timestamp_source=st.sampled_from(TimestampSource),
                reply=st.sampled_from(ReplyKind),
                icmp_type=st.none() | octets,
                icmp_code=st.none() | octets,
                reply_ttl=st.none() | octets,
                quoted_ttl=st.none() | octets,
                mtu=st.none() | st.integers(0, 2**32 - 1),
                mpls=st.lists(labels, max_size=3).map(tuple),
                interfaces=st.lists(interfaces, max_size=2).map(tuple),
                extensions=st.lists(extensions, max_size=2).map(tuple),
                changes=st.lists(changes, max_size=3).map(tuple),
            )
        )
    if status is ProbeStatus.SEND_ERROR:
        return ProbeResult(attempt, flow, status, error=draw(st.sampled_from(["ENETUNREACH", "EPERM"])))
    waited_ns = draw(durations_ns) if status is ProbeStatus.TIMEOUT else None
    return ProbeResult(attempt, flow, status, sent_at_ns=sent_at_ns, waited_ns=waited_ns)


@st.composite
def hops(draw: st.DrawFn, ttl: int) -> Hop:
    responders = draw(st.lists(addresses, min_size=1, max_size=3, unique=True))
    count = draw(st.integers(0, 5))
    return Hop.from_probes(
        ttl,
        [draw(probe_results(attempt, responders)) for attempt in range(1, count + 1)],
        {address: draw(knowledge) for address in responders},
        ttl_zero_forwarding=draw(st.booleans()),
    )


@st.composite
def results(draw: st.DrawFn) -> TraceResult:
    first_ttl = draw(st.integers(1, 250))
    count = draw(st.integers(0, 5))
    # The machine measures in nanoseconds; it reports such differences in seconds, and they may come out
    # negative where two clocks are compared.
    differences = st.none() | st.integers(-(10**6), 10**12).map(lambda ns: ns / 10**9)
    return TraceResult(
        target=draw(texts),
        address=draw(addresses),
        source=draw(st.none() | addresses),
        protocol=draw(st.sampled_from(Protocol)),
        mode=draw(st.sampled_from([mode.value for mode in Mode] + ["simulated"])),
        flow=draw(st.sampled_from(FlowStrategy)),
        port=draw(st.none() | st.integers(1, 65535)),
        started_at_ns=draw(wall_times_ns),
        duration_ns=draw(durations_ns),
        stop_reason=draw(st.sampled_from(StopReason)),
        timings=TraceTimings(
            submit=draw(differences),
            first_reply=draw(differences),
            overhead=draw(differences),
            probes_sent=draw(st.integers(0, 10**6)),
            replies=draw(st.integers(0, 10**6)),
        ),
        discarded=draw(st.dictionaries(st.sampled_from(["unmatched", "rewritten", "late"]), octets)),
        public_address=draw(st.none() | addresses),
        isp=draw(st.none() | asns),
        enrichment_errors=tuple(draw(st.lists(enrichment_errors, max_size=2))),
        hops=tuple(draw(hops(first_ttl + index)) for index in range(count)),
    )
