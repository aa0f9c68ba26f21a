"""Compiles a topology into the words that the simulated internet reads (``scenario.c``).

Every list is preceded by its length, times are whole nanoseconds, ``-`` is an address that there isn't.
Routers and targets that have the same addresses and the same rate limit share one token bucket, whatever
paths they lie on and however far away they are there. A manner belongs to an address, and so to whatever
routers and targets have it.
"""

from __future__ import annotations

from ipaddress import ip_address
from operator import itemgetter
from typing import TYPE_CHECKING

from traceprobe.testing.topology import Balanced, FaultKind, Loop, Router, Target, UdpAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rigs.tun.forgery import Forgery
    from tests.rigs.tun.manners import Manner
    from traceprobe.testing.topology import Path, PathElement, Topology

_FORMAT_VERSION = 3

# In the order of enum fault_kind and enum udp_answer in scenario.h.
FAULTS = (
    None,
    FaultKind.LATE,
    FaultKind.DUPLICATE,
    FaultKind.CORRUPT,
    FaultKind.TRUNCATED,
    FaultKind.WRONG_IDENTIFIER,
    FaultKind.WRONG_SEQUENCE,
    FaultKind.WRONG_TOKEN,
    FaultKind.REWRITTEN,
)
_UDP_ANSWERS = (UdpAnswer.PORT_UNREACHABLE, UdpAnswer.DATA, UdpAnswer.SILENT)


def compile_topology(
    topology: Topology,
    manners: Mapping[str, Manner] | None = None,
    forgeries: Mapping[str, Sequence[Forgery]] | None = None,
) -> str:
    """Write a topology down for the simulated internet, the manners of addresses in it, and who forges.

    Args:
        topology: Which paths there are.
        manners: How stations differ from plain ones, by their addresses.
        forgeries: What is forged on the path to each target, by its address. They are counted from 1 on in
            this order.

    Raises:
        ValueError: Nobody has an address that a manner is given for, or no path leads to one that forgeries
            are given for, or a station is to behave in a way that is a matter of manners here.
    """
    compiler = _Compiler()
    paths = [compiler.path(path) for path in topology.paths]
    lines = [f"internet {_FORMAT_VERSION}"]
    words = compiler.manners(manners or {})
    forged = _forgery_lines(topology, forgeries or {})
    for section in (compiler.buckets, compiler.responders, paths, words, forged):
        lines += [str(len(section)), *section]
    return "\n".join([*lines, "end", ""])


class _Compiler:
    def __init__(self) -> None:
        self.responders: list[str] = []
        self.buckets: list[str] = []
        self._numbers: dict[Router | Target, int] = {}
        self._bucket_numbers: dict[object, int] = {}

    def path(self, path: Path) -> str:
        routes = [(0.0, path.hops), *((change.at, change.hops) for change in path.changes)]
        words: list[object] = ["path", self.responder(path.target), _nanoseconds(path.hop_rtt), len(routes)]
        for at, hops in routes:
            words += ["route", _nanoseconds(at), len(hops), *(self.element(hop) for hop in hops)]
        return _line(words)

    def element(self, element: PathElement) -> str:
        if isinstance(element, Router):
            return f"router {self.responder(element)}"
        if isinstance(element, Loop):
            return f"loop {self.branch(element.routers)}"
        assert isinstance(element, Balanced)
        branches = [self.branch(branch) for branch in element.branches]
        return _line([f"per_{element.per}", len(branches), *branches])

    def branch(self, routers: tuple[Router, ...]) -> str:
        return _line([len(routers), *(self.responder(router) for router in routers)])

    def responder(self, responder: Router | Target) -> int:
        """The number of a router or target, which is written down when it is first met."""
        number = self._numbers.setdefault(responder, len(self.responders))
        if number == len(self.responders):
            self.responders.append(_responder_line(responder, self.bucket(responder)))
        return number

    def manners(self, manners: Mapping[str, Manner]) -> list[str]:
        lines = []
        for text, manner in manners.items():
            address = ip_address(text)
            numbers = [
                number for responder, number in self._numbers.items() if address in responder.addresses
            ]
            if not numbers:
                raise ValueError(f"nobody has the address {address}")
            which = int(address.version == 6)
            lines += [f"manner {number} {which} {manner.words()}" for number in numbers]
        return lines

    def bucket(self, responder: Router | Target) -> int:
        """The number of a router's or target's token bucket, -1 if it has none."""
        limit = responder.rate_limit
        if limit is None:
            return -1
        number = self._bucket_numbers.setdefault((responder.addresses, limit), len(self.buckets))
        if number == len(self.buckets):
            self.buckets.append(_line(["bucket", repr(float(limit.per_second)), limit.burst]))
        return number


def _forgery_lines(topology: Topology, forgeries: Mapping[str, Sequence[Forgery]]) -> list[str]:
    """The forgeries, those of a path one behind the other."""
    places = {
        address: place for place, path in enumerate(topology.paths) for address in path.target.addresses
    }
    lines: list[tuple[int, str]] = []
    for text, some in forgeries.items():
        address = ip_address(text)
        if address not in places:
            raise ValueError(f"no path leads to {address}")
        for forgery in some:
            place = places[address]
            words = forgery.words(address.version)
            lines.append((place, f"forgery {len(lines) + 1} {place} {int(address.version == 6)} {words}"))
    return [line for _, line in sorted(lines, key=itemgetter(0))]


_MATTERS_OF_MANNERS = (
    "mpls", "interfaces", "extensions", "legacy_extensions", "ttl_zero_forwarding", "nat", "dscp", "ecn",
)  # fmt: skip


def _responder_line(responder: Router | Target, bucket: int) -> str:
    for name in _MATTERS_OF_MANNERS:
        value = getattr(responder, name, None)
        if value is not None and value is not False and value != ():
            raise ValueError(f"{name} of {responder}: give its address a Manner instead")
    router = responder if isinstance(responder, Router) else Router()
    target = responder if isinstance(responder, Target) else None
    refusals = [(-1, -1) if router.refuses is None else router.refuses.icmp(version) for version in (4, 6)]
    return _line([
        "responder",
        int(target is not None),
        responder.address(4) or "-",
        responder.address(6) or "-",
        -1 if responder.rtt is None else _nanoseconds(responder.rtt),
        _nanoseconds(responder.jitter),
        repr(float(responder.loss)),
        int(responder.silent),
        bucket,
        -1 if responder.quote is None else responder.quote,
        responder.reply_ttl,
        repr(float(router.forwarding_loss)),
        *(number for refusal in refusals for number in refusal),
        router.mtu or 0,
        int(target is None or target.echo),
        0 if target is None else _UDP_ANSWERS.index(target.udp),
        len(responder.faults),
        *(
            _line([FAULTS.index(fault.kind), repr(float(fault.share)), _nanoseconds(fault.delay)])
            for fault in responder.faults
        ),
    ])


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _line(words: list[object]) -> str:
    return " ".join(str(word) for word in words)
