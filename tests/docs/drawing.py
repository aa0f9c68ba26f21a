"""Draws the pictures of the documentation, as SVG: boxes with a name and a line below it, and arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

COLOURS: Final = {"down": "#0550ae", "up": "#116329"}

STYLE: Final = f"""\
text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
.name {{ font-weight: 600 }}
.label {{ font-size: 11px; fill: #57606a }}
.paper {{ fill: #ffffff }}
.room {{ fill: #f6f8fa; stroke: #8c959f }}
.kernel {{ fill: #eaeef2; stroke: #8c959f }}
.down {{ stroke: {COLOURS["down"]} }}
.up {{ stroke: {COLOURS["up"]} }}
"""


def picture(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    """A whole picture, on paper of its own, so that it can be read on dark pages too."""
    size = f'viewBox="0 0 {width} {height}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        f"<style>\n{STYLE}</style>",
        "<defs>",
        *(_head(way, colour) for way, colour in COLOURS.items()),
        "</defs>",
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
        *parts,
        "</svg>",
        "",
    ])


def box(left: int, top: int, width: int, name: str, what: str, kind: str = "room") -> list[str]:
    """A box, 60 high."""
    middle = left + width // 2
    lines = [f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="60" rx="6"/>']
    for text, looks, below in ((name, "name", 25 if what else 35), (what, "label", 44 if name else 35)):
        if text:
            place = f'x="{middle}" y="{top + below}" text-anchor="middle"'
            lines.append(f'<text class="{looks}" {place}>{escape(text)}</text>')
    return lines


def arrow(way: str, x1: int, y1: int, x2: int, y2: int, label: str, x: int, y: int) -> list[str]:
    """An arrow from one place to another, and its label at a third."""
    ends = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    line = f'<line class="{way}" {ends} stroke-width="1.6" marker-end="url(#{way})"/>'
    return [line, *([f'<text class="label" x="{x}" y="{y}">{escape(label)}</text>'] if label else [])]


def _head(way: str, colour: str) -> str:
    size = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    return f'<marker id="{way}" {size} orient="auto"><path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
