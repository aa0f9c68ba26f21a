"""Says which ways of probing are open to this process, why the others aren't, and what would open them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import traceprobe
from traceprobe.cli._exit import ExitStatus
from traceprobe.cli._printers import line_writer
from traceprobe.render.sanitize import clean_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from traceprobe import ModeStatus
    from traceprobe.cli._console import Results
    from traceprobe.render._lines import Line, Span

__all__ = ["examine"]

_WIDTHS: Final = (10, 9, 9, 9)
_GAP: Final = 2


def examine(namespace: argparse.Namespace, results: Results) -> ExitStatus:
    """Print the report."""
    statuses = [
        status
        for status in traceprobe.ProbeSocketFactory().report().statuses
        if namespace.family in {None, status.family} and namespace.protocol in {None, status.protocol}
    ]
    if namespace.json:
        results.write(_document(statuses))
    else:
        write = line_writer(results)
        for line in _page(statuses):
            write(line)
    return ExitStatus.REACHED if any(status.usable for status in statuses) else ExitStatus.NO_SOCKET


def _plain_trace(statuses: Sequence[ModeStatus]) -> dict[int, ModeStatus]:
    """What a trace without further options takes, by family: the report lists the best way first."""
    taken: dict[int, ModeStatus] = {}
    for status in statuses:
        if status.usable:
            taken.setdefault(status.family, status)
    return taken


def _document(statuses: Sequence[ModeStatus]) -> str:
    import json

    taken = _plain_trace(statuses)
    document = {
        "schema_version": 1,
        "traceprobe": traceprobe.__version__,
        "plain_trace": {
            f"ipv{family}": {"mode": taken[family].mode, "protocol": taken[family].protocol}
            if family in taken
            else None
            for family in sorted({int(status.family) for status in statuses})
        },
        "ways": [
            {
                "mode": status.mode,
                "protocol": status.protocol,
                "family": int(status.family),
                "usable": status.usable,
                "reason": status.reason or None,
                "remedies": list(status.remedies),
            }
            for status in statuses
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _page(statuses: Sequence[ModeStatus]) -> list[Line]:
    lines: list[Line] = [(("Ways of probing on this machine, best first:", "title"),), ()]
    families = sorted({status.family for status in statuses})
    widest = max([_WIDTHS[0], *(len(status.mode) for status in statuses)]) + _GAP
    widths = (widest, *_WIDTHS[1:])
    heads: list[Span] = [("way", "dim"), ("probes", "dim"), *((f"IPv{family}", "dim") for family in families)]
    lines.append(_row(heads, widths))
    notes: list[tuple[str, tuple[str, ...]]] = []
    for way in dict.fromkeys((status.mode, status.protocol) for status in statuses):
        cells: list[Span] = [(str(way[0]), "name"), (way[1].upper(), "plain")]
        for family in families:
            found = [s for s in statuses if (s.mode, s.protocol) == way and s.family == family]
            cells.append(_verdict(found[0], notes) if found else ("", "plain"))
        lines.append(_row(cells, widths))
    if not statuses:
        lines.append((("  none that fits", "bad"),))
    lines += [(), _conclusion(statuses)]
    for number, (reason, remedies) in enumerate(notes, 1):
        lines += [(), ((f"({number}) ", "dim"), (clean_line(reason), "plain"))]
        if remedies:
            lines.append((("    To open it:" if len(remedies) == 1 else "    To open it, one of:", "dim"),))
        lines.extend(((f"      {clean_line(remedy)}", "note"),) for remedy in remedies)
    return lines


def _row(cells: Sequence[Span], widths: Sequence[int]) -> Line:
    padded: list[Span] = [("  ", "plain")]
    last = len(cells) - 1
    for index, ((text, style), width) in enumerate(zip(cells, widths, strict=False)):
        padded.append((text if index == last else f"{text:<{width}}", style))
    return tuple(padded)


def _verdict(status: ModeStatus, notes: list[tuple[str, tuple[str, ...]]]) -> Span:
    if status.usable and not status.reason:
        return ("open", "good")
    note = (status.reason or "it doesn't say why", tuple(status.remedies))
    if note not in notes:
        notes.append(note)
    number = notes.index(note) + 1
    return (f"open ({number})", "note") if status.usable else (f"no ({number})", "bad")


def _conclusion(statuses: Sequence[ModeStatus]) -> Line:
    taken = _plain_trace(statuses)
    if not taken:
        return (("No trace can be made here.", "bad"),)
    ways: dict[str, list[str]] = {}
    for family in sorted(taken):
        status = taken[family]
        ways.setdefault(f"{status.mode} with {status.protocol.upper()}", []).append(f"IPv{family}")
    described = ", and ".join(f"{way} over {' and '.join(families)}" for way, families in ways.items())
    return ((f"A plain trace takes {described}.", "good"),)
