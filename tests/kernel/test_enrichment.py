"""Look-ups in namespaces: the system's name servers tell names, and what wasn't asked for sends nothing."""

from __future__ import annotations

import json
import re
import shutil
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside
from tests.rigs.capture import Capture
from tests.rigs.chain import RouterChain
from tests.rigs.dns_server import DnsServer, Manner

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

DEVICE = "far"
"""The source's only way out."""

both_versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def named_chain() -> Iterator[tuple[RouterChain, DnsServer]]:
    """A chain whose target runs the name server that the source's system is configured for."""
    with RouterChain(3) as chain, DnsServer(chain.target4, namespace=chain.target, port=53) as server:
        for number, address in enumerate((*chain.hops4, *chain.hops6)):
            assert address is not None
            server.pointer(address, f"hop{number % 4 + 1}.example.")
        # ip-netns(8): programs inside find this in the place of /etc/resolv.conf.
        folder = Path("/etc/netns", chain.source.name)
        folder.mkdir(parents=True)
        try:
            (folder / "resolv.conf").write_text(f"nameserver {chain.target4}\nsearch wrong.example\n")
            yield chain, server
        finally:
            shutil.rmtree(folder)


# --- what was asked for ---------------------------------------------------------------------------------


@both_versions
def test_the_command_asks_the_name_servers_of_the_system(
    named_chain: tuple[RouterChain, DnsServer], version: int
) -> None:
    chain, server = named_chain
    server.asked.clear()
    finished = chain.run(["python", "-m", "traceprobe", chain.target_address(version)])
    assert finished.stderr == ""
    addresses = chain.hops4 if version == 4 else chain.hops6
    named = re.findall(r"^ *(\d+) .* (hop\d\.example) \((\S+)\)", finished.stdout, re.MULTILINE)
    assert named[: len(addresses)] == [
        (str(ttl), f"hop{ttl}.example", address) for ttl, address in enumerate(addresses, 1)
    ]
    # Once each, no search domain tried; addresses for documentation belong to no network, so none is asked.
    assert sorted(server.names()) == sorted(
        ip_address(address or "").reverse_pointer for address in addresses
    )


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_the_library_does_so_on_every_loop(named_chain: tuple[RouterChain, DnsServer], loop: str) -> None:
    chain, server = named_chain
    server.asked.clear()
    document = chain.call(inside.trace_with_names, chain.target4, backend=loop)
    assert [hop["hostname"] for hop in document["hops"]] == [f"hop{ttl}.example" for ttl in range(1, 5)]
    assert not any(hop["enrichment_errors"] for hop in document["hops"])
    assert {asked.kind for asked in server.asked} == {"PTR"}


def test_another_server_can_be_named(named_chain: tuple[RouterChain, DnsServer]) -> None:
    chain, _ = named_chain
    with DnsServer(chain.target4, namespace=chain.target) as other:
        other.pointer(chain.target4, "other.example.")
        command = ["python", "-m", "traceprobe", "--json", "--resolver", other.address, chain.target4]
        document = json.loads(chain.run(command).stdout)
        assert [hop["hostname"] for hop in document["hops"]] == [None, None, None, "other.example"]
        assert len(other.asked) == 4


def test_a_dead_name_server_is_told_and_costs_no_hop(named_chain: tuple[RouterChain, DnsServer]) -> None:
    chain, _ = named_chain
    command = ["python", "-m", "traceprobe", "--json", "--resolver", "203.0.113.99", chain.target4]
    document = json.loads(chain.run(command).stdout)
    assert [hop["address"] for hop in document["hops"]] == list(chain.hops4)
    for hop in document["hops"]:
        assert hop["hostname"] is None
        assert [error["enricher"] for error in hop["enrichment_errors"]] == ["reverse_dns"]
    assert document["duration_ms"] < 1000.0


# --- what wasn't ----------------------------------------------------------------------------------------


def others(datagrams: list[bytes], probed: str) -> list[bytes]:
    """Datagrams that go elsewhere than to the target; what a kernel tells its neighbours doesn't count."""
    address = ip_address(probed).packed
    where = slice(24, 40) if len(address) == 16 else slice(16, 20)
    return [
        datagram
        for datagram in datagrams
        if not (datagram[0] >> 4 == ip_address(probed).version and datagram[where] == address)
        and not _is_kernel_chatter(datagram)
    ]


