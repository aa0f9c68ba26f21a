"""What would help on a BSD or on macOS: commands that can be pasted, exact for this very process.

None of these systems can give one program the privilege for raw sockets, as capabilities do on Linux; it
takes root, and a jail of FreeBSD must be allowed to have them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Final

from traceprobe.config import Mode

if TYPE_CHECKING:
    from traceprobe.sockets.bsd._systems import BsdSystem

_LONGEST_COMMAND: Final = 300


def raw_remedies(system: BsdSystem) -> tuple[str, ...]:
    """How this program could open raw sockets, and what works without them."""
    remedies = [_run_as_root(system)]
    if system.dgram_icmp:
        remedies.append(f"choose mode {Mode.DARWIN_DGRAM.value!r}, which needs no privileges")
    return tuple(remedies)


def low_port_remedies(system: BsdSystem) -> tuple[str, ...]:
    """How this program could bind to a reserved port."""
    remedies = ["choose a source port of 1024 or more", _run_as_root(system)]
    if system.low_ports_sysctl is not None and os.geteuid() != 0:
        remedies.append(f"as root: sysctl {system.low_ports_sysctl}=0")
    return tuple(remedies)


def _run_as_root(system: BsdSystem) -> str:
    if os.geteuid() == 0:
        return system.root_remedy
    command = _this_program()
    for helper in ("doas", "sudo"):
        if shutil.which(helper) is not None:
            return f"{helper} {command}"
    return f"su root -c {shlex.quote(command)}"


def _this_program() -> str:
    command = shlex.join([sys.executable, *sys.orig_argv[1:]])
    if len(command) <= _LONGEST_COMMAND and command.isprintable():
        return command
    return f"{shlex.quote(sys.executable)} ..."
