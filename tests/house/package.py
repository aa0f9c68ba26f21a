"""The package as the house tests see it: its modules, their text and their syntax trees."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "traceprobe"


@attrs.frozen
class Module:
    """One module of the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        """Its path from the root of the repository, with forward slashes."""
        return self.path.relative_to(ROOT).as_posix()


@attrs.frozen(order=True)
class Finding:
    """One place that breaks a rule."""

    line: int
    what: str


@cache
def modules() -> tuple[Module, ...]:
    """Every module that people write; generated ones are left out."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name.startswith("_generated_"):
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, path, text, ast.parse(text, str(path))))
    return tuple(found)


def listed(module: Module, findings: list[Finding]) -> list[str]:
    """Findings as lines that an editor can jump to."""
    return [f"{module.where}:{finding.line}: {finding.what}" for finding in sorted(findings)]
