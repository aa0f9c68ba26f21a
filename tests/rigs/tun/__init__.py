"""A simulated internet behind a TUN device: hundreds of hops and targets, exact delays, a log of the truth.

The program (``internet.c`` and what it includes) answers the probes that the kernel of one namespace
sends; ``scenario`` writes topologies down for it, ``manners`` what else its answers hold, ``log`` reads
what it saw, ``simulated`` runs it.
"""

from tests.rigs.tun.log import Log, Outcome, ProbeRecord, ReplyRecord
from tests.rigs.tun.manners import Interface, Manner, Translation
from tests.rigs.tun.simulated import SimulatedInternet

__all__ = [
    "Interface",
    "Log",
    "Manner",
    "Outcome",
    "ProbeRecord",
    "ReplyRecord",
    "SimulatedInternet",
    "Translation",
]
