"""Fixtures for all tests: the event loops, and the rigs that hold a network in namespaces."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.require import missing_module, missing_netns, missing_program, missing_tun, require
from tests.rigs.under_wine import mend_trio, under_wine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rigs.chain import RouterChain
    from tests.rigs.tun import SimulatedInternet
    from tests.rigs.unprivileged import PortableInterpreter
    from traceprobe.enrich._dns import DnsClient
    from traceprobe.enrich._libraries import DnsSettings

if missing_module("hypothesis") is None:  # tests/bsd runs without it, on machines that have little
    import hypothesis

    # How long an example takes on a busy machine says nothing about the code.
    hypothesis.settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("unhurried")

if under_wine():
    import hypothesis

    # Windows is shown to work here; inputs are searched for where that is faster.
    hypothesis.settings.register_profile(
        "brief", hypothesis.settings.get_profile("unhurried"), max_examples=10
    )
    hypothesis.settings.load_profile("brief")
    if missing_module("trio") is None:
        mend_trio()

if sys.platform == "win32":
    # What can't even be imported there.
    collect_ignore = [
        *("bsd/test_opening.py", "bsd/test_sockets.py"),
        *("sockets/test_linux_tcp.py", "sockets/test_queue_vectors.py"),
    ]
    _LOOPS = [
        pytest.param(("asyncio", {"loop_factory": asyncio.ProactorEventLoop}), id="proactor"),
        pytest.param(("asyncio", {"loop_factory": asyncio.SelectorEventLoop}), id="selector"),
    ]
else:
    _LOOPS = [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ]


def _missing_unprivileged() -> str | None:
    if (reason := missing_netns()) is not None:
        return reason
    from tests.rigs.unprivileged import missing_unprivileged

    return missing_unprivileged()


def _missing_wine() -> str | None:
    if (reason := missing_netns()) is not None:
        return reason
    from tests.wine.setup import missing_wine

    return missing_program("nft") or missing_wine()


_MARKED: dict[str, Callable[[], str | None]] = {
    "netns": lambda: missing_netns() or missing_program("nft"),
    "tun": missing_tun,
    "unprivileged": _missing_unprivileged,
    "wine": _missing_wine,
}
"""Why the capability that a marker asks for is missing, None where it is there."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests by their markers before any fixture is built for them."""
    for name, missing in _MARKED.items():
        if item.get_closest_marker(name) is not None:
            require(name, missing())


@pytest.fixture(scope="session", autouse=True)
def _no_name_server_of_the_system() -> Iterator[None]:
    """Tests ask no name servers but those that they run themselves."""
    from traceprobe.enrich import _resolver

    real = _resolver.open_client

    async def open_client(settings: DnsSettings) -> DnsClient:
        assert settings.servers, "a test would ask the name servers of the system"
        return await real(settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_resolver, "open_client", open_client)
        yield


@pytest.fixture(scope="module", params=[*_LOOPS, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each asynchronous test on every event loop that traceprobe supports."""
    name, options = request.param
    if name == "trio":
        require("trio", missing_module("trio"))
    elif options.get("use_uvloop"):
        require("uvloop", missing_module("uvloop"))
    return name, dict(options)


@pytest.fixture(scope="module")
def chain() -> Iterator[RouterChain]:
    """Ten routers between a source and a target, without rate limits; shared by the tests of a module."""
    from tests.rigs.chain import RouterChain

    with RouterChain(10) as built:
        yield built


@pytest.fixture(scope="module")
def internet() -> Iterator[SimulatedInternet]:
    """The simulated internet, following an empty topology until another is loaded."""
    from tests.rigs.tun import SimulatedInternet
    from tests.rigs.tun.simulated import missing_internet
    from traceprobe.testing.topology import Topology

    require("tun", missing_internet())
    with SimulatedInternet(Topology()) as running:
        yield running


@pytest.fixture(scope="session")
def portable_interpreter() -> Iterator[PortableInterpreter]:
    """An interpreter with the package and the tests that anybody may run, whatever their privileges."""
    from tests.rigs.unprivileged import InterpreterCopy, missing_unprivileged

    require("unprivileged", missing_unprivileged())
    with InterpreterCopy() as interpreter:
        yield interpreter
