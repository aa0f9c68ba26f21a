"""The pipeline by itself: what a request costs whoever makes it, and who gets which answer."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio

from traceprobe import EnrichmentError, Knowledge
from traceprobe.enrich import EnrichmentPipeline
from traceprobe.enrich._flights import Flights

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe import Enricher
    from traceprobe.enrich._pipeline import Subscriber

ADDRESSES = [ip_address(f"192.0.2.{last}") for last in range(1, 9)]


class Told:
    """Writes down what happens, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.go = anyio.Event()

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        self.events.append(f"asked {address}")
        await self.go.wait()
        return Knowledge(hostname=str(address))

    def subscriber(self, name: str) -> Subscriber:
        def take(address: IPv4Address | IPv6Address, _: Enricher, knowledge: Knowledge) -> None:
            self.events.append(f"{name} learns {knowledge.hostname} of {address}")

        return take


async def test_a_request_is_only_put_down() -> None:
    told = Told()
    async with anyio.create_task_group() as tasks:
        pipeline = EnrichmentPipeline(tasks, 10)
        for address in ADDRESSES:
            pipeline.request(address, [told], told.subscriber("trace"))
        assert told.events == []
        told.go.set()
    assert len(told.events) == 2 * len(ADDRESSES)


async def test_who_waits_for_replies_goes_first(anyio_backend_name: str) -> None:
    told = Told()
    replies = anyio.Event()

    async def reader() -> None:
        await replies.wait()
        told.events.append("reader")

    async with anyio.create_task_group() as tasks:
        pipeline = EnrichmentPipeline(tasks, 10)
        tasks.start_soon(reader)
        await anyio.wait_all_tasks_blocked()
        # As a receiver does it: requests first, then the readers are woken.
        pipeline.request(ADDRESSES[0], [told], told.subscriber("trace"))
        replies.set()
        await anyio.wait_all_tasks_blocked()
        told.go.set()
    assert set(told.events[:2]) == {"reader", f"asked {ADDRESSES[0]}"}
    if anyio_backend_name == "asyncio":  # trio runs what is ready in random order
        assert told.events[0] == "reader"


async def test_two_who_ask_about_one_address_get_one_answer() -> None:
    told = Told()
    async with anyio.create_task_group() as tasks:
        pipeline = EnrichmentPipeline(tasks, 10)
        pipeline.request(ADDRESSES[0], [told], told.subscriber("first"))
        await anyio.wait_all_tasks_blocked()
        pipeline.request(ADDRESSES[0], [told], told.subscriber("second"))
        await anyio.wait_all_tasks_blocked()
        told.go.set()
        await anyio.wait_all_tasks_blocked()
        pipeline.request(ADDRESSES[0], [told], told.subscriber("third"))
    learnt = f"learns {ADDRESSES[0]} of {ADDRESSES[0]}"
    assert told.events == [
        f"asked {ADDRESSES[0]}",
        f"first {learnt}",
        f"second {learnt}",
        f"asked {ADDRESSES[0]}",
        f"third {learnt}",
    ]


async def test_those_in_line_are_asked_in_their_order() -> None:
    told = Told()
    async with anyio.create_task_group() as tasks:
        pipeline = EnrichmentPipeline(tasks, 1)
        for address in ADDRESSES:
            pipeline.request(address, [told], told.subscriber("trace"))
        await anyio.wait_all_tasks_blocked()
        assert told.events == [f"asked {ADDRESSES[0]}"]
        told.go.set()
    asked = [event for event in told.events if event.startswith("asked")]
    assert asked == [f"asked {address}" for address in ADDRESSES]


async def test_every_subscriber_hears_of_every_enricher_whatever_comes_of_it() -> None:
    class Fails:
        name = "fails"

        async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
            raise TimeoutError

    heard: list[tuple[str, Knowledge]] = []
    fails, told = Fails(), Told()
    told.go.set()
    async with anyio.create_task_group() as tasks:
        pipeline = EnrichmentPipeline(tasks, 10)
        pipeline.request(
            ADDRESSES[0], [fails, told], lambda _, who, what: heard.append((type(who).__name__, what))
        )
    assert sorted(heard, key=lambda pair: pair[0]) == [
        ("Fails", Knowledge(errors=(EnrichmentError("fails", "TimeoutError"),))),
        ("Told", Knowledge(hostname=str(ADDRESSES[0]))),
    ]


async def test_a_shared_failure_is_an_error_of_its_own_for_each() -> None:
    flights: Flights[str, int] = Flights()
    caught: list[OSError] = []
    go = anyio.Event()

    async def ask() -> int:
        await go.wait()
        raise ConnectionRefusedError(111, "refused")

    async def share() -> None:
        try:
            await flights.share("key", ask)
        except OSError as error:
            caught.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(share)
        await anyio.wait_all_tasks_blocked()
        go.set()
    assert [(type(error), error.errno) for error in caught] == [(ConnectionRefusedError, 111)] * 3
    assert len({id(error) for error in caught}) == 3
