"""What is built of jails is taken down again, in the opposite order, wherever building stops."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.bsd import jails
from tests.bsd.jails import PATH_VARIABLES, BuildError, JailPath, NoRateLimits, named_path

if TYPE_CHECKING:
    from collections.abc import Sequence


class Administrator:
    """Carries out commands in its head, and refuses what can't be done."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.jails: list[str] = []
        self.interfaces: dict[str, str | None] = {}
        self.routes: list[str] = []
        self.settings = {"net.inet.icmp.icmplim": 200, "net.inet6.icmp6.errppslimit": 100}
        self.commands = 0
        self._fails_at = fails_at
        self._number = count()

    def run(self, command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands += 1
        if self.commands == self._fails_at:
            return subprocess.CompletedProcess(command, 1, "", "no")
        return subprocess.CompletedProcess(command, 0, self._do(*command[1:], program=command[0]), "")

    def _do(self, *arguments: str, program: str) -> str:
        match program.rpartition("/")[2], *arguments:
            case "jail", "-c", name, "path=/", "vnet", "persist":
                self.jails.append(name.removeprefix("name="))
            case "jail", "-r", name:
                assert name not in self.interfaces.values(), "an interface would be lost in it"
                self.jails.remove(name)
            case "ifconfig", "epair", "create":
                first = f"epair{next(self._number)}a"
                self.interfaces |= {first: None, first[:-1] + "b": None}
                return first + "\n"
            case "ifconfig", name, "destroy":
                for end in "ab":
                    assert self.interfaces.pop(name[:-1] + end) is None, "not on the host"
            case "ifconfig", name, "vnet", jail:
                assert jail in self.jails
                self.interfaces[name] = jail
            case "ifconfig", name, "-vnet", jail:
                assert self.interfaces[name] == jail
                self.interfaces[name] = None
            case "ifconfig", name, *_:
                assert self.interfaces[name] is None
            case "jexec", jail, "ifconfig", name, *_:
                assert self.interfaces[name] == jail
            case "route", "-n", "add", *route:
                self.routes.append(" ".join(route))
            case "route", "-n", "delete", *route:
                self.routes.remove(" ".join(route))
            case "sysctl", "-n", name:
                return f"{self.settings[name]}\n"
            case "sysctl", setting:
                name, _, value = setting.partition("=")
                self.settings[name] = int(value)
            case ("jexec", _, "sysctl" | "route", *_) | ("kldload" | "ping" | "ping6", *_):
                pass
            case unknown:
                raise AssertionError(unknown)
        return ""


@pytest.fixture
def administrator(monkeypatch: pytest.MonkeyPatch) -> Administrator:
    found = Administrator()
    monkeypatch.setattr(jails, "_find", lambda program: program)
    monkeypatch.setattr(jails, "state", lambda: "")
    monkeypatch.setattr("subprocess.run", found.run)
    return found


def nothing_is_left(administrator: Administrator) -> bool:
    return not (administrator.jails or administrator.interfaces or administrator.routes)


def test_everything_is_built_and_taken_down(administrator: Administrator) -> None:
    with JailPath() as path:
        assert len(administrator.jails) == 3
        assert len(administrator.interfaces) == 6
        assert list(administrator.interfaces.values()).count(None) == 1, "one end is the host's"
        assert len(administrator.routes) == 4
        assert path.hops.ipv4 == ("10.213.1.2", "10.213.2.2", "10.213.3.2")
        assert path.hops.ipv6 == ("fd00:213:1::2", "fd00:213:2::2", "fd00:213:3::2")
    assert nothing_is_left(administrator)


def test_wherever_building_stops_nothing_is_left(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JailPath():
        total = administrator.commands
    assert total > 40
    for step in range(1, total + 1):
        failing = Administrator(step)
        monkeypatch.setattr("subprocess.run", failing.run)
        with suppress(BuildError), JailPath() as path:
            assert path.hops  # a command that failed was not needed
        assert nothing_is_left(failing), step


def test_what_can_not_be_built_says_which_command_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails, "_find", lambda program: program)
    monkeypatch.setattr(jails, "state", lambda: "")
    monkeypatch.setattr("subprocess.run", Administrator(2).run)
    with pytest.raises(
        BuildError, match=r"jail -c name=traceprobe1 .*: ended with 1: no; .*jail -r traceprobe1"
    ):
        JailPath().__enter__()


def test_a_path_that_carries_nothing_says_so(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        if command[0] == "ping6":
            return subprocess.CompletedProcess(command, 2, "3 packets transmitted, 0 received", "")
        return administrator.run(command, **options)

    monkeypatch.setattr("subprocess.run", run)
    with JailPath() as path:
        assert list(path.trouble) == [6]
        assert "0 received" in path.trouble[6]
    assert nothing_is_left(administrator)


def test_rate_limits_of_the_host_are_put_back(administrator: Administrator) -> None:
    before = dict(administrator.settings)
    with NoRateLimits():
        assert list(administrator.settings.values()) == [0, -1]
    assert administrator.settings == before


def test_a_path_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in PATH_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    assert named_path() is None
    monkeypatch.setenv("TRACEPROBE_BSD_PATH4", "10.0.1.2, 10.0.2.2,10.0.3.2")
    assert named_path() == (("10.0.1.2", "10.0.2.2", "10.0.3.2"), ())
    monkeypatch.setenv("TRACEPROBE_BSD_PATH6", "fd00:1::2,fd00:3::2")
    assert named_path() == (("10.0.1.2", "10.0.2.2", "10.0.3.2"), ("fd00:1::2", "fd00:3::2"))
