"""Makes a line fit a terminal: names give way first, then what is known of networks; figures never.

Remarks that still don't fit get a row of their own. Whether they do doesn't depend on how long a name is, so
that no row moves when a name comes late.

Knows spans and widths, nothing of what they mean beyond their style.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traceprobe.render._lines import Line, Span

_DOTS: Final = "..."
_SHORTEST_NAME: Final = 12
"""Less than this tells nothing of a host name."""
_PARENTHESES: Final = len(" ()")
_SEPARATOR: Final = "  "
"""What stands before the remarks of a hop."""


def fitted(line: Line, width: int, *, crop: bool = False, measure: Callable[[str], int] = len) -> list[Line]:
    """The line in rows of at most ``width`` columns.

    Args:
        line: The line.
        width: Columns of the terminal.
        crop: Cut off what is still too long; otherwise it wraps where the terminal wraps it.
        measure: How many columns a text takes.
    """
    rows = [list(line)]
    place = _remarks_at(line)
    if place is not None and _least(line, measure) > width:
        indent = sum(measure(text) for text, style in line[: _who_at(line)])
        rows = [list(line[:place]), [(" " * indent, "plain"), *line[place + 1 :]]]
    fitting = [_shortened(row, width, measure) for row in rows]
    return [_cropped(row, width, measure) if crop else tuple(row) for row in fitting]


def _who_at(line: Line) -> int:
    """Where the responder begins; the end of the line if there is none."""
    return next((at for at, (_, style) in enumerate(line) if style in {"name", "address"}), len(line))


def _remarks_at(line: Line) -> int | None:
    """Where the blank before the remarks is, behind a responder."""
    rest = range(_who_at(line), len(line))
    return next((at for at in rest if line[at] == (_SEPARATOR, "plain")), None)


def _least(line: Line, measure: Callable[[str], int]) -> int:
    """The columns that the line takes once its names and networks have given way; a name may yet come."""
    shortest = _shortened(list(line), 0, measure)
    size = sum(measure(text) for text, _ in shortest)
    return size if any(style == "name" for _, style in line) else size + _SHORTEST_NAME + _PARENTHESES


def _shortened(line: Sequence[Span], width: int, measure: Callable[[str], int]) -> list[Span]:
    spans = list(line)
    excess = sum(measure(text) for text, _ in spans) - width
    for shorten in (_name, _network):
        for place, span in enumerate(spans):
            text = shorten(span, excess) if excess > 0 else None
            if text is not None:
                excess -= measure(span[0]) - measure(text)
                spans[place] = (text, span[1])
    return spans


def _name(span: Span, excess: int) -> str | None:
    """A host name without its end: that tells the operator, which the network tells as well."""
    text, style = span
    if style != "name" or len(text) <= _SHORTEST_NAME:
        return None
    kept = max(_SHORTEST_NAME, len(text) - excess) - len(_DOTS)
    return text[:kept] + _DOTS


def _network(span: Span, excess: int) -> str | None:
    """``[AS64500]`` alone."""
    del excess
    text, style = span
    number = text.strip(" []").partition(" ")[0].rstrip(",")
    if style != "dim" or not text.startswith(" [AS") or text == f" [{number}]":
        return None
    return f" [{number}]"


def _cropped(spans: Sequence[Span], width: int, measure: Callable[[str], int]) -> Line:
    kept: list[Span] = []
    room = width
    for text, style in spans:
        if measure(text) > room:
            cut = text
            while cut and measure(cut) > room - len(_DOTS):
                cut = cut[:-1]
            kept.append((cut + _DOTS[:room], style))
            break
        kept.append((text, style))
        room -= measure(text)
    return tuple(kept)
