"""The window and the rate limit that traces share: nothing over the limits, everybody gets a turn."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from traceprobe.tracer._pacing import RateLimit, Window

NS = 1_000_000_000


class Trace:
    """A trace that wants to send `wanted` probes towards its destination."""

    def __init__(self, destination: str, wanted: int) -> None:
        self.destination = destination
        self.wanted = wanted
        self.outstanding = 0
        self.sent_at: list[int] = []
        self.called = False

    def turn_came(self) -> None:
        self.called = True

    def try_to_send(self, window: Window, now: int) -> int:
        self.called = False
        if not self.wanted:
            window.withdraw(self)
            return 0
        count = window.grant(self, self.wanted, now)
        if count:
            self.wanted -= count
            self.outstanding += count
            self.sent_at += [now] * count
            window.update(self, self.outstanding)
            window.sent(self, count, now, wants_more=self.wanted)
        return count

    def answer_one(self, window: Window) -> None:
        self.outstanding -= 1
        window.update(self, self.outstanding)


def was_called(trace: Trace) -> bool:
    return trace.called


def test_alone_a_trace_gets_the_whole_window() -> None:
    window = Window(500)
    trace = Trace("a", 90)
    assert trace.try_to_send(window, 0) == 90
    assert window.in_flight == 90


def test_the_window_is_never_exceeded_and_a_freed_place_calls_the_next() -> None:
    window = Window(10)
    first, second = Trace("a", 30), Trace("b", 30)
    assert first.try_to_send(window, 0) == 10
    assert second.try_to_send(window, 0) == 0
    assert not was_called(first)
    first.answer_one(window)
    assert was_called(first)  # it queued first, for its rest
    assert first.try_to_send(window, 0) == 1
    first.answer_one(window)
    assert second.called
    assert second.try_to_send(window, 0) == 1
    assert window.in_flight == 10


def test_nobody_is_called_for_less_than_it_wants_or_a_turn() -> None:
    window = Window(160)
    holder, small, large = Trace("a", 160), Trace("b", 4), Trace("c", 30)
    assert holder.try_to_send(window, 0) == 160
    assert [trace.try_to_send(window, 0) for trace in (small, large)] == [0, 0]
    for _ in range(3):
        holder.answer_one(window)
    assert not was_called(small)
    holder.answer_one(window)
    assert was_called(small), "there is room for all that it wants"
    assert small.try_to_send(window, 0) == 4
    for _ in range(9):
        holder.answer_one(window)
    assert not was_called(large)
    holder.answer_one(window)
    assert was_called(large), "there is room for a turn"
    assert large.try_to_send(window, 0) == 10


def test_a_turn_is_all_that_one_gets_while_others_wait() -> None:
    window = Window(160)
    holder, first, second = Trace("a", 160), Trace("b", 50), Trace("c", 50)
    holder.try_to_send(window, 0)
    assert [trace.try_to_send(window, 0) for trace in (first, second)] == [0, 0]
    for _ in range(16):
        holder.answer_one(window)
    assert first.try_to_send(window, 0) == 10
    for _ in range(4):
        holder.answer_one(window)
    assert not was_called(first)
    assert second.called
    assert second.try_to_send(window, 0) == 10


def test_turns_go_round() -> None:
    window = Window(1)
    holder = Trace("first", 1)
    traces = [Trace(str(n), 3) for n in range(3)]
    assert holder.try_to_send(window, 0) == 1
    assert [trace.try_to_send(window, 0) for trace in traces] == [0, 0, 0]
    order: list[str] = []
    for _ in range(9):
        holder.answer_one(window)
        holder = next(t for t in traces if t.called)
        assert holder.try_to_send(window, 0) == 1
        order.append(holder.destination)
    assert order == ["0", "1", "2"] * 3


def test_leaving_frees_the_places_and_calls_the_next() -> None:
    window = Window(5)
    first, second = Trace("a", 5), Trace("b", 5)
    first.try_to_send(window, 0)
    assert second.try_to_send(window, 0) == 0
    window.leave(first)
    assert second.called
    assert second.try_to_send(window, 0) == 5


def test_a_trace_that_wants_nothing_any_more_passes_its_turn_on() -> None:
    window = Window(1)
    holder, first, second = Trace("a", 1), Trace("b", 1), Trace("c", 1)
    holder.try_to_send(window, 0)
    assert first.try_to_send(window, 0) == 0
    assert second.try_to_send(window, 0) == 0
    first.wanted = 0
    holder.answer_one(window)
    assert first.called
    first.try_to_send(window, 0)
    assert second.called
    assert second.try_to_send(window, 0) == 1


def test_a_full_destination_does_not_hold_up_the_others() -> None:
    window = Window(100, per_destination=3)
    first, same, other = Trace("a", 5), Trace("a", 5), Trace("b", 2)
    assert first.try_to_send(window, 0) == 3
    assert same.try_to_send(window, 0) == 0
    assert other.try_to_send(window, 0) > 0
    first.answer_one(window)
    assert first.called
    assert first.try_to_send(window, 0) == 1


def test_the_rate_says_when_the_next_packet_may_go() -> None:
    rate = RateLimit(100, burst=0.05)
    assert rate.available(0) == 5
    rate.spend(5, 0)
    assert rate.available(0) == 0
    assert rate.next_ns() == NS // 100
    assert rate.available(rate.next_ns()) == 1
    assert rate.available(rate.next_ns() - 1000) == 0


def test_only_the_head_of_the_queue_waits_for_the_rate() -> None:
    window = Window(100, rate=RateLimit(10, burst=0.1))
    first, second = Trace("a", 5), Trace("b", 5)
    assert first.try_to_send(window, 0) == 1
    assert first.try_to_send(window, 0) == 0
    assert second.try_to_send(window, 0) == 0
    assert window.next_ns(first) == NS // 10
    assert window.next_ns(second) is None
    assert first.try_to_send(window, NS // 10) == 1
    assert second.called
    assert window.next_ns(second) == 2 * NS // 10


@given(
    per_second=st.floats(0.5, 50_000),
    burst=st.floats(0.0001, 0.5),
    steps=st.lists(st.integers(0, NS), min_size=1, max_size=50),
)
def test_the_rate_is_never_exceeded(per_second: float, burst: float, steps: list[int]) -> None:
    rate = RateLimit(per_second, burst)
    now = sent = 0
    for step in steps:
        now += step
        count = rate.available(now)
        if count:
            rate.spend(count, now)
            sent += count
        assert sent <= max(1.0, burst * per_second) + now / NS * per_second + 1e-3


@given(
    size=st.integers(1, 20) | st.integers(20, 90),
    per_destination=st.none() | st.integers(1, 5),
    wants=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_the_limits_hold_and_everything_is_sent(
    size: int, per_destination: int | None, wants: list[tuple[str, int]], seed: int
) -> None:
    window = Window(size, per_destination=per_destination)
    traces = [Trace(destination, wanted) for destination, wanted in wants]
    chance = random.Random(seed)
    for trace in traces:
        trace.try_to_send(window, 0)
    while any(trace.outstanding for trace in traces):
        chance.choice([t for t in traces if t.outstanding]).answer_one(window)
        while called := [t for t in traces if t.called]:
            chance.choice(called).try_to_send(window, 0)
        assert window.in_flight == sum(t.outstanding for t in traces) <= size
        if per_destination is not None:
            for name in "abc":
                assert sum(t.outstanding for t in traces if t.destination == name) <= per_destination
    assert not any(t.wanted for t in traces), "a trace was never called"
