"""Why a trace went as it did, in lines for people: out of its result, its configuration and what was refused.

Says only what follows from these: what had answered by the time when a probe was given up is told by the
moments of sending and the round-trip times. The rules are those of :class:`~traceprobe.config.TimingConfig`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from traceprobe.model import ProbeStatus, StopReason
from traceprobe.render._words import milliseconds, plural
from traceprobe.render.sanitize import clean_line, clean_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from traceprobe.config import TimingConfig, TracerouteConfig
    from traceprobe.model import Hop, ProbeResult, TraceResult
    from traceprobe.render._lines import Line

__all__ = ["decision_lines"]

_LABEL: Final = 15
_NS: Final = 1_000_000_000

_ENDS: Final = {
    StopReason.DESTINATION_REACHED: "the destination answered, and nothing nearer was awaited any more",
    StopReason.MAX_TTL: "everything up to the farthest hop asked for had answered or been given up",
    StopReason.UNREACHABLE: "a router said that it has no way on, and nothing farther answered",
    StopReason.GAP_LIMIT: "as many hops in a row stayed silent as the gap limit allows",
    StopReason.LOOP: "the same cycle of addresses had been seen twice in full",
    StopReason.TIMEOUT: "the time for the whole trace was over",
    StopReason.CANCELLED: "it was cut short from outside",
}

DISCARDED: Final = {
    "foreign": "answers to somebody else's packets",
    "malformed": "not the packets that they claim to be",
    "bad_checksum": "damaged on their way",
    "bad_token": "with a token that is none of ours: forged or damaged",
    "rewritten": "with identifiers that something on the path has changed",
    "unmatched": "about no probe that was outstanding",
    "released": "to probes that had been given up for good",
    "ambiguous": "to one of several probes, without saying which",
    "unexpected": "that say nothing about the path",
    "overflow": "dropped by the kernel: the receive buffer was full",
    "failed": "probes that the system took and then failed to send",
    "duplicate": "to probes that had been answered already",
    "beyond_end": "to probes beyond the end of the path",
    "after_end": "after the end of the trace",
    "unsent": "to probes that had not been sent",
}
"""What each reason of ``TraceResult.discarded`` means."""


def decision_lines(
    result: TraceResult, config: TracerouteConfig, refused: Iterable[str] | None
) -> list[Line]:
    """The decisions of a trace, each with its reason.

    Args:
        result: What came of it.
        config: What was asked for.
        refused: The better ways of probing that were passed over, and why; None if there was no choice.
    """
    lines: list[Line] = [(("Why it went so:", "title"),)]
    for label, facts in (
        ("way", _way(result, config, refused)),
        ("flow", _flow(result, config)),
        ("patience", _patience(config.timing)),
        ("given up", _given_up(result, config)),
        ("end", _end(result)),
        ("clocks", _clocks(result)),
        ("not believed", _discarded(result)),
    ):
        for number, fact in enumerate(facts):
            lines.append(((f"  {'' if number else label:<{_LABEL}}", "dim"), (clean_line(fact), "plain")))
    return lines


def _way(result: TraceResult, config: TracerouteConfig, refused: Iterable[str] | None) -> Iterator[str]:
    way = f"{clean_name(result.mode)} with {result.protocol.value.upper()}"
    passed_over = list(refused or ())
    if config.mode is not None:
        yield f"{way}, as asked for"
    elif refused is None:
        yield f"{way}, the only one of this network"
    elif passed_over:
        yield f"{way}, the best that is left; refused before it:"
    else:
        wish = "" if config.protocol is None else f" with {config.protocol.value.upper()}"
        yield f"{way}, the best there is{wish}; nothing was refused before it"
    yield from (f"  {each}" for each in passed_over)


def _flow(result: TraceResult, config: TracerouteConfig) -> Iterator[str]:
    why = "as asked for" if config.flow is not None else "the steadiest that finds every hop this way"
    yield f"{result.flow.value}, {why}"


def _patience(timing: TimingConfig) -> Iterator[str]:
    yield (
        f"where something farther has answered: {timing.interior_factor:g} x the slowest answer from there "
        f"+ {timing.interior_jitter_factor:g} x jitter, at least {timing.interior_floor * 1000:g} ms"
    )
    yield (
        f"where nothing has: {timing.tail_factor:g} x the slowest answer of all, at least "
        f"{timing.tail_floor:g} s; never longer than {timing.probe_timeout:g} s"
    )
    if timing.overall_timeout is not None:
        yield f"for the whole trace: {timing.overall_timeout:g} s"


def _given_up(result: TraceResult, config: TracerouteConfig) -> Iterator[str]:
    # One that was answered late had been given up as well, but how long it was waited for is not kept.
    for hop in result.hops:
        told: dict[str, list[int]] = {}
        for probe in hop.probes:
            if probe.status is ProbeStatus.TIMEOUT:
                after = "" if probe.waited_ns is None else f" after {milliseconds(probe.waited_ns)} ms"
                told.setdefault(f"{after}: {_why(hop, probe, result, config)}", []).append(probe.attempt)
        for words, attempts in told.items():
            which = ("attempt " if len(attempts) == 1 else "attempts ") + ", ".join(map(str, attempts))
            yield f"hop {hop.ttl}, {which}{words}"


def _why(hop: Hop, probe: ProbeResult, result: TraceResult, config: TracerouteConfig) -> str:
    timing = config.timing
    waited_ns = probe.waited_ns or 0
    if result.stop_reason is StopReason.TIMEOUT and waited_ns < timing.interior_floor * _NS:
        return "the time for the whole trace was over"
    if waited_ns >= timing.probe_timeout * _NS:
        return "that is the longest wait"
    until_ns = None if probe.sent_at_ns is None else probe.sent_at_ns + waited_ns
    slowest = _slowest((each for each in result.hops if each.ttl >= hop.ttl), until_ns)
    if slowest is None:
        return "nothing farther had answered"
    rtt_ns, where = slowest
    return f"answers from there on took {milliseconds(rtt_ns)} ms at most (hop {where})"


def _slowest(hops: Iterable[Hop], until_ns: int | None) -> tuple[int, int] | None:
    """The slowest round trip, and its hop, among the answers that had come until a moment."""
    return max(
        (
            (probe.rtt_ns, hop.ttl)
            for hop in hops
            for probe in hop.probes
            if probe.rtt_ns is not None
            and (until_ns is None or probe.sent_at_ns is None or probe.sent_at_ns + probe.rtt_ns <= until_ns)
        ),
        default=None,
    )


def _end(result: TraceResult) -> Iterator[str]:
    yield f"{_ENDS[result.stop_reason]} ({result.stop_reason.value})"
    timings = result.timings
    if timings.overhead is not None:
        yield f"over {timings.overhead * 1000:.3f} ms after that was certain"


def _clocks(result: TraceResult) -> Iterator[str]:
    timings = result.timings
    if timings.submit is not None:
        yield f"{plural(timings.probes_sent, 'probe')} handed over within {timings.submit * 1000:.3f} ms"
    if timings.first_reply is not None:
        yield f"the first reply was seen {timings.first_reply * 1000:.3f} ms after its arrival"
    probes: Sequence[ProbeResult] = [probe for hop in result.hops for probe in hop.probes]
    sources = Counter(probe.timestamp_source.value for probe in probes if probe.timestamp_source is not None)
    if sources:
        told = ", ".join(f"{source} ({count})" for source, count in sources.most_common())
        yield f"round-trip times by {told}"


def _discarded(result: TraceResult) -> Iterator[str]:
    for reason, count in result.discarded.items():
        if count:
            words = DISCARDED.get(reason, "")
            yield f"{count} {clean_name(reason)}{': ' if words else ''}{words}"
