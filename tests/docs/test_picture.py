"""The picture of the data's way is the one that its source draws, and shows the rooms that there are."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.house.package import ROOT, modules

if TYPE_CHECKING:
    from types import ModuleType

GROUND_FLOOR = {"config", "errors", "schema"}


@pytest.fixture(scope="module")
def source() -> ModuleType:
    """The script that draws."""
    spec = importlib.util.spec_from_file_location("data_way", ROOT / "docs" / "data_way.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_up_to_date(source: ModuleType) -> None:
    assert source.PICTURE.read_text(encoding="utf-8") == source.drawn(), "run python docs/data_way.py"
    ElementTree.fromstring(source.drawn())


def test_every_room_is_in_it(source: ModuleType) -> None:
    rooms = {module.name.split(".")[1] for module in modules() if "." in module.name}
    assert set(source.ROOMS) == {room for room in rooms if not room.startswith("_")} - GROUND_FLOOR


def test_arrows_point_the_way_they_are_called(source: ModuleType) -> None:
    assert all(y2 >= y1 for _, y1, _, y2, *_ in source.DOWN)
    assert all(y2 <= y1 for _, y1, _, y2, *_ in source.UP)
