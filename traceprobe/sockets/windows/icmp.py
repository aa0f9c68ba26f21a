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
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.lowlevel
import attrs

from traceprobe.config import AddressFamily, Mode, Protocol
from traceprobe.errors import SendError, UsageError
from traceprobe.ffi import windows
from traceprobe.model import Reply, SentProbe, TimestampSource, trace_of
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets._modes import source_address
from traceprobe.sockets._receiving import ReceivingSocket
from traceprobe.sockets.codec import Refusal
from traceprobe.sockets.windows._echo import SILENCE, EchoHandle, open_handle
from traceprobe.sockets.windows._names import source_name
from traceprobe.sockets.windows._outstanding import Lease, Outstanding
from traceprobe.sockets.windows._reactor import process_reactor
from traceprobe.sockets.windows._reactor_link import ReactorLink
from traceprobe.sockets.windows._requests import TOKEN_SIZE, RequestMaker, check_options
from traceprobe.sockets.windows._routes import windows_routes
from traceprobe.sockets.windows._status import failure_of, meaning_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceprobe.config import TracerouteConfig
    from traceprobe.ffi.windows import Pointer
    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId
    from traceprobe.sockets.windows._echo import EchoAnswer
    from traceprobe.sockets.windows._reactor import Reactor, ReactorHolder

_MOST_OUTSTANDING: Final = 0x10000
"""Windows names no limit of its own; an echo request has sixteen bits of sequence number."""


class WindowsIcmpSocket(ReceivingSocket):
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
        facts = facts_of(Mode.WINDOWS_ICMP, Protocol.ICMP)
        capabilities = facts.capabilities(
            family,
            facts.choose_flow(config),
            timestamps=TimestampSource.QPC,
            max_in_flight=_MOST_OUTSTANDING,
            default_port=None,
        )
        capabilities = attrs.evolve(capabilities, sees_reply_ttl=family is AddressFamily.IPV4)
        self._link = ReactorLink(reactor)
        super().__init__(capabilities, clock, self._link.crossing)
        self._requests = RequestMaker(config, family)
        self._routes = windows_routes(reactor.libraries, family, config)
        self._family = family
        self._reactor = reactor
        self._source = source_address(family, config)
        self._source_name = source_name(family, config)
        self._spare: EchoHandle | None = self._make_handle(spare)
        self._leases: dict[int, Lease] = {}
        self._outstanding: dict[ProbeId, Outstanding] = {}
        reactor.add_owner(self)

    # --- the protocol -----------------------------------------------------------------------------------

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """Send probes in the order given; see :meth:`AsyncProbeSocket.send_probes`."""
        self._check_open()
        if not probes:
            await anyio.lowlevel.checkpoint()
            self._check_open()
            return []
        batch = self._take_in(probes)

        def on_sent() -> None:
            for sent in batch:
                sent.told = True

        try:
            await self._link.send(len(batch), lambda place: self._transmit(batch[place]), on_sent)
            self._check_open()
        except BaseException:
            # Nobody will learn what became of them, so nobody would release them.
            self.release([probe.id for probe in probes])
            raise
        reports = [sent.report for sent in batch if sent.report is not None]
        self._withdraw(report.probe_id for report in reports if report.error is not None)
        return reports

    def release(self, probes: Sequence[ProbeId]) -> None:
        """Give probes up; the handle of a trace that has none left is closed."""
        if self._closed:
            return
        self._withdraw(probes)
        if self._ready:
            released = frozenset(probes)
            self._ready = [reply for reply in self._ready if reply.probe_id not in released]

    # --- on the event loop ------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._link.drain()

    def _stop_sending(self) -> None:
        self._link.give_up()

    def _close_descriptors(self) -> None:
        """What Windows has not completed stays with the reactor until it has."""
        self._outstanding.clear()
        self._link.close(self.shut_down)

    def _came(self, sent: Outstanding, reply: Reply) -> None:
        if self._outstanding.get(reply.probe_id) is sent:
            self._ready.append(reply)
        else:
            self._refuse(Refusal.RELEASED)

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
        self._link.fail(error)

    def _transmit(self, sent: Outstanding) -> None:
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
                self._link.put(partial(self._refuse, Refusal.FAILED))
            else:
                self._fail(sent, failure_of(answer.code, str(probe.destination)))
            return
        if meaning.kind is None:
            self._link.put(partial(self._refuse, Refusal.UNEXPECTED))
            return
        token = sent.request.payload[:TOKEN_SIZE]
        shown = answer.payload if answer.code == windows.IP_SUCCESS else None
        if shown is not None and not shown.startswith(token):
            self._link.put(partial(self._refuse, Refusal.BAD_TOKEN))
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
        self._link.put(partial(self._came, sent, reply))


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
    with ExitStack() as stack:
        spare = open_handle(holder.libraries, family)
        stack.callback(holder.libraries.iphlpapi.IcmpCloseHandle, spare)
        reactor = holder.lease()
        stack.callback(reactor.release)
        opened = WindowsIcmpSocket(config, family, clock, reactor, spare)
        stack.pop_all()
    return opened
