"""A diamond of routers: parallel paths between which the kernel of the router in front of them chooses.

    source --- entry --- first 1 --- second 1 --- exit --- target
                   \\--- first 2 --- second 2 ---/
                   \\--- first n --- second n ---/

The entry router balances load by flow, with ``fib_multipath_hash_policy`` 1 (by ports, and IPv4 and IPv6
addresses) or another; everything else forwards. The target has as many addresses as anybody asks for. A trace
that stays on one path sees ``first`` and ``second`` of the same branch; see ``tests.rigs.chain`` for links
and addresses.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from tests.rigs import chain
from tests.rigs.namespaces import Namespace, NamespaceGroup, ip_batch

if TYPE_CHECKING:
    from types import TracebackType

TARGETS4 = "203.0.113.0/24"
TARGETS6 = "2001:db8:ffff::/64"


class Diamond:
    """A diamond; use it as a context manager.

    Args:
        branches: How many parallel paths there are.
        hash_policy: By what the entry router balances (``fib_multipath_hash_policy``): 0 is the addresses,
            and for IPv6 the flow label; 1 is addresses, protocol and ports.

    Raises:
        RigError: The diamond can't be built.
    """

    def __init__(self, branches: int = 3, *, hash_policy: int = 1) -> None:
        self.branches = branches
        self.hash_policy = hash_policy
        first = [2 + branch for branch in range(branches)]
        second = [2 + branches + branch for branch in range(branches)]
        self._exit = 2 + 2 * branches
        self._target = self._exit + 1
        self._links = [(0, 1)]
        self._links += [(1, node) for node in first]
        self._links += list(zip(first, second, strict=True))
        self._links += [(node, self._exit) for node in second]
        self._links.append((self._exit, self._target))
        self.first4 = [chain.far_address4(1 + branch) for branch in range(branches)]
        """Who answers at TTL 2, by branch."""
        self.first6 = [chain.far_address6(1 + branch) for branch in range(branches)]
        self.second4 = [chain.far_address4(1 + branches + branch) for branch in range(branches)]
        """Who answers at TTL 3, by branch."""
        self.second6 = [chain.far_address6(1 + branches + branch) for branch in range(branches)]
        self._stack = ExitStack()
        self._group = NamespaceGroup(
            "source",
            "entry",
            *(f"first{branch}" for branch in range(branches)),
            *(f"second{branch}" for branch in range(branches)),
            "exit",
            "target",
        )
        self.source: Namespace = self._group.namespaces[0]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            nodes = stack.enter_context(self._group)
            ip_batch([
                f"link add link{link} netns {nodes[near].name} address {chain.mac(link, 1)} type veth "
                f"peer name link{link} netns {nodes[far].name} address {chain.mac(link, 2)}"
                for link, (near, far) in enumerate(self._links)
            ])
            chain.set_up((node, self._script(number)) for number, node in enumerate(nodes))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def targets(self, version: int, count: int) -> list[str]:
        """Addresses of the target."""
        if version == 4:
            return [f"203.0.113.{number}" for number in range(1, count + 1)]
        return [f"2001:db8:ffff::{number:x}" for number in range(1, count + 1)]

    def branch_of(self, version: int, ttl: int, address: str | None) -> int | None:
        """The branch that an address at TTL 2 or 3 belongs to, or None."""
        lists = {(4, 2): self.first4, (4, 3): self.second4, (6, 2): self.first6, (6, 3): self.second6}
        addresses = lists[version, ttl]
        return addresses.index(address) if address in addresses else None

    def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call a function in the source's namespace; see :meth:`Namespace.call`."""
        return self.source.call(function, *arguments, **options)

    def _script(self, number: int) -> str:
        """The commands that configure one node."""
        lines = ["link set lo up"]
        onward: list[int] = []
        backward: list[int] = []
        for link, (near, far) in enumerate(self._links):
            here4, there4 = chain.near_address4(link), chain.far_address4(link)
            here6, there6 = chain.near_address6(link), chain.far_address6(link)
            if number == far:
                here4, there4, here6, there6 = there4, here4, there6, here6
                backward.append(link)
            elif number == near:
                onward.append(link)
            else:
                continue
            device = f"link{link}"
            lines += chain.interface_lines(device, here4, here6)
            lines += chain.neighbour_lines(
                device, there4, there6, chain.mac(link, 2 if number == near else 1)
            )
        if number == self._target:
            lines += [f"route add local {TARGETS4} dev lo", f"route add local {TARGETS6} dev lo"]
        if onward:
            lines += [
                "route add 0.0.0.0/0 "
                + " ".join(f"nexthop via {chain.far_address4(link)} dev link{link}" for link in onward),
                "route add ::/0 "
                + " ".join(f"nexthop via {chain.far_address6(link)} dev link{link}" for link in onward),
            ]
        if number > 1:  # the way back, by the first branch
            link = backward[0]
            lines += [
                f"route add {chain.near_address4(0)}/32 via {chain.near_address4(link)} dev link{link}",
                f"route add {chain.near_address6(0)}/128 via {chain.near_address6(link)} dev link{link}",
            ]
        script = chain.FORWARDING if 0 < number < self._target else ""
        if number > 0:
            script += chain.NO_RATE_LIMITS
        if number == 1:
            for family in ("ipv4", "ipv6"):
                script += f"echo {self.hash_policy} > /proc/sys/net/{family}/fib_multipath_hash_policy\n"
        return script + chain.NODE_SETUP + "ip -batch - <<'END'\n" + "\n".join(lines) + "\nEND\n"
