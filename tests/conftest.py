"""Fixtures for all tests: the event loops, and the rigs that hold a network in namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rigs.require import missing_module, require


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each asynchronous test on every event loop that traceprobe supports."""
    name, options = request.param
    if name == "trio":
        require("trio", missing_module("trio"))
    elif options["use_uvloop"]:
        require("uvloop", missing_module("uvloop"))
    return name, dict(options)
