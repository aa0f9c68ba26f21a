"""Raw sockets of FreeBSD, NetBSD, OpenBSD, DragonFly, and of macOS as root: ICMP, UDP and TCP probes.

One raw ICMP socket hears all errors; for ICMP it sends too. UDP probes leave by a raw UDP socket, so that
their checksum can be their identifier, from a port that an ordinary UDP socket holds. TCP probes are
connections that are only begun, since raw sockets of these systems never hear TCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.config import Mode
from traceprobe.sockets.bsd._kernel import HostKernel
from traceprobe.sockets.bsd._open import open_bsd_socket
from traceprobe.sockets.bsd._systems import SYSTEMS

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily, Protocol, TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.sockets._built_in import BuiltInSocket


def open_bsd_raw(
    name: str, config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    """Open the sockets of this mode on the system that this process runs on.

    Args:
        name: Name of the system, as in the tables.
        config: The configuration that they honour.
        family: Address family.
        protocol: What the probes are made of.
        clock: Times replies.

    Raises:
        AbiError: The system is not laid out as its table says.
        PrivilegeError: The process must not open raw sockets.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    system = SYSTEMS[name]
    kernel = HostKernel(name, batches=system.batches)
    return open_bsd_socket(kernel, system, Mode.BSD_RAW, config, family, protocol, clock)
