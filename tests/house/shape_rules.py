"""Finds what breaks the shape of the house: long modules, missing heads, unfinished or untyped places."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from tests.house.package import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LONGEST: Final = 450

_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")

# Loaded when a module is imported, these would cost every user; aiodns and dnspython are what enrichment
# imports once a look-up is wanted. cffi compiles declarations, which is the generator's business.
LAZY: Final = frozenset({
    "aiodns",
    "asyncio",
    "cffi",
    "dns",
    "httpx2",
    "maxminddb",
    "pycares",
    "pycparser",
    "rich",
    "trio",
    "uvloop",
})


def unfinished(text: str) -> list[Finding]:
    """Lines that say that something is still to be done."""
    return [
        Finding(number, match.group())
        for number, line in enumerate(text.splitlines(), 1)
        if (match := _UNFINISHED.search(line))
    ]


def _at_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run when the module is imported."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                yield from _at_import(node.body)
            yield from _at_import(node.orelse)
        elif isinstance(node, ast.ClassDef | ast.With):
            yield from _at_import(node.body)
        elif isinstance(node, ast.Try):
            for part in (node.body, node.orelse, node.finalbody, *(h.body for h in node.handlers)):
                yield from _at_import(part)


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return {name.partition(".")[0] for name in names}


def heavy_imports(tree: ast.Module) -> list[Finding]:
    """Imports at module level of what must be loaded only when it is used."""
    return [
        Finding(node.lineno, f"imports {name}")
        for node in _at_import(tree.body)
        for name in sorted(_imported(node) & LAZY)
    ]


def cffi_imports(tree: ast.Module) -> list[Finding]:
    """Imports of cffi anywhere: at run time only its small back end may be loaded."""
    return [
        Finding(node.lineno, "imports cffi")
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and _imported(node) & {"cffi", "pycparser"}
        if not _only_for_checkers(tree, node)
    ]


def _only_for_checkers(tree: ast.Module, wanted: ast.stmt) -> bool:
    return any(
        wanted in ast.walk(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )


# --- public names ------------------------------------------------------------------------------------


def public_any(tree: ast.Module, exported: Collection[str] | None = None) -> list[Finding]:
    """Public signatures and attributes whose annotation says ``Any``.

    Of a private module only what other modules export counts; None takes the module for a public one.
    """
    body = [node for node in tree.body if exported is None or getattr(node, "name", "") in exported]
    return sorted(_public_any(body))


def _public_any(body: list[ast.stmt]) -> Iterator[Finding]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_any(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(node.name):
            arguments = node.args
            annotated = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            annotated += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
            annotations = [argument.annotation for argument in annotated]
            if any(_says_any(annotation) for annotation in [*annotations, node.returns]):
                yield Finding(node.lineno, f"the signature of {node.name} says Any")
        elif (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and _is_public(node.target.id)
            and _says_any(node.annotation)
        ):
            yield Finding(node.lineno, f"{node.target.id} is annotated with Any")


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _says_any(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return False
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _says_any(ast.parse(node.value, mode="eval").body):
                return True
        elif (isinstance(node, ast.Name) and node.id == "Any") or (
            isinstance(node, ast.Attribute) and node.attr == "Any"
        ):
            return True
    return False


def declared_all(tree: ast.Module) -> list[str] | None:
    """The names in ``__all__``; None if the module has none."""
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if value is not None and any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            names = ast.literal_eval(value)
            return [str(name) for name in names]
    return None
