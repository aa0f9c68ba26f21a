"""For test suites of programs that use traceprobe: an internet in memory, and a check for probe sockets.

A test in three lines, without privileges, packets or waiting::

    network = SimulatedNetwork.path("192.0.2.9", ["198.51.100.1", None, "192.0.2.9"])
    result = traceprobe.trace("192.0.2.9", socket_factory=network)
    assert result.reached

What else a network can do is in :mod:`traceprobe.testing.topology`. Nothing in traceprobe imports this
package but ``traceprobe demo``.
"""

from traceprobe.testing.clock import VirtualAlarm, VirtualClock
from traceprobe.testing.conformance import check_probe_socket
from traceprobe.testing.demo import demo_network
from traceprobe.testing.network import PacketRecord, SimulatedNetwork, SimulatedResolver
from traceprobe.testing.topology import (
    Balanced,
    Balancing,
    Fault,
    FaultKind,
    Loop,
    Path,
    RateLimit,
    RouteChange,
    Router,
    Target,
    TcpAnswer,
    Topology,
    UdpAnswer,
    Unreachability,
)

__all__ = [
    "Balanced",
    "Balancing",
    "Fault",
    "FaultKind",
    "Loop",
    "PacketRecord",
    "Path",
    "RateLimit",
    "RouteChange",
    "Router",
    "SimulatedNetwork",
    "SimulatedResolver",
    "Target",
    "TcpAnswer",
    "Topology",
    "UdpAnswer",
    "Unreachability",
    "VirtualAlarm",
    "VirtualClock",
    "check_probe_socket",
    "demo_network",
]
