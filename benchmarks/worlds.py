"""Where is traced: paths whose hops are known beforehand, and that can be entered and counted in.

A world knows its truth and how to run something as the prober; it knows nothing of who probes.
"""

from __future__ import annotations

import ipaddress
import sys
from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.rigs.under_wine import mend_trio, under_wine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from tests.rigs.chain import RouterChain
    from tests.rigs.namespaces import Namespace, Privileges
    from tests.rigs.tun import Log
    from tests.rigs.tun.simulated import SimulatedInternet
    from traceprobe.testing.topology import Topology

TARGET = "203.0.113.9"
"""Target of the scenario files of the simulated internet."""


class World(AbstractContextManager["World"]):
    """A path to trace; use it as a context manager."""

    name: str
    title: str
    target: str
    truth: list[str | None]
    """Who answers at TTL 1, 2 and so on; None where nobody does."""
    max_ttl = 30
    reached = True
    """Whether the target answers."""
    slowest_ns = 0
    """The slowest round trip of the path, where it is known."""

    @abstractmethod
    def call(
        self,
        function: Callable[..., Any],
        *arguments: object,
        backend: str | None = None,
        privileges: Privileges | None = None,
    ) -> Any:  # noqa: ANN401 - what came back through JSON
        """Call a function in a fresh process as the prober."""

    def begin(self) -> None:
        """Begin counting anew."""

    @abstractmethod
    def count(self) -> int | None:
        """How many probes have been sent since :meth:`begin`; None where that can't be told."""

    def log(self) -> Log | None:
        """What happened since :meth:`begin`, where that is known."""
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give everything back."""


class RigWorld(World):
    """A network that a rig of the tests builds out of namespaces; the prober may open ping sockets there.

    Args:
        rig: The rig, not built yet.
    """

    def __init__(self, rig: RouterChain | SimulatedInternet) -> None:
        self._rig = rig

    @property
    @abstractmethod
    def prober(self) -> Namespace:
        """Where the prober is."""

    def __enter__(self) -> Self:
        self._rig.__enter__()
        self.prober.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rig.__exit__(kind, error, traceback)

    def call(
        self,
        function: Callable[..., Any],
        *arguments: object,
        backend: str | None = None,
        privileges: Privileges | None = None,
    ) -> Any:  # noqa: ANN401 - as declared
        options = {} if privileges is None else {"privileges": privileges}
        return self._rig.call(function, *arguments, backend=backend, **options)


class ChainWorld(RigWorld):
    """Twelve routers in namespaces of their own."""

    def __init__(self, name: str, title: str, **behaviour: Any) -> None:  # noqa: ANN401 - RouterChain's own
        from tests.rigs.chain import RouterChain

        self.name, self.title = name, title
        self._chain = RouterChain(12, **behaviour)
        super().__init__(self._chain)
        self.target = self._chain.target4
        self.truth = list(self._chain.hops4)
        self.reached = self._chain.blackhole_at is None
        self._counted = 0

    @property
    def prober(self) -> Namespace:
        return self._chain.source

    def begin(self) -> None:
        self._counted = self._sent()

    def count(self) -> int:
        return self._sent() - self._counted

    def _sent(self) -> int:
        # Neighbours are permanent, so what leaves are probes, and now and then what IPv6 says to itself. The
        # counters of IPv4 leave out packets that bring their own header along.
        files = ["/sys/class/net/far/statistics/tx_packets", "/proc/net/snmp6"]
        packets, *counters = self._chain.run(["cat", *files]).stdout.splitlines()
        values = dict(line.split() for line in counters)
        return int(packets) - int(values["Ip6OutRequests"])


class InternetWorld(RigWorld):
    """The simulated internet behind a TUN device."""

    def __init__(
        self,
        name: str,
        title: str,
        topology: Topology | None = None,
        *,
        target: str = TARGET,
        max_ttl: int = 30,
    ) -> None:
        from tests.rigs.tun.simulated import SimulatedInternet, load_manners, load_scenario

        self.name, self.title, self.target, self.max_ttl = name, title, target, max_ttl
        manners = load_manners(name) if topology is None else {}
        self.topology = load_scenario(name) if topology is None else topology
        self._manners = manners
        self.internet = SimulatedInternet(self.topology, vigilant=True)
        super().__init__(self.internet)
        path = next(path for path in self.topology.paths if _is(path.target.addresses, target))
        stations = list(path.stations(0.0, lambda *_: 0))
        self.truth = [
            None if station.responder.silent else str(station.responder.address(4)) for station in stations
        ]
        self.reached = not stations[-1].responder.silent
        self.slowest_ns = round(max(station.rtt for station in stations) * 1e9)

    def __enter__(self) -> Self:
        super().__enter__()
        if self._manners:
            self.internet.load(self.topology, manners=self._manners)
        return self

    @property
    def prober(self) -> Namespace:
        return self.internet.namespace

    def begin(self) -> None:
        self.internet.reset()

    def count(self) -> int:
        return len(self.internet.log().probes)

    def log(self) -> Log:
        return self.internet.log()


class LoopbackWorld(World):
    """The machine itself, which every system has: one hop. For those on which no network can be built."""

    name, title, target = "loopback", "The machine itself", "127.0.0.1"

    def __init__(self) -> None:
        self.truth = [self.target]

    def __enter__(self) -> Self:
        if under_wine():
            mend_trio()
        return self

    def call(
        self,
        function: Callable[..., Any],
        *arguments: object,
        backend: str | None = None,
        privileges: Privileges | None = None,
    ) -> Any:  # noqa: ANN401 - as declared
        if privileges is not None:
            raise ValueError("privileges are a matter of namespaces")
        if backend is None:
            return function(*arguments)
        import anyio

        options = {"use_uvloop": True} if backend == "uvloop" else {}
        return anyio.run(
            function, *arguments, backend="trio" if backend == "trio" else "asyncio", backend_options=options
        )

    def count(self) -> None:
        return None


@dataclass(frozen=True)
class Entry:
    """A world that can be built."""

    name: str
    title: str
    build: Callable[[], World]


def _chain(name: str, title: str, **behaviour: Any) -> Entry:  # noqa: ANN401 - RouterChain's own
    return Entry(name, title, lambda: ChainWorld(name, title, **behaviour))


def _internet(name: str, scenario: str, title: str) -> Entry:
    return Entry(name, title, lambda: InternetWorld(scenario, title))


WORLDS = (
    _chain("chain", "(a) Twelve routers, all of which answer"),
    _chain("silent", "(b) Twelve routers, two of which are silent", silent=(4, 8)),
    _chain("blackhole", "(c) A black hole behind hop 7", blackhole_at=7),
    _internet("tun", "thirty_hops", "(d) The simulated internet: 30 hops, round trips of up to 120 ms"),
    _internet("ethernet", "ethernet", "(d) Preset ethernet: short, steady round trips"),
    _internet("wifi", "wifi", "(d) Preset wifi: jitter, bursts of loss, reordering"),
    _internet("vpn", "vpn", "(d) Preset vpn: a tunnel with an MTU of 1400"),
    Entry("loopback", "The machine itself", LoopbackWorld),
)


def missing_worlds(name: str) -> str | None:
    """Why a world can't be built here, or None if it can."""
    from tests.rigs.require import missing_netns, missing_program

    if name == "loopback":
        return None
    if sys.platform != "linux":
        return "network namespaces are a Linux thing"
    if name in {"chain", "silent", "blackhole"}:
        return missing_netns() or missing_program("nft")
    from tests.rigs.tun.simulated import missing_internet

    return missing_internet()


