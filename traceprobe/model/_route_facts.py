"""What replies tell of the route beyond who answered: translators, lengths, routers that forward TTL 0.

Pure conclusions from what was observed; each says None rather than guess where it can't be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.model._reply import ChangedField, ReplyKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.model._hop import Hop, ProbeResult

_INITIAL_TTLS: Final = (32, 64, 128, 255)
"""What systems start the TTL of their packets with; no path is as long as the steps between them."""

_ENDS: Final = frozenset({
    ReplyKind.PORT_UNREACHABLE,
    ReplyKind.PROTOCOL_UNREACHABLE,
    ReplyKind.UNREACHABLE,
    ReplyKind.PACKET_TOO_BIG,
    ReplyKind.PARAMETER_PROBLEM,
})
"""Errors about a probe that had some of its TTL left."""

_TRANSLATED: Final = frozenset({
    ChangedField.SOURCE,
    ChangedField.SOURCE_PORT,
    ChangedField.DESTINATION_PORT,
})
"""What an address translator is there to change."""

_SUMMED: Final = frozenset({
    ChangedField.UDP_LENGTH,
    ChangedField.TCP_FLAGS,
    ChangedField.TCP_WINDOW,
    ChangedField.TCP_OPTIONS,
    ChangedField.PAYLOAD,
})
"""What else makes the checksum of a transport another one."""


def return_path_length(reply_ttl: int | None) -> int | None:
    """How many hops a reply came: 1 from a neighbour. None if its TTL isn't known.

    The TTL that it set out with is taken for the smallest usual one that is not below what is left.
    """
    if reply_ttl is None:
        return None
    initial = next(initial for initial in _INITIAL_TTLS if initial >= reply_ttl)
    return initial - reply_ttl + 1


def forward_path_length(ttl: int, probes: Iterable[ProbeResult]) -> int | None:
    """How far away it is where probes of this TTL ended, by what was left of their TTL there.

    Only an error that is no time-exceeded tells: it quotes what the probe arrived with. None if there is
    none, if several contradict each other, or if more was left than had been sent.
    """
    lengths = {
        ttl - probe.quoted_ttl + 1
        for probe in probes
        if probe.quoted_ttl is not None and probe.reply in _ENDS
    }
    length = lengths.pop() if len(lengths) == 1 else None
    return length if length is not None and 1 <= length <= ttl else None


def translated(probes: Iterable[ProbeResult]) -> bool | None:
    """Whether probes had gone through an address translator; None if no reply shows their headers.

    A translator puts the addresses back in the quotes that it lets through, but seldom the checksum that
    covered them, so a checksum that nothing else explains is evidence too.
    """
    seen = None
    for probe in probes:
        if probe.quoted_ttl is None:
            continue
        seen = bool(seen)
        changed = {change.field for change in probe.changes}
        if changed & _TRANSLATED:
            return True
        if ChangedField.TRANSPORT_CHECKSUM in changed and not changed & _SUMMED:
            return True
    return seen


def forwards_ttl_zero(hop: Hop, following: Hop | None) -> bool:
    """Whether the router at a hop forwards what has no TTL left, so that the next one answers for it.

    The next router then answers twice: here, quoting a TTL of 0, and at its own hop, quoting more. A
    router that quotes 0 because it counts down before it quotes answers at its own hop only.
    """
    if following is None:
        return False
    here = [probe for probe in hop.probes if probe.address is not None]
    if not here or any(p.reply is not ReplyKind.TIME_EXCEEDED or p.quoted_ttl != 0 for p in here):
        return False
    own = {
        probe.address
        for probe in following.probes
        if probe.reply is ReplyKind.TIME_EXCEEDED and probe.quoted_ttl
    }
    return {probe.address for probe in here} <= own
