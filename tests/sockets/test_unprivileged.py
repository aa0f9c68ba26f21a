"""Without privileges: what still works, what is refused and why, and that the remedies help."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("privileges of Linux", allow_module_level=True)

from tests.rigs.namespaces import Namespace, NamespaceGroup, Privileges
from tests.sockets import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.unprivileged import PortableInterpreter

pytestmark = [pytest.mark.netns, pytest.mark.unprivileged, pytest.mark.usefixtures("kernel_stamps")]

without_privileges = pytest.mark.parametrize(
    "privileges", [Privileges.NO_CAPABILITIES, Privileges.NOBODY], ids=lambda privileges: privileges.value
)
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
both_versions = pytest.mark.parametrize("version", [4, 6])

REPORT = (
    "import json; from tests.sockets.inside import report; "
    "print(json.dumps([status for status in report() if status[2] == 4]))"
)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with stock settings and nothing but loopback, fresh for each test."""
    with NamespaceGroup("alone") as (alone,):
        alone.run(["ip", "link", "set", "lo", "up"])
        yield alone


@without_privileges
def test_stock_settings_leave_udp_and_tcp(
    namespace: Namespace, portable_interpreter: PortableInterpreter, privileges: Privileges
) -> None:
    statuses = namespace.call(inside.report, privileges=privileges, interpreter=portable_interpreter)
    usable = {(mode, family): is_usable for mode, _, family, is_usable, _, _ in statuses}
    assert usable == {
        (mode, family): mode in {"linux_udp", "linux_tcp"}
        for mode in ("linux_raw", "linux_ping", "linux_udp", "linux_tcp")
        for family in (4, 6)
    }
    reasons = {mode: reason for mode, _, _, _, reason, _ in statuses}
    assert reasons["linux_raw"] == "raw sockets need CAP_NET_RAW, which this process does not have"
    group = 0 if privileges is Privileges.NO_CAPABILITIES else 65534
    assert reasons["linux_ping"] == (
        f"ping sockets are open to no group, and this process is of group {group} (net.ipv4.ping_group_range)"
    )


@both_versions
@without_privileges
def test_udp_gets_its_answers(
    namespace: Namespace, portable_interpreter: PortableInterpreter, privileges: Privileges, version: int
) -> None:
    outcome = namespace.call(
        inside.exchange,
        LOOPBACK[version],
        5,
        {},
        privileges=privileges,
        interpreter=portable_interpreter,
    )
    assert outcome == {
        "mode": "linux_udp",
        "errors": [],
        "answered": True,
        "kinds": ["port_unreachable"],
        "stamps": ["kernel_tx_rx"],
    }


@both_versions
@without_privileges
def test_tcp_gets_its_answers(
    namespace: Namespace, portable_interpreter: PortableInterpreter, privileges: Privileges, version: int
) -> None:
    outcome = namespace.call(
        inside.exchange,
        LOOPBACK[version],
        5,
        {"protocol": "tcp"},
        privileges=privileges,
        interpreter=portable_interpreter,
    )
    assert outcome == {
        "mode": "linux_tcp",
        "errors": [],
        "answered": True,
        "kinds": ["rst"],
        "stamps": ["user"],
    }


