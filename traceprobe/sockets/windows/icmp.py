"""ICMP probes on Windows without privileges: ``IcmpSendEcho2`` and ``Icmp6SendEcho2``.

Windows makes and matches the packets itself: the identifier is its own, the sequence number counts up, so
that the flow varies with every probe; what a router quotes is not shown, and neither is the MTU it names.
An answer comes with its status, address and (IPv4) TTL. Each probe has its time-out in Windows, which is
its own from the configuration: Windows documents no way to wait without one, and none to take a request
back. That bounds for how long the buffers of a probe that nobody waits for any more are kept.

Round-trip times are differences of the performance counter: read just before the request, and as the first
thing in its completion. Windows documents that it ignores the traffic class of a request.
"""

from __future__ import annotations

import errno
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio.lowlevel

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol
from traceprobe.errors import BusyError, ClosedError, SendError, UsageError
from traceprobe.ffi import windows
from traceprobe.model import Reply, SentProbe, TimestampSource, trace_of
from traceprobe.sockets._modes import source_address
from traceprobe.sockets.codec import Refusal
from traceprobe.sockets.helpers import SendAndReceive
from traceprobe.sockets.protocol import SocketCapabilities
from traceprobe.sockets.windows._batch import Batch, Lease, Outstanding
from traceprobe.sockets.windows._crossing import Crossing
from traceprobe.sockets.windows._echo import SILENCE, EchoHandle, open_handle
from traceprobe.sockets.windows._names import pack_name
from traceprobe.sockets.windows._reactor import process_reactor
from traceprobe.sockets.windows._requests import FLOWS, TOKEN_SIZE, RequestMaker, check_options
from traceprobe.sockets.windows._routes import windows_routes
from traceprobe.sockets.windows._status import failure_of, meaning_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from traceprobe.config import TracerouteConfig
    from traceprobe.ffi.windows import Pointer
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId
    from traceprobe.sockets.windows._echo import EchoAnswer
    from traceprobe.sockets.windows._reactor import Reactor, ReactorHolder

_MOST_OUTSTANDING: Final = 0x10000
"""Windows names no limit of its own; an echo request has sixteen bits of sequence number."""


_Arrived: TypeAlias = "tuple[Outstanding, Reply] | Refusal | Exception"
"""What the reactor hands over: a reply, why an answer is none, or that everything is over."""


