"""Round-trip times: what the kernel stamped where it did, what the process read where it didn't.

Kernel stamps are of the wall clock, deadlines of the monotonic one. Both are read together whenever
something is sent or received: the distance between them shows where a stamp lies on the monotonic clock,
and that the wall clock was not stepped while a probe was on its way. After a step the stamps of that
probe are not believed.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.model import TimestampSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceprobe.loops import Clock
    from traceprobe.model import ProbeId

_READINGS: Final = 3
_CLOSE_ENOUGH: Final = 2_000
"""Nanoseconds between two readings of one clock; what lies between them is known to a half of that."""
_NUMBERS: Final = 2**32
_KERNEL_TX_RX: Final = TimestampSource.KERNEL_TX_RX
_KERNEL_RX: Final = TimestampSource.KERNEL_RX


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
    monotonic = clock.monotonic_ns
    before, wall, after = monotonic(), clock.realtime_ns(), monotonic()
    closest = after - before
    if closest <= _CLOSE_ENOUGH:
        return ClockReading(after, wall - (before + after >> 1))
    offset = wall - (before + after >> 1)
    for _ in range(1, _READINGS):
        before, wall, after = after, clock.realtime_ns(), monotonic()
        if after - before < closest:
            closest = after - before
            offset = wall - (before + after >> 1)
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
        # When, on both clocks and how far they were apart; and the number of the transmit stamp.
        self._sent: dict[ProbeId, tuple[tuple[int, int, int], int]] = {}
        self._awaited: dict[int, ProbeId] = {}
        self._stamps: dict[ProbeId, int] = {}
        self._are_stamped = False
        """Whether a transmit stamp has ever come: not every network device makes any."""

    def sent(self, probes: Sequence[ProbeId], now: ClockReading, number: int) -> None:
        """Note that probes were sent.

        Args:
            probes: The probes, sent by one call.
            now: Both clocks, read just before.
            number: How the transmit stamp of the first is numbered.
        """
        number %= _NUMBERS
        numbers: Iterable[int] = range(number, number + len(probes))
        if number + len(probes) > _NUMBERS:
            numbers = [each % _NUMBERS for each in numbers]
        when = (now.monotonic_ns, now.offset_ns, now.realtime_ns)
        self._sent.update(zip(probes, zip(repeat(when), numbers), strict=False))
        if self._stamped:
            self._awaited.update(zip(numbers, probes, strict=True))

    @property
    def awaits_stamps(self) -> bool:
        """Whether a transmit stamp is still to come of anything outstanding."""
        return bool(self._awaited)

    def stamps_came(self, stamps: Iterable[tuple[int, int]]) -> None:
        """Note transmit stamps: the number of each, and its time."""
        awaited, known = self._awaited, self._stamps
        for number, stamp_ns in stamps:
            probe = awaited.pop(number, None)
            if probe is not None:
                known[probe] = stamp_ns
                self._are_stamped = True

    def unstamped(self, probes: Iterable[ProbeId]) -> list[ProbeId]:
        """Those that have no transmit stamp yet and no answer, where the kernel stamps what it sends."""
        if not self._awaited or not self._are_stamped:
            return []
        sent, stamps, awaited = self._sent, self._stamps, self._awaited
        return [
            probe
            for probe in probes
            if probe not in stamps and probe in sent and awaited.get(sent[probe][1]) == probe
        ]

    def stop_awaiting(self) -> None:
        """Numbers mean nothing any more: the kernel's count was reset."""
        self._awaited.clear()

    def forget(self, probes: Iterable[ProbeId]) -> None:
        """Forget probes that were given up."""
        sent, stamps, awaited = self._sent, self._stamps, self._awaited
        for probe in probes:
            known = sent.pop(probe, None)
            if known is not None and stamps.pop(probe, None) is None and awaited.get(known[1]) == probe:
                del awaited[known[1]]

    def measure(self, probe: ProbeId, arrival_ns: int | None, now: ClockReading) -> RoundTrip | None:
        """Work out the round-trip time of a reply.

        Args:
            probe: The probe that was answered.
            arrival_ns: The kernel's stamp of the reply, wall clock; None if there is none.
            now: Both clocks, read when the reply was taken from the kernel.

        Returns:
            None if the probe is unknown.
        """
        trip = self.measured(probe, arrival_ns, now)
        return None if trip is None else RoundTrip(*trip)

    def measured(
        self, probe: ProbeId, arrival_ns: int | None, now: ClockReading
    ) -> tuple[int, int, TimestampSource, int | None] | None:
        """The same as :meth:`measure` finds, without names, for the many."""
        known = self._sent.get(probe)
        if known is None:
            return None
        sent_ns, sent_offset_ns, sent_at_ns = known[0]
        now_ns, offset_ns = now.monotonic_ns, now.offset_ns
        tolerance_ns = self._tolerance_ns
        if arrival_ns is not None and -tolerance_ns <= offset_ns - sent_offset_ns <= tolerance_ns:
            received_ns = arrival_ns - offset_ns
            if sent_ns - tolerance_ns <= received_ns <= now_ns + tolerance_ns:
                if received_ns < sent_ns:
                    received_ns = sent_ns
                elif received_ns > now_ns:
                    received_ns = now_ns
                stamp_ns = self._stamps.get(probe)
                if stamp_ns is not None and sent_at_ns - tolerance_ns <= stamp_ns <= arrival_ns:
                    return arrival_ns - stamp_ns, received_ns, _KERNEL_TX_RX, stamp_ns
                self._stop_awaiting_one(probe, known[1])
                return max(arrival_ns - sent_at_ns, 0), received_ns, _KERNEL_RX, None
        self._stop_awaiting_one(probe, known[1])
        return now_ns - sent_ns, now_ns, self._unstamped, None

    def _stop_awaiting_one(self, probe: ProbeId, number: int) -> None:
        """It was answered, so it was sent, whether its stamp has got lost or not."""
        if self._awaited.get(number) == probe:
            del self._awaited[number]
