"""Draws the data's way through the house; ``python docs/data_way.py`` writes ``explanation/data-way.svg``.

A test compares the picture with what this draws, and the rooms in it with those of the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

PICTURE: Final = Path(__file__).with_name("explanation") / "data-way.svg"

ROOMS: Final[dict[str, tuple[int, int, int, str]]] = {
    # name: (left, top, width, what it does)
    "cli": (180, 20, 180, "options in, status out"),
    "render": (380, 20, 180, "text, JSON, CSV, HTML"),
    "api": (180, 110, 380, "trace, open_trace, Tracer"),
    "enrich": (20, 220, 170, "names, networks"),
    "tracer": (270, 220, 200, "drives: leases, pacing"),
    "engine": (550, 220, 170, "decides"),
    "packets": (20, 330, 170, "bytes and fields"),
    "sockets": (270, 330, 200, "matches and times"),
    "model": (550, 330, 170, "probes, replies, hops"),
    "loops": (20, 440, 170, "waits, clock"),
    "ffi": (270, 440, 200, "system calls"),
    "testing": (550, 440, 170, "a network in memory"),
}
"""The rooms that data goes through; the ground floor (config, errors) and the schemas are everybody's."""

KERNEL: Final = (20, 550, 700, "the kernel, or nothing: a network in memory takes its place")

Arrow = tuple[int, int, int, int, str, int, int]
DOWN: Final[tuple[Arrow, ...]] = (
    # from x, y to x, y; label at x, y
    (550, 240, 470, 240, "probes", 494, 233),
    (330, 280, 330, 330, "probes", 288, 309),
    (330, 390, 330, 440, "bytes", 294, 419),
    (330, 500, 330, 550, "one call for all", 244, 530),
    (270, 240, 190, 240, "addresses", 205, 233),
    (270, 350, 190, 350, "fields", 216, 343),
)
UP: Final[tuple[Arrow, ...]] = (
    (410, 550, 410, 500, "bytes, time stamps", 418, 530),
    (410, 440, 410, 390, "bytes, time stamps", 418, 419),
    (190, 372, 270, 372, "bytes", 216, 388),
    (410, 330, 410, 280, "replies", 418, 309),
    (470, 260, 550, 260, "replies", 494, 276),
    (190, 260, 270, 260, "knowledge", 204, 276),
    (370, 220, 370, 170, "events, hops, result", 378, 200),
    (270, 110, 270, 80, "", 0, 0),
    (470, 110, 470, 80, "", 0, 0),
)

STYLE: Final = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.name { font-weight: 600 }
.label { font-size: 11px; fill: #57606a }
.paper { fill: #ffffff }
.room { fill: #f6f8fa; stroke: #8c959f }
.kernel { fill: #eaeef2; stroke: #8c959f }
.down { stroke: #0550ae }
.up { stroke: #116329 }
"""


def drawn() -> str:
    """The picture, as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 630" role="img" aria-labelledby="title">',
        '<title id="title">The way of probes and replies through traceprobe</title>',
        f"<style>\n{STYLE}</style>",
        "<defs>",
        *(_head(way, colour) for way, colour in (("down", "#0550ae"), ("up", "#116329"))),
        "</defs>",
        '<rect class="paper" width="740" height="630" rx="8"/>',
    ]
    for name, (left, top, width, what) in ROOMS.items():
        parts += _box(left, top, width, f"{name}/" if name != "api" else "api.py", what, "room")
    left, top, width, what = KERNEL
    parts += _box(left, top, width, "", what, "kernel")
    parts += [
        part
        for way, arrows in (("down", DOWN), ("up", UP))
        for arrow in arrows
        for part in _arrow(way, arrow)
    ]
    return "\n".join([*parts, "</svg>", ""])


def _head(way: str, colour: str) -> str:
    size = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    return f'<marker id="{way}" {size} orient="auto"><path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'


def _box(left: int, top: int, width: int, name: str, what: str, kind: str) -> list[str]:
    middle = left + width // 2
    lines = [f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="60" rx="6"/>']
    for text, looks, below in ((name, "name", 25), (what, "label", 44 if name else 35)):
        if text:
            place = f'x="{middle}" y="{top + below}" text-anchor="middle"'
            lines.append(f'<text class="{looks}" {place}>{escape(text)}</text>')
    return lines


def _arrow(way: str, arrow: Arrow) -> list[str]:
    x1, y1, x2, y2, label, x, y = arrow
    ends = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    line = f'<line class="{way}" {ends} stroke-width="1.6" marker-end="url(#{way})"/>'
    return [line, *([f'<text class="label" x="{x}" y="{y}">{escape(label)}</text>'] if label else [])]


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8", newline="\n")
