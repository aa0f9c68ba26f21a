"""Lays hops and results out as lines of styled spans; who shows them decides what a style looks like.

Numbers stand on the left, in one column for each attempt, since their width is known before the first
reply has come; names, which may be of any length, end the line. So the columns stay aligned while the
trace still runs, and a hop with several responders shows who answered which attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from traceprobe._frozen import frozen
from traceprobe.model import ProbeStatus, RttStatistics
from traceprobe.render import _knowledge_words, _reply_words, _words
from traceprobe.render.sanitize import clean_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import Protocol
    from traceprobe.model import Hop, ProbeResult, Responder, TraceResult

Style: TypeAlias = Literal["plain", "dim", "title", "rtt", "late", "name", "address", "note", "good", "bad"]
Span: TypeAlias = tuple[str, Style]
Line: TypeAlias = tuple[Span, ...]

MOST_COLUMNS: Final = 6
"""With more attempts than this, a line holds their statistics instead of each one."""

_CELL: Final = 10
"""A blank, ``9999.999`` and a mark; a longer time moves the rest of its line, and is worth it."""

_STATISTICS: Final = ("fastest", "average", "slowest")

_UNIT: Final = " ms  "

_INDENT: Final = " " * 7

LATE: Final = "~"
SILENT: Final = "*"
CANCELLED: Final = "-"
UNSENT: Final = "error"


@frozen(kw_only=True)
class Header:
    """What is known before the first reply comes."""

    target: str
    address: IPv4Address | IPv6Address
    protocol: Protocol | None = None
    port: int | None = None
    queries: int | None = None
    max_ttl: int | None = None

    def line(self) -> Line:
        """The first line of the output."""
        facts = []
        if self.protocol is not None:
            facts.append(_words.transport(self.protocol, self.port))
        if self.queries is not None:
            facts.append(f"{_words.plural(self.queries, 'probe')} per hop")
        if self.max_ttl is not None:
            facts.append(f"at most {_words.plural(self.max_ttl, 'hop')}")
        title = "traceprobe to " + _words.target_and_address(self.target, self.address)
        return ((title, "title"), (", ".join(["", *facts]), "plain"))


def columns_line(columns: int) -> Line | None:
    """What the columns hold, where it doesn't go without saying."""
    if columns <= MOST_COLUMNS:
        return None
    return _trimmed(((" " * 3 + "".join(f"{title:>{_CELL - 1}} " for title in _STATISTICS), "dim"),))


def hop_lines(hop: Hop, columns: int, *, known: set[str] | None = None, verbose: bool = False) -> list[Line]:
    """One line for each responder of a hop, or one for its silence.

    Args:
        hop: The hop.
        columns: How many attempts have a column.
        known: What nearer hops have shown of the probes' fate, which goes on at this one; extended.
        verbose: Add lines with all that the look-ups and the replies tell.
    """
    as_statistics = columns > MOST_COLUMNS
    shown: tuple[Responder | None, ...] = hop.responders or (None,)
    if hop.ttl_zero_forwarding:
        shown = (None,)
    known = set() if known is None else known
    lines = []
    for index, responder in enumerate(shown):
        cells = _statistics(hop, responder) if as_statistics else _attempts(hop, responder)
        row = _wrapped(cells, len(_STATISTICS) if as_statistics else columns)
        ttl: Span = (f"{hop.ttl:>3}" if index == 0 else " " * 3, "dim")
        tail = _tail(hop, responder, known, first=index == 0)
        lines.append(_trimmed((ttl, *row[0], *tail)))
        lines.extend(_trimmed(((" " * 3, "dim"), *more)) for more in row[1:])
        if verbose:
            lines.extend(_detail_lines(hop, responder))
    return lines


def _detail_lines(hop: Hop, responder: Responder | None) -> Iterator[Line]:
    for known in [] if responder is None else _knowledge_words.details(responder):
        yield ((f"{_INDENT}{known}", "dim"),)
    probes = hop.probes if responder is None else _words.probes_of(hop, responder)
    for attempts, details in _reply_words.grouped_details(probes):
        yield ((f"{_INDENT}{attempts}: {details[0]}", "dim"),)
        for detail in details[1:]:
            yield ((f"{_INDENT}  {detail}", "dim"),)


def _wrapped(cells: list[Span], columns: int) -> list[Line]:
    """Rows of ``columns`` cells; the first one is filled up, so that names start at the same place."""
    rows = [cells[start : start + columns] for start in range(0, max(len(cells), 1), columns)]
    rows[0] += [_blank()] * (columns - len(rows[0]))
    return [tuple(row) for row in rows]


def _blank() -> Span:
    return (" " * _CELL, "plain")


def _cell(text: str, style: Style, mark: str = " ") -> Span:
    return (f" {text:>{_CELL - 2}}{mark}", style)


def _attempts(hop: Hop, responder: Responder | None) -> list[Span]:
    """A cell for each attempt; what nobody answered stands in the line of the first responder."""
    first = responder is None or responder is hop.responders[0]
    cells = []
    for probe in hop.probes:
        if probe.address is not None and (responder is None or probe.address == responder.address):
            cells.append(_reply_cell(probe))
        elif probe.address is None and first:
            cells.append(_silence_cell(probe))
        else:
            cells.append(_blank())
    return cells


