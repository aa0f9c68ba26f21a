"""Round-trip times: what the kernel stamped where it did, what the process read where it didn't.

Kernel stamps are of the wall clock, deadlines of the monotonic one. Both are read together whenever
something is sent or received: the distance between them shows where a stamp lies on the monotonic clock,
and that the wall clock was not stepped while a probe was on its way. After a step the stamps of that
probe are not believed.
"""

from __future__ import annotations

import collections
from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.model import TimestampSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


_new_reading = tuple.__new__


def read_clocks(clock: Clock) -> ClockReading:
    """Read both clocks, close enough together to compare them.

    The process may lose the processor between two readings; of several pairs the closest one counts.
    """
    monotonic = clock.monotonic_ns
    before, wall, after = monotonic(), clock.realtime_ns(), monotonic()
    closest = after - before
    if closest <= _CLOSE_ENOUGH:
        # Once a wake-up at least: without the detour through the class's own function.
        return _new_reading(ClockReading, (after, wall - (before + after >> 1)))
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
        # When, on both clocks and how far they were apart.
        self._sent: dict[ProbeId, tuple[int, int, int]] = {}
        self._numbers: dict[ProbeId, int] = {}
        """The number of each one's transmit stamp."""
        self._awaited: dict[int, ProbeId] = {}
        self._stamps: dict[ProbeId | None, int] = {}
        self.fetch_other_stamps: Callable[[], None] | None = None
        """Fetches stamps that have been left unread, if any have: no reply is timed without its own."""
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
        # No tuple for each probe: so many would bring the garbage collector's next run near.
        when = (now.monotonic_ns, now.offset_ns, now.realtime_ns)
        self._sent.update(zip(probes, repeat(when), strict=False))
        if self._stamped:
            self._numbers.update(zip(probes, numbers, strict=True))
            self._awaited.update(zip(numbers, probes, strict=True))

    @property
    def awaits_stamps(self) -> bool:
        """Whether a transmit stamp is still to come of anything outstanding."""
        return bool(self._awaited)

    def stamps_came(self, numbers: Sequence[int], times: Sequence[int]) -> None:
        """Note transmit stamps.

        Args:
            numbers: The number of each.
            times: The time of each, wall clock, nanoseconds.
        """
        known = self._stamps
        known.update(zip(map(self._awaited.pop, numbers, repeat(None)), times, strict=True))
        known.pop(None, None)  # what nobody waits for
        if known:
            self._are_stamped = True

    def unstamped(self, probes: Iterable[ProbeId]) -> list[ProbeId]:
        """Those that have no transmit stamp yet and no answer, where the kernel stamps what it sends."""
        if not self._awaited or not self._are_stamped:
            return []
        stamps, numbers, awaited = self._stamps, self._numbers, self._awaited
        return [
            probe
            for probe in probes
            if probe not in stamps and probe in numbers and awaited.get(numbers[probe]) == probe
        ]

    def stop_awaiting(self) -> None:
        """Numbers mean nothing any more: the kernel's count was reset."""
        self._awaited.clear()

    def forget(self, probes: Iterable[ProbeId]) -> None:
        """Forget probes that were given up."""
        probes = tuple(probes)
        nothing = repeat(None)
        collections.deque(map(self._sent.pop, probes, nothing), 0)
        if not self._stamped:
            return
        awaited = self._awaited
        stamps = map(self._stamps.pop, probes, nothing)
        for probe, number, stamp in zip(probes, map(self._numbers.pop, probes, nothing), stamps, strict=True):
            if stamp is None and number is not None and awaited.get(number) == probe:
                del awaited[number]

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
        sent_ns, sent_offset_ns, sent_at_ns = known
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
                if stamp_ns is None and self.fetch_other_stamps is not None:
                    self.fetch_other_stamps()
                    stamp_ns = self._stamps.get(probe)
                if stamp_ns is not None and sent_at_ns - tolerance_ns <= stamp_ns <= arrival_ns:
                    return arrival_ns - stamp_ns, received_ns, _KERNEL_TX_RX, stamp_ns
                self._stop_awaiting_one(probe)
                return max(arrival_ns - sent_at_ns, 0), received_ns, _KERNEL_RX, None
        self._stop_awaiting_one(probe)
        return now_ns - sent_ns, now_ns, self._unstamped, None

    def measured_each(
        self, probes: Sequence[ProbeId | None], arrivals: Sequence[int | None], now: ClockReading
    ) -> list[tuple[int, int, TimestampSource, int | None] | None]:
        """What :meth:`measured` finds for each of some replies; None also where there is no probe.

        Where both stamps are there, and fit together, nothing more has to be looked at.
        """
        sent, stamps, tolerance_ns = self._sent, self._stamps, self._tolerance_ns
        now_ns, offset_ns = now.monotonic_ns, now.offset_ns
        trips: list[tuple[int, int, TimestampSource, int | None] | None] = []
        for probe, arrival_ns in zip(probes, arrivals, strict=True):
            if probe is None:
                trips.append(None)
                continue
            known, stamp_ns = sent.get(probe), stamps.get(probe)
            if known is not None and stamp_ns is not None and arrival_ns is not None:
                sent_ns, sent_offset_ns, sent_at_ns = known
                received_ns = arrival_ns - offset_ns
                if (
                    sent_ns <= received_ns <= now_ns
                    and sent_at_ns - tolerance_ns <= stamp_ns <= arrival_ns
                    and -tolerance_ns <= offset_ns - sent_offset_ns <= tolerance_ns
                ):
                    trips.append((arrival_ns - stamp_ns, received_ns, _KERNEL_TX_RX, stamp_ns))
                    continue
            trips.append(self.measured(probe, arrival_ns, now))
        return trips

    def _stop_awaiting_one(self, probe: ProbeId) -> None:
        """It was answered, so it was sent, whether its stamp has got lost or not."""
        number = self._numbers.get(probe)
        if number is not None and self._awaited.get(number) == probe:
            del self._awaited[number]
