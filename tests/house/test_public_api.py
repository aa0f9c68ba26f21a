"""The public interface is what it was, unless somebody meant to change it."""

from __future__ import annotations

import ast
import importlib
import pickle

import pytest

import traceprobe
from tests.house.package import PACKAGE
from tests.house.public_api import MODULES, SNAPSHOT, describe


def test_nothing_has_changed_unnoticed() -> None:
    assert describe() == SNAPSHOT.read_text(encoding="utf-8"), (
        "the public interface has changed; if that is meant, run python -m tests.house.public_api"
    )


def test_checkers_see_what_programs_see() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == set(traceprobe.__all__)
    assert all(hasattr(traceprobe, name) for name in traceprobe.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_dir_lists_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'traceroute'"):
        _ = traceprobe.traceroute  # type: ignore[attr-defined]
    assert not hasattr(traceprobe, "asyncio")


@pytest.mark.parametrize("name", sorted(set(traceprobe.__all__) - {"Event", "ProbeId", "__version__"}))
def test_a_public_name_is_found_where_it_says(name: str) -> None:
    value = getattr(traceprobe, name)
    assert value.__name__ == name
    assert pickle.loads(pickle.dumps(value)) is value
