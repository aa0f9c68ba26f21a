"""Behind a real translator (the kernel's masquerade) every way of probing finds what lies beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel import inside, plain
from tests.kernel.inside import addresses
from tests.rigs.chain import RouterChain
from traceprobe.sockets._catalogue import LINUX, ModeFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

ROUTERS = 5

both_versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def translated_chain() -> Iterator[RouterChain]:
    """The second of five routers translates."""
    with RouterChain(ROUTERS, translator_at=2) as built:
        built.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield built


@both_versions
@pytest.mark.parametrize("facts", LINUX, ids=lambda facts: f"{facts.mode}-{facts.protocol}")
def test_every_hop_is_found(translated_chain: RouterChain, version: int, facts: ModeFacts) -> None:
    target = translated_chain.target4 if version == 4 else translated_chain.target6
    hops = translated_chain.hops4 if version == 4 else translated_chain.hops6
    for flow in facts.flows:
        choice = {"mode": facts.mode.value, "protocol": facts.protocol.value, "flow": flow.value}
        document = translated_chain.call(inside.trace, target, choice)
        assert addresses(document) == list(hops)
        assert [hop["received"] for hop in document["hops"]] == [3] * (ROUTERS + 1)
        assert document["discarded"].get("rewritten", 0) == 0
        # Linux puts quotes back as they were, checksum included: nothing is to be seen of it.
        assert not any(hop["nat"] for hop in document["hops"])


@both_versions
def test_the_source_is_translated_indeed(translated_chain: RouterChain, version: int) -> None:
    target = translated_chain.target4 if version == 4 else translated_chain.target6
    family = {4: "ip", 6: "ip6"}[version]
    source = translated_chain.source4 if version == 4 else translated_chain.source6
    counting = f"table {family} counting {{\n chain input {{\n  type filter hook input priority 0\n"
    counting += f"  {family} saddr {source} counter\n }}\n}}\n"
    node = translated_chain.target
    node.run(["nft", "-f", "-"], standard_input=counting)
    try:
        assert len(translated_chain.call(plain.trace, target, "udp", 7, 1, 0.1)) == 7
        listed = node.run(["nft", "list", "table", family, "counting"]).stdout
        assert "counter packets 0 bytes 0" in listed
    finally:
        node.run(["nft", "delete", "table", family, "counting"])
