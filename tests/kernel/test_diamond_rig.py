"""The kernel's load balancing in the diamond is what the tests of constant flows rely on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.kernel import plain
from tests.rigs.diamond import Diamond

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

QUIET = 0.1
COUNT = 48

both_versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def diamond() -> Iterator[Diamond]:
    with Diamond(3) as built:
        yield built


def branches(diamond: Diamond, version: int, protocol: str, target: str) -> dict[int, set[int]]:
    """The branches that answered at TTL 2 and 3."""
    found: dict[int, set[int]] = defaultdict(set)
    for reply in diamond.call(plain.trace, target, protocol, 3, COUNT, QUIET):
        ttl = reply[0] // COUNT + 1
        if ttl > 1:
            branch = diamond.branch_of(version, ttl, reply[1])
            assert branch is not None
            found[ttl].add(branch)
    return found


@both_versions
def test_ports_choose_the_branch(diamond: Diamond, version: int) -> None:
    (target,) = diamond.targets(version, 1)
    assert branches(diamond, version, "udp", target) == {2: {0, 1, 2}, 3: {0, 1, 2}}


@both_versions
def test_addresses_choose_the_branch_where_there_are_no_ports(diamond: Diamond, version: int) -> None:
    targets = diamond.targets(version, 60)
    first, second = (
        [diamond.branch_of(version, ttl, one) for one in diamond.call(plain.expire, targets, ttl, QUIET)]
        for ttl in (2, 3)
    )
    assert first == second
    assert set(first) == {0, 1, 2}


@both_versions
def test_nothing_is_held_back(diamond: Diamond, version: int) -> None:
    (target,) = diamond.targets(version, 1)
    assert len(diamond.call(plain.trace, target, "udp", 4, 100, QUIET)) == 400
