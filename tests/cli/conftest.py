"""Runs the program inside the tests, in a network of their choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

import traceprobe
from traceprobe.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe import Enricher, SocketFactory


@attrs.frozen
class Outcome:
    """What a run of the program left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the program with a command line."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = main(arguments)
        output = capfd.readouterr()
        return Outcome(status, output.out, output.err)

    return run


@pytest.fixture
def use_network(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put another network in the place of the real one."""

    real = traceprobe.open_trace

    def use(network: SocketFactory, *, enrichers: tuple[Enricher, ...] = (), names: bool = False) -> None:
        resolver = getattr(network, "resolver", None) if names else None

        def open_trace(target: str, **options: Any) -> traceprobe.Trace:
            # Nobody but the network itself knows of its addresses.
            options |= {"socket_factory": network, "resolver": resolver, "enrichers": enrichers}
            options["enrichment"] = traceprobe.EnrichmentConfig.off()
            return real(target, **options)

        monkeypatch.setattr(traceprobe, "open_trace", open_trace)

    return use
