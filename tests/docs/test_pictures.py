"""The pictures are those that their sources draw, and show the rooms and the states that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.docs import data_way, probe_life
from tests.docs.markdown import pages
from tests.docs.pictures import PICTURES
from tests.golden import without_duration
from tests.house.package import ROOT, modules
from traceprobe.engine._states import TRANSITIONS

if TYPE_CHECKING:
    from pathlib import Path

GROUND_FLOOR = {"config", "errors", "schema"}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_up_to_date(path: Path) -> None:
    drawn = without_duration(PICTURES[path]())
    assert without_duration(path.read_text(encoding="utf-8")) == drawn, "run python -m tests.docs.pictures"
    if path.suffix == ".svg":
        ElementTree.fromstring(drawn)


def test_every_picture_is_drawn_and_shown() -> None:
    found = {path for path in (ROOT / "docs").rglob("*") if path.suffix in {".svg", ".html"}}
    assert set(PICTURES) == {path for path in found if "_build" not in path.parts}
    text = "".join(page.text for page in pages())
    assert not [path.name for path in PICTURES if path.name not in text]


def test_every_room_is_in_the_way_of_the_data() -> None:
    rooms = {module.name.split(".")[1] for module in modules() if "." in module.name}
    assert set(data_way.ROOMS) == {room for room in rooms if not room.startswith("_")} - GROUND_FLOOR


def test_arrows_point_the_way_they_are_called() -> None:
    assert all(y2 >= y1 for _, y1, _, y2, *_ in data_way.DOWN)
    assert all(y2 <= y1 for _, y1, _, y2, *_ in data_way.UP)


def test_every_move_of_a_probe_is_an_arrow() -> None:
    drawn = probe_life.drawn()
    assert drawn.count("<line") == sum(map(len, TRANSITIONS.values()))
    for state, moves in TRANSITIONS.items():
        assert f">{probe_life.words(state.name)}</text>" in drawn
        assert all(f">{probe_life.words(trigger.name)}</text>" in drawn for trigger in moves)