def many_targets(count: int) -> tuple[Topology, list[str]]:
    """A topology of many targets, 30 hops away each: 25 hops in common, then four of their own."""
    from traceprobe.testing.topology import Path, Router, Target, Topology

    network = int(ipaddress.IPv4Address("198.18.0.0"))  # for benchmarks: RFC 2544, RFC 6890
    trunk = [Router(f"198.51.100.{ttl}", rtt=0.004 * ttl) for ttl in range(1, 26)]
    paths = []
    for number in range(count):
        own = [str(ipaddress.IPv4Address(network + 8 * number + place)) for place in range(1, 6)]
        branch = [Router(address, rtt=0.1 + 0.004 * place) for place, address in enumerate(own[:-1], 1)]
        paths.append(Path(Target(own[-1], rtt=0.12), [*trunk, *branch]))
    return Topology(paths=paths), [str(path.target.address(4)) for path in paths]


def long_path(hops: int) -> Topology:
    """A topology with one path of many hops, a millisecond farther each."""
    from traceprobe.testing.topology import Path, Router, Target, Topology

    routers = [Router(f"198.51.100.{ttl}", rtt=0.001 * ttl) for ttl in range(1, hops)]
    return Topology(paths=[Path(Target(TARGET, rtt=0.001 * hops), routers)])


def _is(addresses: Iterable[object], target: str) -> bool:
    return target in map(str, addresses)


def hops_compared(found: Sequence[str | None], truth: Sequence[str | None]) -> tuple[int, int, int]:
    """How many hops somebody found right, wrong, and not at all.

    A hop where nobody answers is found right by finding nobody; beyond the path there is nothing to find.
    """
    right = wrong = missed = 0
    for ttl, address in enumerate(found):
        expected = truth[ttl] if ttl < len(truth) else None
        if address == expected:
            right += ttl < len(truth)
        elif address is None:
            missed += 1
        else:
            wrong += 1
    return right, wrong, missed + sum(address is not None for address in truth[len(found) :])
