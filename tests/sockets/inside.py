"""Functions that open sockets with few privileges, called through ``Namespace.call``."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio

from traceprobe.config import AddressFamily, TracerouteConfig
from traceprobe.errors import TraceprobeError
from traceprobe.model import Probe, make_probe_id
from traceprobe.sockets import ProbeSocketFactory

if TYPE_CHECKING:
    from traceprobe.model import Reply


def report() -> list[list[Any]]:
    """Mode, protocol, family, whether it is usable, reason and remedies of each way of probing."""
    return [
        [
            status.mode.value,
            status.protocol.value,
            status.family.value,
            status.usable,
            status.reason,
            list(status.remedies),
        ]
        for status in ProbeSocketFactory().report().statuses
    ]


async def refusal(version: int, options: dict[str, Any]) -> list[str]:
    """Class and text of the error that opening a socket raises."""
    config = TracerouteConfig().with_options(options)  # type: ignore[arg-type]
    try:
        opened = await ProbeSocketFactory().open(config, AddressFamily(version))
    except TraceprobeError as error:
        return [type(error).__name__, str(error)]
    await opened.aclose()
    return ["none", opened.capabilities.mode]


async def exchange(destination: str, count: int, options: dict[str, Any]) -> dict[str, Any]:
    """Send probes and wait for as many replies."""
    address = ip_address(destination)
    config = TracerouteConfig().with_options(options)  # type: ignore[arg-type]
    opened = await ProbeSocketFactory().open(config, AddressFamily(address.version))
    probes = [Probe(make_probe_id(1, index), address, 64, 1) for index in range(count)]
    reports = await opened.send_probes(probes)
    replies: list[Reply] = []
    with anyio.fail_after(60):
        while len(replies) < count:
            replies += await opened.receive()
    await opened.aclose()
    return {
        "mode": opened.capabilities.mode,
        "errors": [str(report.error) for report in reports if report.error is not None],
        "answered": sorted(reply.probe_id for reply in replies) == [probe.id for probe in probes],
        "kinds": sorted({reply.kind.value for reply in replies}),
        "stamps": sorted({reply.timestamp_source.value for reply in replies}),
    }
