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
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

PATH_VARIABLES = {4: "TRACEPROBE_BSD_PATH4", 6: "TRACEPROBE_BSD_PATH6"}
"""Addresses of all hops of an existing path, the target last, separated by commas."""

_NET4, _NET6 = "10.213", "fd00:213"
_HOPS = 3
_JAILS = tuple(f"traceprobe{number}" for number in range(1, _HOPS + 1))
_FEATURE = ("sysctl", "-n", "kern.features.vimage")
_NO_LIMITS = ("net.inet.icmp.icmplim=0", "net.inet6.icmp6.errppslimit=-1")
"""How many answers a second a kernel gives: any number (icmp(4), inet6(4))."""
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
    ("sysctl", "net.inet.icmp.icmplim", "net.inet6.icmp6.errppslimit", "net.inet6.ip6.forwarding"),
    ("sysctl", "kern.features.vimage", "security.jail.children.max", "kern.securelevel"),
    ("pfctl", "-s", "info"),
    ("ipfw", "list"),
    *(
        ("jexec", jail, *command)
        for jail in _JAILS
        for command in (
            ("ifconfig", "-a"),
            ("netstat", "-rn"),
            ("sysctl", "net.inet.ip.forwarding", "net.inet6.ip6.forwarding"),
        )
    ),
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
    asked = subprocess.run(
        [_find("sysctl") or "sysctl", *_FEATURE[1:]], capture_output=True, text=True, check=False
    )
    if asked.stdout.strip() != "1":
        return (
            f"the kernel has no VIMAGE: {' '.join(_FEATURE)} says {(asked.stdout + asked.stderr).strip()!r}"
        )
    return None


class BuildError(Exception):
    """A command that the path needs has failed."""


class Commands(ABC):
    """Carries out what an administrator would, and undoes it on leaving."""

    def __init__(self) -> None:
        self._undo: list[tuple[str, ...]] = []
        self.log: list[str] = []
        """Every command, and what it said."""

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

    @abstractmethod
    def _build(self) -> None:
        """Carry everything out, and note how each step is undone."""

    def _take_down(self) -> None:
        while self._undo:
            self._try(*self._undo.pop())

    def _run(self, *command: str) -> str:
        """Carry a command out; what it printed."""
        written = " ".join(command)
        try:
            done = subprocess.run(
                [_find(command[0]) or command[0], *command[1:]],
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE,
            )
        except (subprocess.SubprocessError, OSError) as error:
            self.log.append(f"# {written} -> {error}")
            raise BuildError(f"{written}: {error}") from None
        said = f"{done.stdout}{done.stderr}".strip()
        self.log.append(f"# {written} -> {done.returncode} {said}")
        if done.returncode:
            raise BuildError(f"{written}: ended with {done.returncode}: {said}")
        return done.stdout

    def _try(self, *command: str) -> str | None:
        """Carry a command out that may fail; why it did."""
        try:
            self._run(*command)
        except BuildError as error:
            return str(error)
        return None


class NoRateLimits(Commands):
    """Lets this host answer as often as it is asked: a kernel that has had enough looks like a lost reply."""

    def _build(self) -> None:
        for setting in _NO_LIMITS:
            name = setting.partition("=")[0]
            with suppress(BuildError):
                before = self._run("sysctl", "-n", name).strip()
                self._run("sysctl", setting)
                self._undo.append(("sysctl", f"{name}={before}"))


class JailPath(Commands):
    """Builds the path on entering and takes it down on leaving."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: dict[int, str] = {}
        """Why the path carries nothing, by IP version; what the system's own tools say of it."""
        self._on_host: list[str] = []

    @property
    def hops(self) -> Hops:
        numbers = range(1, _HOPS + 1)
        return Hops(
            tuple(f"{_NET4}.{number}.2" for number in numbers),
            tuple(f"{_NET6}:{number}::2" for number in numbers),
        )

    def _build(self) -> None:
        jails = _JAILS
        self._try("kldload", "-n", "if_epair")
        for jail in jails:
            self._make_jail(jail)
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
        # Whatever watches for new interfaces on the host (devd(8)) may have closed them to IPv6 meanwhile.
        for interface in self._on_host:
            self._try("ifconfig", interface, "inet6", "-ifdisabled", "no_dad")
        # The kernel holds few packets for a neighbour that it does not know yet: make the neighbours known.
        # Where not even ping gets through, that is what a failing test has to say.
        ping6 = ("ping6",) if _find("ping6") else ("ping", "-6")
        pings = {
            4: ("ping", "-c", "3", "-t", "8", self.hops.ipv4[-1]),
            6: (*ping6, "-c", "3", self.hops.ipv6[-1]),
        }
        for version, command in pings.items():
            trouble = self._try(*command)
            if trouble is not None:
                self.trouble[version] = (
                    f"the jails were built, but not even ping gets through them: {trouble}"
                )

    def _make_jail(self, jail: str) -> None:
        try:
            self._run("jail", "-c", f"name={jail}", "path=/", "vnet", "persist")
        except BuildError as error:
            raise BuildError(f"{error}; if an earlier run has left it behind: jail -r {jail}") from None
        self._undo.append(("jail", "-r", jail))
        for setting in ("net.inet.ip.forwarding=1", "net.inet6.ip6.forwarding=1"):
            self._run("jexec", jail, "sysctl", setting)
        for setting in _NO_LIMITS:
            self._try("jexec", jail, "sysctl", setting)

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
            else:
                self._on_host.append(interface)
            self._run(*inside, "ifconfig", interface, "inet", f"{_NET4}.{number}.{host}/24", "up")
            # Without detecting duplicates, so that the addresses can be used at once.
            for flag in ("-ifdisabled", "no_dad", "auto_linklocal"):
                self._try(*inside, "ifconfig", interface, "inet6", flag)
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
