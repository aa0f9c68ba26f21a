"""Makes a drawing of a recorded terminal that plays once and then shows what stays: docs/live.svg.

Each row of text is shown as long as it stood there. Whoever shows no animations, or wants none, sees the end.
Run ``python -m tests.docs.pictures`` to draw it anew; a test compares.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Final

from tests.house.package import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.terminal import Cell

DRAWING: Final = ROOT / "docs" / "live.svg"

_STEP: Final = 0.12
"""How long each frame is shown, in seconds: some fifty times as long as it stood there."""
_WIDTH: Final = 8.43
_HEIGHT: Final = 19
_MARGIN: Final = 16

_CLASSES: Final = {"1": "bold", "2": "dim", "33": "note", "36": "address", "32": "good", "1;31": "bad"}

_STYLE: Final = """\
  .back { fill: #ffffff; stroke: #d5dae1 }
  text { fill: #1d2330; font: 14px ui-monospace, Menlo, Consolas, monospace; white-space: pre }
  .bold { font-weight: 600 } .dim { fill: #5b6472 } .note { fill: #7a4d00 }
  .address { fill: #0b5c78 } .good { fill: #17683a } .bad { fill: #a3201d; font-weight: 600 }
  @media (prefers-color-scheme: dark) { .back { fill: #161b22; stroke: #3a4350 } text { fill: #e4e8ee }
    .dim { fill: #9aa4b2 } .note { fill: #f0c26b } .address { fill: #7cc7e8 } .good { fill: #6fd39a }
    .bad { fill: #ff8f87 } }"""


def drawing(frames: Sequence[Sequence[Sequence[Cell]]], *, columns: int, title: str) -> str:
    """The whole drawing.

    Args:
        frames: What stood on the terminal, row by row, with styles.
        columns: How wide the terminal was.
        title: What is to be seen, for whoever can't.
    """
    height = max(map(len, frames))
    width, tall = round(columns * _WIDTH) + 2 * _MARGIN, height * _HEIGHT + 2 * _MARGIN
    size = f'width="{width}" height="{tall}" viewBox="0 0 {width} {tall}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" {size}>',
        f"<style>\n{_STYLE}\n</style>",
        '<rect class="back" x="0.5" y="0.5" width="99.9%" height="99.7%" rx="8"/>',
        *(line for row in range(height) for line in _versions(row, frames)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _versions(row: int, frames: Sequence[Sequence[Sequence[Cell]]]) -> Iterator[str]:
    """Everything that ever stood in a row, with the times when it did."""
    stood = [_text(frame[row]) if row < len(frame) else "" for frame in frames]
    moment = 0
    for text, group in groupby(stood):
        begin, moment = moment, moment + len(list(group))
        if not text:
            continue
        last = moment == len(stood)
        if not last:
            times = f'to="visible" begin="{begin * _STEP:.2f}s" end="{moment * _STEP:.2f}s"'
        elif begin:
            times = f'to="hidden" begin="0s" end="{begin * _STEP:.2f}s"'
        else:
            times = ""
        animation = f'<set attributeName="visibility" {times}/>' if times else ""
        hidden = "" if last else ' visibility="hidden"'
        y = _MARGIN + row * _HEIGHT + 14
        yield f'<text x="{_MARGIN}" y="{y}"{hidden} xml:space="preserve">{animation}{text}</text>'


def _text(row: Sequence[Cell]) -> str:
    """A row as spans; blanks at its end are left out, the width of the others is kept."""
    cells = list(row)
    while cells and cells[-1][0] == " ":
        cells.pop()
    spans = []
    for style, group in groupby(cells, key=lambda cell: cell[1]):
        text = escape("".join(character for character, _ in group))
        spans.append(f'<tspan class="{_CLASSES[style]}">{text}</tspan>' if style in _CLASSES else text)
    return "".join(spans)
