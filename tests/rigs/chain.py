"""A chain of routers: namespaces joined by veth pairs, from a source over the routers to a target.

The kernel forwards, so every hop answers as a real Linux router does. What answers at each TTL is known
beforehand (``hops4``, ``hops6``), and a test compares what it found with that.

    source --- router 1 --- router 2 --- ... --- router n --- target

Link ``i`` joins node ``i`` and node ``i + 1`` (node 0 is the source): 198.51.100.(4i)/30 and
2001:db8:0:(i + 1)::/64, documentation networks (RFC 5737, RFC 3849), lower address on the source's side. A
router answers from its address on the side that the probe came from. Neighbour entries are permanent
and duplicate address detection is off, so that a chain is ready as soon as it is built.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from tests.rigs.namespaces import PATIENCE, Namespace, NamespaceGroup, RigError, ip_batch
from tests.rigs.slow_link import SlowLink

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import TracebackType

MAX_ROUTERS = 62
TARGET4 = "203.0.113.10"
TARGET6 = "2001:db8:ffff::10"

NODE_SETUP = """\
for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > "$file"; done
for file in /proc/sys/net/ipv6/conf/*/accept_dad /proc/sys/net/ipv6/conf/*/accept_ra \\
            /proc/sys/net/ipv6/conf/*/router_solicitations; do echo 0 > "$file"; done
"""

FORWARDING = """\
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
"""

NO_RATE_LIMITS = """\
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
echo 0 > /proc/sys/net/ipv6/icmp/ratelimit
for file in /proc/sys/net/ipv4/icmp_msgs_per_sec /proc/sys/net/ipv4/icmp_msgs_burst; do
    if [ -w "$file" ]; then echo 1000000 > "$file"; fi
done
"""
"""The two that count messages of the whole machine belong to each namespace only since Linux 6.10."""

_SILENT = """\
table inet silent {
  chain output {
    type filter hook output priority 0;
    icmp type { time-exceeded, destination-unreachable } drop
    icmpv6 type { time-exceeded, destination-unreachable } drop
  }
}
"""

_BLACKHOLE = """\
table inet blackhole {
  chain forward {
    type filter hook forward priority 0;
    iifname "near" drop
  }
}
"""

_UNREACHABLE = f"""\
table inet unreachable {{
  chain prerouting {{
    type filter hook prerouting priority 0;
    ip daddr {TARGET4} reject with icmp type host-unreachable
    ip6 daddr {TARGET6} reject with icmpv6 type addr-unreachable
  }}
}}
"""
"""An unreachable route would do the same, but its answers have a rate limit of their own, for all
namespaces together, that can't be lifted in one of them (net.ipv4.route.error_burst)."""

_PROHIBITED = """\
table inet prohibited {
  chain forward {
    type filter hook forward priority 0;
    iifname "near" meta nfproto ipv4 reject with icmp type admin-prohibited
    iifname "near" meta nfproto ipv6 reject with icmpv6 type admin-prohibited
  }
}
"""


_TRANSLATOR = """\
table inet translator {
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "far" masquerade
  }
}
"""

_DROPPED_PORTS = """\
table inet dropped {{
  chain input {{
    type filter hook input priority 0;
    tcp dport {{ {ports} }} drop
  }}
}}
"""

_PROHIBITED_PORTS = """\
table inet closed {{
  chain forward {{
    type filter hook forward priority 0;
    meta nfproto ipv4 tcp dport {{ {ports} }} reject with icmp type admin-prohibited
    meta nfproto ipv6 tcp dport {{ {ports} }} reject with icmpv6 type admin-prohibited
  }}
}}
"""


def near_address4(link: int) -> str:
    """The address of the node on the source's side of a link."""
    return f"198.51.100.{4 * link + 1}"


def far_address4(link: int) -> str:
    """The address of the node on the target's side of a link."""
    return f"198.51.100.{4 * link + 2}"


def near_address6(link: int) -> str:
    """The address of the node on the source's side of a link."""
    return f"2001:db8:0:{link + 1:x}::1"


def far_address6(link: int) -> str:
    """The address of the node on the target's side of a link."""
    return f"2001:db8:0:{link + 1:x}::2"


class RouterChain:
    """A chain of routers; use it as a context manager.

    Args:
        n_routers: How many routers there are between source and target.
        silent: Routers (counted from 1) that forward but send no ICMP errors; ``n_routers + 1`` is the
            target, which then only answers echo requests.
        unreachable_at: This router answers every probe that arrives with host unreachable (IPv4, 3/1)
            or address unreachable (IPv6, 1/3), even where the TTL is used up, as Linux does for want of
            a route.
        prohibited_at: This router answers what it would have to forward with administratively
            prohibited (IPv4 3/13, IPv6 1/1); where the TTL is used up, with time exceeded.
        blackhole_at: This router drops what it would have to forward, without a word; where the TTL
            is used up, it answers.
        translator_at: This router gives what it forwards its own source address (masquerade), and
            translates what comes back, the quotes in ICMP errors too.
        dropped_ports: TCP ports that the target's firewall drops without a word.
        prohibited_ports: TCP ports for which the last router answers administratively prohibited.
        target_delay: How long the last link takes for every packet, seconds one way; None for no time at all.
        icmp_rate_limits: Leave the limits that Linux sets by default in force on routers and target.

    Raises:
        RigError: The chain can't be built.
    """

    def __init__(
        self,
        n_routers: int = 10,
        *,
        silent: Collection[int] = (),
        unreachable_at: int | None = None,
        prohibited_at: int | None = None,
        blackhole_at: int | None = None,
        translator_at: int | None = None,
        dropped_ports: Collection[int] = (),
        prohibited_ports: Collection[int] = (),
        target_delay: float | None = None,
        icmp_rate_limits: bool = False,
    ) -> None:
        if not 0 <= n_routers <= MAX_ROUTERS:
            raise ValueError(f"n_routers is {n_routers}, must be from 0 to {MAX_ROUTERS}")
        ends = [router for router in (unreachable_at, prohibited_at, blackhole_at) if router is not None]
        if len(ends) > 1:
            raise ValueError("a path can end at one router only")
        for router in (*ends, *(() if translator_at is None else (translator_at,))):
            if not 1 <= router <= n_routers:
                raise ValueError(f"there is no router {router}")
        for node in silent:
            if not 1 <= node <= n_routers + 1:
                raise ValueError(f"there is no node {node}")
        self.n_routers = n_routers
        self.silent = frozenset(silent)
        self.unreachable_at = unreachable_at
        self.prohibited_at = prohibited_at
        self.blackhole_at = blackhole_at
        self.translator_at = translator_at
        self.dropped_ports = tuple(dropped_ports)
        self.prohibited_ports = tuple(prohibited_ports)
        self.target_delay = target_delay
        self.icmp_rate_limits = icmp_rate_limits

        self.source4, self.source6 = near_address4(0), near_address6(0)
        self.target4, self.target6 = TARGET4, TARGET6
        last = ends[0] if ends else n_routers
        answers4: list[str | None] = [far_address4(router - 1) for router in range(1, last + 1)]
        answers6: list[str | None] = [far_address6(router - 1) for router in range(1, last + 1)]
        if not ends:
            answers4.append(TARGET4)
            answers6.append(TARGET6)
        for node in self.silent:
            if node <= last:
                answers4[node - 1] = answers6[node - 1] = None
        self.hops4: tuple[str | None, ...] = tuple(answers4)
        """Who answers at TTL 1, 2 and so on, None where nobody does; where the path ends at a router,
        that router is the last. A silent target is listed, since it does answer echo requests."""
        self.hops6: tuple[str | None, ...] = tuple(answers6)
        """The same for IPv6."""

        self._stack = ExitStack()
        self._group = NamespaceGroup("source", *(f"router{i}" for i in range(1, n_routers + 1)), "target")
        self.source: Namespace = self._group.namespaces[0]
        self.routers: list[Namespace] = self._group.namespaces[1:-1]
        self.target: Namespace = self._group.namespaces[-1]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            nodes = stack.enter_context(self._group)
            if self.target_delay is not None:
                ends = (nodes[-2], "far"), (nodes[-1], "near")
                stack.enter_context(SlowLink(ends, self.target_delay))
            ip_batch([
                f"link add far netns {nodes[link].name} address {mac(link, 1)} type veth "
                f"peer name near netns {nodes[link + 1].name} address {mac(link, 2)}"
                for link in range(self.n_routers + (self.target_delay is None))
            ])
            set_up((node, self._script(number)) for number, node in enumerate(nodes))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program in the source's namespace; see :meth:`Namespace.run`."""
        return self.source.run(arguments, **options)

    def target_address(self, version: int) -> str:
        """The target's address of IP version 4 or 6."""
        return self.target4 if version == 4 else self.target6

    def hops(self, version: int) -> list[str | None]:
        """Who answers at TTL 1, 2 and so on over IP version 4 or 6; None where nobody does."""
        return list(self.hops4 if version == 4 else self.hops6)

    def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call a function in the source's namespace; see :meth:`Namespace.call`."""
        return self.source.call(function, *arguments, **options)

    def _script(self, number: int) -> str:
        """The commands that configure one node."""
        is_router = 1 <= number <= self.n_routers
        is_target = number == self.n_routers + 1
        lines = ["link set lo up"]
        if number > 0:
            lines += interface_lines("near", far_address4(number - 1), far_address6(number - 1))
            lines += self._neighbour_lines(
                number - 1, "near", near_address4(number - 1), near_address6(number - 1), mac(number - 1, 1)
            )
        if not is_target:
            lines += interface_lines("far", near_address4(number), near_address6(number))
            lines += self._neighbour_lines(
                number, "far", far_address4(number), far_address6(number), mac(number, 2)
            )
        if is_target:
            lines += [
                f"address add {TARGET4}/32 dev lo",
                f"address add {TARGET6}/128 dev lo nodad",
                f"route add 0.0.0.0/0 via {near_address4(number - 1)} dev near",
                f"route add ::/0 via {near_address6(number - 1)} dev near",
            ]
        else:
            lines += [
                f"route add 0.0.0.0/0 via {far_address4(number)} dev far",
                f"route add ::/0 via {far_address6(number)} dev far",
            ]
        if number > 1 and not is_target:  # the way back to the source; router 1 is connected to it
            lines += [
                f"route add {near_address4(0)}/32 via {near_address4(number - 1)} dev near",
                f"route add {near_address6(0)}/128 via {near_address6(number - 1)} dev near",
            ]
        translator = self.translator_at
        if translator is not None and is_router and number > translator + 1:  # the way back to it, likewise
            lines += [
                f"route add {near_address4(translator)}/32 via {near_address4(number - 1)} dev near",
                f"route add {near_address6(translator)}/128 via {near_address6(number - 1)} dev near",
            ]
        script = FORWARDING if is_router else ""
        if number > 0 and not self.icmp_rate_limits:
            script += NO_RATE_LIMITS
        script += NODE_SETUP
        script += "ip -batch - <<'END'\n" + "\n".join(lines) + "\nEND\n"
        for wanted, rules in (
            (number in self.silent, _SILENT),
            (number == self.unreachable_at, _UNREACHABLE),
            (number == self.blackhole_at, _BLACKHOLE),
            (number == self.prohibited_at, _PROHIBITED),
            (number == self.translator_at, _TRANSLATOR),
            (is_target and self.dropped_ports, _DROPPED_PORTS.format(ports=_list(self.dropped_ports))),
            (
                number == self.n_routers and self.prohibited_ports,
                _PROHIBITED_PORTS.format(ports=_list(self.prohibited_ports)),
            ),
        ):
            if wanted:
                script += f"nft -f - <<'END'\n{rules}END\n"
        return script

    def _neighbour_lines(self, link: int, device: str, *addresses: str) -> list[str]:
        """What tells of the neighbour on a link that has hardware addresses."""
        is_slow = self.target_delay is not None and link == self.n_routers
        return [] if is_slow else neighbour_lines(device, *addresses)


def _list(ports: Collection[int]) -> str:
    return ", ".join(map(str, ports))


def set_up(scripts: Iterable[tuple[Namespace, str]]) -> None:
    """Configure nodes, each by one shell, all of them side by side.

    Raises:
        RigError: A script failed.
    """
    shells = []
    for node, script in scripts:
        shell = subprocess.Popen(
            node.command(["sh", "-e"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        shells.append((node, shell, script))
    failures = []
    for node, shell, script in shells:
        output, _ = shell.communicate(script, timeout=PATIENCE)
        if shell.returncode != 0:
            failures.append(f"{node.name}: {output.strip()}")
    if failures:
        raise RigError("\n".join(failures))


def mac(link: int, end: int) -> str:
    """The hardware address of one end of a link."""
    return f"02:00:00:00:{link:02x}:{end:02x}"


def interface_lines(device: str, address4: str, address6: str) -> list[str]:
    """What gives an interface its addresses."""
    return [
        f"link set dev {device} addrgenmode none",
        f"link set dev {device} up",
        f"address add {address4}/30 dev {device}",
        f"address add {address6}/64 dev {device} nodad",
    ]


def neighbour_lines(device: str, address4: str, address6: str, hardware: str) -> list[str]:
    """What tells of the neighbour at the other end."""
    return [
        f"neigh replace {address4} lladdr {hardware} dev {device} nud permanent",
        f"neigh replace {address6} lladdr {hardware} dev {device} nud permanent",
    ]