class WindowsIcmpSocket(SendAndReceive):
    """Probes through ``iphlpapi``; see :class:`~traceprobe.sockets.AsyncProbeSocket`.

    Args:
        config: The configuration, checked already.
        family: Address family of all destinations.
        clock: The clock that replies are timed by.
        reactor: The reactor, leased; the socket releases it.
        spare: An open ICMP handle.
    """

    def __init__(
        self, config: TracerouteConfig, family: AddressFamily, clock: Clock, reactor: Reactor, spare: Pointer
    ) -> None:
        self._requests = RequestMaker(config, family)
        self._routes = windows_routes(reactor.libraries, family, config)
        self._family = family
        self._clock = clock
        self._reactor = reactor
        self._source = source_address(family, config)
        self._source_name = b"" if self._source is None else pack_name(self._source)
        self._spare: EchoHandle | None = self._make_handle(spare)
        self._crossing: Crossing[_Arrived] = Crossing()
        self._leases: dict[int, Lease] = {}
        self._outstanding: dict[ProbeId, Outstanding] = {}
        self._batches: set[Batch] = set()
        self._discarded: Counter[str] = Counter()
        self._ready: list[Reply] = []
        self._failure: Exception | None = None
        self._receiving = False
        self._closed = False
        self._capabilities = SocketCapabilities(
            family=family,
            protocol=Protocol.ICMP,
            mode=Mode.WINDOWS_ICMP.value,
            flow=FlowStrategy.CLASSIC,
            flows=FLOWS,
            descriptors="shared",
            timestamps=TimestampSource.QPC,
            max_in_flight=_MOST_OUTSTANDING,
            sees_quoted_ttl=False,
            sees_reply_ttl=family is AddressFamily.IPV4,
            default_port=None,
        )
        reactor.call(lambda: reactor.add_owner(self))

    # --- the protocol -----------------------------------------------------------------------------------

    @property
    def capabilities(self) -> SocketCapabilities:
        """What this socket can do and see."""
        return self._capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        """How many answers were refused, by reason."""
        self._drain()
        return MappingProxyType(self._discarded)

    @property
    def clock(self) -> Clock:
        """The clock that replies are timed by."""
        return self._clock

    @property
    def receiving(self) -> bool:
        """Whether a task waits in ``receive``."""
        return self._receiving

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given; see :meth:`AsyncProbeSocket.send_probes`."""
        self._check_open()
        if not probes:
            await anyio.lowlevel.checkpoint()
            self._check_open()
            return []
        self._crossing.attach()
        batch = Batch(self._take_in(probes), self._reactor.call, self.transmit, self.tell)
        self._batches.add(batch)
        try:
            self._reactor.call(batch.step)
            await batch.done.wait()
            self._check_open()
        except BaseException:
            # Nobody will learn what became of them, so nobody would release them.
            batch.given_up = True
            self.release([probe.id for probe in probes])
            raise
        finally:
            self._batches.discard(batch)
        reports = batch.reports()
        self._withdraw(report.probe_id for report in reports if report.error is not None)
        return reports

    async def receive(self) -> Sequence[Reply]:
        """Wait until at least one reply has come; see :meth:`AsyncProbeSocket.receive`."""
        self._check_open()
        if self._receiving:
            raise BusyError("another task is receiving from this socket")
        self._receiving = True
        try:
            self._drain()
            if self._ready:
                await anyio.lowlevel.checkpoint()
            while not self._ready:
                self._check_open()
                await self._crossing.wait_readable()
                self._drain()
            self._check_open()
            return self._take_ready()
        finally:
            self._receiving = False

    def receive_nowait(self) -> Sequence[Reply]:
        """Return the replies that have already come, possibly none."""
        self._drain()
        self._check_open()
        return self._take_ready()

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up; the handle of a trace that has none left is closed."""
        if self._closed:
            return
        self._withdraw(probes)
        if self._ready:
            released = frozenset(probes)
            self._ready = [reply for reply in self._ready if reply.probe_id not in released]

    async def aclose(self) -> None:
        """Close the socket. What Windows has not completed stays with the reactor until it has."""
        if not self._closed:
            self.close_now()

    def close_now(self) -> None:
        """Close a socket that no task waits for, without an event loop."""
        if self._closed:
            return
        self._closed = True
        self._ready.clear()
        self._outstanding.clear()
        self._crossing.close()
        for batch in self._batches:
            batch.given_up = True
            batch.done.set()
        self._reactor.call(self.shut_down)
        self._reactor.release()

    def put_back(self, replies: Iterable[Reply]) -> None:
        """Hand replies out again, to whoever receives next."""
        self._ready[:0] = replies

    # --- on the event loop ------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the socket has been closed")
        if self._failure is not None:
            raise self._failure

    def _take_ready(self) -> list[Reply]:
        ready, self._ready = self._ready, []
        return ready

    def _drain(self) -> None:
        for arrived in self._crossing.take():
            if isinstance(arrived, Refusal):
                self._discarded[arrived.value] += 1
            elif isinstance(arrived, Exception):
                self._failure = arrived
            else:
                sent, reply = arrived
                if self._outstanding.get(reply.probe_id) is sent:
                    self._ready.append(reply)
                else:
                    self._discarded[Refusal.RELEASED.value] += 1

    def _take_in(self, probes: Sequence[Probe]) -> list[Outstanding]:
        """Make requests; all or nothing."""
        if len({probe.id for probe in probes}) < len(probes):
            raise UsageError("a batch can hold a probe only once")
        for probe in probes:
            self._requests.check(probe)
        batch: list[Outstanding] = []
        try:
            for route, run in self._routes.runs(probes):
                for probe in run:
                    self._withdraw((probe.id,))  # one that is outstanding already is sent anew
                    lease = self._lease_of(trace_of(probe.id))
                    request = self._requests.make(probe, lease.token, route.name)
                    sent = Outstanding(probe, request, lease.handle, route.source)
                    lease.probes += 1
                    self._outstanding[probe.id] = sent
                    batch.append(sent)
        except BaseException:
            self._withdraw([sent.probe.id for sent in batch])
            raise
        return batch

    def _lease_of(self, trace: int) -> Lease:
        lease = self._leases.get(trace)
        if lease is None:
            handle, self._spare = self._spare, None
            lease = Lease(handle or self._make_handle(open_handle(self._reactor.libraries, self._family)))
            self._leases[trace] = lease
        return lease

    def _make_handle(self, handle: Pointer) -> EchoHandle:
        return EchoHandle(self._reactor, self._family, handle, self._source, self._source_name)

    def _withdraw(self, probes: Iterable[ProbeId]) -> None:
        for probe in probes:
            if self._outstanding.pop(probe, None) is None:
                continue
            trace = trace_of(probe)
            lease = self._leases[trace]
            lease.probes -= 1
            if not lease.probes:
                del self._leases[trace]
                self._reactor.call(lease.handle.close)

    # --- on the reactor's thread --------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Close every handle as soon as nothing is pending on it."""
        self._reactor.remove_owner(self)
        if self._spare is not None:
            self._spare.close()
        for lease in tuple(self._leases.values()):
            lease.handle.close()

    def reactor_failed(self, error: Exception) -> None:
        """Nothing more will come."""
        self._crossing.put(error)
        for batch in tuple(self._batches):
            self._crossing.post(batch.done.set)

    def transmit(self, sent: Outstanding) -> None:
        """Make the request for a probe, and its report."""
        clock, probe = self._clock, sent.probe
        wall_ns = clock.realtime_ns()
        monotonic_ns = clock.monotonic_ns()
        sent.sent_ns = self._reactor.now_ns()
        target = str(probe.destination)
        error = None
        if sent.handle.closing:
            error = SendError(errno.ECANCELED, f"{target}: it was given up before it was sent")
        elif not sent.request.name:
            error = SendError(errno.ENXIO, f"no interface for {target}")
        # The report comes first: the answer may come within the call.
        sent.report = SentProbe(probe.id, monotonic_ns, wall_ns, sent.source, error)
        if error is not None:
            return
        code = sent.handle.send(sent.request, lambda answer: self._answered(sent, answer))
        if code:
            self._fail(sent, failure_of(code, target))
        elif sent.report.error is None:
            accepted_ns = clock.monotonic_ns()
            sent.report = SentProbe(probe.id, monotonic_ns, wall_ns, sent.source, None, accepted_ns)

    def tell(self, batch: Batch) -> None:
        """Give the reports of a batch to whoever sent it."""
        for sent in batch.probes:
            sent.told = True
        self._crossing.post(batch.done.set)

    def _fail(self, sent: Outstanding, error: SendError) -> None:
        report = sent.report
        assert report is not None
        sent.report = SentProbe(report.probe_id, report.sent_ns, report.sent_at_ns, report.source, error)

    def _answered(self, sent: Outstanding, answer: EchoAnswer) -> None:
        """Hand on what came of a request: an answer, silence, or that it failed after all."""
        report, probe = sent.report, sent.probe
        assert report is not None
        meaning = meaning_of(self._family, answer.code)
        if answer.address is None or meaning is None:
            if answer.code in SILENCE:
                return
            if sent.told:
                # Too late for the report: what is left to say is that its silence means nothing.
                self._crossing.put(Refusal.FAILED)
            else:
                self._fail(sent, failure_of(answer.code, str(probe.destination)))
            return
        if meaning.kind is None:
            self._crossing.put(Refusal.UNEXPECTED)
            return
        token = sent.request.payload[:TOKEN_SIZE]
        shown = answer.payload if answer.code == windows.IP_SUCCESS else None
        if shown is not None and not shown.startswith(token):
            self._crossing.put(Refusal.BAD_TOKEN)
            return
        rtt_ns = max(0, answer.now_ns - sent.sent_ns)
        reply = Reply(
            probe.id,
            meaning.kind,
            answer.address,
            rtt_ns,
            report.sent_ns + rtt_ns,
            TimestampSource.QPC,
            icmp_type=meaning.icmp_type,
            icmp_code=meaning.icmp_code,
            reply_ttl=answer.ttl,
        )
        self._crossing.put((sent, reply))


def open_windows_icmp(
    config: TracerouteConfig,
    family: AddressFamily,
    protocol: Protocol,  # noqa: ARG001 - every mode is opened alike
    clock: Clock,
    holder: ReactorHolder | None = None,
) -> WindowsIcmpSocket:
    """Open the socket of this mode.

    Args:
        config: The configuration.
        family: Address family of all destinations.
        protocol: ICMP.
        clock: The clock that replies are timed by.
        holder: Where the reactor comes from; None for that of this process.

    Raises:
        NoUsableSocketError: This machine has no such handles.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
        AbiError: This is no Windows that is known.
    """
    check_options(config, family)
    holder = process_reactor() if holder is None else holder
    spare = open_handle(holder.libraries, family)
    return WindowsIcmpSocket(config, family, clock, holder.lease(), spare)
