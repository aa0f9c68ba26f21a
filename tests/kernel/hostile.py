"""The hostile internet: one target for each kind of forgery, and what a trace to it must come to.

The paths are the same but for what is forged on them, so that the target of a trace that went wrong names
the kind. The truth is in the rig's log.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partialmethod
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import traceprobe
from tests.rigs.tun.forgeries import FORGERS
from tests.rigs.tun.manners import Manner
from traceprobe.sockets.codec import ProbeCodec, Refusal, TcpCodec, TokenUdpCodec, UdpCodec
from traceprobe.testing.topology import Path, Router, Target, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rigs.tun import SimulatedInternet
    from tests.rigs.tun.forgeries import Kind
    from tests.rigs.tun.log import Log, ProbeRecord
    from traceprobe import TraceOptions

ROUTERS = {4: "198.51.100.{}", 6: "2001:db8:1::{}"}
TARGETS = {4: "203.0.113.{}", 6: "2001:db8:9::{}"}
HOPS = 5
QUERIES = 2
MAX_TTL = 7
"""Some probes go beyond the target, as they do in any trace."""

_TCP = 6
_KINDS = {
    4: {(11, 0): "time_exceeded", (3, 3): "port_unreachable", (0, 0): "echo_reply", (3, 4): "packet_too_big"},
    6: {
        (3, 0): "time_exceeded",
        (1, 4): "port_unreachable",
        (129, 0): "echo_reply",
        (2, 0): "packet_too_big",
    },
}


@dataclass(frozen=True)
class Hostile:
    """An internet whose target number *n* is the one of kind number *n*."""

    version: int
    kinds: tuple[Kind, ...]

    def target(self, name: str) -> str:
        """The target of a kind."""
        names = [kind.name for kind in self.kinds]
        return TARGETS[self.version].format(names.index(name) + 1)

    @property
    def targets(self) -> list[str]:
        """All targets, in the order of their kinds."""
        return [TARGETS[self.version].format(number) for number in range(1, len(self.kinds) + 1)]

    def load(self, internet: SimulatedInternet, *, port: str = "open") -> None:
        """Let the simulated internet follow it.

        Args:
            internet: The simulated internet.
            port: What the TCP port 80 of each target is.
        """
        routers = [Router(ROUTERS[self.version].format(number)) for number in range(1, HOPS)]
        internet.load(
            Topology(paths=[Path(Target(target), routers) for target in self.targets]),
            manners={target: Manner(tcp={80: port}) for target in self.targets},
            forgeries=dict(zip(self.targets, (kind.timed() for kind in self.kinds), strict=True)),
        )


@dataclass(frozen=True)
class Verdict:
    """What of a trace was not as it should have been."""

    false_hops: tuple[str, ...]
    """Addresses that are shown where they did not answer, each with its TTL."""
    missed: int
    """Probes that were answered in truth, while they were waited for, and not in the result."""
    wrong: tuple[str, ...]
    """Whatever else."""

    def __bool__(self) -> bool:
        return bool(self.false_hops or self.missed or self.wrong)


async def trace_each(targets: list[str], options: TraceOptions) -> list[dict[str, Any]]:
    """Trace one target after the other with one tracer; documents with round trips to the last digit."""
    found = []
    async with traceprobe.Tracer(**options) as tracer:
        for target in targets:
            result = await tracer.trace(target)
            rtts = [probe.rtt_ns for hop in result.hops for probe in hop.probes]
            found.append({**result.to_dict(), "rtts_ns": rtts})
    return found


async def trace_each_weakly(weakness: str, targets: list[str], options: TraceOptions) -> list[dict[str, Any]]:
    """The same with a matcher that leaves something out: what the tests must notice."""
    with ExitStack() as stack:
        for owner, name, weak in _WEAKNESSES[weakness]:
            strong = getattr(owner, name)
            stack.enter_context(patch.object(owner, name, partialmethod(weak, strong)))
        return await trace_each(targets, options)


def _without_token(
    codec: ProbeCodec, strong: Any, number: int, destination: Any, payload: memoryview, **how: Any
) -> Any:
    del how
    return strong(codec, number, destination, payload[:0])


def _without_destination(
    codec: ProbeCodec, strong: Any, number: int, destination: Any, payload: memoryview, **how: Any
) -> Any:
    del destination
    return strong(codec, number, None, payload, **how)


def _about_right(codec: ProbeCodec, strong: Any, port: int, other: int, sequence: int, *rest: Any) -> Any:
    for step in (0, 1, -1):
        found = strong(codec, port, other, sequence + step, *rest)
        if not isinstance(found, Refusal):
            return found
    return strong(codec, port, other, sequence, *rest)


def _without_checksum(codec: ProbeCodec, strong: Any, *arguments: Any) -> bool:
    del codec, strong, arguments
    return True


def _without_senders(
    codec: TokenUdpCodec, strong: Any, place: Any, shown: bytes, sender: int, now_ns: int
) -> Any:
    del sender
    return strong(codec, place, shown, -1, now_ns)


_WEAKNESSES: dict[str, list[tuple[type, str, Any]]] = {
    "token": [(ProbeCodec, "_match", _without_token), (UdpCodec, "_match", _without_token)],
    "destination": [(ProbeCodec, "_match", _without_destination)],
    "exact number": [(TcpCodec, "_find", _about_right)],
    "repeats": [(TokenUdpCodec, "_only_candidate", _without_senders)],
    "checksum": [(TcpCodec, "is_intact", _without_checksum)],
}


def probes_to(log: Log, target: str) -> list[ProbeRecord]:
    """What was sent to a target, in the order of sending."""
    return [probe for probe in log.probes if str(probe.destination) == target]


def judge(
    document: Mapping[str, Any], probes: Sequence[ProbeRecord], version: int, *, last: int | None = HOPS
) -> Verdict:
    """Compare a result with the truth.

    Args:
        document: What :func:`trace_each` returned.
        probes: What was sent, by the log.
        version: IP version.
        last: The TTL that the destination is to be found at; None if it need not be found.
    """
    false_hops, missed, wrong = [], 0, []
    hops = document["hops"]
    sent = _attempts(probes)
    shown = iter(document["rtts_ns"])
    for hop in hops:
        for attempt, probe in enumerate(hop["probes"]):
            rtt_ns, truth = next(shown), sent.get((hop["ttl"], attempt))
            if (hop["ttl"], len(hop["probes"])) in sent:
                truth = _sent_again(sent, hop["ttl"], probe["address"]) or truth
            answer = truth.replies[0] if truth is not None and truth.replies else None
            if probe["address"] is None:
                missed += truth is not None and answer is not None and _came_in_time(truth, probe)
                continue
            if answer is None or str(answer.address) != probe["address"]:
                false_hops.append(f"{probe['address']} at {hop['ttl']}")
                continue
            assert truth is not None
            # The kernel stamps by the wall clock, which may be slewed by a few millionths.
            if rtt_ns is None or rtt_ns < truth.hold_ns * 0.9999:
                wrong.append(f"{rtt_ns} ns at {hop['ttl']}, in truth {truth.hold_ns}")
            if answer.icmp_type is not None:
                said = _KINDS[version][answer.icmp_type, answer.icmp_code or 0]
                if probe["reply"] != said:
                    wrong.append(f"{probe['reply']} at {hop['ttl']}, in truth {said}")
    expected = list(range(1, last + 1 if last is not None else len(hops) + 1))
    if [hop["ttl"] for hop in hops] != expected or (last is not None and not document["reached"]):
        wrong.append(f"{len(hops)} hops, reached: {document['reached']}")
    if any(FORGERS[version] in hop["addresses"] for hop in hops) and not false_hops:
        wrong.append("the forger is among the addresses")
    return Verdict(tuple(false_hops), missed, tuple(wrong))


def explain(document: Mapping[str, Any], probes: Sequence[ProbeRecord], network: Hostile, name: str) -> str:
    """Tell a trace beside the truth, so that whoever reads of a failure needs no second one.

    Args:
        document: What :func:`trace_each` returned.
        probes: What was sent, by the log.
        network: Where that was.
        name: The kind of what was forged.
    """
    begin_ns = probes[0].monotonic_ns if probes else 0

    def when(moment_ns: int) -> str:
        return f"{(moment_ns - begin_ns) / 1_000_000:.3f} ms"

    # The log counts the forgeries of all targets, in their order.
    timed = [forgery for kind in network.kinds for forgery in kind.timed()]
    lines = [f"{name}: to {document['address']}, refused {document['discarded']}"]
    rtts = iter(document["rtts_ns"])
    for hop in document["hops"]:
        for attempt, probe in enumerate(hop["probes"]):
            rtt_ns = next(rtts)
            rtt = "" if rtt_ns is None else f" after {rtt_ns / 1_000_000:.3f} ms"
            shown = f"{probe['address']} ({probe['reply']})" if probe["address"] else probe["status"]
            lines.append(f"  shown at {hop['ttl']}, attempt {attempt}: {shown}{rtt}")
    for probe in probes:
        lines.append(
            f"  sent at {when(probe.monotonic_ns)}, TTL {probe.ttl}: {probe.identifier:#x} "
            f"{probe.sequence:#x}, checksum {probe.checksum:#x}, segment {probe.segment:#x}"
        )
        for answer in sorted((*probe.replies, *probe.forgeries), key=lambda reply: reply.monotonic_ns):
            message = f"{answer.icmp_type}/{answer.icmp_code} from {answer.address}"
            if not answer.forgery:
                lines.append(f"    answered at {when(answer.monotonic_ns)}: {message}")
            else:
                forgery = timed[answer.forgery - 1]
                edits = "; ".join(edit.words() for edit in forgery.edits)
                lines.append(
                    f"    forged at {when(answer.monotonic_ns)}: {message} (as {forgery.forger}): {edits}"
                )
    return "\n".join(lines)


def _came_in_time(truth: ProbeRecord, probe: Mapping[str, Any]) -> bool:
    """Whether the answer came before its probe was given up; on a busy machine the rig itself can be late."""
    waited_ms = probe["waited_ms"] if probe["status"] == "timeout" else None
    return waited_ms is None or truth.hold_ns <= waited_ms * 1_000_000


def _sent_again(
    sent: Mapping[tuple[int, int], ProbeRecord], ttl: int, address: str | None
) -> ProbeRecord | None:
    """Who answered as shown, where more was sent than there are attempts.

    A destination takes up one connection of a flow at a time: what it had no ear for is sent once more, and
    the log does not say for which attempt.
    """
    answered = [
        probe
        for (place, _), probe in sent.items()
        if place == ttl and probe.replies and str(probe.replies[0].address) == address
    ]
    return min(answered, key=lambda probe: probe.hold_ns, default=None)


def _attempts(probes: Sequence[ProbeRecord]) -> dict[tuple[int, int], ProbeRecord]:
    """What was sent, by TTL and attempt. A SYN that the kernel sends once more is no attempt of its own."""
    found: dict[tuple[int, int], ProbeRecord] = {}
    counts: Counter[int] = Counter()
    seen: set[tuple[int, int]] = set()
    for probe in probes:
        if probe.protocol == _TCP:
            if (probe.identifier, probe.segment) in seen:
                continue
            seen.add((probe.identifier, probe.segment))
        found[probe.ttl, counts[probe.ttl]] = probe
        counts[probe.ttl] += 1
    return found