@both_versions
@without_privileges
def test_ping_sockets_get_theirs_once_they_are_open(
    namespace: Namespace, portable_interpreter: PortableInterpreter, privileges: Privileges, version: int
) -> None:
    namespace.write_sysctl("net/ipv4/ping_group_range", "0 65534")
    outcome = namespace.call(
        inside.exchange,
        LOOPBACK[version],
        5,
        {},
        privileges=privileges,
        interpreter=portable_interpreter,
    )
    assert outcome["mode"] == "linux_ping"
    assert outcome["answered"]
    assert outcome["kinds"] == ["echo_reply"]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"protocol": "icmp"}, "PrivilegeError", "choose mode 'linux_udp', which needs no privileges"),
        ({"mode": "linux_raw", "protocol": "udp"}, "PrivilegeError", "raw sockets need CAP_NET_RAW"),
        ({"mode": "linux_ping"}, "PrivilegeError", "ping sockets are open to no group"),
        ({"protocol": "udp", "flow": "paris"}, "none", "linux_udp"),
        ({"protocol": "tcp"}, "none", "linux_tcp"),
        ({"protocol": "tcp", "flow": "paris"}, "PrivilegeError", "or mode 'linux_raw', which holds it"),
        ({"protocol": "tcp", "packet_size": 100}, "PrivilegeError", "choose mode 'linux_raw'"),
        ({"protocol": "tcp", "mode": "linux_raw"}, "PrivilegeError", "choose mode 'linux_tcp', which needs"),
        ({"mark": 7}, "PrivilegeError", "mark=7: setting a firewall mark needs CAP_NET_ADMIN"),
        ({"mode": "linux_udp", "source_port": 7}, "PrivilegeError", "need CAP_NET_BIND_SERVICE"),
        ({"port": 53}, "none", "linux_udp"),
        ({"interface": "lo"}, "none", "linux_udp"),
        ({"interface": "nowhere9"}, "ConfigError", "must be an interface of this machine: lo"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_refused_says_why(
    namespace: Namespace,
    portable_interpreter: PortableInterpreter,
    options: dict[str, object],
    kind: str,
    words: str,
) -> None:
    error, text = namespace.call(
        inside.refusal, 4, options, privileges=Privileges.NOBODY, interpreter=portable_interpreter
    )
    assert error == kind
    assert words in text


def remedies_for(
    namespace: Namespace, interpreter: PortableInterpreter, command: list[str]
) -> dict[str, tuple[bool, list[str]]]:
    """What the report says of each mode, when a command prints it."""
    finished = namespace.run(command, interpreter=interpreter)
    return {mode: (is_usable, remedies) for mode, _, _, is_usable, _, remedies in json.loads(finished.stdout)}


def pasted(remedy: str) -> str:
    """The command of a remedy, as somebody who is root already would paste it."""
    return re.sub(r"^(sudo |as root: |from outside this container or sandbox: )", "", remedy)


def test_the_remedies_help(namespace: Namespace, portable_interpreter: PortableInterpreter) -> None:
    finished = namespace.run(
        ["python", "-c", REPORT], privileges=Privileges.NOBODY, interpreter=portable_interpreter
    )
    before = {status[0]: (status[3], status[5]) for status in json.loads(finished.stdout)}
    assert {mode: is_usable for mode, (is_usable, _) in before.items()} == {
        "linux_raw": False,
        "linux_ping": False,
        "linux_udp": True,
        "linux_tcp": True,
    }

    # The one for raw sockets runs the very same program again, as the same user.
    (raw_remedy,) = before["linux_raw"][1]
    assert "setcap" not in raw_remedy
    assert "--reuid=65534 --regid=65534" in raw_remedy
    with_raw = remedies_for(namespace, portable_interpreter, ["sh", "-c", pasted(raw_remedy)])
    assert with_raw["linux_raw"] == (True, [])
    assert not with_raw["linux_ping"][0]

    (ping_remedy,) = before["linux_ping"][1]
    assert pasted(ping_remedy) == 'sysctl -w net.ipv4.ping_group_range="65534 65534"'
    namespace.run(["sh", "-c", pasted(ping_remedy)])
    finished = namespace.run(
        ["python", "-c", REPORT], privileges=Privileges.NOBODY, interpreter=portable_interpreter
    )
    after = {status[0]: status[3] for status in json.loads(finished.stdout)}
    assert after == {"linux_raw": False, "linux_ping": True, "linux_udp": True, "linux_tcp": True}


def test_the_ping_remedy_takes_nothing_from_others(
    namespace: Namespace, portable_interpreter: PortableInterpreter
) -> None:
    namespace.write_sysctl("net/ipv4/ping_group_range", "100 200")
    finished = namespace.run(
        ["python", "-c", REPORT], privileges=Privileges.NOBODY, interpreter=portable_interpreter
    )
    (status,) = [status for status in json.loads(finished.stdout) if status[0] == "linux_ping"]
    assert status[4].startswith("ping sockets are open to groups 100 to 200, and this process is of group")
    assert pasted(status[5][0]) == 'sysctl -w net.ipv4.ping_group_range="100 65534"'
