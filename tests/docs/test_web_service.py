"""The web service of the examples streams, refuses in words, and ends a trace whose client has left."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.house.package import ROOT
from traceprobe.testing import SimulatedNetwork

if TYPE_CHECKING:
    from types import ModuleType

NETWORK_HOPS = ["198.51.100.1", None, "198.51.100.3", "192.0.2.9"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    spec = importlib.util.spec_from_file_location("web_service", ROOT / "examples" / "web_service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delitem(sys.modules, "network")
    return module


class Client:
    """Speaks ASGI to an application: one request, and every message of the answer as it comes."""

    def __init__(
        self, app: Any, query: bytes, state: dict[str, Any], *, leaves_after: int | None = None
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self._app = app
        self._leaves_after = leaves_after
        self._left = anyio.Event()
        self._asked = False
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": "/trace",
            "raw_path": b"/trace",
            "root_path": "",
            "query_string": query,
            "headers": [],
            "state": state,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }

    async def ask(self) -> None:
        await self._app(self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if self._leaves_after is not None and len(self.messages) == self._leaves_after:
            self._left.set()
            await anyio.sleep_forever()  # a client that left takes nothing more


async def asked(
    service: ModuleType, query: bytes, network: SimulatedNetwork, *, leaves_after: int | None = None
) -> list[dict[str, Any]]:
    app = service.make_app(network)
    async with app.router.lifespan_context(app) as state:
        client = Client(app, query, state, leaves_after=leaves_after)
        await client.ask()
    assert network.open_sockets == 0
    return client.messages


async def test_each_hop_is_a_message_of_its_own(service: ModuleType) -> None:
    network = SimulatedNetwork.path("192.0.2.9", NETWORK_HOPS)
    start, *bodies, end = await asked(service, b"target=192.0.2.9", network)
    assert start["status"] == 200
    lines = [json.loads(body["body"]) for body in bodies]
    assert [line["address"] for line in lines] == NETWORK_HOPS
    assert all(body["more_body"] for body in bodies)
    assert end["body"] == b""


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [(b"target=nowhere.example", 404, "nowhere.example"), (b"", 400, "target=''")],
)
async def test_what_cannot_be_traced_is_refused_in_words(
    service: ModuleType, query: bytes, status: int, words: str
) -> None:
    network = SimulatedNetwork.path("192.0.2.9", NETWORK_HOPS)
    start, body = await asked(service, query, network)
    assert start["status"] == status
    assert words in body["body"].decode()


async def test_a_client_that_leaves_ends_the_trace(service: ModuleType) -> None:
    network = SimulatedNetwork.path("192.0.2.9", NETWORK_HOPS)
    messages = await asked(service, b"target=192.0.2.9", network, leaves_after=2)
    assert len(messages) == 2
