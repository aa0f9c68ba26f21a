"""What replies say, in words and in the marks of traceroute(8): errors, labels, interfaces, changes.

Knows values of the model, not how a line or a table looks. Everything it returns is safe to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.model import ChangedField, InterfaceRole, ReplyKind
from traceprobe.model._route_facts import translated
from traceprobe.render.sanitize import clean_name, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceprobe.model import (
        Change,
        ExtensionObject,
        Hop,
        InterfaceInformation,
        MplsLabel,
        ProbeResult,
    )

_LABELS_IN_A_LINE: Final = 4
"""Real stacks are hardly ever deeper; what is goes below the line, if it is asked for."""

# The letters are those of the traceroute(8) of BSD, which tells more codes apart than that of Linux; they
# agree where both have one. The codes are IANA's.
_UNREACHABLE_V4: Final = {
    0: ("!N", "network unreachable"),
    1: ("!H", "host unreachable"),
    2: ("!P", "protocol unreachable"),
    5: ("!S", "source route failed"),
    6: ("!U", "network unknown"),
    7: ("!W", "host unknown"),
    8: ("!I", "source host isolated"),
    9: ("!A", "network administratively prohibited"),
    10: ("!Z", "host administratively prohibited"),
    11: ("!Q", "network unreachable for this type of service"),
    12: ("!T", "host unreachable for this type of service"),
    13: ("!X", "administratively prohibited"),
    14: ("!V", "host precedence violation"),
    15: ("!C", "precedence cutoff"),
}
"""Type 3 (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1)."""

_UNREACHABLE_V6: Final = {
    0: ("!N", "no route"),
    1: ("!X", "administratively prohibited"),
    2: ("!S", "beyond the scope of the source address"),
    3: ("!H", "address unreachable"),
    5: ("!X", "source address failed a policy"),
    6: ("!X", "route rejected"),
    7: ("!S", "source route failed"),
    8: ("!X", "headers too long"),
}
"""Type 1 (RFC 4443 section 3.1, RFC 7084, RFC 8883 section 3)."""

_WORDS: Final = {
    ReplyKind.SYN_ACK: "port open",
    ReplyKind.RST: "port closed",
    ReplyKind.UDP_DATA: "port open",
}

_FIELDS: Final = {
    ChangedField.TTL: "quoted TTL",
    ChangedField.DSCP: "DSCP",
    ChangedField.ECN: "ECN",
    ChangedField.IDENTIFICATION: "IP ID",
    ChangedField.TOTAL_LENGTH: "length",
    ChangedField.DONT_FRAGMENT: "don't fragment",
    ChangedField.FRAGMENT_OFFSET: "fragment offset",
    ChangedField.IP_CHECKSUM: "IP checksum",
    ChangedField.FLOW_LABEL: "flow label",
    ChangedField.SOURCE: "source",
    ChangedField.SOURCE_PORT: "source port",
    ChangedField.DESTINATION_PORT: "destination port",
    ChangedField.UDP_LENGTH: "UDP length",
    ChangedField.TRANSPORT_CHECKSUM: "checksum",
    ChangedField.TCP_FLAGS: "TCP flags",
    ChangedField.TCP_WINDOW: "TCP window",
    ChangedField.TCP_OPTIONS: "TCP options",
    ChangedField.PAYLOAD: "payload",
}

_TRANSLATION: Final = frozenset({
    ChangedField.SOURCE,
    ChangedField.SOURCE_PORT,
    ChangedField.DESTINATION_PORT,
    ChangedField.TRANSPORT_CHECKSUM,
})
"""What goes without saying where a translator is named."""

_MINOR: Final = frozenset({ChangedField.IP_CHECKSUM, ChangedField.PAYLOAD})
"""Of no interest but to those who want to see everything: routers don't agree on what they quote there."""

_HEXADECIMAL: Final = frozenset({
    ChangedField.IDENTIFICATION,
    ChangedField.IP_CHECKSUM,
    ChangedField.FLOW_LABEL,
    ChangedField.TRANSPORT_CHECKSUM,
})

_ROLES: Final = {
    InterfaceRole.INCOMING: "incoming interface",
    InterfaceRole.SUB_IP: "part of the incoming interface",
    InterfaceRole.OUTGOING: "outgoing interface",
    InterfaceRole.NEXT_HOP: "next hop",
}


def mark(probe: ProbeResult) -> str:
    """The mark of traceroute(8) for a reply, such as ``!H`` or ``!F-1400``; empty for an ordinary one."""
    kind, code = probe.reply, probe.icmp_code
    if _is_too_big(probe):
        return "!F" if probe.mtu is None else f"!F-{probe.mtu}"
    if kind is ReplyKind.UNREACHABLE:
        found = _unreachable(probe)
        return found[0] if found else "!?" if code is None else f"!<{code}>"
    if kind is ReplyKind.PROTOCOL_UNREACHABLE:
        return "!P"
    if kind is ReplyKind.PARAMETER_PROBLEM:
        return "!?" if probe.icmp_type is None or code is None else f"!<{probe.icmp_type}-{code}>"
    return ""


def _version(probe: ProbeResult) -> int:
    return 4 if probe.address is None else probe.address.version


def _is_too_big(probe: ProbeResult) -> bool:
    needs_fragments = probe.reply is ReplyKind.UNREACHABLE and probe.icmp_code == 4 and _version(probe) == 4
    return probe.reply is ReplyKind.PACKET_TOO_BIG or needs_fragments


def _unreachable(probe: ProbeResult) -> tuple[str, str] | None:
    codes = _UNREACHABLE_V6 if _version(probe) == 6 else _UNREACHABLE_V4
    return None if probe.icmp_code is None else codes.get(probe.icmp_code)


