"""TCP through a chain of real routers: open, closed and filtered ports, with privileges and without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside
from tests.kernel.inside import addresses, last_probes
from tests.rigs.chain import RouterChain
from tests.rigs.listener import Listener
from tests.rigs.namespaces import Privileges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.unprivileged import PortableInterpreter

pytestmark = [pytest.mark.netns, pytest.mark.unprivileged]

OPEN, CLOSED, DROPPED, PROHIBITED = 8080, 8081, 8082, 8083
ROUTERS = 6
QUICK = {"tail_floor": 0.1}
"""Where silence is certain, there is no need to wait for it."""

both_versions = pytest.mark.parametrize("version", [4, 6])
every_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
every_way = pytest.mark.parametrize(
    ("mode", "privileges"),
    [
        ("linux_raw", Privileges.ROOT),
        ("linux_tcp", Privileges.ROOT),
        ("linux_tcp", Privileges.NO_CAPABILITIES),
        ("linux_tcp", Privileges.NOBODY),
    ],
    ids=lambda value: value.value if isinstance(value, Privileges) else value,
)


@pytest.fixture(scope="module")
def tcp_chain() -> Iterator[RouterChain]:
    """A chain whose target listens on one port; two others are filtered."""
    with (
        RouterChain(ROUTERS, dropped_ports={DROPPED}, prohibited_ports={PROHIBITED}) as built,
        Listener(built.target, [built.target4, built.target6], OPEN),
    ):
        yield built


def trace(
    chain: RouterChain,
    interpreter: PortableInterpreter,
    version: int,
    mode: str,
    privileges: Privileges,
    port: int,
    **options: Any,
) -> Any:
    loop = options.pop("loop", None)
    return chain.call(
        inside.trace,
        chain.target_address(version),
        {"protocol": "tcp", "mode": mode, "port": port, **options},
        privileges=privileges,
        interpreter=None if privileges is Privileges.ROOT else interpreter,
        backend=loop,
    )


@both_versions
@every_way
@pytest.mark.parametrize(("port", "answer"), [(OPEN, "syn_ack"), (CLOSED, "rst")])
def test_open_and_closed_ports_are_told_apart(
    tcp_chain: RouterChain,
    portable_interpreter: PortableInterpreter,
    version: int,
    mode: str,
    privileges: Privileges,
    port: int,
    answer: str,
) -> None:
    document = trace(tcp_chain, portable_interpreter, version, mode, privileges, port)
    assert addresses(document) == tcp_chain.hops(version)
    assert (document["protocol"], document["mode"], document["port"]) == ("tcp", mode, port)
    assert (document["reached"], document["stop_reason"]) == (True, "destination_reached")
    assert [hop["received"] for hop in document["hops"]] == [3] * (ROUTERS + 1)
    for hop in document["hops"][:-1]:
        assert {probe["reply"] for probe in hop["probes"]} == {"time_exceeded"}
    assert {probe["reply"] for probe in last_probes(document)} == {answer}
    assert all(0 < probe["rtt_ms"] < 1000 for hop in document["hops"] for probe in hop["probes"])


@both_versions
@every_way
def test_a_port_that_is_dropped_is_silence(
    tcp_chain: RouterChain,
    portable_interpreter: PortableInterpreter,
    version: int,
    mode: str,
    privileges: Privileges,
) -> None:
    document = trace(
        tcp_chain, portable_interpreter, version, mode, privileges, DROPPED, max_ttl=ROUTERS + 2, **QUICK
    )
    assert addresses(document) == [*tcp_chain.hops(version)[:-1], None, None]
    assert (document["reached"], document["stop_reason"]) == (False, "max_ttl")
    assert {probe["status"] for probe in last_probes(document)} == {"timeout"}


@both_versions
@every_way
def test_a_port_that_is_prohibited_is_said_to_be(
    tcp_chain: RouterChain,
    portable_interpreter: PortableInterpreter,
    version: int,
    mode: str,
    privileges: Privileges,
) -> None:
    document = trace(tcp_chain, portable_interpreter, version, mode, privileges, PROHIBITED, **QUICK)
    routers = tcp_chain.hops(version)[:-1]
    # The last router answers once because the TTL is used up, and once because it must not forward.
    assert addresses(document) == [*routers, routers[-1]]
    assert (document["reached"], document["stop_reason"]) == (False, "unreachable")
    for probe in last_probes(document):
        assert (probe["reply"], probe["icmp_type"], probe["icmp_code"]) == (
            "unreachable",
            *((3, 13) if version == 4 else (1, 1)),
        )


@every_loop
@pytest.mark.parametrize("mode", ["linux_raw", "linux_tcp"])
def test_every_loop_is_woken(
    tcp_chain: RouterChain, portable_interpreter: PortableInterpreter, mode: str, loop: str
) -> None:
    for port in (OPEN, CLOSED):
        document = trace(tcp_chain, portable_interpreter, 4, mode, Privileges.ROOT, port, loop=loop)
        assert addresses(document) == tcp_chain.hops(4)
        assert [hop["received"] for hop in document["hops"]] == [3] * (ROUTERS + 1)


@both_versions
def test_raw_tcp_keeps_its_flow_and_sees_the_quote(
    tcp_chain: RouterChain, portable_interpreter: PortableInterpreter, version: int
) -> None:
    document = trace(tcp_chain, portable_interpreter, version, "linux_raw", Privileges.ROOT, OPEN)
    assert document["flow"] == "paris"
    assert {probe["quoted_ttl"] for hop in document["hops"][:-1] for probe in hop["probes"]} == {1}
    for number, hop in enumerate(document["hops"], 1):
        assert {probe["reply_ttl"] for probe in hop["probes"]} == {65 - number}
        assert all(probe["changes"] == [] for probe in hop["probes"])


@pytest.mark.parametrize("privileges", [Privileges.ROOT, Privileges.NOBODY], ids=lambda one: one.value)
def test_the_best_mode_is_chosen(
    tcp_chain: RouterChain, portable_interpreter: PortableInterpreter, privileges: Privileges
) -> None:
    document = tcp_chain.call(
        inside.trace,
        tcp_chain.target4,
        {"protocol": "tcp", "port": OPEN},
        privileges=privileges,
        interpreter=None if privileges is Privileges.ROOT else portable_interpreter,
    )
    assert document["mode"] == ("linux_raw" if privileges is Privileges.ROOT else "linux_tcp")
    assert addresses(document) == tcp_chain.hops(4)


@both_versions
@every_way
def test_nothing_is_left_open(
    tcp_chain: RouterChain,
    portable_interpreter: PortableInterpreter,
    version: int,
    mode: str,
    privileges: Privileges,
) -> None:
    found = tcp_chain.call(
        inside.leave_early,
        tcp_chain.target_address(version),
        {"protocol": "tcp", "mode": mode, "port": OPEN},
        privileges=privileges,
        interpreter=None if privileges is Privileges.ROOT else portable_interpreter,
    )
    assert found["first"] in tcp_chain.hops(version)
    assert found["after"] == found["before"]


@both_versions
def test_few_descriptors_make_it_slower_and_lose_nothing(
    tcp_chain: RouterChain, portable_interpreter: PortableInterpreter, version: int
) -> None:
    """One connection for each probe, and far fewer at once than there are probes."""
    for port in (OPEN, CLOSED):
        found = tcp_chain.call(
            inside.trace_with_few_descriptors,
            tcp_chain.target_address(version),
            {"protocol": "tcp", "mode": "linux_tcp", "port": port},
            32,
            privileges=Privileges.NOBODY,
            interpreter=portable_interpreter,
        )
        assert addresses(found["document"]) == tcp_chain.hops(version)
        assert [hop["received"] for hop in found["document"]["hops"]] == [3] * (ROUTERS + 1)
        assert found["left_open"] == 0


@both_versions
@pytest.mark.parametrize("mode", ["linux_raw", "linux_tcp"])
def test_many_targets_at_once_are_not_mixed_up(tcp_chain: RouterChain, version: int, mode: str) -> None:
    ports = [OPEN, CLOSED] * 10
    found = tcp_chain.call(
        inside.trace_ports, tcp_chain.target_address(version), ports, {"protocol": "tcp", "mode": mode}
    )
    for port, document in zip(ports, found, strict=True):
        assert addresses(document) == tcp_chain.hops(version)
        answer = "syn_ack" if port == OPEN else "rst"
        assert {probe["reply"] for probe in last_probes(document)} == {answer}


@both_versions
@pytest.mark.parametrize("privileges", [Privileges.ROOT, Privileges.NOBODY], ids=lambda one: one.value)
def test_the_command_speaks_tcp(
    tcp_chain: RouterChain, portable_interpreter: PortableInterpreter, version: int, privileges: Privileges
) -> None:
    finished = tcp_chain.run(
        [
            "python",
            "-m",
            "traceprobe",
            "-n",
            "--no-asn",
            "--json",
            "-T",
            "-p",
            str(OPEN),
            tcp_chain.target_address(version),
        ],
        privileges=privileges,
        interpreter=None if privileges is Privileges.ROOT else portable_interpreter,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert addresses(json.loads(finished.stdout)) == tcp_chain.hops(version)
