"""A receive buffer overflows in mid-trace: the count is the kernel's own, and the next trace is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside_overflow
from tests.rigs.namespaces import Namespace, NamespaceGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

TARGET = {4: "127.0.0.1", 6: "::1"}
QUERIES = 10
AT, DATAGRAMS = 4, 2000
OPTIONS = {"queries": QUERIES, "max_ttl": 1, "max_in_flight": 1, "tail_floor": 0.05, "receive_buffer": 8192}


@pytest.fixture(scope="module")
def alone() -> Iterator[Namespace]:
    """A machine without a network."""
    with NamespaceGroup("alone") as (namespace,):
        namespace.run(["ip", "link", "set", "lo", "up"])
        namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield namespace


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("mode", "protocol"),
    [
        ("linux_raw", "icmp"),
        ("linux_raw", "udp"),
        ("linux_raw", "tcp"),
        ("linux_ping", "icmp"),
        ("linux_udp", "udp"),
    ],
)
def test_what_found_no_room_is_counted_exactly(
    alone: Namespace, version: int, mode: str, protocol: str
) -> None:
    told = alone.call(
        inside_overflow.overflow,
        TARGET[version],
        {**OPTIONS, "mode": mode, "protocol": protocol},
        AT,
        DATAGRAMS,
    )
    first, second = told["documents"]
    dropped, dropped_later = told["kernel"]
    assert 0 < dropped < DATAGRAMS + QUERIES
    assert first["discarded"]["overflow"] == dropped
    # The reply that came while there was no room is missing, and nothing else is.
    (hop,) = first["hops"]
    assert hop["addresses"] == [TARGET[version]]
    assert [probe["status"] for probe in hop["probes"] if probe["attempt"] != AT + 1] == ["reply"] * (
        QUERIES - 1
    )
    read = sum(count for reason, count in first["discarded"].items() if reason != "overflow")
    assert DATAGRAMS <= read + dropped <= DATAGRAMS + QUERIES
    # What is over and done with is not told again.
    assert dropped_later == dropped
    assert "overflow" not in second["discarded"]
    assert [hop["received"] for hop in second["hops"]] == [QUERIES]
    for name in ("descriptors", "tasks", "threads", "objects"):
        assert told["after"][name] <= told["before"][name], name
