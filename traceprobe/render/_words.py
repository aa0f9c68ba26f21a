"""What results mean, in words: one place, so that text and HTML say the same.

Knows values of the model, not how a line or a table looks. Everything it returns is safe to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.config import Protocol
from traceprobe.model import ProbeStatus, ReplyKind, StopReason
from traceprobe.render._reply_words import reply_note
from traceprobe.render.sanitize import clean_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Hop, ProbeResult, Responder, TraceResult

TTL_ZERO: Final = "forwards what has no TTL left, so that the next hop answers for it"
"""About a router that nobody can see, for the next one always answers in its place."""

_ERRORS: Final = {
    "EACCES": "a route of this machine forbids it",
    "EADDRNOTAVAIL": "the source address is not one of this machine",
    "EHOSTUNREACH": "no route to that host",
    "EINVAL": "the kernel finds it invalid, or its route is a black hole",
    "EMSGSIZE": "too big for the interface",
    "ENETDOWN": "the interface is down",
    "ENETUNREACH": "no route to that network",
    "ENOBUFS": "the interface's queue is full",
    "EPERM": "a firewall on this machine forbids it",
}
"""What it means that a probe was refused so, in the same words on every platform."""


def milliseconds(ns: float) -> str:
    """A duration to the microsecond, without its unit."""
    return f"{ns / 1_000_000:.3f}"


def plural(count: int, word: str) -> str:
    """``1 hop``, ``2 hops``; words in -y get -ies."""
    if count != 1:
        word = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return f"{count} {word}"


def target_and_address(target: str, address: IPv4Address | IPv6Address) -> str:
    """``www.example.net (203.0.113.80)``, or the address alone if that was asked for."""
    shown, name = clean_name(str(address)), clean_name(target)
    return shown if name == shown else f"{name} ({shown})"


def transport(protocol: Protocol, port: int | None) -> str:
    """``ICMP`` or ``UDP port 33434``."""
    name = protocol.value.upper()
    return name if protocol is Protocol.ICMP or port is None else f"{name} port {port}"


def probes_of(hop: Hop, responder: Responder) -> list[ProbeResult]:
    """The probes that one responder answered."""
    return [probe for probe in hop.probes if probe.address == responder.address]


def loss_note(hop: Hop) -> str | None:
    """``1 of 3 lost``; None unless the loss is partial."""
    if 0 < hop.received < hop.sent:
        return f"{hop.sent - hop.received} of {hop.sent} lost"
    return None


def error_text(name: str) -> str:
    """``ENETUNREACH (no route to that network)``."""
    shown, words = clean_name(name), _ERRORS.get(name)
    return shown if words is None else f"{shown} ({words})"


def send_errors(probes: Sequence[ProbeResult]) -> str | None:
    """``not sent: ENETUNREACH (no route to that network)``; None if all went out."""
    names = dict.fromkeys(
        probe.error or "unknown error" for probe in probes if probe.status is ProbeStatus.SEND_ERROR
    )
    return "not sent: " + ", ".join(map(error_text, names)) if names else None


def ending(result: TraceResult) -> str:
    """Why the trace ended, as a sentence."""
    target = target_and_address(result.target, result.address)
    hops = result.hops
    answered = [hop for hop in hops if hop.address is not None]
    if result.reached:
        hop = result.destination_hop
        rtt = "" if hop is None or hop.rtt is None else f", {hop.rtt * 1000:.3f} ms away"
        return f"Reached {target} in {plural(hops[-1].ttl if hops else 0, 'hop')}{rtt}."
    last = (
        "nothing has answered"
        if not answered
        else f"the last to answer was hop {answered[-1].ttl}, {clean_name(str(answered[-1].address))}"
    )
    silence = len(hops) if not answered else sum(hop.ttl > answered[-1].ttl for hop in hops)
    reasons = {
        StopReason.MAX_TTL: f"within {plural(hops[-1].ttl if hops else 0, 'hop')}; {last}.",
        StopReason.UNREACHABLE: _unreachable(answered),
        StopReason.GAP_LIMIT: f"{plural(silence, 'hop')} in a row stayed silent; {last}.",
        StopReason.LOOP: f"the path runs in a loop; {last}.",
        StopReason.TIMEOUT: f"the time for the whole trace was over; {last}.",
        StopReason.CANCELLED: f"the trace was cut short; {last}.",
    }
    reason = reasons[result.stop_reason]
    separator = " " if result.stop_reason is StopReason.MAX_TTL else ": "
    return f"Did not reach {target}{separator}{reason}"


def _unreachable(answered: Sequence[Hop]) -> str:
    for hop in reversed(answered):
        for probe in hop.probes:
            note = reply_note(probe)
            if note is not None and probe.address is not None:
                return f"hop {hop.ttl}, {clean_name(str(probe.address))}, says {note}."
    return "a router says that it can't be reached."


def counts(result: TraceResult) -> str:
    """How much was sent and came back, how long it took, and how."""
    timings = result.timings
    return (
        f"{plural(timings.probes_sent, 'probe')} sent, {plural(timings.replies, 'reply')}, "
        f"{result.duration_ns / 1_000_000:.1f} ms in all; "
        f"{transport(result.protocol, result.port)} by {clean_name(result.mode)}, {result.flow.value} flow."
    )


def warnings(result: TraceResult) -> list[str]:
    """What must not be overlooked."""
    probes = [probe for hop in result.hops for probe in hop.probes]
    failed = [probe for probe in probes if probe.status is ProbeStatus.SEND_ERROR]
    found = []
    if failed:
        found.append(f"{len(failed)} of {plural(len(probes), 'probe')} {send_errors(failed)}.")
    rewritten = result.discarded.get("rewritten", 0)
    if rewritten:
        found.append(
            f"{plural(rewritten, 'reply')} came back with rewritten identifiers, by an address translator "
            f"perhaps, and could not be counted."
        )
    overflow = result.discarded.get("overflow", 0)
    if overflow:
        found.append(
            f"{plural(overflow, 'packet')} found no room in the receive buffer; there may have been replies "
            f"among them."
        )
    unsent = result.discarded.get("failed", 0)
    if unsent:
        found.append(
            f"The system failed to send {plural(unsent, 'probe')} that it had taken, or to wait for answers."
        )
    # Only somebody who got the probe can have sent it: it bears the probe's token.
    target = int(result.address)
    aliases = {
        probe.address: None
        for probe in probes
        if probe.reply is ReplyKind.ECHO_REPLY and probe.address is not None and int(probe.address) != target
    }
    if aliases:
        names = " and ".join(clean_name(str(alias)) for alias in aliases)
        found.append(f"{names} answered in place of {clean_name(str(result.address))}, as an alias of it.")
    return found
