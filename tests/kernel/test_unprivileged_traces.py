"""The same traces without privileges: with an empty capability set, and as nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside
from tests.kernel.inside import addresses
from tests.rigs.namespaces import Privileges

if TYPE_CHECKING:
    import subprocess

    from tests.rigs.chain import RouterChain
    from tests.rigs.unprivileged import PortableInterpreter

pytestmark = [pytest.mark.netns, pytest.mark.unprivileged]

both_versions = pytest.mark.parametrize("version", [4, 6])
without_privileges = pytest.mark.parametrize(
    "privileges", [Privileges.NO_CAPABILITIES, Privileges.NOBODY], ids=lambda privileges: privileges.value
)


@pytest.mark.usefixtures("kernel_stamps")
@both_versions
@without_privileges
def test_udp_finds_every_hop_with_stock_settings(
    chain: RouterChain, portable_interpreter: PortableInterpreter, version: int, privileges: Privileges
) -> None:
    document = chain.call(
        inside.trace,
        chain.target_address(version),
        {"protocol": "udp"},
        privileges=privileges,
        interpreter=portable_interpreter,
    )
    assert document["mode"] == "linux_udp"
    assert addresses(document) == chain.hops(version)
    assert [hop["received"] for hop in document["hops"]] == [3] * 11
    assert document["reached"]
    assert {probe["timestamp_source"] for hop in document["hops"] for probe in hop["probes"]} == {
        "kernel_tx_rx"
    }


@both_versions
@without_privileges
def test_ping_sockets_find_every_hop_where_they_are_allowed(
    open_chain: RouterChain, portable_interpreter: PortableInterpreter, version: int, privileges: Privileges
) -> None:
    document = open_chain.call(
        inside.trace,
        open_chain.target_address(version),
        {"protocol": "icmp"},
        privileges=privileges,
        interpreter=portable_interpreter,
    )
    assert document["mode"] == "linux_ping"
    assert addresses(document) == open_chain.hops(version)
    assert [hop["received"] for hop in document["hops"]] == [3] * 11


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_error_queues_wake_the_other_loops_too(
    open_chain: RouterChain, portable_interpreter: PortableInterpreter, protocol: str, loop: str
) -> None:
    document = open_chain.call(
        inside.trace,
        open_chain.target4,
        {"protocol": protocol},
        privileges=Privileges.NO_CAPABILITIES,
        interpreter=portable_interpreter,
        backend=loop,
    )
    assert addresses(document) == open_chain.hops(4)


@without_privileges
def test_the_best_mode_left_is_chosen(
    chain: RouterChain,
    open_chain: RouterChain,
    portable_interpreter: PortableInterpreter,
    privileges: Privileges,
) -> None:
    for built, mode in ((chain, "linux_udp"), (open_chain, "linux_ping")):
        document = built.call(
            inside.trace, built.target4, {}, privileges=privileges, interpreter=portable_interpreter
        )
        assert document["mode"] == mode


@without_privileges
def test_what_was_asked_for_explicitly_never_turns_into_something_else(
    chain: RouterChain, portable_interpreter: PortableInterpreter, privileges: Privileges
) -> None:
    for options in ({"protocol": "icmp"}, {"mode": "linux_raw"}, {"mode": "linux_ping"}):
        refusal = chain.call(
            inside.refusal, chain.target4, options, privileges=privileges, interpreter=portable_interpreter
        )
        assert refusal == "PrivilegeError"


def command(
    chain: RouterChain, interpreter: PortableInterpreter, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return chain.run(
        ["python", "-m", "traceprobe", *arguments],
        privileges=Privileges.NOBODY,
        interpreter=interpreter,
        check=False,
    )


def test_nobody_can_use_the_command(chain: RouterChain, portable_interpreter: PortableInterpreter) -> None:
    finished = command(chain, portable_interpreter, "-n", "--no-asn", "--json", chain.target4)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert addresses(json.loads(finished.stdout)) == chain.hops(4)


def test_nobody_is_told_what_would_help(
    chain: RouterChain, portable_interpreter: PortableInterpreter
) -> None:
    finished = command(chain, portable_interpreter, "-n", "--no-asn", "--icmp", chain.target4)
    assert finished.returncode == 3
    assert finished.stdout == ""
    assert "ping_group_range" in finished.stderr
    assert "setcap" not in finished.stderr


def test_doctor_works_for_nobody(chain: RouterChain, portable_interpreter: PortableInterpreter) -> None:
    finished = command(chain, portable_interpreter, "doctor")
    assert "linux_udp" in finished.stdout
    assert "Traceback" not in finished.stderr
