"""Modules of a size to be read, with a head and a true ``__all__``, finished and typed."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from importlib.resources import files

import pytest

from tests.house.package import ROOT, Module, listed, modules
from tests.house.shape_rules import (
    LONGEST,
    cffi_imports,
    declared_all,
    heavy_imports,
    public_any,
    unfinished,
)

EVERY_MODULE = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)

EXPORTED = {name for module in modules() for name in declared_all(module.tree) or ()}

GENERATORS = "traceprobe.ffi.build_"


def importable(module: Module) -> bool:
    """Whether this platform can import a module: it runs nothing, and is not another platform's."""
    return module.name != "traceprobe.__main__" and (sys.platform == "linux" or "linux" not in module.name)


@EVERY_MODULE
def test_a_module_has_a_head(module: Module) -> None:
    head = ast.get_docstring(module.tree)
    assert head, f"{module.where} has no docstring"
    assert len(head) >= 20, f"{module.where}: {head!r} says nothing"


@EVERY_MODULE
def test_a_module_can_be_read_in_one_go(module: Module) -> None:
    assert len(module.text.splitlines()) <= LONGEST, f"{module.where} holds more than one thing"


@EVERY_MODULE
def test_nothing_is_unfinished(module: Module) -> None:
    assert not listed(module, unfinished(module.text))


@EVERY_MODULE
def test_no_public_signature_says_any(module: Module) -> None:
    private = any(part.startswith("_") for part in module.name.split("."))
    assert not listed(module, public_any(module.tree, EXPORTED if private else None))


@EVERY_MODULE
def test_nothing_heavy_is_imported_with_a_module(module: Module) -> None:
    assert not listed(module, heavy_imports(module.tree))


@pytest.mark.parametrize(
    "module", [m for m in modules() if not m.name.startswith(GENERATORS)], ids=lambda module: module.name
)
def test_cffi_is_not_needed_at_run_time(module: Module) -> None:
    assert not listed(module, cffi_imports(module.tree))
    generators = {
        node.module
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(GENERATORS)
    }
    assert not generators, "what writes the generated modules is not needed at run time"


@pytest.mark.parametrize(
    "module", [m for m in modules() if declared_all(m.tree) and importable(m)], ids=lambda m: m.name
)
def test_all_is_true(module: Module) -> None:
    names = declared_all(module.tree)
    assert names is not None
    assert len(names) == len(set(names)), f"{module.where}: __all__ names something twice"
    loaded = importlib.import_module(module.name)
    missing = [name for name in names if not hasattr(loaded, name)]
    assert not missing, f"{module.where}: __all__ promises {missing}"


@pytest.mark.parametrize(
    "module",
    [m for m in modules() if m.path.name == "__init__.py" and len(m.tree.body) > 1],
    ids=lambda m: m.name,
)
def test_a_package_says_what_it_offers(module: Module) -> None:
    assert declared_all(module.tree), f"{module.where} has no __all__"


@pytest.mark.parametrize("module", [m for m in modules() if importable(m)], ids=lambda m: m.name)
def test_every_module_can_be_imported(module: Module) -> None:
    assert importlib.import_module(module.name).__name__ == module.name


def test_the_types_are_shipped() -> None:
    assert files("traceprobe").joinpath("py.typed").is_file()


def test_every_room_has_its_floor() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    placed = {name.strip(" ()") for layer in layers for name in re.split("[|:]", layer)}
    rooms = {".".join(module.name.split(".")[:2]) for module in modules()} - {"traceprobe"}
    assert rooms <= placed, f"no layer says where {sorted(rooms - placed)} stand"


# --- each check can fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["# TODO: later", "raise NotImplementedError", "x = 1  # FIXME", "# XXX"])
def test_an_unfinished_place_is_found(line: str) -> None:
    assert [finding.line for finding in unfinished(f"a = 1\n{line}\n")] == [2]


@pytest.mark.parametrize(
    "snippet",
    [
        "def f(x: Any) -> None: ...",
        "def f() -> dict[str, Any]: ...",
        "async def f(*args: Any) -> None: ...",
        "def f(**kwargs: typing.Any) -> None: ...",
        "def f(x: 'list[Any]') -> None: ...",
        "class C:\n    x: Any = None",
        "class C:\n    def __call__(self, x: Any) -> None: ...",
        "VALUE: Any = 1",
    ],
)
def test_a_public_any_is_found(snippet: str) -> None:
    assert public_any(ast.parse(snippet))


@pytest.mark.parametrize(
    "snippet",
    [
        "def _f(x: Any) -> None: ...",
        "class _C:\n    def f(self, x: Any) -> None: ...",
        "def f(x: object) -> None: ...",
        "def f() -> None:\n    x: Any = 1",
        "class C:\n    _x: Any = None",
    ],
)
def test_a_private_any_is_left_alone(snippet: str) -> None:
    assert not public_any(ast.parse(snippet))


def test_of_a_private_module_only_what_is_exported_counts() -> None:
    tree = ast.parse("def f(x: Any) -> None: ...\ndef g(x: Any) -> None: ...")
    assert [finding.line for finding in public_any(tree, {"g"})] == [2]


@pytest.mark.parametrize(
    "snippet",
    [
        "import asyncio",
        "import dns.resolver",
        "from rich.table import Table",
        "try:\n    import trio\nexcept ImportError:\n    trio = None",
        "if sys.platform == 'linux':\n    import uvloop",
        "class C:\n    import aiodns",
    ],
)
def test_a_heavy_import_is_found(snippet: str) -> None:
    assert heavy_imports(ast.parse(snippet))


@pytest.mark.parametrize(
    "snippet",
    [
        "def f():\n    import asyncio",
        "if TYPE_CHECKING:\n    import asyncio",
        "import anyio",
        "from traceprobe.packets import asyncio_like",
    ],
)
def test_a_lazy_import_is_left_alone(snippet: str) -> None:
    assert not heavy_imports(ast.parse(snippet))


@pytest.mark.parametrize("snippet", ["import cffi", "from cffi import FFI", "def f():\n    import cffi"])
def test_an_import_of_cffi_is_found(snippet: str) -> None:
    assert cffi_imports(ast.parse(snippet))


@pytest.mark.parametrize("snippet", ["import _cffi_backend", "if TYPE_CHECKING:\n    from cffi import FFI"])
def test_the_back_end_of_cffi_is_left_alone(snippet: str) -> None:
    assert not cffi_imports(ast.parse(snippet))


@pytest.mark.parametrize(
    ("snippet", "names"),
    [("__all__ = ['a', 'b']", ["a", "b"]), ("__all__: list[str] = ['a']", ["a"]), ("x = 1", None)],
)
def test_all_is_read(snippet: str, names: list[str] | None) -> None:
    assert declared_all(ast.parse(snippet)) == names
