"""What a test needs of the machine: skipped with a reason where missing, failed where it must not be.

The environment variable ``TRACEPROBE_REQUIRE`` holds a comma-separated list of capabilities that the
machine is known to have (``netns,tun,cc,unprivileged,trio,uvloop``); CI sets it, so that no test goes
missing there unnoticed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

CAPABILITIES = frozenset({
    "administrator",
    "atheris",
    "bsd",
    "cc",
    "doh",
    "flood",
    "freebsd",
    "groff",
    "lab",
    "mtr",
    "netns",
    "nft",
    "openssl",
    "strace",
    "systemd",
    "traceroute",
    "trio",
    "tshark",
    "tun",
    "unprivileged",
    "uvloop",
    "wine",
    "zig",
    "zsh",
})


def require(name: str, reason: str | None) -> None:
    """Go on if ``reason`` is None; otherwise skip the test, or fail it where ``name`` is required."""
    if name not in CAPABILITIES:
        raise ValueError(f"unknown capability {name!r}")
    if reason is None:
        return
    required = {entry.strip() for entry in os.environ.get("TRACEPROBE_REQUIRE", "").split(",")}
    if unknown := required - CAPABILITIES - {""}:
        raise ValueError(f"TRACEPROBE_REQUIRE names unknown capabilities: {', '.join(sorted(unknown))}")
    if name in required:
        pytest.fail(f"{name} is required here, but {reason}", pytrace=False)
    pytest.skip(f"needs {name}: {reason}")


def missing_program(*names: str) -> str | None:
    """Say which of these programs is not to be found, or None if all are."""
    for name in names:
        if find_program(name) is None:
            return f"there is no {name!r} program"
    return None


def find_program(name: str) -> str | None:
    """Where a program is; administrators' folders are searched too, since a user's PATH may lack them."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def missing_netns() -> str | None:
    """Why network namespaces can't be made here, or None if they can."""
    if sys.platform != "linux":
        return "network namespaces are a Linux thing"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if (reason := missing_program("ip", "taskset")) is not None:
        return reason
    # Bit 21 is CAP_SYS_ADMIN and bit 12 CAP_NET_ADMIN (capabilities(7)); containers often lack them.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    if not effective >> 21 & 1 or not effective >> 12 & 1:
        return "root lacks CAP_SYS_ADMIN or CAP_NET_ADMIN here"
    return None


def missing_tun() -> str | None:
    """Why the simulated internet can't run here, or None if it can."""
    if (reason := missing_netns()) is not None:
        return reason
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun can't be opened"
    return None


def missing_module(name: str) -> str | None:
    """Why a Python module can't be imported, or None if it seems that it can."""
    return None if importlib.util.find_spec(name) is not None else f"the module {name!r} is not installed"
