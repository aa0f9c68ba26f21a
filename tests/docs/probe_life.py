"""Draws the life of a probe out of the engine's own table.

Where a state stands is written here; which states there are, and what leads from one to another, is not.
"""

from __future__ import annotations

from typing import Final

from tests.docs.drawing import arrow, box, picture
from traceprobe.engine._states import PENDING, TRANSITIONS, ProbeState

HEIGHT: Final = 60
PLACES: Final[dict[str, tuple[int, int, int]]] = {
    # state: (left, top, width)
    "SEND_ERROR": (210, 20, 130),
    "GIVEN_UP": (400, 20, 130),
    "ANSWERED_LATE": (590, 20, 130),
    "QUEUED": (20, 140, 130),
    "SUBMITTED": (210, 140, 130),
    "SENT": (400, 140, 130),
    "ANSWERED": (590, 140, 130),
    "CANCELLED": (20, 260, 510),
}


def drawn() -> str:
    """The picture, as SVG; states that a probe can end in are darker."""
    parts: list[str] = []
    for state in ProbeState:
        left, top, width = PLACES[state.name]
        parts += box(left, top, width, words(state.name), "", "room" if state in PENDING else "kernel")
    for state, moves in TRANSITIONS.items():
        for trigger, goal in moves.items():
            parts += _move(state.name, goal.name, words(trigger.name))
    return picture("The life of a probe", 740, 340, parts)


def words(name: str) -> str:
    """The name of a member, as people write it."""
    return name.lower().replace("_", " ")


def _move(start: str, goal: str, label: str) -> list[str]:
    """An arrow between the sides of two boxes that face each other."""
    left, top, width = PLACES[start]
    goal_left, goal_top, _ = PLACES[goal]
    middle = left + width // 2
    if top == goal_top:
        return arrow(
            "up", left + width, top + 30, goal_left, goal_top + 30, label, left + width + 6, top + 22
        )
    if goal_left >= left + width:  # across: from a corner to a corner
        return arrow(
            "up", left + width, top + HEIGHT, goal_left, goal_top, label, left + width + 36, top + 86
        )
    down = goal_top > top
    ends = (top + HEIGHT, goal_top) if down else (top, goal_top + HEIGHT)
    return arrow(
        "down" if down else "up", middle, ends[0], middle, ends[1], label, middle + 7, sum(ends) // 2 + 4
    )
