"""What a running trace still waits for, and for how long at most, told from its events alone.

The rule is the one that :class:`~traceprobe.config.TimingConfig` documents: silence in the middle of the path
is waited for a little longer than the slowest answer from farther on, silence at its end a good deal longer.
Reads no clock: "now" is the moment of the latest event.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from traceprobe.config import Protocol
from traceprobe.model import HopRevised, HopSettled, ProbeSent, ReplyReceived
from traceprobe.render._words import plural

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.model import Event, Reply

_NS = 1_000_000_000


class Outstanding:
    """Keeps count of one trace.

    Args:
        config: How the trace is made.
        protocol: What its probes are made of.
    """

    def __init__(self, config: TracerouteConfig, protocol: Protocol) -> None:
        self._config = config
        self._protocol = protocol
        self._out: dict[int, dict[int, int]] = {}
        """When each probe that is out was sent, by TTL and attempt."""
        self._slowest: dict[int, int] = {}
        self._fastest: dict[int, int] = {}
        self._settled: set[int] = set()
        self._now_ns = 0
        self._sent = 0

    def take(self, event: Event) -> None:
        """Take in what happened."""
        if isinstance(event, ProbeSent):
            self._sent += 1
            self._now_ns = max(self._now_ns, event.sent_ns)
            if event.probe.ttl not in self._settled:
                self._out.setdefault(event.probe.ttl, {})[event.probe.attempt] = event.sent_ns
        elif isinstance(event, ReplyReceived):
            self._out.get(event.probe.ttl, {}).pop(event.probe.attempt, None)
            self._note(event.probe.ttl, event.reply)
        elif isinstance(event, HopSettled | HopRevised):
            self._settled.add(event.hop.ttl)
            self._out.pop(event.hop.ttl, None)

    def end_at(self, ttl: int) -> None:
        """What lies behind this TTL is not part of the path."""
        for beyond in [each for each in self._out if each > ttl]:
            del self._out[beyond]

    def _note(self, ttl: int, reply: Reply) -> None:
        rtt_ns = max(0, reply.rtt_ns)
        self._now_ns = max(self._now_ns, reply.received_ns)
        self._slowest[ttl] = max(rtt_ns, self._slowest.get(ttl, 0))
        self._fastest[ttl] = min(rtt_ns, self._fastest.get(ttl, rtt_ns))

    def sentence(self) -> str:
        """``23 of 90 probes are out, waiting for hops 7-9, at most 0.4 s more``; empty if none is."""
        ttls = sorted(ttl for ttl, probes in self._out.items() if probes)
        if not ttls and self._is_paced:
            return f"{plural(self._sent, 'probe')} sent so far"
        if not ttls:
            wait = self._config.timing.enrichment_timeout
            asks = self._sent and self._looks_up
            return f"looking up names and networks, at most {_duration(wait)} more" if asks else ""
        count = sum(len(self._out[ttl]) for ttl in ttls)
        hops = f"hop {ttls[0]}" if len(ttls) == 1 else f"hops {_ranges(ttls)}"
        verb = "is" if count == 1 else "are"
        text = f"{count} of {plural(self._sent, 'probe')} {verb} out, waiting for {hops}"
        seconds = self.longest_wait()
        return text if seconds is None else f"{text}, at most {_duration(seconds)} more"

    def longest_wait(self) -> float | None:
        """Seconds until the last of these probes is given up if nothing answers any more.

        None if more may be sent then, so that nobody can tell.
        """
        if self._is_paced:
            return None
        since = {ttl: max(probes.values()) for ttl, probes in self._out.items() if probes}
        if not since:
            return 0.0
        # Where a host answers one SYN of several, the others are given as long again.
        again = self._protocol is Protocol.TCP
        ends = (
            (self._now_ns if again else sent_ns) / _NS + self._wait(ttl) for ttl, sent_ns in since.items()
        )
        return max(0.0, max(ends) - self._now_ns / _NS)

    @property
    def _is_paced(self) -> bool:
        """Whether probes may leave later than all at once."""
        config = self._config
        return bool(config.retries or config.max_in_flight is not None or config.timing.send_interval)

    @property
    def _looks_up(self) -> bool:
        wanted = self._config.enrichment
        return wanted.reverse_dns or wanted.asn or wanted.public_address

    def _wait(self, ttl: int) -> float:
        timing = self._config.timing
        farther = [rtt_ns for each, rtt_ns in self._slowest.items() if each >= ttl]
        if farther:
            allowance = timing.interior_jitter_factor * self._jitter_ns()
            wait = max(timing.interior_floor, (timing.interior_factor * max(farther) + allowance) / _NS)
        else:
            wait = max(timing.tail_floor, timing.tail_factor * max(self._slowest.values(), default=0) / _NS)
        return min(timing.probe_timeout, wait)

    def _jitter_ns(self) -> int:
        """How much slower a hop has been than itself or something behind it."""
        return max(
            (
                slowest - min(fast for behind, fast in self._fastest.items() if behind >= ttl)
                for ttl, slowest in self._slowest.items()
            ),
            default=0,
        )


def _duration(seconds: float) -> str:
    """``1.0 s``, or ``18 ms`` where that tells more."""
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{math.ceil(seconds * 1000)} ms"


def _ranges(ttls: list[int]) -> str:
    """``3, 7-9``."""
    runs: list[list[int]] = []
    for ttl in ttls:
        if runs and ttl == runs[-1][-1] + 1:
            runs[-1].append(ttl)
        else:
            runs.append([ttl])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
