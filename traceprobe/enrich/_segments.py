"""Which part of the path each responder belongs to: a pure function of who answered, where, who that is.

A responder is judged by itself first: by the kind of its address, then by its autonomous system. What
nobody announces is judged by what lies around it, and only that: a hop of another network stays transit
even if the same network lies on both sides of it.

A verdict is given only once nothing that is still being looked up could change it. More hops can: they
come in any order, and a private address turns out to lie beyond a public one.
"""

from __future__ import annotations

import functools
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from traceprobe._frozen import frozen
from traceprobe.enrich._special import embedded_ipv4, special_purpose
from traceprobe.model import NOTHING_KNOWN, Segment, SegmentReason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from traceprobe.enrich._prefixes import IPAddress
    from traceprobe.model import Knowledge

_LOCAL: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("127.0.0.0/8"),
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
    IPv6Network("::1/128"),
)
"""Private use (RFC 1918, RFC 4193), link-local (RFC 3927, RFC 4291 section 2.5.6) and loopback."""

_SHARED: Final = IPv4Network("100.64.0.0/10")
"""Between a provider and its customers (RFC 6598)."""

_INTERFACE_BITS: Final = 64
"""The length of an interface identifier (RFC 4291 section 2.5.1)."""

_BETWEEN: Final = {
    Segment.ISP: SegmentReason.BETWEEN_ISP,
    Segment.DESTINATION: SegmentReason.BETWEEN_DESTINATION,
}
"""The segments that may hold what nobody announces, and why it is put there."""

_KINDS_KEPT: Final = 4096


@frozen(kw_only=True)
class PathEnds:
    """What is known of both ends of a path.

    Attributes:
        source: The address that the probes came from.
        destination: The address that was traced.
        isp_asns: Autonomous systems that announce this machine's public address; empty if nobody knows
            them, None while they are being looked up.
        destination_asns: The same for the destination.
    """

    source: IPAddress | None
    destination: IPAddress
    isp_asns: frozenset[int] | None = frozenset()
    destination_asns: frozenset[int] | None = frozenset()


class Verdict(NamedTuple):
    """A part of the path, and why."""

    segment: Segment
    reason: SegmentReason


class _Candidate(NamedTuple):
    """A responder that no network is known for: what lies around it decides."""

    otherwise: Verdict


_Finding: TypeAlias = "Verdict | _Candidate | None"
"""None: something that is still being looked up decides."""


def asns_of(knowledge: Knowledge) -> frozenset[int]:
    """The autonomous systems that may use an address.

    On the peering network of an exchange that is the member's, not that of whoever announces the network.
    """
    if knowledge.exchange is not None:
        member = knowledge.exchange.member_asn
        return frozenset() if member is None else frozenset({member})
    return frozenset() if knowledge.asn is None else frozenset({knowledge.asn.number, *knowledge.asn.origins})


def classify(
    path: Iterable[tuple[int, Iterable[IPAddress]]],
    knowledge: Mapping[IPAddress, Knowledge],
    ends: PathEnds,
    *,
    pending: Collection[IPAddress] = frozenset(),
) -> Mapping[IPAddress, Verdict]:
    """Judge every responder of a path; one that answered at several TTLs where it did first.

    Args:
        path: TTLs and who answered there, as far as that is known, in any order.
        knowledge: What is known of each responder.
        ends: What is known of the ends of the path.
        pending: Responders that are still being looked up.

    Returns:
        A verdict for each responder that has one already.
    """
    findings: list[dict[IPAddress, _Finding]] = []
    seen: set[IPAddress] = set()
    beyond_lan = False
    for _, responders in sorted(path, key=itemgetter(0)):
        addresses = tuple(responders)
        findings.append({
            address: _judge(
                address,
                knowledge.get(address, NOTHING_KNOWN),
                ends,
                beyond_lan=beyond_lan,
                is_pending=address in pending,
            )
            for address in addresses
            if address not in seen
        })
        seen.update(addresses)
        beyond_lan |= not all(_is_near(address, ends.source) for address in addresses)
    verdicts: dict[IPAddress, Verdict] = {}
    for index, found in enumerate(findings):
        for address, finding in found.items():
            verdict = (
                _among_neighbours(finding, findings, index) if isinstance(finding, _Candidate) else finding
            )
            if verdict is not None:
                verdicts[address] = verdict
    return verdicts


