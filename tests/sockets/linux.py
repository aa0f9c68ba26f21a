"""What the tests of the Linux sockets share: the modes, probes, and how to wait for replies."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.sockets.network import SILENT4, SILENT6
from traceprobe.config import AddressFamily, Mode, Protocol, TracerouteConfig
from traceprobe.model import Probe, Reply, make_probe_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe.sockets import AsyncProbeSocket, ProbeSocketFactory

MODES = [
    (Mode.LINUX_RAW, Protocol.ICMP),
    (Mode.LINUX_RAW, Protocol.UDP),
    (Mode.LINUX_PING, Protocol.ICMP),
    (Mode.LINUX_UDP, Protocol.UDP),
    (Mode.LINUX_RAW, Protocol.TCP),
]
"""Those that send datagrams; a connection for each probe is another matter."""
ALL_MODES = [*MODES, (Mode.LINUX_TCP, Protocol.TCP)]
MODE_IDS = [f"{mode.value}-{protocol.value}" for mode, protocol in MODES]
every_mode = pytest.mark.parametrize(("mode", "protocol"), MODES, ids=MODE_IDS)
all_modes = pytest.mark.parametrize(
    ("mode", "protocol"), ALL_MODES, ids=[f"{mode.value}-{protocol.value}" for mode, protocol in ALL_MODES]
)
both_versions = pytest.mark.parametrize("version", [4, 6])

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
SILENT = {4: SILENT4, 6: SILENT6}
NO_ROUTE = {4: "203.0.113.200", 6: "2001:db8:ffff::1"}
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
ECHO_REPLY = {4: (0, 0), 6: (129, 0)}


def config(mode: Mode, protocol: Protocol, **options: object) -> TracerouteConfig:
    return TracerouteConfig(mode=mode, protocol=protocol).with_options(options)  # type: ignore[arg-type]


async def open_socket(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int, **options: object
) -> AsyncProbeSocket:
    return await factory.open(config(mode, protocol, **options), AddressFamily(version))


def probes_to(destination: str, count: int, *, trace: int = 1, **fields: int) -> list[Probe]:
    address = ip_address(destination)
    return [
        Probe(
            make_probe_id(trace, index),
            address,
            ttl=1 + index % 200,
            attempt=1,
            flow=fields.get("flow", 0),
            size=fields.get("size"),
            port=fields.get("port"),
        )
        for index in range(count)
    ]


async def collect(opened: AsyncProbeSocket, count: int) -> list[Reply]:
    """Receive until so many replies have come; a broken test hangs for a minute."""
    replies: list[Reply] = []
    with anyio.fail_after(60):
        while len(replies) < count:
            replies += await opened.receive()
    return replies


def reply_of(replies: Sequence[Reply]) -> Reply:
    (reply,) = replies
    return reply


def descriptors() -> int:
    """How many descriptors the process has open."""
    return len(os.listdir("/proc/self/fd"))
