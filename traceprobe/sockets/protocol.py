"""The seam between strategy and kernel: what every probe socket and every socket factory offers.

Both are protocols, not base classes: bring your own by writing a class with these methods, and prove
it with :func:`traceprobe.testing.check_probe_socket`. A socket turns probes into bytes and bytes into
replies. It allocates the identifiers on the wire, owns the transmit timestamps and decides which probe
a reply belongs to; it knows nothing of hops, silence or when a trace is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from traceprobe._frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    import traceprobe.config
    from traceprobe.config import AddressFamily, FlowStrategy, TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.model import ChangedField, Probe, ProbeId, Reply, SentProbe, TimestampSource


@frozen(kw_only=True)
class SocketCapabilities:
    """What one probe socket can do and see."""

    family: AddressFamily
    protocol: traceprobe.config.Protocol
    mode: str
    """Name of the way of probing; one of :class:`~traceprobe.config.Mode` for built-in sockets."""
    flow: FlowStrategy
    """The flow strategy in use."""
    flows: frozenset[FlowStrategy]
    """The flow strategies that the mode can hold."""
    descriptors: Literal["shared", "per_flow", "per_probe"]
    """How many descriptors the socket needs: one for all, one for each flow, or one for each probe."""
    timestamps: TimestampSource
    """The best source of round-trip times that the socket has."""
    max_in_flight: int
    """Most probes that can be outstanding without losing a reply: the smaller of what the granted
    receive buffer holds and of the space of identifiers."""
    sees_quoted_ttl: bool
    """Whether replies carry ``quoted_ttl``."""
    sees_reply_ttl: bool
    """Whether replies carry ``reply_ttl``."""
    default_port: int | None
    """Destination port (first one, where the flow varies by port) if a probe names none."""
    sees_extensions: bool = False
    """Whether replies carry what routers add to ICMP errors: ``mpls``, ``interfaces``, ``extensions``."""
    sees_changes: frozenset[ChangedField] = frozenset()
    """What replies can tell of what the path did to a probe. Some of it only where the socket knows what it
    sent: the don't-fragment bit and the IP identification if ``dont_fragment`` was asked for."""


class AsyncProbeSocket(Protocol):
    """A socket for probes and their replies, shared by any number of traces.

    Closing: every method of a closed socket raises :class:`~traceprobe.errors.ClosedError`, but
    ``aclose`` and ``release``, which may be called again.
    """

    @property
    def capabilities(self) -> SocketCapabilities:
        """What this socket can do and see; constant while it is open."""
        ...

    @property
    def discarded(self) -> Mapping[str, int]:
        """How many packets were received and refused since the socket was opened, by reason."""
        ...

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given, in one system call where the operating system can.

        Returns:
            One :class:`~traceprobe.model.SentProbe` for each probe, in the same order. A probe that
            the kernel refuses carries its error there and keeps none of the others back.

        Raises:
            ConfigError: A probe's size, port or flow is one that this mode can't send.
            NoUsableSocketError: More probes are outstanding than there are identifiers.
        """
        ...

    async def receive(self) -> Sequence[Reply]:
        """Wait until at least one reply has come, and return all that have.

        Waits on exactly one thing and costs nothing meanwhile. One caller at a time.

        Raises:
            BusyError: Another task is receiving.
            ClosedError: The socket was closed, before the call or while it waited.
        """
        ...

    def receive_nowait(self) -> Sequence[Reply]:
        """Return the replies that have already come, possibly none; never waits.

        May be called while another task waits in ``receive``; each reply is handed out once.
        """
        ...

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up: their replies are of no interest any more.

        Never blocks; unknown and already released probes are ignored. The identifiers rest for
        ``TimingConfig.identifier_quarantine`` before they are used again.
        """
        ...

    async def aclose(self) -> None:
        """Close the socket and give back every descriptor, handle and buffer. Idempotent."""
        ...


@runtime_checkable
class DirectReceiver(Protocol):
    """What a probe socket may offer beside :class:`AsyncProbeSocket`: replies without a task to be woken."""

    async def receive_into(self, deliver: Callable[[Sequence[Reply]], None]) -> None:
        """Hand replies out as they come, until the socket is closed.

        Stands in for a loop around :meth:`AsyncProbeSocket.receive`. It calls from wherever the event loop
        finds the socket readable, which need not be the task that waits here.

        Args:
            deliver: Called with one reply or more; must not block. What it raises is raised here.

        Raises:
            BusyError: Another task is receiving.
            ClosedError: The socket was closed, before the call or meanwhile.
        """
        ...


class SocketFactory(Protocol):
    """Hands out probe sockets, and the clock and name service that belong to the same network.

    The real one is :class:`~traceprobe.sockets.ProbeSocketFactory`;
    :class:`~traceprobe.testing.SimulatedNetwork` is another.
    """

    @property
    def clock(self) -> Clock:
        """The clock that deadlines and round-trip times of this network are measured by."""
        ...

    async def lookup(self, host: str, family: AddressFamily | None) -> Sequence[IPv4Address | IPv6Address]:
        """Resolve the name of a target; addresses in order of preference, never empty.

        Raises:
            NameResolutionError: The name has no address (of that family).
        """
        ...

    def socket_key(self, config: TracerouteConfig, family: AddressFamily) -> Hashable:
        """What two traces must have in common to share a socket."""
        ...

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        """Open the best socket that the configuration, the platform and the privileges allow.

        Raises:
            PrivilegeError: Every mode that fits needs a privilege that the process lacks.
            NoUsableSocketError: No mode is left, for another reason.
            UnsupportedOption: The mode asked for can't honour an option.
            ConfigError: An option can't be used on this machine, such as an unknown interface.
        """
        ...
