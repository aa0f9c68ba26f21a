"""An internet to look at: what ``traceprobe demo`` traces through, with nothing real in it.

All addresses are documentation addresses (RFC 5737, RFC 3849), all names reserved ones (RFC 2606, RFC
6761). A home, its provider, a carrier across an ocean, and a data centre.
"""

from __future__ import annotations

import attrs

from traceprobe.model import InterfaceInformation, InterfaceRole
from traceprobe.testing.network import SimulatedNetwork
from traceprobe.testing.topology import Balanced, Path, RateLimit, Router, Target, Topology

__all__ = ["demo_network", "demo_topology"]


def demo_topology() -> Topology:
    """Paths to ``example.com`` over IPv4 and IPv6, and to two targets that can't be reached.

    ``unreachable.example`` is refused by a router, ``silent.example`` lies in a black hole.
    """
    home = Router(["192.0.2.1", "2001:db8::1"], rtt=0.0006, jitter=0.0004, hostname="gateway.home.example")
    access = Router(
        ["198.51.100.1", "2001:db8:100::1"],
        rtt=0.0071,
        jitter=0.0016,
        hostname="access7.riverside.isp.example",
    )
    metro = Router(
        ["198.51.100.22", "2001:db8:100::22"],
        rtt=0.0079,
        jitter=0.0007,
        hostname="agg2.riverside.isp.example",
    )
    core = Router(
        ["198.51.100.65", "2001:db8:100::65"],
        rtt=0.0093,
        jitter=0.0003,
        hostname="core1.harbour.isp.example",
    )
    hidden = Router(silent=True, rtt=0.0098)
    bundle = Balanced(
        [
            [
                Router(
                    ["198.51.100.130", "2001:db8:200::130"],
                    rtt=0.0127,
                    jitter=0.0002,
                    hostname="be10.cr1.harbour.carrier.example",
                )
            ],
            [
                Router(
                    ["198.51.100.134", "2001:db8:200::134"],
                    rtt=0.0131,
                    jitter=0.0002,
                    hostname="be20.cr2.harbour.carrier.example",
                )
            ],
        ],
        per="packet",
    )
    cable = Router(
        ["198.51.100.141", "2001:db8:200::141"],
        rtt=0.0142,
        jitter=0.0003,
        hostname="cr1.westcoast.carrier.example",
        mpls=[24017, 16],
    )
    landing = Router(
        ["203.0.113.1", "2001:db8:200::201"],
        rtt=0.0836,
        jitter=0.0004,
        hostname="cr4.eastcoast.carrier.example",
        mpls=[16],
    )
    busy = Router(
        ["203.0.113.9", "2001:db8:200::209"],
        rtt=0.0841,
        jitter=0.0060,
        loss=0.34,
        hostname="edge3.eastcoast.carrier.example",
    )
    exchange = Router(
        ["203.0.113.66", "2001:db8:300::66"],
        rtt=0.0848,
        jitter=0.0003,
        hostname="peering.exchange.example",
        rate_limit=RateLimit(10.0, 30),
    )
    spine = Router(
        ["203.0.113.130", "2001:db8:300::130"],
        rtt=0.0855,
        jitter=0.0002,
        hostname="spine2.datacentre.example",
        interfaces=[InterfaceInformation(InterfaceRole.INCOMING, 49, name="Ethernet49/1", mtu=9214)],
    )
    server = Target(["203.0.113.200", "2001:db8:300::200"], rtt=0.0858, jitter=0.0002, hostname="example.com")
    way_out = [home, access, metro, core]
    return Topology(
        paths=[
            Path(server, [*way_out, hidden, bundle, cable, landing, busy, exchange, spine]),
            Path(
                Target(["198.51.100.250", "2001:db8:100::250"]),
                [home, access, metro, attrs.evolve(core, refuses="host")],
            ),
            Path(Target(["203.0.113.250", "2001:db8:300::250"], silent=True), [*way_out, hidden]),
        ],
        names={
            "example.com": ["203.0.113.200", "2001:db8:300::200"],
            "unreachable.example": ["198.51.100.250", "2001:db8:100::250"],
            "silent.example": ["203.0.113.250", "2001:db8:300::250"],
        },
    )


def demo_network(*, seed: int = 2) -> SimulatedNetwork:
    """A network of :func:`demo_topology`; its name service takes its time, but knows everybody.

    Args:
        seed: Where chance begins: identifiers, jitter, loss.
    """
    return SimulatedNetwork(demo_topology(), seed=seed, resolver_delay=0.018)
