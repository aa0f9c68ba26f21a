"""Between simulated sockets and a simulated internet: moves datagrams, in time, and records them."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING

from traceprobe.errors import SendError
from traceprobe.model import Reply
from traceprobe.sockets.codec import Refusal
from traceprobe.testing._transcript import PacketRecord, refused

if TYPE_CHECKING:
    from traceprobe.model import Probe
    from traceprobe.testing._internet import Internet, Journey
    from traceprobe.testing._socket import SimulatedSocket
    from traceprobe.testing.clock import VirtualClock


class Wire:
    """Where the sockets of one network are plugged in."""

    def __init__(self, internet: Internet, clock: VirtualClock) -> None:
        self.clock = clock
        self.packets: list[PacketRecord] = []
        """All that happened."""
        self.sockets: set[SimulatedSocket] = set()
        """The sockets that are open."""
        self._internet = internet

    def transmit(self, socket: SimulatedSocket, probe: Probe, datagram: bytes) -> SendError | None:
        """Take a datagram; returns an error if the prober's own machine knows no way for it."""
        if probe.destination not in self._internet.topology.routes:
            return SendError(errno.ENETUNREACH, f"no path to {probe.destination} on this simulated network")
        now_ns = self.clock.monotonic_ns()
        self.packets.append(PacketRecord(now_ns, "sent", datagram, probe=probe))
        journey = self._internet.carry(datagram, now_ns)
        self.clock.call_at(now_ns + journey.delay_ns, partial(self._ends, socket, journey))
        return None

    def _ends(self, socket: SimulatedSocket, journey: Journey) -> None:
        now_ns = self.clock.monotonic_ns()
        answers = journey.lost if journey.responder is None else self._internet.answer(journey, now_ns)
        if isinstance(answers, str):
            self.packets.append(PacketRecord(now_ns, "lost", journey.datagram, remark=answers))
            return
        for answer in answers:
            self.clock.call_at(now_ns + answer.delay_ns, partial(self._arrives, socket, answer.datagram))

    def _arrives(self, socket: SimulatedSocket, datagram: bytes) -> None:
        if socket not in self.sockets:
            return
        now_ns = self.clock.monotonic_ns()
        verdict = socket.arrived(datagram)
        if isinstance(verdict, Reply):
            record = PacketRecord(now_ns, "received", datagram, reply=verdict)
        else:
            remark = refused(verdict) if isinstance(verdict, Refusal) else verdict
            record = PacketRecord(now_ns, "received", datagram, remark=remark)
        self.packets.append(record)
