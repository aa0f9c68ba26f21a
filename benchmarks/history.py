"""Figures over time: a file of JSON lines, one for each run. ``docs/performance.md`` describes the format."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceprobe import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = 1


def append(file: Path, document: Mapping[str, Any]) -> None:
    """Add a run to a history file, which is made if there is none."""
    with file.open("a", encoding="utf-8") as history:
        history.write(json.dumps(entry(document)) + "\n")


def entry(document: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the file: who measured when and what, and every median under its own name."""
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "commit": _commit(),
        "machine": document["machine"],
        "repetitions": document["repetitions"],
        "figures": {
            f"{name}/{path}": value
            for name, section in document["sections"].items()
            for path, value in _medians(section)
        },
    }


def read(file: Path) -> list[dict[str, Any]]:
    """The entries of a history file, the oldest first.

    Raises:
        ValueError: An entry has another format.
    """
    entries: list[dict[str, Any]] = [
        json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line
    ]
    for one in entries:
        if one["schema"] != SCHEMA:
            raise ValueError(f"{file}: schema {one['schema']}, only {SCHEMA} is known")
    return entries


def _medians(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Name and value of every figure: of a distribution its median, of a row what names it."""
    if isinstance(value, dict):
        if "median" in value:
            yield path, value["median"]
            return
        for name, inner in value.items():
            yield from _medians(inner, f"{path}/{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _medians(inner, f"{path}/{_name(inner, index)}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def _name(row: object, index: int) -> str:
    if not isinstance(row, dict):
        return str(index)
    if "label" in row:
        return str(row["label"])
    words = [str(row[key]) for key in ("traces", "loop", "mode") if key in row]
    return " ".join([*words, *(["held"] if row.get("held") else [])]) or str(index)


def _commit() -> str | None:
    folder = Path(__file__).resolve().parent
    try:
        finished = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return finished.stdout.strip() or None
