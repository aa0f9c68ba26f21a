"""Writes the pictures of the documentation: ``python -m tests.docs.pictures``. A test compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.docs import data_way, probe_life
from tests.house.package import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOME: Final = ROOT / "docs" / "explanation"
PICTURES: Final[dict[Path, Callable[[], str]]] = {
    HOME / "data-way.svg": data_way.drawn,
    HOME / "probe-life.svg": probe_life.drawn,
}

if __name__ == "__main__":
    for path, drawn in PICTURES.items():
        path.write_text(drawn(), encoding="utf-8", newline="\n")