def reply_note(probe: ProbeResult) -> str | None:
    """What a reply says beyond its address and time; None if it is an ordinary hop or the destination."""
    kind, sign = probe.reply, mark(probe)
    found = _unreachable(probe) if kind is ReplyKind.UNREACHABLE else None
    if _is_too_big(probe):
        words = "fragmentation needed" if _version(probe) == 4 else "packet too big"
    elif found is not None:
        words = found[1]
    elif kind is not None and sign:
        words = kind.value.replace("_", " ")
    else:
        words = _WORDS.get(kind, "") if kind is not None else ""
    # A mark holds the MTU where the message is there to tell it.
    told = f"MTU {probe.mtu}" if probe.mtu is not None and not _is_too_big(probe) else ""
    return ", ".join(part for part in (f"{sign} {words}".strip(), told) if part) or None


def label_text(entry: MplsLabel) -> str:
    """One entry of a label stack as mtr(8) writes it: ``Lbl 16001 TC 0 S 1 TTL 1``."""
    return f"Lbl {entry.label} TC {entry.tc} S {entry.s} TTL {entry.ttl}"


def mpls_note(probe: ProbeResult) -> str | None:
    """The label stack, outermost first: ``[MPLS: Lbl 16001 TC 0 S 1 TTL 1]``; of a deep one, the top."""
    if not probe.mpls:
        return None
    shown = [label_text(entry) for entry in probe.mpls[:_LABELS_IN_A_LINE]]
    rest = len(probe.mpls) - len(shown)
    return f"[MPLS: {', '.join(shown)}{f' and {rest} more' if rest else ''}]"


def change_text(change: Change) -> str:
    """``DSCP 0 -> 46``."""
    return f"{_FIELDS[change.field]} {_value(change, change.sent)} -> {_value(change, change.seen)}"


def _value(change: Change, value: int | str) -> str:
    if isinstance(value, str):
        return clean_text(value) or "nothing"
    return f"{value:#06x}" if change.field in _HEXADECIMAL else str(value)


def change_notes(probe: ProbeResult) -> list[str]:
    """What became of the probe on its way: a translator first, then what else there is to know."""
    found = []
    hidden = _MINOR
    if translated((probe,)):
        hidden |= _TRANSLATION
        sources = (change.seen for change in probe.changes if change.field is ChangedField.SOURCE)
        found += [f"NAT to {clean_name(str(seen))}" for seen in sources] or ["NAT"]
    for change in probe.changes:
        if change.field is ChangedField.TTL:
            found.append(f"quoted TTL {_value(change, change.seen)}")
        elif change.field not in hidden:
            found.append(change_text(change))
    return found


def notes(probes: Sequence[ProbeResult], *, with_changes: bool = True) -> list[str]:
    """What replies of one responder say, each thing once."""
    found = [note for probe in probes for note in (reply_note(probe), mpls_note(probe)) if note is not None]
    if with_changes:
        found += [note for probe in probes for note in change_notes(probe)]
    return list(dict.fromkeys(found))


def hop_notes(hop: Hop) -> list[str]:
    """What all replies of a hop tell together."""
    length = hop.forward_path_length
    return [] if length is None or length == hop.ttl else [f"{length} hops away"]


def interface_text(interface: InterfaceInformation) -> str:
    """``incoming interface: xe-0/0/3, index 530, 198.51.100.9, MTU 1500``."""
    facts = []
    if interface.name is not None:
        facts.append(clean_name(interface.name) or "no name")
    if interface.index is not None:
        facts.append(f"index {interface.index}")
    if interface.address is not None:
        facts.append(clean_name(str(interface.address)))
    if interface.mtu is not None:
        facts.append(f"MTU {interface.mtu}")
    return f"{_ROLES[interface.role]}: {', '.join(facts) or 'nothing told of it'}"


def extension_text(extension: ExtensionObject) -> str:
    """``extension object of class 3, type 2: 0000002a``."""
    content = extension.payload.hex() or "empty"
    return clean_text(f"extension object of class {extension.class_num}, type {extension.c_type}: {content}")


def details(probe: ProbeResult) -> tuple[str, ...]:
    """All that a reply tells, a line for each thing; nothing if there is no reply."""
    if probe.reply is None:
        return ()
    facts = [probe.reply.value.replace("_", " ")]
    if probe.icmp_type is not None and probe.icmp_code is not None:
        facts[0] += f" (type {probe.icmp_type}, code {probe.icmp_code})"
    if probe.reply_ttl is not None:
        length = probe.return_path_length
        facts.append(f"came with TTL {probe.reply_ttl}, over {length} hop{'' if length == 1 else 's'}")
    if probe.quoted_ttl is not None:
        facts.append(f"quotes TTL {probe.quoted_ttl}")
    if probe.flow:
        facts.append(f"flow {probe.flow}")
    if probe.mtu is not None:
        facts.append(f"MTU {probe.mtu}")
    return (
        ", ".join(facts),
        *(f"MPLS: {label_text(entry)}" for entry in probe.mpls),
        *map(interface_text, probe.interfaces),
        *map(extension_text, probe.extensions),
        *(clean_text(f"changed: {change_text(change)}") for change in probe.changes),
    )


def grouped_details(probes: Iterable[ProbeResult]) -> list[tuple[str, tuple[str, ...]]]:
    """Equal details once: ``attempts 1, 3`` and the lines of them, in the order of the attempts."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for probe in probes:
        lines = details(probe)
        if lines:
            groups.setdefault(lines, []).append(probe.attempt)
    return [
        (f"attempt{'' if len(attempts) == 1 else 's'} {', '.join(map(str, attempts))}", lines)
        for lines, attempts in groups.items()
    ]
