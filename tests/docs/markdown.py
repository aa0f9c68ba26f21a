"""Reads Markdown pages: their code blocks and their tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from tests.house.package import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(((?:[^()\s]|\([^()\s]*\))+)\)")


@attrs.frozen
class Block:
    """One fenced block of code."""

    language: str
    line: int
    """Line of its first line of code, from 1."""
    code: str


@attrs.frozen
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """What it says."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[Block]:
        """The code blocks in one language."""
        text = self.text
        return [
            Block(language, text.count("\n", 0, match.start(2)) + 1, match.group(2))
            for match in _FENCE.finditer(text)
            if match.group(1) == language
        ]

    def links(self) -> list[str]:
        """Where its links lead."""
        return _LINK.findall(self.text)

    def table(self, heading: str) -> list[list[str]]:
        """The rows of the table whose first column has this heading, without the heading row."""
        rows = self.text.partition(f"| {heading} |")[2].splitlines()[2:]
        return list(_rows(rows))


def _rows(lines: list[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def pages() -> list[Page]:
    """The pages that stand beside the README, and every page of the documentation."""
    top = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    return [*(Page(ROOT / name) for name in top), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]
