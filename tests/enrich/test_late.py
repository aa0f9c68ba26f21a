"""What looks up is loaded behind the first probes, unless that would make round trips look longer."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from traceprobe import EnrichmentConfig, TimestampSource, Tracer
from traceprobe.enrich import _libraries
from traceprobe.enrich._late import LateEnricher
from traceprobe.errors import UnsupportedOption
from traceprobe.model import Knowledge
from traceprobe.testing import SimulatedNetwork, _socket
from traceprobe.tracer import _tracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.enrich import Enricher

HOST = ip_address("192.0.2.1")


class Named:
    """A name service with a name for everything."""

    async def reverse(self, address: Any) -> str:
        return f"{address}.example"

    async def enrich(self, address: Any) -> Knowledge:
        return Knowledge(hostname=f"{address}.example")


async def test_it_is_made_once_for_all_who_ask_at_the_same_time() -> None:
    made: list[Named] = []

    async def make() -> Enricher:
        await anyio.lowlevel.checkpoint()
        made.append(Named())
        return made[-1]

    late = LateEnricher("named", make)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(late.enrich, HOST)
    assert late.name == "named"
    assert (await late.enrich(HOST)).hostname == "192.0.2.1.example"
    assert made == [await late.load()]


async def test_what_could_not_be_made_is_tried_again() -> None:
    attempts = 0

    async def make() -> Enricher:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise OSError("not yet")
        return Named()

    late = LateEnricher("named", make)
    with pytest.raises(OSError, match="not yet"):
        await late.enrich(HOST)
    assert (await late.enrich(HOST)).hostname == "192.0.2.1.example"


@pytest.mark.parametrize("read_by_the_process", [False, True])
async def test_it_is_loaded_before_the_first_probe_only_where_the_process_reads_the_clock(
    read_by_the_process: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    load, send = LateEnricher.load, _socket.SimulatedSocket.send_probes

    async def loading(self: LateEnricher) -> Enricher:
        happened.append("loaded")
        return await load(self)

    async def sending(self: _socket.SimulatedSocket, probes: Sequence[Any]) -> Any:
        happened.append("sent")
        return await send(self, probes)

    monkeypatch.setattr(LateEnricher, "load", loading)
    monkeypatch.setattr(_socket.SimulatedSocket, "send_probes", sending)
    if read_by_the_process:
        monkeypatch.setattr(_tracer, "_READ_BY_THE_PROCESS", {TimestampSource.SIMULATED})
    network = SimulatedNetwork.path("192.0.2.9", ["192.0.2.1", "192.0.2.9"])
    async with Tracer(
        socket_factory=network, resolver=Named(), enrichment=EnrichmentConfig.names()
    ) as tracer:
        result = await tracer.trace("192.0.2.9")
    assert result.hops[0].hostname == "192.0.2.1.example"
    assert happened[:2] == (["loaded", "sent"] if read_by_the_process else ["sent", "loaded"])


async def test_a_missing_library_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_libraries, "_installed", lambda _: False)
    enrichment = EnrichmentConfig(reverse_dns=True, dns_servers=("192.0.2.53",))
    async with Tracer(enrichment=enrichment) as tracer:
        with pytest.raises(UnsupportedOption, match="install"):
            await tracer.trace("127.0.0.1")
