"""TCP probes without privileges: each one is a connection that is only begun. Works on every Linux.

A socket for each probe, with a TTL of its own, connects without blocking. Its error queue (``IP_RECVERR``,
ip(7)) shows the router where the SYN ended; a connection that comes about, or is refused, is the answer of
the target. All of them stand in one epoll instance (epoll(7)), so that the event loop waits on one
descriptor. A probe's socket is closed as soon as it is answered, released, or past its deadline, and with
``SO_LINGER`` 0, so that no connection stays behind anywhere.

The kernel chooses the source port of each connection: the flow varies with every probe.
"""

from __future__ import annotations

import errno
import select
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import anyio.lowlevel

from traceprobe.config import FlowStrategy, Mode
from traceprobe.errors import ClosedError, ConfigError, SendError, TraceprobeError
from traceprobe.model import Reply, ReplyKind, SentProbe, TimestampSource
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets._descriptors import free_descriptors
from traceprobe.sockets._receiving import ReceivingSocket
from traceprobe.sockets._timestamps import RoundTrip, RoundTrips, read_clocks
from traceprobe.sockets.codec import (
    DEFAULT_TCP_PORT,
    NO_EXTENSION,
    ExtensionValues,
    Refusal,
    connection_changes,
    error_kind,
    read_extension,
)
from traceprobe.sockets.linux._connection import (
    Outcome,
    check_probe,
    connect,
    handshake_of,
    open_connection,
    outcome_of,
    set_ttl,
    source_of,
)
from traceprobe.sockets.linux._errqueue import IP_HEADER, split_quote
from traceprobe.sockets.linux._receive import LinuxReceiver
from traceprobe.sockets.protocol import SocketCapabilities

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, Protocol, TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import Change, Probe, ProbeId
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.linux._control import Control, ExtendedError

_NS: Final = 1_000_000_000
_EVENTS: Final = 256
_AWAITED: Final = select.EPOLLIN | select.EPOLLOUT


class _Attempt:
    """A probe, and the connection that it is."""

    __slots__ = ("destination", "opened", "probe", "until_ns")

    def __init__(self, probe: Probe, opened: socket.socket, until_ns: int) -> None:
        self.probe = probe.id
        self.destination = probe.destination
        self.opened = opened
        self.until_ns = until_ns


