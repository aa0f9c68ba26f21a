"""The unprivileged runs have no privileges indeed, and still find all that they need."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.namespaces import Privileges
from tests.rigs.unprivileged import InterpreterCopy

if TYPE_CHECKING:
    from tests.rigs.chain import RouterChain
    from tests.rigs.unprivileged import PortableInterpreter

pytestmark = [pytest.mark.netns, pytest.mark.unprivileged]

without_privileges = pytest.mark.parametrize(
    "privileges", [Privileges.NO_CAPABILITIES, Privileges.NOBODY], ids=lambda privileges: privileges.value
)


def _identity() -> dict[str, Any]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return {
        "uid": os.getresuid(),
        "gid": os.getresgid(),
        "groups": os.getgroups(),
        "capabilities": [int(status[name], 16) for name in sets],
    }


def _open_raw() -> str:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError as error:
        return type(error).__name__
    return "opened"


def _imported_from() -> dict[str, str]:
    import _socket

    import attrs
    import cffi
    import trio
    import uvloop

    import traceprobe

    modules = (os, _socket, attrs, cffi, trio, uvloop, traceprobe)
    # Some interpreters have _socket built in.
    return {module.__name__: str(module.__file__) for module in modules if hasattr(module, "__file__")}


def test_empty_capability_set_keeps_the_user(
    chain: RouterChain, portable_interpreter: PortableInterpreter
) -> None:
    found = chain.call(_identity, privileges=Privileges.NO_CAPABILITIES, interpreter=portable_interpreter)
    assert found["uid"] == [0, 0, 0]
    assert found["capabilities"] == [0, 0, 0, 0, 0]


def test_nobody_is_nobody(chain: RouterChain, portable_interpreter: PortableInterpreter) -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    found = chain.call(_identity, privileges=Privileges.NOBODY, interpreter=portable_interpreter)
    assert found["uid"] == [nobody.pw_uid] * 3
    assert found["gid"] == [nobody.pw_gid] * 3
    assert found["groups"] == []
    assert found["capabilities"] == [0, 0, 0, 0, 0]


@without_privileges
def test_no_raw_socket_can_be_opened(
    chain: RouterChain, portable_interpreter: PortableInterpreter, privileges: Privileges
) -> None:
    assert chain.call(_open_raw) == "opened"
    assert chain.call(_open_raw, privileges=privileges, interpreter=portable_interpreter) == "PermissionError"


@without_privileges
def test_everything_is_imported_from_the_copy(
    chain: RouterChain, portable_interpreter: PortableInterpreter, privileges: Privileges
) -> None:
    found = chain.call(_imported_from, privileges=privileges, interpreter=portable_interpreter)
    outside = {
        name: path for name, path in found.items() if not path.startswith(str(portable_interpreter.directory))
    }
    assert outside == {}


def test_the_copy_is_readable_by_all_and_writable_by_its_owner_only(
    portable_interpreter: PortableInterpreter,
) -> None:
    for folder, _, names in os.walk(portable_interpreter.directory):
        assert os.stat(folder).st_mode & 0o777 == 0o755
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o666 == 0o644


def test_the_copy_is_removed_afterwards() -> None:
    with InterpreterCopy() as interpreter:
        assert os.access(interpreter.executable, os.X_OK)
    assert not interpreter.directory.exists()
