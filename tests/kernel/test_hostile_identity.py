"""What identifies probes begins at random on every socket, and is in every packet that has room for it."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside
from tests.kernel.hostile import HOPS, ROUTERS, TARGETS
from tests.rigs.capture import Capture
from tests.rigs.tun import Manner
from tests.rigs.tun.simulated import DEVICE
from traceprobe.config import AddressFamily, TracerouteConfig
from traceprobe.errors import ConfigError
from traceprobe.sockets.linux import ping
from traceprobe.testing.topology import Path, Target, Topology

if TYPE_CHECKING:
    from tests.rigs.tun import SimulatedInternet

pytestmark = pytest.mark.tun

MODES = [
    ("linux_raw", "icmp"),
    ("linux_ping", "icmp"),
    ("linux_raw", "udp"),
    ("linux_udp", "udp"),
    ("linux_raw", "tcp"),
    ("linux_tcp", "tcp"),
]
every_mode = pytest.mark.parametrize(("mode", "protocol"), MODES)
both_versions = pytest.mark.parametrize("version", [4, 6])
_TOKEN = 12


@pytest.fixture(autouse=True)
def _plain_network(internet: SimulatedInternet) -> None:
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    paths = [
        Path(Target(TARGETS[version].format(1)), [ROUTERS[version].format(hop) for hop in range(1, HOPS)])
        for version in (4, 6)
    ]
    tcp = Manner(tcp={80: "open"})
    internet.load(Topology(paths=paths), manners={TARGETS[version].format(1): tcp for version in (4, 6)})


@both_versions
@every_mode
def test_identifiers_and_ports_begin_at_random_on_each_socket(
    internet: SimulatedInternet, mode: str, protocol: str, version: int
) -> None:
    options = {"mode": mode, "protocol": protocol, "queries": 1, "max_ttl": HOPS}
    firsts = []
    for _ in range(6):
        internet.reset()
        internet.call(inside.trace, TARGETS[version].format(1), options, backend="asyncio")
        firsts.append(internet.log().probes[0].identifier)
    # One step in thousands is small by chance.
    small = sum(abs(second - first) < 8 for first, second in pairwise(firsts))
    assert small <= 1, firsts


@both_versions
@every_mode
def test_numbers_do_not_run_in_a_guessable_order(
    internet: SimulatedInternet, mode: str, protocol: str, version: int
) -> None:
    options = {"mode": mode, "protocol": protocol, "queries": 3, "max_ttl": 12}
    internet.call(inside.trace, TARGETS[version].format(1), options, backend="asyncio")
    probes = sorted(internet.log().probes, key=lambda probe: probe.number)

    def number_of(probe: Any) -> int:
        if protocol == "tcp":
            return int(probe.segment)
        if protocol == "icmp":
            return int(probe.sequence)
        return int(probe.checksum if mode == "linux_raw" else probe.sequence)

    numbers = [number_of(probe) for probe in probes]
    assert len(set(numbers)) == len(numbers) >= 15
    steps = [second - first for first, second in pairwise(numbers)]
    assert max(steps.count(step) for step in set(steps)) <= len(steps) / 3, numbers


@both_versions
@pytest.mark.parametrize(("mode", "protocol"), [one for one in MODES if one[1] != "tcp"])
@pytest.mark.parametrize("room", [22, 14, 9, 4])
def test_every_probe_carries_as_much_of_a_token_as_it_has_room_for(
    internet: SimulatedInternet, mode: str, protocol: str, version: int, room: int
) -> None:
    header = 20 if version == 4 else 40
    options = {"mode": mode, "protocol": protocol, "queries": 2, "max_ttl": HOPS}
    payloads: list[bytes] = []
    for _ in range(2):
        with Capture(internet.namespace, DEVICE) as capture:
            document = internet.call(
                inside.trace_with_pattern,
                TARGETS[version].format(1),
                options,
                "00",
                header + 8 + room,
                backend="asyncio",
            )
            assert document["reached"]
            assert [hop["received"] for hop in document["hops"]] == [2] * HOPS
            frames = [frame.datagram for frame in capture.frames() if frame.outgoing]
        payloads.append(next(one[header + 8 :] for one in frames if len(one) == header + 8 + room))
    # Behind the first word, which is the probe's own: nothing of one socket's is in another's.
    first, second = (payload[2 : 2 + _TOKEN] for payload in payloads)
    assert len(first) == min(room - 2, _TOKEN)
    assert first != second
    assert any(first)
    assert any(second)


def test_where_others_hold_the_identifiers_that_are_drawn_the_kernel_chooses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def bind(opened: object, family: object, config: object, identifier: int = 0) -> int:
        del opened, family, config
        asked.append(identifier)
        if identifier:
            raise ConfigError("source_port", identifier, "a port that no other socket has taken")
        return 4711

    monkeypatch.setattr("traceprobe.sockets.linux._options.bind", bind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        found = ping._bind_by_chance(unused, AddressFamily.IPV4, TracerouteConfig())
    assert found == 4711
    assert asked[-1] == 0
    assert len(set(asked)) > 2