class LinuxTcpSocket(ReceivingSocket):
    """Probes that are connections; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked already.
        capabilities: What the socket can do.
        clock: The clock that replies are timed by.
        epoll: Will hold all connections.
    """

    def __init__(
        self, config: TracerouteConfig, capabilities: SocketCapabilities, clock: Clock, epoll: select.epoll
    ) -> None:
        super().__init__(capabilities, clock, epoll.fileno())
        self._config = config
        self._family = capabilities.family
        self._epoll = epoll
        self._round_trips = RoundTrips(round(config.timing.clock_step_tolerance * _NS), stamped=False)
        self._receiver = LinuxReceiver(clock)
        # In the order in which they were begun, by probe; and by descriptor.
        self._attempts: dict[ProbeId, _Attempt] = {}
        self._by_descriptor: dict[int, _Attempt] = {}
        self._deadlines: list[tuple[int, ProbeId]] = []

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Begin connections in the order given; see :meth:`AsyncProbeSocket.send_probes`."""
        self._check_open()
        for probe in probes:
            check_probe(probe, self._family)
        now_ns = self._clock.monotonic_ns()
        self._end_attempts(now_ns)
        sources: dict[IPv4Address | IPv6Address, IPv4Address | IPv6Address | None] = {}
        reports = []
        try:
            for probe in probes:
                reports.append(self._begin(probe, sources))
                # The kernel stamps no refusal, so it is looked at before the next connection takes its time.
                self._look_at_events()
            if self._ready and self._receiving:
                self._readiness.wake()
            await anyio.lowlevel.checkpoint()
        except BaseException:
            # Nobody will learn what became of them, so nobody would release them.
            self.release([probe.id for probe in probes])
            raise
        if self._closed:
            raise ClosedError("the socket was closed while it was sending")
        return reports

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up: their connections are closed."""
        if self._closed:
            return
        for probe in probes:
            self._end(probe)
        if self._ready:
            released = frozenset(probes)
            self._ready = [reply for reply in self._ready if reply.probe_id not in released]

    # --- sending ------------------------------------------------------------------------------------------

    def _begin(
        self, probe: Probe, sources: dict[IPv4Address | IPv6Address, IPv4Address | IPv6Address | None]
    ) -> SentProbe:
        self._end(probe.id)
        if len(self._attempts) >= self._capabilities.max_in_flight:
            # Whoever keeps to the window has given up the one that was begun first.
            self._end(next(iter(self._attempts)))
        try:
            opened = open_connection(self._family, self._config)
        except (TraceprobeError, OSError) as error:  # what was checked at first is gone by now
            now = read_clocks(self._clock)
            refusal = SendError(_number_of(error), str(error))
            return SentProbe(probe.id, now.monotonic_ns, now.realtime_ns, None, refusal)
        set_ttl(opened, self._family, probe.ttl)
        port = DEFAULT_TCP_PORT if probe.port is None else probe.port
        now = read_clocks(self._clock)
        code = connect(opened, probe.destination, port, self._config.flow_label)
        if code not in {0, errno.EINPROGRESS, errno.ECONNREFUSED}:
            opened.close()
            return SentProbe(probe.id, now.monotonic_ns, now.realtime_ns, None, SendError(code))
        accepted_ns = self._clock.monotonic_ns()
        if probe.destination not in sources:
            sources[probe.destination] = source_of(opened)
        report = SentProbe(
            probe.id, now.monotonic_ns, now.realtime_ns, sources[probe.destination], None, accepted_ns
        )
        attempt = _Attempt(probe, opened, now.monotonic_ns + round(probe.timeout * _NS))
        self._attempts[probe.id] = attempt
        self._by_descriptor[opened.fileno()] = attempt
        self._round_trips.sent((probe.id,), now, 0)
        if probe.timeout > 0:
            heappush(self._deadlines, (attempt.until_ns, probe.id))
        if code == errno.ECONNREFUSED:
            # The answer was there before connect(2) returned, which has told it in place of the socket.
            self._conclude(attempt, Outcome.REFUSED, read_clocks(self._clock))
        else:
            self._epoll.register(opened.fileno(), _AWAITED)
        return report

    # --- receiving ----------------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._look_at_events()
        self._end_attempts(self._clock.monotonic_ns())

    def _look_at_events(self) -> None:
        while True:
            events = self._epoll.poll(0, _EVENTS)
            for descriptor, _ in events:
                attempt = self._by_descriptor.get(descriptor)
                if attempt is not None:
                    self._look_at(attempt)
            if len(events) < _EVENTS:
                break

    def _look_at(self, attempt: _Attempt) -> None:
        # The error queue first: an ICMP error shows as a refused connection too, and is told apart there.
        self._receiver.drain_errors(
            attempt.opened.fileno(),
            _ignore_stamps,
            lambda message, control, error, now: self._error_came(attempt, message, control, error, now),
        )
        if attempt.probe not in self._attempts:
            return
        outcome = outcome_of(attempt.opened)
        if outcome is not Outcome.PENDING:
            self._conclude(attempt, outcome, read_clocks(self._clock))

    def _error_came(
        self,
        attempt: _Attempt,
        message: ReceivedMessage,
        control: Control,
        error: ExtendedError,
        now: ClockReading,
    ) -> None:
        if error.offender is None:
            self._refuse(Refusal.MALFORMED)
            return
        kind = error_kind(self._family, error.type, error.code)
        if kind is None:
            self._refuse(Refusal.UNEXPECTED)
            return
        trip = self._round_trips.measure(attempt.probe, control.stamp_ns, now)
        if trip is None:  # a second error in the same queue: the first was the answer
            return
        quote, structure = split_quote(self._family, message.data, IP_HEADER[self._family], error)
        self._answer(
            attempt,
            kind,
            error.offender,
            trip,
            icmp=(error.type, error.code),
            reply_ttl=control.ttl,
            mtu=error.info or None if kind is ReplyKind.PACKET_TOO_BIG else None,
            extension=read_extension(structure),
            changes=connection_changes(quote),
        )

    def _conclude(self, attempt: _Attempt, outcome: Outcome, now: ClockReading) -> None:
        """Take note of what the target answered, if it was the target."""
        trip = self._round_trips.measure(attempt.probe, None, now)
        if outcome is Outcome.FAILED or trip is None:
            self._end(attempt.probe)
            return
        kind = ReplyKind.RST
        if outcome is Outcome.ACCEPTED:
            kind = ReplyKind.SYN_ACK
            handshake = handshake_of(attempt.opened)
            if handshake.rtt_ns:
                sent_ns = trip.received_ns - trip.rtt_ns
                arrival_ns = min(sent_ns + handshake.rtt_ns, now.monotonic_ns)
                trip = RoundTrip(
                    handshake.rtt_ns,
                    now.monotonic_ns if handshake.retransmitted else arrival_ns,
                    TimestampSource.KERNEL_TX_RX,
                    None,
                )
        self._answer(attempt, kind, attempt.destination, trip)

    def _answer(
        self,
        attempt: _Attempt,
        kind: ReplyKind,
        address: IPv4Address | IPv6Address,
        trip: RoundTrip,
        *,
        icmp: tuple[int | None, int | None] = (None, None),
        reply_ttl: int | None = None,
        mtu: int | None = None,
        extension: ExtensionValues = NO_EXTENSION,
        changes: tuple[Change, ...] = (),
    ) -> None:
        self._ready.append(
            Reply(
                attempt.probe,
                kind,
                address,
                trip.rtt_ns,
                trip.received_ns,
                trip.source,
                trip.sent_at_ns,
                icmp[0],
                icmp[1],
                reply_ttl,
                None,
                mtu,
                extension.mpls,
                extension.interfaces,
                extension.extensions,
                changes,
            )
        )
        self._end(attempt.probe)

    # --- the end of an attempt ----------------------------------------------------------------------------

    def _end(self, probe: ProbeId) -> None:
        """Close a probe's connection, if it has one."""
        attempt = self._attempts.pop(probe, None)
        if attempt is not None:
            self._round_trips.forget((probe,))
            # Closing a descriptor takes it out of the epoll instance.
            del self._by_descriptor[attempt.opened.fileno()]
            attempt.opened.close()

    def _end_attempts(self, now_ns: int) -> None:
        """Close the connections that nobody waits for any more: the kernel would send their SYNs again."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] < now_ns:
            until_ns, probe = heappop(deadlines)
            attempt = self._attempts.get(probe)
            if attempt is not None and attempt.until_ns == until_ns:
                self._end(probe)

    def _stop_sending(self) -> None:
        pass  # nobody ever waits to send

    def _close_descriptors(self) -> None:
        for probe in list(self._attempts):
            self._end(probe)
        self._deadlines.clear()
        self._epoll.close()


def _ignore_stamps(numbers: Sequence[int], times: Sequence[int]) -> None:
    """Nobody has asked for transmit stamps: connections get none."""


def _number_of(error: TraceprobeError | OSError) -> int:
    """The error number that says why a connection could not be begun."""
    if isinstance(error, ConfigError):
        return errno.EADDRNOTAVAIL if error.field == "source" else errno.ENODEV
    return getattr(error, "errno", None) or errno.ENOBUFS


def open_linux_tcp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> LinuxTcpSocket:
    """Open the socket of this mode.

    Raises:
        PrivilegeError: The process must not set an option.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    facts = facts_of(Mode.LINUX_TCP, protocol)
    facts.check(config, family)
    facts.choose_flow(config)
    open_connection(family, config).close()  # what can't be had is told now
    epoll = select.epoll()
    capabilities = SocketCapabilities(
        family=family,
        protocol=protocol,
        mode=facts.mode.value,
        flow=FlowStrategy.CLASSIC,
        flows=frozenset(facts.flows),
        descriptors=facts.descriptors,
        timestamps=TimestampSource.KERNEL_TX_RX,  # of handshakes; errors have a stamp of arrival
        max_in_flight=free_descriptors(),
        sees_quoted_ttl=facts.sees_quoted_ttl,
        sees_reply_ttl=facts.sees_reply_ttl,
        default_port=DEFAULT_TCP_PORT,
        sees_extensions=facts.sees_extensions,
        sees_changes=facts.changes_seen(family),
    )
    return LinuxTcpSocket(config, capabilities, clock, epoll)
