"""macOS without privileges: ICMP and ICMPv6 by datagram sockets, UDP and TCP by ordinary ones.

The datagram ICMP socket may send echo requests only and knows few options, but it hears every ICMP message
that the machine receives, errors about UDP and TCP probes and other programs' packets among them. The kernel
neither chooses the identifier nor sorts replies by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.config import Mode
from traceprobe.sockets.bsd._kernel import HostKernel
from traceprobe.sockets.bsd._open import open_bsd_socket
from traceprobe.sockets.bsd._systems import DARWIN

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily, Protocol, TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.sockets._built_in import BuiltInSocket


def open_darwin_dgram(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> BuiltInSocket:
    """Open the sockets of this mode.

    Raises:
        AbiError: The system is not laid out as its table says.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    kernel = HostKernel(DARWIN.name, batches=DARWIN.batches)
    return open_bsd_socket(kernel, DARWIN, Mode.DARWIN_DGRAM, config, family, protocol, clock)
