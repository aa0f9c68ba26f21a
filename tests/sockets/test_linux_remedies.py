"""Remedies name the exact command for this very process: who it is, and what it may do itself."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from traceprobe.sockets.linux import _remedies as remedies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="users and groups of Unix")

NET_ADMIN = 1 << 12


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process of group 1000 whose parameters and capabilities are files that a test writes."""
    parameter = tmp_path / "ping_group_range"
    parameter.write_text("1\t0\n")
    monkeypatch.setattr(remedies, "_PING_GROUP_RANGE", parameter)
    status = tmp_path / "status"
    monkeypatch.setattr(remedies, "_OWN_STATUS", status)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return status


@pytest.mark.parametrize(
    ("user", "capabilities", "command"),
    [
        (0, NET_ADMIN, 'sysctl -w net.ipv4.ping_group_range="1000 1000"'),
        (1000, NET_ADMIN, 'sysctl -w net.ipv4.ping_group_range="1000 1000"'),
        (1000, 0, 'sudo sysctl -w net.ipv4.ping_group_range="1000 1000"'),
        (
            0,
            0,
            'from outside this container or sandbox: sysctl -w net.ipv4.ping_group_range="1000 1000"',
        ),
    ],
)
def test_opening_ping_sockets(
    process: Path, monkeypatch: pytest.MonkeyPatch, user: int, capabilities: int, command: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    process.write_text(f"Name:\tpython\nCapEff:\t{capabilities:016x}\nCapBnd:\t{2**41 - 1:016x}\n")
    assert remedies.ping_remedies() == (command,)


def test_who_has_ping_sockets_already_keeps_them(process: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    remedies._PING_GROUP_RANGE.write_text("100 200\n")
    assert remedies.ping_remedies() == ('sudo sysctl -w net.ipv4.ping_group_range="100 1000"',)


def test_a_process_that_cannot_learn_its_capabilities_claims_none(
    process: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not process.exists()
    assert remedies.ping_remedies()[0].startswith("sudo ")


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [("2000\t3000\n", "1000 3000"), ("5\t4294967295\n", "5 4294967294"), ("nonsense", "1000 1000")],
)
def test_odd_ranges(process: Path, monkeypatch: pytest.MonkeyPatch, parameter: str, wanted: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    remedies._PING_GROUP_RANGE.write_text(parameter)
    assert remedies.ping_remedies() == (f'sudo sysctl -w net.ipv4.ping_group_range="{wanted}"',)


def test_a_parameter_that_is_not_there(process: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    remedies._PING_GROUP_RANGE.unlink()
    assert remedies.ping_remedies() == ('sudo sysctl -w net.ipv4.ping_group_range="1000 1000"',)


# --- capabilities for one run ---------------------------------------------------------------------------


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this process look like another program of another user."""

    def pretend(
        *,
        user: int = 1000,
        groups: tuple[int, ...] = (1000, 27),
        tools: tuple[str, ...] = ("setpriv", "sudo"),
        command: tuple[str, ...] = ("python", "-m", "traceprobe", "example.com"),
    ) -> None:
        monkeypatch.setattr(os, "getuid", lambda: user)
        monkeypatch.setattr(os, "geteuid", lambda: user)
        monkeypatch.setattr(os, "getgid", lambda: groups[0] if groups else user)
        monkeypatch.setattr(os, "getgroups", lambda: list(groups))
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in tools else None)
        monkeypatch.setattr(sys, "orig_argv", list(command))
        monkeypatch.setattr(sys, "executable", "/venv/bin/python")

    return pretend


def test_a_capability_for_one_run(program: Callable[..., None]) -> None:
    program()
    (remedy,) = remedies.capability_remedies("net_raw")
    assert remedy == (
        "sudo setpriv --reuid=1000 --regid=1000 --groups=1000,27 --inh-caps=+net_raw "
        "--ambient-caps=+net_raw /venv/bin/python -m traceprobe example.com"
    )


def test_several_capabilities_and_no_groups(program: Callable[..., None]) -> None:
    program(groups=(), tools=("setpriv",))
    (remedy,) = remedies.capability_remedies("net_raw", "net_admin")
    assert remedy.startswith("as root: setpriv --reuid=1000 --regid=1000 --clear-groups ")
    assert "--inh-caps=+net_raw,+net_admin --ambient-caps=+net_raw,+net_admin" in remedy


def test_without_the_tool_it_is_said_in_words(program: Callable[..., None]) -> None:
    program(tools=("sudo",))
    (remedy,) = remedies.capability_remedies("net_raw", "net_admin")
    assert remedy == (
        "give the process CAP_NET_RAW, CAP_NET_ADMIN as an ambient capability (capabilities(7))"
    )


def test_root_without_the_capability_is_in_a_sandbox(program: Callable[..., None]) -> None:
    program(user=0, groups=(0,))
    (remedy,) = remedies.capability_remedies("net_raw")
    assert remedy.startswith("from outside this container or sandbox: setpriv --reuid=0")


@pytest.mark.parametrize(
    "command",
    [("python", "-c", "x" * 1000), ("python", "-c", "import traceprobe\nprint(1)"), ("python", "\x1b[2J")],
)
def test_a_program_that_can_not_be_pasted_is_left_open(
    program: Callable[..., None], command: tuple[str, ...]
) -> None:
    program(command=command)
    (remedy,) = remedies.capability_remedies("net_raw")
    assert remedy.endswith("--ambient-caps=+net_raw /venv/bin/python ...")


def test_arguments_are_quoted_for_the_shell(program: Callable[..., None]) -> None:
    program(command=("python", "a b.py", "$(reboot)"))
    (remedy,) = remedies.capability_remedies("net_raw")
    assert remedy.endswith("/venv/bin/python 'a b.py' '$(reboot)'")