def _judge(
    address: IPAddress, known: Knowledge, ends: PathEnds, *, beyond_lan: bool, is_pending: bool
) -> _Finding:
    """What can be said of a responder without looking at its neighbours, but for what lies before it."""
    kind = _kind(address)
    if kind.local and not beyond_lan:
        return Verdict(Segment.LAN, SegmentReason.LOCAL_ADDRESS)
    if _shares_network(address, ends.source):
        return Verdict(Segment.LAN, SegmentReason.SOURCE_NETWORK)
    if kind.shared:
        return Verdict(Segment.ISP, SegmentReason.SHARED_ADDRESS_SPACE)
    asns = asns_of(known)
    if is_pending and not asns:
        return None
    if asns & (ends.isp_asns or frozenset()):
        return Verdict(Segment.ISP, SegmentReason.ISP_ASN)
    if asns and ends.isp_asns is None:
        return None
    if address == ends.destination:
        return Verdict(Segment.DESTINATION, SegmentReason.TARGET_ADDRESS)
    if asns & (ends.destination_asns or frozenset()):
        return Verdict(Segment.DESTINATION, SegmentReason.DESTINATION_ASN)
    if asns and ends.destination_asns is None:
        return None
    if known.exchange is not None:
        return Verdict(Segment.TRANSIT, SegmentReason.EXCHANGE)
    if asns and (ends.isp_asns or ends.destination_asns):
        return Verdict(Segment.TRANSIT, SegmentReason.OTHER_ASN)
    if asns:
        return Verdict(Segment.UNKNOWN, SegmentReason.NOT_COMPARABLE)
    if kind.local:
        return _Candidate(Verdict(Segment.UNKNOWN, SegmentReason.PRIVATE_BEYOND_LAN))
    if known.announced is False or kind.special:
        return _Candidate(Verdict(Segment.TRANSIT, SegmentReason.UNANNOUNCED))
    return _Candidate(Verdict(Segment.UNKNOWN, SegmentReason.NOT_LOOKED_UP))


def _among_neighbours(
    candidate: _Candidate, findings: Sequence[Mapping[IPAddress, _Finding]], index: int
) -> Verdict | None:
    """The segment that lies on both sides, if it is one that may hold what nobody announces."""
    before = _nearest(findings[index - 1 :: -1] if index else ())
    after = _nearest(findings[index + 1 :])
    if before is None or after is None:
        return None
    for segment, reason in _BETWEEN.items():
        if before == after == {segment}:
            return Verdict(segment, reason)
    return candidate.otherwise


def _nearest(findings: Iterable[Mapping[IPAddress, _Finding]]) -> set[Segment] | None:
    """The segments of the nearest hop that was judged by itself; None if that isn't certain yet."""
    for found in findings:
        if None in found.values():
            return None
        segments = {finding.segment for finding in found.values() if isinstance(finding, Verdict)}
        if segments:
            return segments
    return set()


class _Kind(NamedTuple):
    """What an address is by itself."""

    local: bool
    shared: bool
    special: bool


@functools.lru_cache(maxsize=_KINDS_KEPT)
def _kind(address: IPAddress) -> _Kind:
    """The kind of an address, or of the IPv4 address embedded in it; routers come up again and again."""
    plain = embedded_ipv4(address) or address
    return _Kind(
        local=any(plain in block for block in _LOCAL),
        shared=plain in _SHARED,
        special=special_purpose(plain) is not None,
    )


def _shares_network(address: IPAddress, source: IPAddress | None) -> bool:
    return (
        isinstance(address, IPv6Address)
        and isinstance(source, IPv6Address)
        and int(address) >> _INTERFACE_BITS == int(source) >> _INTERFACE_BITS
    )


def _is_near(address: IPAddress, source: IPAddress | None) -> bool:
    return _kind(address).local or _shares_network(address, source)
