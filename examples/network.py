"""Where the examples trace to: a network in memory, or the real one for targets that are named."""

from __future__ import annotations

import sys

from traceprobe.testing import Fault, Router, SimulatedNetwork, Target

SIMULATED = ("www.example.net", "db.example.net", "far.example.org")


def choose() -> tuple[tuple[str, ...], SimulatedNetwork | None]:
    """The targets on the command line and None, for the real network; else those of the simulated one."""
    targets = tuple(sys.argv[1:])
    return (targets, None) if targets else (SIMULATED, simulated_network())


def simulated_network() -> SimulatedNetwork:
    """Three paths with a common beginning; one hop is silent, one router loses and one answers late."""
    home = Router("192.0.2.1", rtt=0.0006, hostname="gateway.example")
    provider = Router("198.51.100.1", rtt=0.0051, jitter=0.001, hostname="edge.provider.example")
    slow = Router("198.51.100.9", rtt=0.0089, loss=0.3, faults=Fault("late", share=0.3, delay=0.05))
    return SimulatedNetwork.paths(
        {
            "203.0.113.80": [home, provider, None, Target("203.0.113.80", rtt=0.0123)],
            "203.0.113.54": [home, provider, slow, Target("203.0.113.54", rtt=0.0131)],
            "203.0.113.99": [home, provider, slow, "198.51.100.77", Target("203.0.113.99", rtt=0.0994)],
        },
        names=dict(zip(SIMULATED, ("203.0.113.80", "203.0.113.54", "203.0.113.99"), strict=True)),
        seed=4,
    )