def _reply_cell(probe: ProbeResult) -> Span:
    value = "?" if probe.rtt_ns is None else _words.milliseconds(probe.rtt_ns)
    text, style = _cell(value, "late", LATE) if probe.late else _cell(value, "rtt")
    mark = _reply_words.mark(probe)
    return (f"{text}{mark} ", "note") if mark else (text, style)


def _silence_cell(probe: ProbeResult) -> Span:
    if probe.status is ProbeStatus.SEND_ERROR:
        return _cell(UNSENT, "bad")
    return _cell(CANCELLED if probe.status is ProbeStatus.CANCELLED else SILENT, "dim")


def _statistics(hop: Hop, responder: Responder | None) -> list[Span]:
    if responder is None and not hop.responders:
        silence = [_silence_cell(probe) for probe in hop.probes]
        return silence[:1] if len(set(silence)) == 1 else list(dict.fromkeys(silence))
    probes = hop.probes if responder is None else _words.probes_of(hop, responder)
    summary = RttStatistics.of(probe.rtt_ns for probe in probes if probe.rtt_ns is not None)
    if summary is None:
        return [_cell("?", "rtt")]
    values = (summary.min, summary.avg, summary.max)
    late = any(probe.late for probe in probes)
    return [
        _cell(f"{value * 1000:.3f}", "late" if late else "rtt", LATE if late else " ") for value in values
    ]


def _tail(hop: Hop, responder: Responder | None, known: set[str], *, first: bool) -> list[Span]:
    """Who answered, and what there is to say about it."""
    spans: list[Span] = []
    remarks: list[Span] = []
    if hop.ttl_zero_forwarding:
        spans.append((_UNIT, "dim"))
        spans.append(("?", "address"))
        remarks.append((_words.TTL_ZERO, "note"))
    elif responder is None:
        spans.append((" " * len(_UNIT), "plain"))
    else:
        spans.append((_UNIT, "dim"))
        address = clean_name(str(responder.address))
        if responder.hostname:
            spans.append((clean_name(responder.hostname), "name"))
            spans.append((f" ({address})", "address"))
        else:
            spans.append((address, "address"))
        if responder.asn is not None:
            spans.append((f" [{_knowledge_words.asn_text(responder.asn)}]", "dim"))
        if responder.exchange is not None:
            spans.append((f" at {_knowledge_words.exchange_text(responder.exchange)}", "dim"))
        if responder.segment is not None:
            remarks.append((responder.segment.value, "dim"))
        if len(hop.responders) > 1 and len(hop.probes) > MOST_COLUMNS:
            remarks.append((_words.plural(responder.replies, "reply"), "note"))
        remarks.extend((note, "note") for note in _notes(hop, responder, known))
    if first:
        remarks.extend((note, "note") for note in _reply_words.hop_notes(hop))
        loss = _words.loss_note(hop)
        errors = _words.send_errors(hop.probes)
        if loss is not None:
            remarks.append((loss, "note"))
        if errors is not None:
            remarks.append((errors, "bad"))
    for index, remark in enumerate(remarks):
        separator = ", " if index else " " * (2 if hop.responders else 0)
        spans.append((separator, "plain"))
        spans.append(remark)
    return spans


def _notes(hop: Hop, responder: Responder, known: set[str]) -> list[str]:
    """What the responder's replies say, less the changes that a nearer hop has shown already."""
    probes = _words.probes_of(hop, responder)
    changes = dict.fromkeys(note for probe in probes for note in _reply_words.change_notes(probe))
    new = [note for note in changes if note not in known]
    known.update(new)
    return [*_reply_words.notes(probes, with_changes=False), *new]


def _trimmed(spans: Sequence[Span]) -> Line:
    kept = list(spans)
    while kept and not kept[-1][0].strip():
        kept.pop()
    if kept:
        kept[-1] = (kept[-1][0].rstrip(), kept[-1][1])
    return tuple(kept)


def summary_lines(result: TraceResult) -> list[Line]:
    """How it ended, loudly where something is wrong."""
    verdict: Style = "good" if result.reached else "bad"
    spans: list[Span] = [(_words.ending(result), verdict)]
    spans.extend((f"Warning: {warning}", "bad") for warning in _words.warnings(result))
    spans.extend((error, "note") for error in map(_knowledge_words.error_text, result.enrichment_errors))
    if result.public_address is not None:
        spans.append((_knowledge_words.own_network_text(result.public_address, result.isp), "dim"))
    spans.append((_words.counts(result), "dim"))
    probes = [probe for hop in result.hops for probe in hop.probes]
    if any(probe.late for probe in probes):
        spans.append((f"{LATE} answered late, after it had been given up", "dim"))
    if any(probe.status is ProbeStatus.CANCELLED for probe in probes):
        spans.append((f"{CANCELLED} still on its way when the trace ended", "dim"))
    return [(span,) for span in spans]
