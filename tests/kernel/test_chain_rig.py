"""The router chain keeps what it promises: proven with plain sockets and with traceroute(8)."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.kernel import plain
from tests.rigs.chain import RouterChain
from tests.rigs.namespaces import (
    Namespace,
    NamespaceGroup,
    RigError,
    existing_namespaces,
    ip_batch,
)
from tests.rigs.remote import RemoteError
from tests.rigs.require import missing_module, missing_program, require

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.netns

TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
ECHO_REPLY = {4: (0, 0), 6: (129, 0)}
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
HOST_UNREACHABLE = {4: (3, 1), 6: (1, 3)}
PROHIBITED = {4: (3, 13), 6: (1, 1)}

QUIET = 0.05
"""Seconds; in a chain every answer is there by the time that sending returns."""

both_versions = pytest.mark.parametrize("version", [4, 6])
both_protocols = pytest.mark.parametrize("protocol", ["icmp", "udp"])


def trace(
    chain: RouterChain, version: int, protocol: str, max_ttl: int
) -> dict[int, set[tuple[object, tuple[object, object]]]]:
    """Who answered with what, by TTL; two probes each."""
    target = chain.target4 if version == 4 else chain.target6
    replies: Sequence[Sequence[object]] = chain.call(plain.trace, target, protocol, max_ttl, 2, QUIET)
    found: dict[int, set[tuple[object, tuple[object, object]]]] = {}
    for number, address, kind, code, *_ in replies:
        assert isinstance(number, int)
        assert number >= 0
        found.setdefault(number // 2 + 1, set()).add((address, (kind, code)))
    return found


@both_versions
@both_protocols
def test_every_hop_answers_as_the_chain_says(chain: RouterChain, version: int, protocol: str) -> None:
    found = trace(chain, version, protocol, 13)
    *routers, target = chain.hops(version)
    assert len(routers) == 10
    end = ECHO_REPLY if protocol == "icmp" else PORT_UNREACHABLE
    expected = {ttl: {(address, TIME_EXCEEDED[version])} for ttl, address in enumerate(routers, 1)}
    expected |= {ttl: {(target, end[version])} for ttl in (11, 12, 13)}
    assert found == expected


@both_versions
def test_no_rate_limit_swallows_answers(chain: RouterChain, version: int) -> None:
    target = chain.target4 if version == 4 else chain.target6
    replies = chain.call(plain.trace, target, "udp", 11, 40, QUIET)
    assert len(replies) == 11 * 40


def test_traceroute_sees_the_same_path(chain: RouterChain) -> None:
    require("traceroute", missing_program("traceroute"))
    for target, expected in ((chain.target4, chain.hops4), (chain.target6, chain.hops6)):
        output = chain.run(["traceroute", "-n", "-N", "50", "-q", "2", "-w", "1", target]).stdout
        found = re.findall(r"^ *\d+ +([0-9a-f.:]+) ", output, re.MULTILINE)
        assert tuple(found) == expected, output


@both_versions
@both_protocols
def test_silent_routers_forward_and_say_nothing(version: int, protocol: str) -> None:
    with RouterChain(6, silent={2, 5}) as chain:
        found = trace(chain, version, protocol, 7)
        assert [ttl for ttl in range(1, 8) if ttl not in found] == [2, 5]
        assert [None if ttl not in found else next(iter(found[ttl]))[0] for ttl in range(1, 8)] == list(
            chain.hops(version)
        )


@both_versions
def test_a_silent_target_answers_echo_requests_only(version: int) -> None:
    with RouterChain(2, silent={3}) as chain:
        assert sorted(trace(chain, version, "udp", 5)) == [1, 2]
        assert sorted(trace(chain, version, "icmp", 5)) == [1, 2, 3, 4, 5]


@both_versions
@both_protocols
def test_an_unreachable_target_is_told_of_by_the_last_router(version: int, protocol: str) -> None:
    with RouterChain(5, unreachable_at=3) as chain:
        found = trace(chain, version, protocol, 6)
        last = chain.hops(version)[-1]
        assert len(chain.hops(version)) == 3
        assert found[2] == {(chain.hops(version)[1], TIME_EXCEEDED[version])}
        assert [found.get(ttl) for ttl in (3, 4, 5, 6)] == [{(last, HOST_UNREACHABLE[version])}] * 4


@both_versions
@both_protocols
def test_a_prohibiting_router_answers_at_its_own_ttl_too(version: int, protocol: str) -> None:
    with RouterChain(5, prohibited_at=3) as chain:
        found = trace(chain, version, protocol, 5)
        last = chain.hops(version)[-1]
        assert found[3] == {(last, TIME_EXCEEDED[version])}
        assert found[4] == found[5] == {(last, PROHIBITED[version])}


@both_versions
@both_protocols
def test_nothing_answers_behind_a_black_hole(version: int, protocol: str) -> None:
    with RouterChain(5, blackhole_at=3) as chain:
        found = trace(chain, version, protocol, 6)
        assert sorted(found) == [1, 2, 3]
        assert found[3] == {(chain.hops(version)[2], TIME_EXCEEDED[version])}


def test_rate_limits_can_be_left_on() -> None:
    with RouterChain(1, icmp_rate_limits=True) as chain:
        replies = chain.call(plain.trace, chain.target4, "udp", 1, 40, QUIET)
        assert 1 <= len(replies) < 40


def test_the_source_keeps_the_stock_settings(chain: RouterChain) -> None:
    assert chain.run(["cat", "/proc/sys/net/ipv4/ping_group_range"]).stdout.split() == ["1", "0"]


def test_no_interface_leads_out_of_the_chain(chain: RouterChain) -> None:
    links = [
        re.findall(r"^\d+: ([^:@]+)", node.run(["ip", "-o", "link"]).stdout, re.MULTILINE)
        for node in (chain.source, *chain.routers, chain.target)
    ]
    assert links == [["lo", "far"], *[["lo", "far", "near"]] * 10, ["lo", "near"]] or links == [
        ["lo", "far"],
        *[["lo", "near", "far"]] * 10,
        ["lo", "near"],
    ]


def test_namespaces_are_gone_afterwards_whatever_happens() -> None:
    chain = RouterChain(2)
    names = {node.name for node in (chain.source, *chain.routers, chain.target)}

    def fail_inside() -> None:
        with chain:
            assert names <= set(existing_namespaces())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert not names & set(existing_namespaces())


def test_a_chain_that_can_not_be_built_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RouterChain, "_script", lambda *_: "echo no >&2; exit 3")
    before = existing_namespaces()
    with pytest.raises(RigError, match="no"), RouterChain(2):
        pytest.fail("built")
    assert existing_namespaces() == before


def test_the_remains_of_a_killed_process_are_removed(chain: RouterChain) -> None:
    # The number of a process that has ended: no longer in use, and far from being used again.
    ended = os.fork()
    if ended == 0:
        os._exit(0)
    os.waitpid(ended, 0)
    stale = Namespace(f"tprig-{ended}-0-source")
    ip_batch([f"netns add {stale.name}"])
    with NamespaceGroup("alone"):
        assert stale.name not in existing_namespaces()
        assert chain.source.name in existing_namespaces()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_routers": 63},
        {"n_routers": -1},
        {"silent": {0}},
        {"silent": {12}},
        {"unreachable_at": 11},
        {"blackhole_at": 0},
        {"unreachable_at": 2, "blackhole_at": 3},
    ],
)
def test_impossible_chains_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"there is no|must be from|one router only"):
        RouterChain(**wrong)  # type: ignore[arg-type]


def _fail(text: str) -> None:
    raise LookupError(text)


def _die() -> None:
    print("a last word", flush=True)
    os.kill(os.getpid(), 9)


def test_a_failure_inside_is_shown_outside(chain: RouterChain) -> None:
    with pytest.raises(RemoteError, match="LookupError: seen"):
        chain.call(_fail, "seen")
    with pytest.raises(RemoteError, match=r"status 9\na last word$"):
        chain.call(_die)
    assert chain.call(plain.descriptors) > 0


def _remember(what: str, memory: list[str] = []) -> list[str]:  # noqa: B006 - the point of it
    memory.append(what)
    return memory


def test_every_call_finds_a_fresh_process(chain: RouterChain) -> None:
    assert chain.call(_remember, "one") == ["one"]
    assert chain.call(_remember, "two") == ["two"]


async def _library() -> str:
    try:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]
    except RuntimeError:
        import trio

        return trio.lowlevel.current_task().__module__.partition(".")[0]


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_coroutines_run_inside_on_any_loop(chain: RouterChain, backend: str) -> None:
    if backend != "asyncio":
        require(backend, missing_module(backend))
    assert chain.call(_library, backend=backend) == backend
