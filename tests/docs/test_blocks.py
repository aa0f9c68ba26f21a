"""Every Python block of the README and the documentation runs, page by page, on a network in memory."""

from __future__ import annotations

import ast
import asyncio
import inspect
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

import pytest

import traceprobe.sockets
from tests.docs.markdown import pages
from traceprobe.testing import Router, SimulatedNetwork

if TYPE_CHECKING:
    from tests.docs.markdown import Block, Page

WITH_CODE = [page for page in pages() if page.blocks("python")]


def real_looking_network(*_: object) -> SimulatedNetwork:
    """What the pages take for the Internet."""
    return SimulatedNetwork.paths(
        {
            f"192.0.2.{last}": ["198.51.100.1", None, Router("198.51.100.3", rtt=0.02), f"192.0.2.{last}"]
            for last in (9, 10)
        },
        names={"example.com": "192.0.2.9", "example.org": "192.0.2.10"},
    )


def compiled(page: Page, block: Block) -> CodeType:
    """The block, with ``await`` allowed at its top, as notebooks do; errors show the page's own lines."""
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, str(page.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    return code


def run(page: Page) -> None:
    """Run the blocks of a page one after the other, as one program."""
    names: dict[str, object] = {"__name__": "page"}
    for block in page.blocks("python"):
        code = compiled(page, block)
        outcome = FunctionType(code, names)()
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_every_block_runs(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    # The package remembers what it has loaded once, so the name is replaced in both places.
    for home in (traceprobe, traceprobe.sockets):
        monkeypatch.setattr(home, "ProbeSocketFactory", real_looking_network)
    run(page)


def test_the_pages_with_code_are_found() -> None:
    assert {"README.md", "docs/tutorial.md", "docs/howto/trio.md", "docs/json.md"} <= {
        p.name for p in WITH_CODE
    }


def test_the_readme_examples_take_five_lines() -> None:
    (readme,) = [page for page in WITH_CODE if page.name == "README.md"]
    for block in readme.blocks("python"):
        lines = [line for line in block.code.splitlines() if line.strip() and "import" not in line]
        assert len(lines) <= 5
