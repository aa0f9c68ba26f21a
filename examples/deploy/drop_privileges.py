"""Open raw sockets first, then give every privilege up for good, and go on tracing with what is open.

Run it as root, or with CAP_NET_RAW as an ambient capability:

    sudo python drop_privileges.py www.example.net

Linux only. Whatever is imported after the drop must be readable for the user that remains.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import sys
from pathlib import Path

import traceprobe

LIBC = ctypes.CDLL(None, use_errno=True)

# linux/prctl.h, linux/capability.h
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
CAPABILITY_VERSION_3 = 0x20080522


def check(result: int) -> None:
    """Raise what a function of the C library reports."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def give_up_privileges(user: str = "nobody") -> None:
    """Become another user, if this is root, and keep no capability: prctl(2), capabilities(7).

    Capabilities belong to threads, so that there must be only one yet.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"there are {threads} threads, and each has capabilities of its own")
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    check(LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(LIBC.capset(header, (ctypes.c_uint32 * 6)()))  # effective, permitted, inheritable: none


def show_privileges() -> None:
    """What the kernel says of this process: proc(5)."""
    shown = ("Uid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "NoNewPrivs:")
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(shown):
            print(line)


async def main(targets: list[str]) -> None:
    """Trace all targets, without any privilege."""
    async with traceprobe.Tracer(mode="linux_raw", protocol="icmp") as tracer:
        for own in ("127.0.0.1", "::1"):
            try:
                await tracer.trace(own)  # which opens the socket of its family; nothing leaves the machine
            except traceprobe.TraceprobeError as error:
                print(f"not open: {error}", file=sys.stderr)
        give_up_privileges()
        show_privileges()
        for target in targets:
            result = await tracer.trace(target)
            print(result, "by", result.mode)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
