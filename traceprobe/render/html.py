"""A result as a fragment of HTML, such as a notebook shows: one table that explains itself.

It works without scripts, colours or a mouse: the table has a caption and header cells with a scope, and
every colour repeats what a word says. Light or dark follows the reader's preference. All text is
cleaned and escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from traceprobe.model import ProbeStatus, RttStatistics
from traceprobe.render import _knowledge_words, _reply_words, _words
from traceprobe.render.sanitize import clean_name

if TYPE_CHECKING:
    from traceprobe.model import Hop, Responder, TraceResult

__all__ = ["result_to_html"]

_STYLE: Final = """\
.traceprobe { --text: #1d2330; --faint: #5b6472; --line: #d5dae1; --shade: #f4f6f8; --good: #17683a;
  --bad: #a3201d; --note: #7a4d00; --back: #ffffff; color-scheme: light dark; padding: .5em; overflow-x: auto;
  background: var(--back); color: var(--text); font: 14px/1.45 system-ui, sans-serif; }
.traceprobe table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.traceprobe caption { text-align: left; padding: .3em 0 .6em; font-weight: 600; }
.traceprobe th, .traceprobe td { padding: .25em .8em; text-align: left; vertical-align: top;
  border: 0 solid var(--line); border-bottom-width: 1px; background: none; color: inherit; }
