"""A web service that streams the hops of a trace as lines of JSON, each one as soon as it is known.

``python examples/web_service.py [TARGET]`` asks itself, without a server. With one:
``uvicorn web_service:app``, and then ``curl --no-buffer 'http://localhost:8000/trace?target=example.com'``.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import anyio
from network import choose
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import traceprobe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send


class HopStream:
    """Answers ``GET /trace?target=NAME``. The trace lives within the request, and ends with it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        tracer: traceprobe.Tracer = request.state.tracer
        trace = tracer.open_trace(request.query_params.get("target", ""))
        async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
            tasks.start_soon(self._end_when_the_client_leaves, receive, tasks.cancel_scope)
            try:
                await stack.enter_async_context(trace)
            except traceprobe.TraceprobeError as error:
                status = 404 if isinstance(error, traceprobe.NameResolutionError) else 400
                await PlainTextResponse(f"{error}\n", status)(scope, receive, send)
            else:
                await self._stream(trace, send)
            tasks.cancel_scope.cancel()

    async def _stream(self, trace: traceprobe.Trace, send: Send) -> None:
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for hop in trace.in_order():
            line = json.dumps({"ttl": hop.ttl, "address": str(hop.address or "") or None, "rtt": hop.rtt})
            await send({"type": "http.response.body", "body": f"{line}\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _end_when_the_client_leaves(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


def make_app(network: traceprobe.SocketFactory | None = None) -> Starlette:
    """The service: one tracer, whose sockets all requests share, for as long as it runs."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
        async with traceprobe.Tracer(socket_factory=network, max_ttl=20) as tracer:
            yield {"tracer": tracer}

    return Starlette(routes=[Route("/trace", HopStream())], lifespan=lifespan)


app = make_app()

if __name__ == "__main__":
    from starlette.testclient import TestClient

    targets, network = choose()
    with TestClient(make_app(network)) as client:
        answer = client.get("/trace?" + urlencode({"target": targets[0]}))
    print(answer.status_code, answer.headers["content-type"])
    print(answer.text, end="")
