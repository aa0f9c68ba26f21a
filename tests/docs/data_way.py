"""Draws the data's way through the house; a test compares the rooms in it with those of the package."""

from __future__ import annotations

from typing import Final

from tests.docs.drawing import arrow, box, picture

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


def drawn() -> str:
    """The picture, as SVG."""
    parts: list[str] = []
    for name, (left, top, width, what) in ROOMS.items():
        parts += box(left, top, width, f"{name}/" if name != "api" else "api.py", what)
    left, top, width, what = KERNEL
    parts += box(left, top, width, "", what, "kernel")
    for way, arrows in (("down", DOWN), ("up", UP)):
        for one in arrows:
            parts += arrow(way, *one)
    return picture("The way of probes and replies through traceprobe", 740, 630, parts)
