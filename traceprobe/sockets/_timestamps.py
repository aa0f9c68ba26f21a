"""Round-trip times: what the kernel stamped where it did, what the process read where it didn't.

Kernel stamps are of the wall clock, deadlines of the monotonic one. Both are read together whenever
something is sent or received: the distance between them shows where a stamp lies on the monotonic clock,
and that the wall clock was not stepped while a probe was on its way. After a step the stamps of that
probe are not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.model import TimestampSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.loops import Clock
    from traceprobe.model import ProbeId, SentProbe

_READINGS: Final = 3
_NUMBERS: Final = 2**32


class ClockReading(NamedTuple):
    """Both clocks at one moment."""

    monotonic_ns: int
    offset_ns: int
    """Wall clock minus monotonic clock."""

    @property
    def realtime_ns(self) -> int:
        """The wall clock."""
        return self.monotonic_ns + self.offset_ns


def read_clocks(clock: Clock) -> ClockReading:
    """Read both clocks, close enough together to compare them.

    The process may lose the processor between two readings; of several pairs the closest one counts.
    """
    monotonic, realtime = clock.monotonic_ns, clock.realtime_ns
    after = monotonic()
    offset = closest = None
    for _ in range(_READINGS):
        before, wall, after = after, realtime(), monotonic()
        if closest is None or after - before < closest:
            closest = after - before
            offset = wall - (before + after) // 2
    assert offset is not None
    return ClockReading(after, offset)


class RoundTrip(NamedTuple):
    """When a reply arrived and how long it took."""

    rtt_ns: int
    received_ns: int
    source: TimestampSource
    sent_at_ns: int | None
    """Wall clock when the kernel sent the probe, if it said so."""


class RoundTrips:
    """What is known of when each outstanding probe was sent.

    Args:
        tolerance_ns: How far the two clocks may move against each other within one round trip.
        stamped: Whether the kernel stamps what is sent.
        unstamped: What round-trip times that no stamp of the kernel is part of come from.
    """

    def __init__(
        self, tolerance_ns: int, *, stamped: bool, unstamped: TimestampSource = TimestampSource.USER
    ) -> None:
        self._tolerance_ns = tolerance_ns
        self._unstamped = unstamped
        self._stamped = stamped
        self._sent: dict[ProbeId, tuple[SentProbe, int]] = {}
        self._awaited: dict[int, ProbeId] = {}
        self._stamps: dict[ProbeId, int] = {}

    def sent(self, reports: Iterable[SentProbe], number: int) -> None:
        """Note that probes were sent, and how the transmit stamp of the first is numbered."""
        number %= _NUMBERS
        for report in reports:
            self._sent[report.probe_id] = (report, number)
            if self._stamped:
                self._awaited[number] = report.probe_id
            number = (number + 1) % _NUMBERS

    @property
    def awaits_stamps(self) -> bool:
        """Whether a transmit stamp is still to come of anything outstanding."""
        return bool(self._awaited)

    def stamp_came(self, number: int, stamp_ns: int) -> None:
        """Note a transmit stamp."""
        probe = self._awaited.pop(number, None)
        if probe is not None:
            self._stamps[probe] = stamp_ns

    def stop_awaiting(self) -> None:
        """Numbers mean nothing any more: the kernel's count was reset."""
        self._awaited.clear()

    def forget(self, probes: Iterable[ProbeId]) -> None:
        """Forget probes that were given up."""
        for probe in probes:
            known = self._sent.pop(probe, None)
            if known is not None:
                self._stamps.pop(probe, None)
                if self._awaited.get(known[1]) == probe:
                    del self._awaited[known[1]]

    def measure(self, probe: ProbeId, arrival_ns: int | None, now: ClockReading) -> RoundTrip | None:
        """Work out the round-trip time of a reply.

        Args:
            probe: The probe that was answered.
            arrival_ns: The kernel's stamp of the reply, wall clock; None if there is none.
            now: Both clocks, read when the reply was taken from the kernel.

        Returns:
            None if the probe is unknown.
        """
        known = self._sent.get(probe)
        if known is None:
            return None
        sent = known[0]
        stamp_ns = self._stamps.get(probe)
        step_ns = now.offset_ns - (sent.sent_at_ns - sent.sent_ns)
        if arrival_ns is not None and abs(step_ns) <= self._tolerance_ns:
            received_ns = arrival_ns - now.offset_ns
            late_ns = received_ns - now.monotonic_ns
            early_ns = sent.sent_ns - received_ns
            if max(late_ns, early_ns) <= self._tolerance_ns:
                received_ns = min(max(received_ns, sent.sent_ns), now.monotonic_ns)
                if stamp_ns is not None and sent.sent_at_ns - self._tolerance_ns <= stamp_ns <= arrival_ns:
                    return RoundTrip(
                        arrival_ns - stamp_ns, received_ns, TimestampSource.KERNEL_TX_RX, stamp_ns
                    )
                rtt_ns = max(arrival_ns - sent.sent_at_ns, 0)
                return RoundTrip(rtt_ns, received_ns, TimestampSource.KERNEL_RX, None)
        rtt_ns = now.monotonic_ns - sent.sent_ns
        return RoundTrip(rtt_ns, now.monotonic_ns, self._unstamped, None)
