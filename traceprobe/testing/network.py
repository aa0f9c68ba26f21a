"""An internet in memory, to be given to traceprobe in place of the real one.

::

    network = SimulatedNetwork.path("192.0.2.9", ["198.51.100.1", None, "192.0.2.9"])
    result = traceprobe.trace("192.0.2.9", socket_factory=network)
    assert [str(hop.address) for hop in result] == ["198.51.100.1", "None", "192.0.2.9"]

Needs no privileges and no network, takes no time, and does the same every time: equal topologies, seeds
and calls give equal packets.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypedDict

import anyio.lowlevel

from traceprobe.config import AddressFamily, FlowStrategy, Protocol, TracerouteConfig
from traceprobe.errors import (
    ConfigError,
    NameResolutionError,
    NoUsableSocketError,
    PrivilegeError,
    UnsupportedOption,
)
from traceprobe.sockets.codec import IcmpCodec, ProbeCodec, TcpCodec, UdpCodec
from traceprobe.testing import _checks
from traceprobe.testing._internet import Internet
from traceprobe.testing._socket import MODE, SimulatedSocket
from traceprobe.testing._transcript import PacketRecord
from traceprobe.testing._wire import Wire
from traceprobe.testing.clock import VirtualClock
from traceprobe.testing.topology import Path, Topology

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.testing._checks import Address, AddressLike
    from traceprobe.testing.topology import HopLike, Target

__all__ = ["PacketRecord", "SimulatedNetwork", "SimulatedResolver"]

_NS = 1_000_000_000
_EPHEMERAL_PORTS = (32768, 60999)
"""Where Linux takes source ports from (ip(7), ``ip_local_port_range``)."""


class _CodecOptions(TypedDict):
    """What all codecs take."""

    quarantine_ns: int
    random: Random
    payload_pattern: bytes | None
    labelled: bool
    flow_label: int | None


class SimulatedResolver:
    """The reverse name service of a simulated network; see :class:`~traceprobe.enrich.Resolver`."""

    def __init__(self, hostnames: Mapping[Address, str], clock: VirtualClock, delay: float) -> None:
        self._hostnames = hostnames
        self._clock = clock
        self.delay = delay
        """How long each look-up takes, seconds of virtual time."""
        self.asked: list[Address] = []
        """Every address that was asked for, in order."""

    async def reverse(self, address: IPv4Address | IPv6Address) -> str | None:
        """The host name that the topology gives to an address; None if it has none."""
        self.asked.append(address)
        await self._clock.pass_time(self.delay)
        return self._hostnames.get(address)


class SimulatedNetwork:
    """A topology in operation; see :class:`~traceprobe.sockets.protocol.SocketFactory`.

    Its time is virtual: whatever waits for real time beside it, such as a resolver that asks the Internet,
    comes too late. Pass ``network.resolver``.

    Args:
        topology: All that there is.
        seed: Where chance begins: identifiers, jitter, loss.
        resolver_delay: How long each reverse look-up takes, seconds of virtual time.
    """

    def __init__(self, topology: Topology, *, seed: int = 0, resolver_delay: float = 0.0) -> None:
        if not isinstance(topology, Topology):
            raise ConfigError(
                "topology", topology, "a Topology; SimulatedNetwork.path() takes a list of hops"
            )
        self._topology = topology
        self._seed = seed
        self._clock = VirtualClock()
        self._wire = Wire(Internet(topology, seed), self._clock)
        self._resolver = SimulatedResolver(topology.hostnames, self._clock, resolver_delay)
        self._opened = 0

    @classmethod
    def path(
        cls,
        destination: AddressLike,
        hops: Iterable[HopLike | Target],
        *,
        seed: int = 0,
        changes: Mapping[float, Iterable[HopLike | Target]] | None = None,
        hop_rtt: float = 0.001,
        names: Mapping[str, AddressLike | Iterable[AddressLike]] | None = None,
        denied: Iterable[Protocol | str] = (),
        resolver_delay: float = 0.0,
    ) -> SimulatedNetwork:
        """A network with a single path.

        Args:
            destination: Address of the target.
            hops: Addresses, None for silent routers, or anything else that
                :meth:`~traceprobe.testing.topology.Path.to` takes; last the destination.
            seed: Where chance begins.
            changes: Other hops from some time on, by seconds since the network began.
            hop_rtt: How much farther than the one before it a hop is that names no ``rtt``, seconds.
            names: Addresses by name of target.
            denied: Protocols that there is no permission to open a socket for.
            resolver_delay: How long each reverse look-up takes, seconds of virtual time.

        Raises:
            ConfigError: The path makes no sense.
        """
        path = Path.to(destination, hops, changes=changes, hop_rtt=hop_rtt)
        topology = Topology(paths=[path], names=names or {}, denied=denied)
        return cls(topology, seed=seed, resolver_delay=resolver_delay)

    @classmethod
    def paths(
        cls,
        paths: Mapping[AddressLike, Iterable[HopLike | Target]],
        *,
        seed: int = 0,
        names: Mapping[str, AddressLike | Iterable[AddressLike]] | None = None,
        denied: Iterable[Protocol | str] = (),
        resolver_delay: float = 0.0,
    ) -> SimulatedNetwork:
        """A network with some paths: lists of hops as for :meth:`path`, by destination."""
        topology = Topology(
            paths=[Path.to(destination, hops) for destination, hops in paths.items()],
            names=names or {},
            denied=denied,
        )
        return cls(topology, seed=seed, resolver_delay=resolver_delay)

    def __repr__(self) -> str:
        return f"<SimulatedNetwork with {len(self._topology.paths)} paths, {self._clock!r}>"

    # --- what traceprobe asks for -----------------------------------------------------------------------

    @property
    def clock(self) -> VirtualClock:
        """Virtual time."""
        return self._clock

    @property
    def resolver(self) -> SimulatedResolver:
        """The reverse name service, to be passed as ``resolver=``."""
        return self._resolver

    async def lookup(self, host: str, family: AddressFamily | None) -> Sequence[IPv4Address | IPv6Address]:
        """Resolve the name of a target by ``Topology.names``; addresses stand for themselves."""
        await anyio.lowlevel.checkpoint()
        try:
            addresses: Sequence[Address] = (_checks.to_address(host),)
        except ConfigError:
            addresses = self._topology.names.get(host.casefold().rstrip("."), ())
        if not addresses:
            raise NameResolutionError(host, "no such name on this simulated network")
        found = [address for address in addresses if family is None or address.version == family]
        if not found:
            raise NameResolutionError(host, f"no IPv{family} address on this simulated network")
        return found

    def socket_key(self, config: TracerouteConfig, family: AddressFamily) -> Hashable:
        """What two traces must have in common to share a socket."""
        return (
            family,
            config.protocol,
            config.mode,
            config.flow,
            config.source,
            config.source_port,
            _asks_for_port(config),
            config.interface,
            config.mark,
            config.dscp,
            config.ecn,
            config.flow_label,
            config.payload_pattern,
            config.dont_fragment,
            config.receive_buffer,
            config.timing.identifier_quarantine,
        )

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> SimulatedSocket:
        """Open a socket: ICMP, or another protocol where that is asked for or ICMP is denied."""
        await anyio.lowlevel.checkpoint()
        protocol = self._choose_protocol(config)
        _refuse_unsupported(config, family)
        source = self._source(config, family)
        random = Random(f"{self._seed} socket {self._opened}")  # noqa: S311 - a simulation
        codec = _make_codec(config, protocol, family, random)
        if config.packet_size is not None:
            codec.check_size(config.packet_size)
        self._opened += 1
        socket = SimulatedSocket(self._wire, codec, source, config, random)
        self._wire.sockets.add(socket)
        return socket

    # --- what tests ask for -----------------------------------------------------------------------------

    @property
    def topology(self) -> Topology:
        """All that there is."""
        return self._topology

    @property
    def open_sockets(self) -> int:
        """How many sockets are open."""
        return len(self._wire.sockets)

    @property
    def packets(self) -> Sequence[PacketRecord]:
        """Every packet that was sent, received or lost on its way, in order."""
        return tuple(self._wire.packets)

    @property
    def sent(self) -> Sequence[PacketRecord]:
        """Every probe that was sent, in order."""
        return tuple(packet for packet in self._wire.packets if packet.direction == "sent")

    @property
    def received(self) -> Sequence[PacketRecord]:
        """Every packet that came in, refused ones included, in order."""
        return tuple(packet for packet in self._wire.packets if packet.direction == "received")

    def transcript(self) -> str:
        """One line for each packet: when, where to (``->`` out, ``<-`` in, ``--`` lost), and what it says."""
        return "".join(f"{packet}\n" for packet in self._wire.packets)

    # --- opening ----------------------------------------------------------------------------------------

    def _choose_protocol(self, config: TracerouteConfig) -> Protocol:
        wanted: tuple[Protocol, ...] = (Protocol.ICMP, Protocol.UDP)
        if config.protocol is not None:
            wanted = (config.protocol,)
        elif _asks_for_port(config):
            wanted = (Protocol.UDP,)
        for protocol in wanted:
            if protocol not in self._topology.denied:
                return protocol
        names = " or ".join(protocol.value for protocol in wanted)
        raise PrivilegeError(
            f"no permission to probe with {names}",
            reasons=[f"{MODE}: the topology denies {protocol.value}" for protocol in wanted],
            remedies=["leave the protocol out of Topology.denied"],
        )

    def _source(self, config: TracerouteConfig, family: AddressFamily) -> Address:
        source = self._topology.source(family)
        if source is None:
            raise NoUsableSocketError(
                f"this simulated network has no IPv{family.value}",
                remedies=["add an address of that family to Topology.sources"],
            )
        if config.source is not None and _checks.to_address(config.source, "source") != source:
            raise ConfigError("source", config.source, f"{source}, the address of the simulated machine")
        return source


def _asks_for_port(config: TracerouteConfig) -> bool:
    """Whether an option rules ICMP out, which has no ports."""
    return config.port is not None or config.source_port is not None


def _refuse_unsupported(config: TracerouteConfig, family: AddressFamily) -> None:
    if config.flow_label is not None and family is AddressFamily.IPV4:
        raise UnsupportedOption(
            "flow_label", config.flow_label, mode=MODE, remedy="leave it out over IPv4, which has none"
        )
    for option in ("mode", "interface", "mark", "receive_all"):
        value = getattr(config, option)
        if value is not None and value is not False:
            raise UnsupportedOption(option, value, mode=MODE, remedy="leave it out on a simulated network")


def _make_codec(
    config: TracerouteConfig, protocol: Protocol, family: AddressFamily, random: Random
) -> ProbeCodec:
    flow = config.flow or FlowStrategy.PARIS
    options = _CodecOptions(
        quarantine_ns=round(config.timing.identifier_quarantine * _NS),
        random=random,
        payload_pattern=config.payload_pattern,
        labelled=True,
        flow_label=config.flow_label,
    )
    if protocol is Protocol.ICMP:
        return IcmpCodec(family, flow, **options)
    port = config.source_port or random.randint(*_EPHEMERAL_PORTS)
    kind = TcpCodec if protocol is Protocol.TCP else UdpCodec
    return kind(family, flow, source_port=port, **options)
