"""What would help on this Linux machine: commands that can be pasted, exact for this very process.

Never ``setcap`` on the interpreter: that would give the privilege to every Python program of every user.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

_PING_GROUP_RANGE: Final = Path("/proc/sys/net/ipv4/ping_group_range")
_OWN_STATUS: Final = Path("/proc/self/status")
_CAP_NET_ADMIN: Final = 12
"""Number of the capability (capabilities(7), linux/capability.h)."""
_LAST_GROUP: Final = 2**32 - 2
_LONGEST_COMMAND: Final = 300


def capability_remedies(*capabilities: str) -> tuple[str, ...]:
    """Run this program once more, as the same user, with some capabilities of its own.

    Args:
        *capabilities: Names as setpriv(1) knows them, such as ``net_raw``.
    """
    if shutil.which("setpriv") is None:
        wanted = ", ".join(f"CAP_{capability.upper()}" for capability in capabilities)
        return (f"give the process {wanted} as an ambient capability (capabilities(7))",)
    wanted = ",".join(f"+{capability}" for capability in capabilities)
    groups = ",".join(str(group) for group in os.getgroups())
    identity = f"--reuid={os.getuid()} --regid={os.getgid()} "
    identity += f"--groups={groups}" if groups else "--clear-groups"
    return (_as_root(f"setpriv {identity} --inh-caps={wanted} --ambient-caps={wanted} {_this_program()}"),)


def ping_remedies() -> tuple[str, ...]:
    """Open ping sockets to the group of this process, and to whom they are open already."""
    group = os.getegid()
    first, last = ping_group_range() or (1, 0)
    if first > last:
        first = last = group
    else:
        first, last = min(first, group), max(last, group)
    command = f'sysctl -w net.ipv4.ping_group_range="{first} {last}"'
    return (command if _may_write_network_settings() else _as_root(command),)


def ping_group_range() -> tuple[int, int] | None:
    """The groups that may open ping sockets; None where the kernel doesn't say (icmp(7))."""
    try:
        first, last = _PING_GROUP_RANGE.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(first), min(int(last), _LAST_GROUP)


def _may_write_network_settings() -> bool:
    """Whether this very process could set a parameter of its network namespace (sysctl(8))."""
    if not os.access(_PING_GROUP_RANGE, os.W_OK):
        return False
    try:
        status = _OWN_STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_NET_ADMIN & 1)


def _as_root(command: str) -> str:
    if os.geteuid() == 0:
        # Root without the capability: a container, or one that has dropped it.
        return f"from outside this container or sandbox: {command}"
    return f"sudo {command}" if shutil.which("sudo") is not None else f"as root: {command}"


def _this_program() -> str:
    command = shlex.join([sys.executable, *sys.orig_argv[1:]])
    if len(command) <= _LONGEST_COMMAND and command.isprintable():
        return command
    return f"{shlex.quote(sys.executable)} ..."
