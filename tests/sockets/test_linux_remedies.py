"""Remedies name the exact command for this very process: who it is, and what it may do itself."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from traceprobe.sockets import _linux_remedies as remedies

if TYPE_CHECKING:
    from pathlib import Path

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
