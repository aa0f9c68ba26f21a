"""Round-trip times come from the best stamps there are, and from none that a stepped clock has spoiled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe.loops import Alarm, SystemAlarm
from traceprobe.model import ProbeId, TimestampSource
from traceprobe.sockets._timestamps import ClockReading, RoundTrips, read_clocks

TOLERANCE = 1_000
WALL = 1_700_000_000_000_000_000
"""Wall clock when the monotonic clock stood at zero."""

PROBE = ProbeId(7)


SENT = ClockReading(100_000, WALL)


def round_trips(*, stamped: bool = True) -> RoundTrips:
    return RoundTrips(TOLERANCE, stamped=stamped)


class ScriptedClock:
    """Two clocks that move by given amounts with each reading."""

    def __init__(self, steps: list[int], offset: int = WALL) -> None:
        self._steps = steps
        self._now = 0
        self._offset = offset

    def _advance(self) -> int:
        self._now += self._steps.pop(0) if self._steps else 50
        return self._now

    def monotonic_ns(self) -> int:
        return self._advance()

    def realtime_ns(self) -> int:
        return self._advance() + self._offset

    def alarm(self) -> Alarm:
        return SystemAlarm()


def test_both_stamps_make_the_best_round_trip() -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 42)
    trips.stamps_came([42], [WALL + 100_700])
    trip = trips.measure(PROBE, WALL + 150_000, ClockReading(180_000, WALL))
    assert trip is not None
    assert trip == (49_300, 150_000, TimestampSource.KERNEL_TX_RX, WALL + 100_700)


def test_without_a_transmit_stamp_the_clock_before_the_call_counts() -> None:
    for trips in (round_trips(), round_trips(stamped=False)):
        trips.sent([PROBE], SENT, 42)
        trip = trips.measure(PROBE, WALL + 150_000, ClockReading(180_000, WALL))
        assert trip == (50_000, 150_000, TimestampSource.KERNEL_RX, None)


def test_without_any_stamp_the_process_is_asked() -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 42)
    trips.stamps_came([42], [WALL + 100_700])
    trip = trips.measure(PROBE, None, ClockReading(180_000, WALL))
    assert trip == (80_000, 180_000, TimestampSource.USER, None)


@pytest.mark.parametrize("step", [-5 * 10**9, -TOLERANCE - 1, TOLERANCE + 1, 10**9])
@pytest.mark.parametrize("stamp_in_new_time", [True, False])
def test_a_stepped_clock_spoils_the_stamps(step: int, stamp_in_new_time: bool) -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 42)
    trips.stamps_came([42], [WALL + 100_700])
    arrival = WALL + 150_000 + (step if stamp_in_new_time else 0)
    trip = trips.measure(PROBE, arrival, ClockReading(180_000, WALL + step))
    assert trip == (80_000, 180_000, TimestampSource.USER, None)


@pytest.mark.parametrize("drift", [-TOLERANCE, TOLERANCE])
def test_a_clock_that_is_only_read_unevenly_does_not(drift: int) -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 42)
    trips.stamps_came([42], [WALL + 100_700])
    trip = trips.measure(PROBE, WALL + 150_000, ClockReading(180_000, WALL + drift))
    assert trip is not None
    assert trip.source is TimestampSource.KERNEL_TX_RX
    assert trip.rtt_ns == 49_300


@pytest.mark.parametrize("arrival", [90_000, 99_000 - 1, 181_000 + 1, 10**12])
def test_an_arrival_before_sending_or_after_now_is_not_believed(arrival: int) -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 42)
    trip = trips.measure(PROBE, WALL + arrival, ClockReading(180_000, WALL))
    assert trip is not None
    assert trip.source is TimestampSource.USER


@pytest.mark.parametrize("stamp", [90_000, 150_001, 10**12])
def test_a_transmit_stamp_out_of_place_is_left_out(stamp: int) -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 42)
    trips.stamps_came([42], [WALL + stamp])
    trip = trips.measure(PROBE, WALL + 150_000, ClockReading(180_000, WALL))
    assert trip == (50_000, 150_000, TimestampSource.KERNEL_RX, None)


def test_stamps_find_their_probes_by_number() -> None:
    trips = round_trips()
    trips.sent([ProbeId(n) for n in range(3)], SENT, 2**32 - 1)
    trips.stamps_came([0], [WALL + 101_000])
    trips.stamps_came([77], [WALL + 102_000])
    trips.stamps_came([2**32 - 1], [WALL + 103_000])
    stamps = {}
    for probe in range(3):
        trip = trips.measure(ProbeId(probe), WALL + 150_000, ClockReading(180_000, WALL))
        assert trip is not None
        stamps[probe] = trip.sent_at_ns
    assert stamps == {0: WALL + 103_000, 1: WALL + 101_000, 2: None}


def test_after_the_numbers_began_anew_a_stamp_is_of_no_old_probe() -> None:
    trips = round_trips()
    trips.sent([ProbeId(n) for n in range(3)], SENT, 0)
    awaited = [bool(trips._awaited)]
    trips.stop_awaiting()
    awaited.append(bool(trips._awaited))
    assert awaited == [True, False]
    trips.stamps_came([2], [WALL + 104_000])
    trip = trips.measure(ProbeId(2), WALL + 150_000, ClockReading(180_000, WALL))
    assert trip is not None
    assert trip.sent_at_ns is None


def test_what_was_neither_stamped_nor_answered_has_not_left() -> None:
    trips = round_trips()
    trips.sent([ProbeId(n) for n in range(4)], SENT, 2**32 - 2)
    everything = [ProbeId(n) for n in range(9)]
    assert trips.unstamped(everything) == []  # a device that makes no stamps says nothing by that
    trips.stamps_came([2**32 - 1], [WALL + 101_000])
    assert trips.unstamped(everything) == [0, 2, 3]
    assert trips.measure(ProbeId(2), WALL + 150_000, ClockReading(180_000, WALL)) is not None
    assert trips.measure(ProbeId(3), None, ClockReading(180_000, WALL)) is not None
    assert trips.unstamped(everything) == [0]
    trips.forget(everything)
    assert trips.unstamped(everything) == []


def test_a_forgotten_probe_leaves_nothing_behind() -> None:
    trips = round_trips()
    trips.sent([ProbeId(n) for n in range(4)], SENT, 0)
    trips.stamps_came([1], [WALL + 101_000])
    trips.forget([ProbeId(n) for n in range(10)])
    assert trips.measure(ProbeId(1), WALL + 150_000, ClockReading(180_000, WALL)) is None
    assert not trips._awaited
    assert not any(value for value in vars(trips).values() if isinstance(value, dict))


def test_a_number_that_has_come_round_belongs_to_the_new_probe() -> None:
    trips = round_trips()
    trips.sent([ProbeId(1)], SENT, 5)
    trips.sent([ProbeId(2)], SENT, 5 + 2**32)
    trips.forget([ProbeId(1)])
    trips.stamps_came([5], [WALL + 101_000])
    trip = trips.measure(ProbeId(2), WALL + 150_000, ClockReading(180_000, WALL))
    assert trip is not None
    assert trip.sent_at_ns == WALL + 101_000


def test_readings_that_are_close_enough_are_not_repeated() -> None:
    clock = ScriptedClock([0, 1_000, 1_000, 9_000_000])
    reading = read_clocks(clock)
    assert reading == (2_000, WALL)


def test_the_closest_pair_of_readings_counts() -> None:
    # Interrupted between the first two readings of each clock, but not in the second pair.
    clock = ScriptedClock([0, 5_000_000, 40, 30, 30, 9_000_000, 60])
    reading = read_clocks(clock)
    assert abs(reading.offset_ns - WALL) <= 30
    assert reading.realtime_ns == reading.monotonic_ns + reading.offset_ns


@given(
    hold=st.integers(0, 10**10),
    delay=st.integers(0, 10**9),
    stamp=st.none() | st.integers(-(10**6), 10**6),
    arrival=st.none() | st.integers(-(10**10), 10**10),
    step=st.integers(-(10**10), 10**10),
)
def test_no_round_trip_is_negative_or_longer_than_the_wait(
    hold: int, delay: int, stamp: int | None, arrival: int | None, step: int
) -> None:
    trips = round_trips()
    trips.sent([PROBE], SENT, 1)
    if stamp is not None:
        trips.stamps_came([1], [WALL + 100_000 + stamp])
    now = 100_000 + hold + delay
    stamp_of_arrival = None if arrival is None else WALL + 100_000 + arrival
    trip = trips.measure(PROBE, stamp_of_arrival, ClockReading(now, WALL + step))
    assert trip is not None
    assert 0 <= trip.rtt_ns <= hold + delay + 2 * TOLERANCE
    assert 100_000 <= trip.received_ns <= now
