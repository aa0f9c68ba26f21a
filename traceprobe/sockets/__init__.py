"""Ways of probing: each turns probes into packets of this machine, and packets back into replies.

One module for each way, one factory that chooses among them, and the protocol that they all keep, which
users can keep too. Knows nothing of strategy and enrichment.
"""

from traceprobe.sockets._report import ModeReport, ModeStatus
from traceprobe.sockets.factory import ProbeSocketFactory, SocketKey
from traceprobe.sockets.helpers import SendAndReceive
from traceprobe.sockets.protocol import AsyncProbeSocket, SocketCapabilities, SocketFactory

__all__ = [
    "AsyncProbeSocket",
    "ModeReport",
    "ModeStatus",
    "ProbeSocketFactory",
    "SendAndReceive",
    "SocketCapabilities",
    "SocketFactory",
    "SocketKey",
]
