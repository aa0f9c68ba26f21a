"""Finds what would start another program, run text as code, or write warnings that may quote the network.

Looks at imports, at names looked up in ``os``, and at the text by which a module is imported.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from tests.house.package import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTERS: Final = frozenset({
    *("_posixsubprocess", "_winapi", "asyncio.subprocess", "concurrent.futures.process", "multiprocessing"),
    *(
        "code",
        "codeop",
        "commands",
        "pdb",
        "pexpect",
        "popen2",
        "pty",
        "runpy",
        "sh",
        "subprocess",
        "webbrowser",
    ),
})
"""Modules whose business is to run something else."""

IN_OS: Final = ("exec", "fork", "popen", "posix_spawn", "spawn", "startfile", "system")
"""How the functions of ``os`` begin that do."""

OTHERS: Final = frozenset({
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    *("open_process", "run_process", "ProcessPoolExecutor", "to_process"),
})
"""Functions of event loops that do."""

RUN_TEXT: Final = frozenset({"compile", "eval", "exec"})
"""Built-in functions that take text for a program."""

READ_OBJECTS: Final = frozenset({"dill", "marshal", "pickle", "shelve"})
"""Modules whose files can hold a program."""


def programs(tree: ast.AST) -> list[Finding]:
    """Where a module does any of it."""
    return [Finding(line, what) for line, what in _found(tree)]


def _found(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_one_of(alias.name, STARTERS | READ_OBJECTS | {"warnings"}):
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                if (
                    _is_one_of(f"{module}.{alias.name}", STARTERS | READ_OBJECTS | {"warnings"})
                    or (module in {"os", "posix", "nt"} and alias.name.startswith(IN_OS))
                    or alias.name in OTHERS
                ):
                    yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr.startswith(IN_OS):
                yield node.lineno, f"os.{node.attr}"
            elif node.attr in OTHERS:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in RUN_TEXT:
                yield node.lineno, name
            called = name or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
            if called in {"__import__", "import_module", "find_spec"}:
                for argument in node.args[:1]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        if _is_one_of(argument.value, STARTERS | READ_OBJECTS):
                            yield node.lineno, argument.value
                    elif called != "find_spec":
                        yield node.lineno, f"{called} of something that is worked out"


def _is_one_of(name: str, modules: frozenset[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
