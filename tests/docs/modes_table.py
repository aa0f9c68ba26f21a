"""Writes the tables of docs/reference/modes.md from the catalogue of ways of probing.

Run ``python -m tests.docs.modes_table`` after a change of the catalogue; a test compares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.house.package import ROOT
from traceprobe.model import ChangedField
from traceprobe.sockets._catalogue import CATALOGUE, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.sockets._catalogue import ModeFacts

PAGE: Final = ROOT / "docs" / "reference" / "modes.md"
_MARKED: Final = re.compile(r"(<!-- begin tables -->\n).*(<!-- end tables -->)", re.DOTALL)
_PLATFORMS: Final = {
    "linux": "Linux",
    "bsd": "BSD, and macOS as root",
    "darwin": "macOS without root",
    "windows": "Windows",
}
_DESCRIPTORS: Final = {
    "shared": "one for all probes",
    "per_flow": "one for each flow",
    "per_probe": "one for each probe",
}


def tables() -> str:
    """The tables, platform by platform."""
    parts = []
    for platform in dict.fromkeys(facts.platform for facts in CATALOGUE):
        rows = [facts for facts in CATALOGUE if facts.platform == platform]
        parts += [
            f"## {_PLATFORMS[platform]}\n",
            _table(
                ("mode", "protocol", "needs", "holds the flow", "sockets", "refuses"), map(_abilities, rows)
            ),
            _table(
                ("mode", "protocol", "quoted TTL", "reply TTL", "extensions", "changes"), map(_sights, rows)
            ),
        ]
    return "\n".join(parts)


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _abilities(facts: ModeFacts) -> tuple[str, ...]:
    first, *others = (flow.value for flow in facts.flows)
    refused = [option for option in OPTIONS if option not in facts.options]
    return (
        f"`{facts.mode.value}`",
        facts.protocol.value.upper(),
        facts.privilege or "nothing",
        ", ".join((f"**{first}**", *others)),
        _DESCRIPTORS[facts.descriptors],
        _listed(refused),
    )


def _sights(facts: ModeFacts) -> tuple[str, ...]:
    return (
        f"`{facts.mode.value}`",
        facts.protocol.value.upper(),
        _yes(facts.sees_quoted_ttl),
        _yes(facts.sees_reply_ttl),
        _yes(facts.sees_extensions),
        _listed(field.value for field in ChangedField if field in facts.sees_changes),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def with_tables(text: str) -> str:
    """A page's text with fresh tables."""
    return _MARKED.sub(lambda marks: f"{marks[1]}\n{tables()}\n{marks[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
