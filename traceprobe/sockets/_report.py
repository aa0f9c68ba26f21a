"""Which ways of probing this machine and this process have, and what would open the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe._frozen import frozen
from traceprobe.sockets._modes import mode_line

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily, Mode, Protocol


@frozen
class ModeStatus:
    """Whether one way of probing can be used."""

    mode: Mode
    protocol: Protocol
    family: AddressFamily
    usable: bool
    reason: str | None = None
    """Why not; or what may keep answers from it though it can be used."""
    remedies: tuple[str, ...] = ()
    """What would help: commands for this machine, and options."""

    def __str__(self) -> str:
        """One line, such as ``linux_raw (icmp, IPv4): usable``."""
        return mode_line(self.mode, self.protocol, self.family, self.reason or "usable")


@frozen
class ModeReport:
    """Every way of probing that this platform has, best first."""

    statuses: tuple[ModeStatus, ...]

    @property
    def usable(self) -> tuple[ModeStatus, ...]:
        """Those that can be used."""
        return tuple(status for status in self.statuses if status.usable)

    def best(self, family: AddressFamily) -> ModeStatus | None:
        """The one that is used where none is asked for; None if there is none."""
        return next((status for status in self.usable if status.family is family), None)

    def __str__(self) -> str:
        """One line for each way of probing."""
        return "\n".join(str(status) for status in self.statuses)
