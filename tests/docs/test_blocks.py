"""The Python of the pages and of public docstrings runs, on a network in memory; the commands parse."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from textwrap import dedent
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

import pytest

import traceprobe.sockets
import traceprobe.testing
from tests.docs.markdown import pages
from traceprobe.cli._parser import parse
from traceprobe.testing import Router, SimulatedNetwork

if TYPE_CHECKING:
    from tests.docs.markdown import Page

WITH_CODE = [page for page in pages() if page.blocks("python")]
COMMANDS = [
    pytest.param(line, id=f"{page.name}: {line}")
    for page in pages()
    if page.name != "docs/screens.md"  # those are run, mistakes and all
    for block in page.blocks("console")
    for line in re.findall(r"^\$ (?:.* )?(traceprobe [^>\n]+)", block.code, re.MULTILINE)
    if not re.search(r"\[|&&|--print-completion", line)
]


def real_looking_network(*_: object) -> SimulatedNetwork:
    """What the pages take for the Internet."""
    return SimulatedNetwork.paths(
        {
            f"192.0.2.{last}": ["198.51.100.1", None, Router("198.51.100.3", rtt=0.02), f"192.0.2.{last}"]
            for last in (9, 10)
        },
        names={"example.com": "192.0.2.9", "example.org": "192.0.2.10"},
    )


def execute(source: str, where: str, names: dict[str, object]) -> None:
    """Run a block, with ``await`` allowed at its top, as notebooks do."""
    code = compile(source, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    outcome = FunctionType(code, names)()
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


def run(page: Page) -> None:
    """Run the blocks of a page one after the other, as one program; errors show the page's own lines."""
    names: dict[str, object] = {"__name__": "page"}
    for block in page.blocks("python"):
        execute("\n" * (block.line - 1) + block.code, str(page.path), names)


def docstring_blocks() -> dict[str, str]:
    """The code in the docstrings that the reference shows, by what they are of."""
    found = {}
    for home in (traceprobe, traceprobe.testing):
        public = {f"{home.__name__}.{name}": getattr(home, name) for name in home.__all__}
        methods = {
            f"{name}.{member}": function
            for name, kind in public.items()
            if inspect.isclass(kind)
            for member, function in inspect.getmembers(kind, inspect.isfunction)
        }
        for name, thing in {home.__name__: home, **public, **methods}.items():
            if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isfunction(thing):
                code = re.findall(r"::\n\n((?:    .*\n|\n)+)", f"{inspect.getdoc(thing) or ''}\n")
                if code:
                    found[name] = dedent("".join(code))
    return found


@pytest.fixture
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package remembers what it has loaded once, so the name is replaced in both places.
    for home in (traceprobe, traceprobe.sockets):
        monkeypatch.setattr(home, "ProbeSocketFactory", real_looking_network)


@pytest.mark.usefixtures("_in_memory")
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_every_block_runs(page: Page) -> None:
    run(page)


@pytest.mark.usefixtures("_in_memory")
@pytest.mark.parametrize("name", docstring_blocks())
def test_every_docstring_runs(name: str) -> None:
    names: dict[str, object] = {"traceprobe": traceprobe, "SimulatedNetwork": SimulatedNetwork}
    execute(docstring_blocks()[name], name, names)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line: str) -> None:
    parse(shlex.split(line.partition("#")[0])[1:])


def test_docstrings_and_commands_are_found() -> None:
    assert {"traceprobe.open_trace", "traceprobe.testing"} <= set(docstring_blocks())
    assert len(COMMANDS) >= 8


def test_the_pages_with_code_are_found() -> None:
    assert {"README.md", "docs/tutorial.md", "docs/howto/trio.md", "docs/json.md"} <= {
        p.name for p in WITH_CODE
    }


def test_the_readme_examples_take_five_lines() -> None:
    (readme,) = [page for page in WITH_CODE if page.name == "README.md"]
    for block in readme.blocks("python"):
        lines = [line for line in block.code.splitlines() if line.strip() and "import" not in line]
        assert len(lines) <= 5
