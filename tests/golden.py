"""Compares output with files; ``TRACEPROBE_UPDATE_GOLDEN=1`` writes them anew, for a person to look at."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def without_duration(text: str) -> str:
    """Text of a trace without how long it took, which is the engine's business to improve."""
    return re.sub(r"\d+\.\d ms in all", "# ms in all", text)


def check_golden(path: Path, text: str) -> None:
    """Assert that a file holds exactly this text."""
    if os.environ.get("TRACEPROBE_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8")