def _is_kernel_chatter(datagram: bytes) -> bool:
    """Multicast listener reports and neighbour discovery, which an IPv6 stack sends by itself."""
    return datagram[0] >> 4 == 6 and datagram[24:26] == b"\xff\x02"


def is_dns(datagram: bytes) -> bool:
    """Whether it goes to the port of name servers, over UDP or TCP."""
    header = 40 if datagram[0] >> 4 == 6 else (datagram[0] & 15) * 4
    protocol = datagram[6] if datagram[0] >> 4 == 6 else datagram[9]
    return protocol in {6, 17} and datagram[header + 2 : header + 4] == (53).to_bytes(2)


@both_versions
def test_by_default_the_library_sends_nothing_but_probes(
    named_chain: tuple[RouterChain, DnsServer], version: int
) -> None:
    chain, server = named_chain
    server.asked.clear()
    with Capture(chain.source, DEVICE) as capture, Capture(chain.source, "lo") as loopback:
        document = chain.call(inside.trace, chain.target_address(version), {})
        sent = capture.sent()
        assert loopback.frames() == []
    assert others(sent, chain.target_address(version)) == []
    assert not any(map(is_dns, sent))
    assert len(sent) == document["timings"]["probes_sent"] > 0
    assert not server.asked


def test_a_target_by_name_costs_the_question_of_the_system_and_nothing_else(
    named_chain: tuple[RouterChain, DnsServer],
) -> None:
    chain, server = named_chain
    server.on("target.example", "A", Manner(records=(f"target.example. 60 IN A {chain.target4}",)))
    server.on("target.example", "AAAA", Manner())
    server.asked.clear()
    with Capture(chain.source, DEVICE) as capture, Capture(chain.source, "lo") as loopback:
        document = chain.call(inside.trace, "target.example", {})
        sent = capture.sent()
        assert loopback.frames() == []
    assert document["address"] == chain.target4
    assert {asked.name for asked in server.asked} == {"target.example"}
    assert {asked.kind for asked in server.asked} <= {"A", "AAAA"}
    assert others(sent, chain.target4) == []
    questions = [datagram for datagram in sent if is_dns(datagram)]
    assert len(sent) - len(questions) == document["timings"]["probes_sent"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_making_what_looks_up_sends_nothing(named_chain: tuple[RouterChain, DnsServer], loop: str) -> None:
    chain, _ = named_chain
    with Capture(chain.source, DEVICE) as capture, Capture(chain.source, "lo") as loopback:
        assert chain.call(inside.make_all_look_ups, backend=loop) == 3
        assert [datagram for datagram in capture.sent() if not _is_kernel_chatter(datagram)] == []
        assert loopback.frames() == []


@both_versions
@pytest.mark.parametrize(
    "form", [[], ["--json"], ["--ndjson"], ["--csv"]], ids=lambda form: "".join(form) or "text"
)
def test_the_command_without_look_ups_sends_nothing_but_probes(
    named_chain: tuple[RouterChain, DnsServer], version: int, form: list[str]
) -> None:
    chain, server = named_chain
    server.asked.clear()
    command = ["python", "-m", "traceprobe", "-n", "--no-asn", *form, chain.target_address(version)]
    with Capture(chain.source, DEVICE) as capture, Capture(chain.source, "lo") as loopback:
        finished = chain.run(command)
        sent = capture.sent()
        assert loopback.frames() == []
    assert finished.stdout
    assert others(sent, chain.target_address(version)) == []
    assert not any(map(is_dns, sent))
    assert len(sent) == 90, "30 hops of 3 probes, all at once, and not a packet more"
    assert not server.asked


def test_the_capture_would_see_a_look_up(named_chain: tuple[RouterChain, DnsServer]) -> None:
    chain, _ = named_chain
    with Capture(chain.source, DEVICE) as capture:
        chain.run(["python", "-m", "traceprobe", chain.target6])
        sent = capture.sent()
    assert len([datagram for datagram in others(sent, chain.target6) if is_dns(datagram)]) == 4
