"""Writes the pictures of the documentation, the table that a notebook shows, and a recorded live view.

Run ``python -m tests.docs.pictures`` after a change of what they show; a test compares.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import traceprobe
from tests.docs import data_way, probe_life, screens
from tests.docs.cast import DRAWING
from tests.house.package import ROOT
from traceprobe.testing import demo_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def notebook_table() -> str:
    """What a notebook shows of a trace through the demo's network."""
    network = demo_network()
    result = traceprobe.trace("example.com", socket_factory=network, resolver=network.resolver)
    return result._repr_html_()


HOME: Final = ROOT / "docs" / "explanation"
TABLE: Final = ROOT / "docs" / "howto" / "notebook-table.html"
PICTURES: Final[dict[Path, Callable[[], str]]] = {
    HOME / "data-way.svg": data_way.drawn,
    HOME / "probe-life.svg": probe_life.drawn,
    TABLE: notebook_table,
    DRAWING: functools.partial(screens.live_drawing, "traceprobe demo"),
}

if __name__ == "__main__":
    for path, drawn in PICTURES.items():
        path.write_text(drawn(), encoding="utf-8", newline="\n")
