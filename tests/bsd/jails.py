"""A path of three hops in vnet jails of FreeBSD: the host, two routers and a target, over epair interfaces.

Needs root and a kernel with VIMAGE, which GENERIC has since FreeBSD 12. Everything that is built has names of
its own and is taken down again, also if building fails half-way. Instead of building, a path that is there
already can be named by environment variables, on any system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

PATH_VARIABLES = {4: "TRACEPROBE_BSD_PATH4", 6: "TRACEPROBE_BSD_PATH6"}
"""Addresses of all hops of an existing path, the target last, separated by commas."""

_NET4, _NET6 = "10.213", "fd00:213"
_HOPS = 3
_STATE = (
    ("uname", "-a"),
    ("id",),
    ("ifconfig", "-a"),
    ("jls", "-v"),
    ("netstat", "-rn"),
    ("arp", "-an"),
    ("ndp", "-an"),
    ("sysctl", "net.inet.ip.forwarding", "net.inet.ip.ttl", "net.inet.icmp", "net.inet.raw"),
    ("sysctl", "kern.ipc.maxsockbuf", "security.jail.jailed", "kern.osreldate"),
    ("netstat", "-s", "-p", "icmp"),
    ("netstat", "-s", "-p", "ip"),
    ("netstat", "-s", "-p", "icmp6"),
    ("netstat", "-s", "-p", "ip6"),
)
_LONGEST = 4000
_PATIENCE = 20.0


class Hops(NamedTuple):
    """Who answers, hop by hop; the target last."""

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]

    def of(self, version: int) -> tuple[str, ...]:
        return self.ipv4 if version == 4 else self.ipv6


def named_path() -> Hops | None:
    """The path that the environment names, if it does."""
    found = [
        tuple(hop.strip() for hop in os.environ.get(PATH_VARIABLES[version], "").split(",") if hop.strip())
        for version in (4, 6)
    ]
    return Hops(*found) if any(found) else None


def missing_jails() -> str | None:
    """Why no path can be built here, or None if one can."""
    platform: str = sys.platform  # a type checker must not take one system for granted
    if not platform.startswith("freebsd"):
        return f"vnet jails are a FreeBSD thing (or name a path in {PATH_VARIABLES[4]})"
    if os.geteuid() != 0:
        return "making jails needs root"
    for program in ("ifconfig", "jail", "jexec", "route", "sysctl"):
        if _find(program) is None:
            return f"there is no {program!r} program"
    return None


class JailPath:
    """Builds the path on entering and takes it down on leaving."""

    def __init__(self) -> None:
        self._undo: list[tuple[str, ...]] = []
        self.log: list[str] = []
        """Every command, and what it said."""

    @property
    def hops(self) -> Hops:
        numbers = range(1, _HOPS + 1)
        return Hops(
            tuple(f"{_NET4}.{number}.2" for number in numbers),
            tuple(f"{_NET6}:{number}::2" for number in numbers),
        )

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            print("\n".join(self.log))
            print(state())
            self._take_down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down()

    def _build(self) -> None:
        jails = [f"traceprobe{number}" for number in range(1, _HOPS + 1)]
        with suppress(subprocess.CalledProcessError):
            self._run("kldload", "-n", "if_epair")
        for jail in jails:
            self._run("jail", "-c", f"name={jail}", "path=/", "vnet", "persist")
            self._undo.append(("jail", "-r", jail))
            for setting in ("net.inet.ip.forwarding=1", "net.inet6.ip6.forwarding=1"):
                self._run("jexec", jail, "sysctl", setting)
        for number, jail in enumerate(jails, 1):
            self._link(number, jails[number - 2] if number > 1 else None, jail)
        # Forward routes; the host and each router know their neighbours.
        for number in range(2, _HOPS + 1):
            self._route(None, number, f"{_NET4}.1.2", f"{_NET6}:1::2")
            for router in range(1, number - 1):
                gateway4, gateway6 = f"{_NET4}.{router + 1}.2", f"{_NET6}:{router + 1}::2"
                self._route(jails[router - 1], number, gateway4, gateway6)
        # Routes back.
        for number in range(2, _HOPS + 1):
            for network in range(1, number):
                gateway4, gateway6 = f"{_NET4}.{number}.1", f"{_NET6}:{number}::1"
                self._route(jails[number - 1], network, gateway4, gateway6)
        # The kernel holds few packets for a neighbour that it does not know yet: make the neighbours known.
        self._try("ping", "-c", "3", "-t", "8", self.hops.ipv4[-1])
        self._try(*(("ping6",) if _find("ping6") else ("ping", "-6")), "-c", "3", self.hops.ipv6[-1])

    def _link(self, number: int, left: str | None, right: str) -> None:
        """Join two neighbours by a pair of interfaces; None is the host."""
        first = self._run("ifconfig", "epair", "create").strip()
        self._undo.append(("ifconfig", first, "destroy"))
        second = first[:-1] + "b"
        for interface, jail, host in ((first, left, 1), (second, right, 2)):
            inside: tuple[str, ...] = ()
            if jail is not None:
                self._run("ifconfig", interface, "vnet", jail)
                self._undo.append(("ifconfig", interface, "-vnet", jail))
                inside = ("jexec", jail)
            self._run(*inside, "ifconfig", interface, "inet", f"{_NET4}.{number}.{host}/24", "up")
            with suppress(subprocess.CalledProcessError):
                self._run(*inside, "ifconfig", interface, "inet6", "-ifdisabled", "no_dad", "auto_linklocal")
            self._run(*inside, "ifconfig", interface, "inet6", f"{_NET6}:{number}::{host}", "prefixlen", "64")

    def _route(self, jail: str | None, network: int, gateway4: str, gateway6: str) -> None:
        inside = () if jail is None else ("jexec", jail)
        wanted = (
            ("-net", f"{_NET4}.{network}.0/24", gateway4),
            ("-inet6", f"{_NET6}:{network}::/64", gateway6),
        )
        for arguments in wanted:
            self._run(*inside, "route", "-n", "add", *arguments)
            if jail is None:
                self._undo.append(("route", "-n", "delete", *arguments))

    def _take_down(self) -> None:
        while self._undo:
            self._try(*self._undo.pop())

    def _run(self, *command: str) -> str:
        program = _find(command[0])
        done = subprocess.run(
            [program or command[0], *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        said = f"{done.stdout}{done.stderr}".strip()
        self.log.append(f"# {' '.join(command)} -> {done.returncode} {said}")
        done.check_returncode()
        return done.stdout

    def _try(self, *command: str) -> None:
        with suppress(subprocess.SubprocessError, OSError):
            self._run(*command)


def state(commands: Iterable[tuple[str, ...]] = _STATE) -> str:
    """What the system says of its interfaces, jails, routes and counters, for a failure to explain itself."""
    told = []
    for command in commands:
        program = _find(command[0])
        if program is None:
            continue
        with suppress(subprocess.SubprocessError, OSError):
            done = subprocess.run(
                [program, *command[1:]], capture_output=True, text=True, check=False, timeout=_PATIENCE
            )
            told.append(f"# {' '.join(command)} -> {done.returncode}\n{done.stdout}{done.stderr}"[:_LONGEST])
    return "\n".join(told)


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(
        program, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    )
