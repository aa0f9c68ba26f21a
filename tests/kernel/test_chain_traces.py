"""Traces through a chain of real routers, as root: every hop right, whatever is in the way."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside
from tests.kernel.inside import addresses, last_probes
from tests.rigs.chain import RouterChain
from traceprobe.schema import event_schema, trace_schema

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.netns

QUICK = {"tail_floor": 0.1}
"""Where silence is certain in a chain, there is no need to wait for it."""

both_versions = pytest.mark.parametrize("version", [4, 6])
both_protocols = pytest.mark.parametrize("protocol", ["icmp", "udp"])
every_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
every_mode = pytest.mark.parametrize(
    ("mode", "protocol"),
    [("linux_raw", "icmp"), ("linux_raw", "udp"), ("linux_ping", "icmp"), ("linux_udp", "udp")],
)


@pytest.mark.usefixtures("kernel_stamps")
@every_loop
@both_versions
@every_mode
def test_every_hop_is_right(
    open_chain: RouterChain, version: int, mode: str, protocol: str, loop: str
) -> None:
    document = open_chain.call(
        inside.trace, open_chain.target_address(version), {"mode": mode, "protocol": protocol}, backend=loop
    )
    assert addresses(document) == open_chain.hops(version)
    assert (document["mode"], document["protocol"]) == (mode, protocol)
    assert document["reached"]
    assert document["stop_reason"] == "destination_reached"
    assert document["source"] == (open_chain.source4 if version == 4 else open_chain.source6)
    for number, hop in enumerate(document["hops"], 1):
        assert (hop["ttl"], hop["sent"], hop["received"], hop["loss"]) == (number, 3, 3, 0.0)
        end = "echo_reply" if protocol == "icmp" else "port_unreachable"
        for probe in hop["probes"]:
            assert probe["reply"] == ("time_exceeded" if number <= 10 else end)
            assert probe["timestamp_source"] == "kernel_tx_rx"
            assert 0 < probe["rtt_ms"] < 1000
            assert probe["reply_ttl"] == 65 - number


@both_versions
@both_protocols
def test_quotes_tell_the_ttl_that_the_router_saw(chain: RouterChain, version: int, protocol: str) -> None:
    options = {"mode": "linux_raw", "protocol": protocol}
    document = chain.call(inside.trace, chain.target_address(version), options)
    quoted = [[probe["quoted_ttl"] for probe in hop["probes"]] for hop in document["hops"][:10]]
    assert quoted == [[1, 1, 1]] * 10


@both_versions
def test_the_best_mode_is_chosen(chain: RouterChain, version: int) -> None:
    document = chain.call(inside.trace_and_block, chain.target_address(version), {})
    assert (document["mode"], document["protocol"], document["flow"]) == ("linux_raw", "icmp", "paris")
    assert addresses(document) == chain.hops(version)


@both_versions
@every_mode
def test_silent_routers_are_listed_as_silent(version: int, mode: str, protocol: str) -> None:
    with RouterChain(9, silent={1, 4, 5}) as chain:
        chain.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        document = chain.call(
            inside.trace, chain.target_address(version), {"mode": mode, "protocol": protocol}
        )
        assert addresses(document) == chain.hops(version)
        assert [hop["ttl"] for hop in document["hops"] if hop["address"] is None] == [1, 4, 5]
        for hop in document["hops"]:
            silent = hop["ttl"] in {1, 4, 5}
            assert hop["received"] == (0 if silent else 3)
            assert {probe["status"] for probe in hop["probes"]} == {"timeout" if silent else "reply"}


def _unreachable(version: int, *, prohibited: bool) -> tuple[int, int]:
    if version == 4:
        return (3, 13) if prohibited else (3, 1)
    return (1, 1) if prohibited else (1, 3)


@both_versions
@every_mode
def test_an_unreachable_target_ends_the_trace(version: int, mode: str, protocol: str) -> None:
    with RouterChain(6, unreachable_at=4) as chain:
        chain.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        document = chain.call(
            inside.trace, chain.target_address(version), {"mode": mode, "protocol": protocol, **QUICK}
        )
        assert addresses(document) == chain.hops(version)
        assert (document["reached"], document["stop_reason"]) == (False, "unreachable")
        for probe in last_probes(document):
            assert probe["reply"] == "unreachable"
            assert (probe["icmp_type"], probe["icmp_code"]) == _unreachable(version, prohibited=False)


@both_versions
@both_protocols
def test_a_prohibiting_router_is_seen_twice(version: int, protocol: str) -> None:
    with RouterChain(6, prohibited_at=4) as chain:
        document = chain.call(inside.trace, chain.target_address(version), {"protocol": protocol, **QUICK})
        routers = chain.hops(version)
        assert addresses(document) == [*routers, routers[-1]]
        assert document["stop_reason"] == "unreachable"
        assert {probe["reply"] for probe in document["hops"][3]["probes"]} == {"time_exceeded"}
        for probe in last_probes(document):
            assert (probe["icmp_type"], probe["icmp_code"]) == _unreachable(version, prohibited=True)


@both_versions
@every_mode
def test_a_black_hole_is_silence_to_the_end(version: int, mode: str, protocol: str) -> None:
    with RouterChain(6, blackhole_at=3) as chain:
        chain.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        options = {"mode": mode, "protocol": protocol, "max_ttl": 8, **QUICK}
        document = chain.call(inside.trace, chain.target_address(version), options)
        assert addresses(document) == [*chain.hops(version), None, None, None, None, None]
        assert (document["reached"], document["stop_reason"]) == (False, "max_ttl")
        document = chain.call(inside.trace, chain.target_address(version), {**options, "gap_limit": 2})
        assert document["stop_reason"] == "gap_limit"


@both_versions
@every_mode
def test_a_first_trace_survives_the_rate_limits_of_linux(version: int, mode: str, protocol: str) -> None:
    with RouterChain(10, icmp_rate_limits=True) as chain:
        chain.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        first, second = chain.call(
            inside.trace_twice, chain.target_address(version), {"mode": mode, "protocol": protocol, **QUICK}
        )
        # Six answers are free: three for the trace, and no probe is sent twice.
        assert addresses(first) == chain.hops(version)
        assert [hop["received"] for hop in first["hops"]] == [3] * 11
        assert first["stop_reason"] == "destination_reached"
        # Later, answers may be missing, but none may be wrong.
        truth = dict(enumerate(chain.hops(version), 1))
        for hop in second["hops"]:
            assert hop["address"] in {None, truth.get(hop["ttl"])}
        if protocol == "icmp":
            assert second["reached"]  # echo replies are not limited


@both_versions
def test_nothing_is_left_open_by_leaving_early(chain: RouterChain, version: int) -> None:
    for loop in ("asyncio", "trio"):
        found = chain.call(inside.leave_early, chain.target_address(version), {}, backend=loop)
        assert found["first"] in chain.hops(version)
        assert found["after"] == found["before"]


# --- the command -------------------------------------------------------------------------------------------


NO_LOOKUPS = ("-n", "--no-asn")


def command(chain: RouterChain, *arguments: str) -> subprocess.CompletedProcess[str]:
    return chain.run(["python", "-m", "traceprobe", *arguments], check=False)


def _validator(schema: dict[str, Any]) -> Any:
    import jsonschema
    from referencing import Registry, Resource

    registry = Registry().with_resources(
        (str(one["$id"]), Resource.from_contents(one)) for one in (trace_schema(), event_schema())
    )
    return jsonschema.Draft202012Validator(schema, registry=registry)


@both_versions
@both_protocols
def test_json_is_what_the_schema_says(chain: RouterChain, version: int, protocol: str) -> None:
    finished = command(chain, *NO_LOOKUPS, "--json", f"--{protocol}", chain.target_address(version))
    assert (finished.returncode, finished.stderr) == (0, "")
    document = json.loads(finished.stdout)
    _validator(trace_schema()).validate(document)
    assert addresses(document) == chain.hops(version)


@both_versions
def test_each_line_of_ndjson_is_what_the_schema_says(chain: RouterChain, version: int) -> None:
    finished = command(chain, *NO_LOOKUPS, "--ndjson", chain.target_address(version))
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    validator = _validator(event_schema())
    for line in lines:
        validator.validate(line)
    assert len(lines) > 11


@both_versions
def test_text_lists_every_hop(chain: RouterChain, version: int) -> None:
    finished = command(chain, *NO_LOOKUPS, chain.target_address(version))
    assert finished.returncode == 0
    shown = re.findall(r"^ +\d+ .* ms +(\S+)$", finished.stdout, re.MULTILINE)
    assert shown == chain.hops(version)


def test_exit_status_tells_how_it_ended(chain: RouterChain) -> None:
    assert command(chain, *NO_LOOKUPS, "-m", "5", "--fast", chain.target4).returncode == 1
    assert command(chain, *NO_LOOKUPS, "-4", chain.target6).returncode == 2
    assert command(chain, *NO_LOOKUPS, "-i", "nonsense0", chain.target4).returncode == 2
    assert command(chain, *NO_LOOKUPS, "--mode", "linux_ping", chain.target4).returncode == 3
    with RouterChain(2, unreachable_at=2) as broken:
        finished = command(broken, *NO_LOOKUPS, broken.target4)
        assert finished.returncode == 1
        assert "!H" in finished.stdout


def test_doctor_tells_what_works_here(chain: RouterChain) -> None:
    finished = command(chain, "doctor")
    assert "linux_raw" in finished.stdout
    assert "ping_group_range" in finished.stdout  # it is closed, and the remedy says so