.traceprobe thead th { background: var(--shade); font-weight: 600; }
.traceprobe tbody th { font-weight: 400; color: var(--faint); }
.traceprobe .number { text-align: right; white-space: nowrap; }
.traceprobe .faint { color: var(--faint); }
.traceprobe .good { color: var(--good); }
.traceprobe .bad { color: var(--bad); }
.traceprobe .note { color: var(--note); }
.traceprobe p { margin: .6em 0; }
@media (prefers-color-scheme: dark) { .traceprobe { --text: #e4e8ee; --faint: #9aa4b2; --line: #3a4350;
  --shade: #232a34; --good: #6fd39a; --bad: #ff8f87; --note: #f0c26b; --back: #161b22; } }
"""

_NETWORK: Final = "Network"
_COLUMNS: Final[tuple[tuple[str, bool], ...]] = (
    ("Hop", True),
    ("Address", False),
    (_NETWORK, False),
    ("Answered", True),
    ("Fastest (ms)", True),
    ("Average (ms)", True),
    ("Slowest (ms)", True),
    ("Notes", False),
)
"""Titles, and whether the column holds numbers."""


def result_to_html(result: TraceResult) -> str:
    """The whole result; may be put into any page."""
    title = _escaped(_title(result))
    # A column that would be empty from top to bottom only takes room.
    networks = any(_network(responder) for hop in result.hops for responder in hop.responders)
    columns = [column for column in _COLUMNS if networks or column[0] != _NETWORK]
    verdict = f'<span class="{"good" if result.reached else "bad"}">{_escaped(_words.ending(result))}</span>'
    errors = map(_knowledge_words.error_text, result.enrichment_errors)
    parts = [
        f"<style>\n{_STYLE}</style>",
        '<table lang="en">',
        f"<caption>{title}<br>{verdict}</caption>",
        "<thead><tr>" + "".join(_header(*column) for column in columns) + "</tr></thead>",
        "<tbody>",
        *(_rows(hop, networks=networks) for hop in result.hops),
        "</tbody>",
        "</table>",
        *(f'<p class="bad">Warning: {_escaped(warning)}</p>' for warning in _words.warnings(result)),
        *(f'<p class="note">{_escaped(error)}</p>' for error in errors),
        *_own_network(result),
        f'<p class="faint">{_escaped(_words.counts(result))}</p>',
    ]
    # The region scrolls where the table is wider than the page; the keyboard must be able to do that.
    body = "\n".join(parts)
    return f'<div class="traceprobe" role="region" tabindex="0" aria-label="{title}">\n{body}\n</div>\n'


def _own_network(result: TraceResult) -> list[str]:
    if result.public_address is None:
        return []
    text = _knowledge_words.own_network_text(result.public_address, result.isp)
    return [f'<p class="faint">{_escaped(text)}</p>']


def _title(result: TraceResult) -> str:
    return f"Path to {_words.target_and_address(result.target, result.address)}"


def _escaped(text: str) -> str:
    return escape(text, quote=True)


def _header(title: str, is_number: bool) -> str:
    kind = ' class="number"' if is_number else ""
    return f'<th scope="col"{kind}>{_escaped(title)}</th>'


def _rows(hop: Hop, *, networks: bool) -> str:
    """A row for each responder, the hop's number spanning them all; or one for its silence."""
    span = 1 if hop.ttl_zero_forwarding else len(hop.responders)
    spanning = f' rowspan="{span}"' if span > 1 else ""
    number = f'<th scope="row" class="number"{spanning}>{hop.ttl}</th>'
    if not hop.responders:
        return f"<tr>{number}{_silence(hop, networks=networks)}</tr>"
    if hop.ttl_zero_forwarding:
        return f"<tr>{number}{_ttl_zero(hop, networks=networks)}</tr>"
    cells = [_responder_cells(hop, responder, networks=networks) for responder in hop.responders]
    return "\n".join(f"<tr>{number if index == 0 else ''}{row}</tr>" for index, row in enumerate(cells))


def _ttl_zero(hop: Hop, *, networks: bool) -> str:
    """A router that nobody can see: who answered for it has a row of its own, the next one."""
    return (
        f'<td class="faint"{_over(networks)}>unknown</td>'
        f'<td class="number">{hop.received} of {hop.sent}</td><td colspan="3"></td>'
        f'<td><span class="note">{_escaped(_words.TTL_ZERO)}</span></td>'
    )


def _over(networks: bool) -> str:
    """Who isn't known has no network either."""
    return ' colspan="2"' if networks else ""


def _silence(hop: Hop, *, networks: bool) -> str:
    errors = _words.send_errors(hop.probes)
    cut_short = any(probe.status is ProbeStatus.CANCELLED for probe in hop.probes)
    text = "cut short" if cut_short else "no answer"
    note = "" if errors is None else f'<span class="bad">{_escaped(errors)}</span>'
    return (
        f'<td class="faint"{_over(networks)}>{text}</td><td class="number">0 of {hop.sent}</td>'
        f'<td colspan="3"></td><td>{note}</td>'
    )


def _responder_cells(hop: Hop, responder: Responder, *, networks: bool) -> str:
    probes = _words.probes_of(hop, responder)
    summary = RttStatistics.of(probe.rtt_ns for probe in probes if probe.rtt_ns is not None)
    times = [""] * 3 if summary is None else [summary.min, summary.avg, summary.max]
    texts = [f"{value * 1000:.3f}" if isinstance(value, float) else value for value in times]
    answered = str(responder.replies) if len(hop.responders) > 1 else f"{hop.received} of {hop.sent}"
    cells = [
        f"<td>{_who(responder)}</td>",
        *([f"<td>{_network(responder)}</td>"] if networks else []),
        f'<td class="number">{answered}</td>',
        *(f'<td class="number">{text}</td>' for text in texts),
        f"<td>{_remarks(hop, responder)}</td>",
    ]
    return "".join(cells)


def _who(responder: Responder) -> str:
    address = _escaped(clean_name(str(responder.address)))
    if not responder.hostname:
        return address
    return f'{_escaped(clean_name(responder.hostname))} <span class="faint">{address}</span>'


def _network(responder: Responder) -> str:
    parts = []
    if responder.asn is not None:
        parts.append(_knowledge_words.asn_text(responder.asn))
        if responder.asn.prefix:
            parts.append(clean_name(responder.asn.prefix))
    if responder.exchange is not None:
        parts.append(f"at {_knowledge_words.exchange_text(responder.exchange)}")
    place = _knowledge_words.place_text(responder)
    if place is not None:
        parts.append(f"in {place}")
    html = _escaped(", ".join(parts))
    segment = _knowledge_words.segment_text(responder)
    if segment is None:
        return html
    return f'{html}{"<br>" if html else ""}<span class="faint">{_escaped(segment)}</span>'


def _remarks(hop: Hop, responder: Responder) -> str:
    probes = _words.probes_of(hop, responder)
    remarks = [*_reply_words.notes(probes), *_reply_words.hop_notes(hop)]
    late = sum(probe.late for probe in probes)
    if late:
        remarks.append(f"{_words.plural(late, 'late reply')}")
    remarks += map(_knowledge_words.error_text, responder.enrichment_errors)
    errors = None
    if responder is hop.responders[0]:
        loss = _words.loss_note(hop)
        remarks += [] if loss is None else [loss]
        errors = _words.send_errors(hop.probes)
    html = f'<span class="note">{_escaped(", ".join(remarks))}</span>' if remarks else ""
    if errors is not None:
        html += f' <span class="bad">{_escaped(errors)}</span>'
    return html
