"""Anything may happen in any order: the engine and its reference must agree after every step."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.conversation import DESTINATION, MS, START
from tests.engine.pair import Pair
from traceprobe.config import TimingConfig, TracerouteConfig
from traceprobe.model import Reply, ReplyKind, TimestampSource

if TYPE_CHECKING:
    from traceprobe.model import Probe

MILLISECONDS = st.integers(0, 40).map(lambda ms: ms * MS) | st.integers(0, 2_000 * MS)

CONFIGS = st.builds(
    TracerouteConfig,
    first_ttl=st.integers(1, 3),
    max_ttl=st.integers(3, 9),
    queries=st.integers(1, 3),
    gap_limit=st.none() | st.integers(1, 4),
    stop_on_loop=st.booleans(),
    max_in_flight=st.none() | st.integers(1, 8),
    timing=st.builds(
        TimingConfig,
        probe_timeout=st.sampled_from([0.05, 0.5, 5.0]),
        interior_floor=st.sampled_from([0.0, 0.01]),
        interior_jitter_factor=st.sampled_from([0.0, 1.0, 2.0]),
        tail_floor=st.sampled_from([0.02, 1.0]),
        send_interval=st.sampled_from([0.0, 0.0, 0.003]),
        overall_timeout=st.none() | st.sampled_from([0.04, 0.3]),
    ),
)

# Few addresses, so that cycles, repeated routers and the destination on its own path all turn up.
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", DESTINATION])
KINDS = st.sampled_from([ReplyKind.TIME_EXCEEDED] * 6 + [k for k in ReplyKind if k != "time_exceeded"])


class EngineMachine(RuleBasedStateMachine):
    """The engine in the hands of a driver and a network without manners."""

    pair: Pair

    @initialize(config=CONFIGS)
    def start(self, config: TracerouteConfig) -> None:
        self.pair = Pair(config)
        self.now = START
        self.unreported: list[Probe] = []
        self.heard: list[Reply] = []
        self.route = 0

    @rule(limit=st.none() | st.integers(0, 6))
    def hand_out(self, limit: int | None) -> None:
        self.unreported += self.pair.take(self.now, limit)

    @rule()
    def send_everything(self) -> None:
        self.unreported += self.pair.take(self.now)
        self.pair.report_batch([(probe, None) for probe in self.unreported], self.now)
        self.unreported = []

    @precondition(lambda self: self.unreported)
    @rule(data=st.data(), refused=st.sampled_from([False, False, False, True]), before=MILLISECONDS)
    def report_one(self, data: st.DataObject, refused: bool, before: int) -> None:
        position = data.draw(st.integers(0, len(self.unreported) - 1))
        probe = self.unreported.pop(position)
        sent_ns = max(START, self.now - before)
        self.pair.report(probe, self.now, errno.ENOBUFS if refused else None, sent_ns)

    @precondition(lambda self: self.pair.handed_out)
    @rule(
        data=st.data(),
        address=ADDRESSES,
        kind=KINDS,
        lag=st.just(0) | MILLISECONDS,
        length=st.none() | st.integers(0, 5),
    )
    def answer(
        self, data: st.DataObject, address: str, kind: ReplyKind, lag: int, length: int | None
    ) -> None:
        """Any probe that was handed out: outstanding, given up, cancelled, answered, not yet reported."""
        probe = data.draw(st.sampled_from(self.pair.handed_out))
        _, sent_ns = self.pair.sent.get(probe.id, (probe, START))
        received_ns = max(sent_ns, self.now - lag)
        rtt_ns = received_ns - sent_ns
        source = TimestampSource.SIMULATED
        quoted_ttl = None if length is None else max(0, probe.ttl - length + 1)
        reply = Reply(probe.id, kind, ip_address(address), rtt_ns, received_ns, source, quoted_ttl=quoted_ttl)
        self.hear(reply)

    def hear(self, *replies: Reply) -> None:
        """Replies come at once; each may come again."""
        self.heard += replies
        self.pair.hear(*replies, now=self.now)

    @precondition(lambda self: self.heard)
    @rule(data=st.data(), again=st.integers(1, 3), step=MILLISECONDS)
    def replies_come_again(self, data: st.DataObject, again: int, step: int) -> None:
        """Duplicates: the very same replies, at once or long after, in any order."""
        self.now += step
        replies = data.draw(st.lists(st.sampled_from(self.heard), min_size=again, max_size=again))
        self.pair.hear(*replies, now=self.now)

    def given_up(self) -> list[Probe]:
        """Probes that nothing is expected of any more."""
        assert self.pair.reference is not None
        states = self.pair.reference.by_id
        return [probe for probe, _ in self.pair.sent.values() if states[probe.id].state == "given up"]

    @precondition(lambda self: self.given_up())
    @rule(data=st.data(), address=ADDRESSES, in_time=st.booleans())
    def a_reply_comes_late(self, data: st.DataObject, address: str, in_time: bool) -> None:
        """The answer to a probe that was given up: it was late, or came in time and was noticed late."""
        probe = data.draw(st.sampled_from(self.given_up()))
        _, sent_ns = self.pair.sent[probe.id]
        received_ns = min(self.now, sent_ns + 1) if in_time else self.now
        kind, source = ReplyKind.TIME_EXCEEDED, TimestampSource.SIMULATED
        rtt_ns = received_ns - sent_ns
        self.hear(Reply(probe.id, kind, ip_address(address), rtt_ns, received_ns, source))

    @rule(shift=st.integers(1, 2))
    def the_path_changes(self, shift: int) -> None:
        """From now on other routers answer, in mid-trace."""
        self.route += shift

    @rule(count=st.integers(1, 4), number=st.sampled_from([errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH]))
    def the_kernel_refuses_some(self, count: int, number: int) -> None:
        """Send failures: part of what is due leaves, the rest does not."""
        self.unreported += self.pair.take(self.now)
        refused, self.unreported = self.unreported[:count], self.unreported[count:]
        taken, self.unreported = self.unreported[:count], self.unreported[count:]
        self.pair.report_batch(
            [(probe, number) for probe in refused] + [(probe, None) for probe in taken], self.now
        )

    @rule(
        ttls=st.lists(st.integers(1, 9), max_size=9, unique=True),
        step=MILLISECONDS,
        seed=st.integers(0, 1000),
    )
    def answer_many(self, ttls: list[int], step: int, seed: int) -> None:
        """The routers of some TTLs answer all their probes: what real networks mostly do."""
        self.now += step
        replies = []
        for probe, sent_ns in self.pair.sent.values():
            if probe.ttl in ttls:
                address = ip_address(f"10.0.0.{1 + (probe.ttl + self.route) % 3}")
                rtt_ns = self.now - sent_ns
                kind, source = ReplyKind.TIME_EXCEEDED, TimestampSource.SIMULATED
                replies.append(Reply(probe.id, kind, address, rtt_ns, self.now, source))
        Random(seed).shuffle(replies)
        self.hear(*replies)

    @rule(length=st.integers(2, 7), ttls=st.lists(st.integers(1, 9), max_size=9, unique=True))
    def the_destination_answers(self, length: int, ttls: list[int]) -> None:
        """A destination that refuses probes quotes what was left of their TTL."""
        kind, source, address = ReplyKind.PORT_UNREACHABLE, TimestampSource.SIMULATED, ip_address(DESTINATION)
        self.hear(
            *(
                Reply(
                    probe.id,
                    kind,
                    address,
                    self.now - sent_ns,
                    self.now,
                    source,
                    quoted_ttl=probe.ttl - length + 1,
                )
                for probe, sent_ns in self.pair.sent.values()
                if probe.ttl in ttls and probe.ttl >= length
            )
        )

    @rule(step=MILLISECONDS)
    def time_passes(self, step: int) -> None:
        self.now += step
        self.pair.look_at_the_clock(self.now)

    @rule(step=MILLISECONDS)
    def time_passes_unnoticed(self, step: int) -> None:
        self.now += step

    @rule()
    def wait_for_the_deadline(self) -> None:
        deadline = self.pair.engine.next_deadline()
        if deadline is not None:
            self.now = max(self.now, deadline)
            self.pair.look_at_the_clock(self.now)

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def cancel(self, really: bool) -> None:
        if really:
            self.pair.cancel(self.now)

    @invariant()
    def agreed(self) -> None:
        if hasattr(self, "now"):
            self.pair.check(self.now)

    def teardown(self) -> None:
        """Whatever has happened, a driver that goes on brings the trace to its end."""
        if not hasattr(self, "now"):
            return
        for _ in range(400):
            if self.pair.engine.finished:
                break
            self.send_everything()
            self.wait_for_the_deadline()
        assert self.pair.engine.finished
        for probe in self.unreported:
            self.pair.report(probe, self.now)
        self.pair.answered_once()


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
