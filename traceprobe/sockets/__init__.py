"""Ways of probing: each turns probes into packets of this machine, and packets back into replies.

One module for each way, one factory that chooses among them, and the protocol that they all keep, which
users can keep too. Knows nothing of strategy and enrichment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe._late import import_when_asked
from traceprobe.sockets.factory import ProbeSocketFactory, SocketKey
from traceprobe.sockets.protocol import AsyncProbeSocket, SocketCapabilities, SocketFactory

if TYPE_CHECKING:
    from traceprobe.sockets._report import ModeReport as ModeReport
    from traceprobe.sockets._report import ModeStatus as ModeStatus
    from traceprobe.sockets.helpers import SendAndReceive as SendAndReceive

_LATE: Final = {
    "ModeReport": "traceprobe.sockets._report",
    "ModeStatus": "traceprobe.sockets._report",
    "SendAndReceive": "traceprobe.sockets.helpers",
}
"""What a trace hardly ever needs, and where it is: imported when somebody asks for it."""

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

if not TYPE_CHECKING:
    __getattr__ = import_when_asked(__name__, _LATE)
