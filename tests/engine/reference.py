"""The engine's rules once more, as plainly as they can be written, to compare the engine with.

Keeps the whole history and reckons everything anew from it whenever it is asked, in as many passes as
that takes. Shares no code with the engine. Retries are not in it: they have tests of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from traceprobe.config import FlowStrategy
from traceprobe.model import ReplyKind, StopReason

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.model import Probe, ProbeId, Reply, SentProbe

ANSWERS = {ReplyKind.ECHO_REPLY, ReplyKind.SYN_ACK, ReplyKind.RST, ReplyKind.UDP_DATA}
ANSWERS_FROM_DESTINATION = {ReplyKind.PORT_UNREACHABLE, ReplyKind.PROTOCOL_UNREACHABLE}


@attrs.define
class Entry:
    """One probe."""

    ttl: int
    attempt: int
    state: str = "queued"
    sent_ns: int = 0
    given_up_ns: int = 0
    ended_ns: int = 0
    reply: Reply | None = None
    late: bool = False


class Reference:
    """A trace, told what happens as the engine is."""

    def __init__(
        self, config: TracerouteConfig, destination: IPv4Address | IPv6Address, start_ns: int
    ) -> None:
        assert config.retries == 0
        self.config = config
        self.timing = config.timing
        self.destination = destination
        self.ttls = range(config.first_ttl, config.max_ttl + 1)
        self.entries = [Entry(ttl, attempt) for ttl in self.ttls for attempt in range(1, config.queries + 1)]
        self.by_id: dict[ProbeId, Entry] = {}
        self.rtts: list[tuple[int, int]] = []
        self.overtaking: dict[ProbeId, Reply] = {}
        self.latest_ns = self.latest_reply_ns = start_ns
        self.pace_opens_ns: int | None = None
        self.overall_ns = (
            None
            if self.timing.overall_timeout is None
            else start_ns + round(self.timing.overall_timeout * 1_000_000_000)
        )
        self.start_ns = start_ns
        self.stop_reason: StopReason | None = None
        self.decided_ns: int | None = None
        self.last_listed = 0
        self.counts: dict[str, int] = {}

    # --- silence --------------------------------------------------------------------------------------

    def wait_ns(self, ttl: int) -> int:
        """The two estimators, word for word."""
        timing, rtts = self.timing, self.rtts
        cap = round(timing.probe_timeout * 1_000_000_000)
        farther = [rtt for other, rtt in rtts if other >= ttl]
        if farther:
            jitter = max(
                max(r for t, r in rtts if t == hop) - min(r for t, r in rtts if t >= hop) for hop, _ in rtts
            )
            floor = round(timing.interior_floor * 1_000_000_000)
            estimate = timing.interior_factor * max(farther) + timing.interior_jitter_factor * jitter
        else:
            floor = round(timing.tail_floor * 1_000_000_000)
            estimate = timing.tail_factor * max((rtt for _, rtt in rtts), default=0)
        return min(cap, max(floor, int(estimate)))

    def due_ns(self, entry: Entry) -> int:
        """When a probe is given up: a host that has accepted a connection may ask for the next one then."""
        accepted = [r.received_ns for r in self.replies(entry.ttl) if r.kind == "syn_ack"]
        return max([entry.sent_ns, *accepted]) + self.wait_ns(entry.ttl)

    # --- the end --------------------------------------------------------------------------------------

    def is_answer(self, reply: Reply) -> bool:
        """Whether the destination has answered."""
        return reply.kind in ANSWERS or (
            reply.kind in ANSWERS_FROM_DESTINATION and reply.address == self.destination
        )

    def at(self, ttl: int) -> list[Entry]:
        """The probes of a TTL."""
        return [entry for entry in self.entries if entry.ttl == ttl]

    def replies(self, ttl: int) -> list[Reply]:
        """The replies to a TTL."""
        return [entry.reply for entry in self.at(ttl) if entry.reply is not None]

    def settled(self, ttl: int) -> bool:
        """Whether all probes of a TTL have ended."""
        return all(entry.state in {"answered", "given up", "refused"} for entry in self.at(ttl))

    def destination_ttl(self) -> int | None:
        """Where the destination has answered."""
        return min((t for t in self.ttls if any(map(self.is_answer, self.replies(t)))), default=None)

    def phantoms(self) -> set[int]:
        """TTLs behind the end of the path that one-probe path lengths tell, below the one it answered at."""
        end = self.destination_ttl()
        if end is None or self.config.flow not in {None, FlowStrategy.PARIS}:
            return set()
        shown = [
            (entry.ttl, entry.ttl + 1 - entry.reply.quoted_ttl)
            for entry in self.entries
            if entry.reply is not None and self.is_answer(entry.reply) and entry.reply.quoted_ttl is not None
        ]
        lengths = {length for _, length in shown}
        if len(lengths) != 1 or len({ttl for ttl, _ in shown}) < 2:
            return set()
        (length,) = lengths
        if not any(reply.kind == "time_exceeded" for reply in self.replies(length - 1)):
            return set()
        if any(self.replies(ttl) for ttl in range(length, end)):
            return set()
        return set(range(length + 1, end))

    def end(self) -> tuple[int, StopReason]:
        """The end as it looks now."""
        destination = self.destination_ttl()
        if destination is not None:
            return destination, StopReason.DESTINATION_REACHED
        if self.config.stop_on_loop and (loop := self.loop_end()) is not None:
            return loop, StopReason.LOOP
        exceeded = [t for t in self.ttls if any(r.kind == "time_exceeded" for r in self.replies(t))]
        refused = [t for t in self.ttls if any(r.kind != "time_exceeded" for r in self.replies(t))]
        behind = [ttl for ttl in refused if ttl > max(exceeded, default=0)]
        if behind:
            return min(behind), StopReason.UNREACHABLE
        if self.config.gap_limit is not None:
            answered = max((t for t in self.ttls if self.replies(t)), default=self.config.first_ttl - 1)
            gap = range(answered + 1, answered + self.config.gap_limit + 1)
            if gap[-1] <= self.config.max_ttl and all(
                self.settled(t) and any(e.state == "given up" for e in self.at(t)) for t in gap
            ):
                return gap[-1], StopReason.GAP_LIMIT
        return self.config.max_ttl, StopReason.MAX_TTL

    def loop_end(self) -> int | None:
        """Where the second pass through a cycle is complete."""
        names: list[object] = []
        for ttl in self.ttls:
            replies = self.replies(ttl)
            one = len({reply.address for reply in replies}) == 1
            routers = all(reply.kind == "time_exceeded" for reply in replies)
            names.append(replies[0].address if self.settled(ttl) and one and routers else None)
        for end in range(len(names)):
            for length in range(2, (end + 1) // 2 + 1):
                second = names[end - length + 1 : end + 1]
                first = names[end - 2 * length + 1 : end - length + 1]
                if first == second and None not in second and len(set(second)) > 1:
                    return self.ttls[end]
        return None

    # --- sending --------------------------------------------------------------------------------------

    def due(self, now: int) -> list[tuple[int, int]]:
        """TTL and attempt of all probes that may go now."""
        if self.stop_reason is not None or (self.overall_ns is not None and now >= self.overall_ns):
            return []
        if self.pace_opens_ns is not None and now < self.pace_opens_ns:
            return []
        queued = self.waiting()
        return queued[:1] if self.timing.send_interval else queued

    def waiting(self) -> list[tuple[int, int]]:
        """The probes that the window and the end leave to be sent."""
        end = self.end()[0]
        queued = [(e.ttl, e.attempt) for e in self.entries if e.state == "queued" and e.ttl <= end]
        if self.config.max_in_flight is not None:
            flying = sum(entry.state in {"handed out", "sent"} for entry in self.entries)
            queued = queued[: max(0, self.config.max_in_flight - flying)]
        return queued

    def handed_out(self, probes: list[Probe], now: int) -> None:
        """The engine has handed out probes."""
        for probe in probes:
            (entry,) = (e for e in self.at(probe.ttl) if e.attempt == probe.attempt)
            assert entry.state == "queued"
            entry.state = "handed out"
            self.by_id[probe.id] = entry
        if probes and self.timing.send_interval:
            self.pace_opens_ns = now + round(self.timing.send_interval * 1_000_000_000)

    def probe_sent(self, sent: SentProbe, now: int) -> None:
        """A probe was sent or refused."""
        self.latest_ns = max(self.latest_ns, now)
        entry = self.by_id[sent.probe_id]
        if entry.state == "cancelled":
            return
        entry.sent_ns = sent.sent_ns
        entry.state = "sent" if sent.error is None else "refused"
        early = self.overtaking.pop(sent.probe_id, None)
        if sent.error is not None:
            entry.ended_ns = sent.sent_ns
            if early is not None:
                self.count("unsent")  # whatever else the refusal ends
            self.conclude(sent.sent_ns)
        elif early is not None:
            self.reply_received(early, now)

    # --- replies and time -----------------------------------------------------------------------------

    def count(self, reason: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1

    def reply_received(self, reply: Reply, now: int) -> None:
        """A reply has come."""
        self.latest_ns = max(self.latest_ns, now)
        entry = self.by_id[reply.probe_id]
        destination = self.destination_ttl()
        beyond = destination is not None and entry.ttl > destination
        if self.stop_reason is not None:
            self.count("after_end")
            return
        if entry.state == "handed out":
            if reply.probe_id in self.overtaking:
                self.count("duplicate")
            else:
                self.overtaking[reply.probe_id] = reply
            return
        if entry.state in {"answered", "refused"}:
            self.count("duplicate" if entry.state == "answered" else "unsent")
            return
        self.rtts.append((entry.ttl, max(0, reply.rtt_ns)))
        self.latest_reply_ns = max(self.latest_reply_ns, reply.received_ns)
        if entry.state == "cancelled" or (entry.state == "given up" and beyond):
            self.count("beyond_end")
            return
        entry.late = entry.state == "given up" and reply.received_ns > entry.given_up_ns
        entry.state, entry.reply = "answered", reply
        entry.ended_ns = max(entry.ended_ns, reply.received_ns)
        self.conclude(reply.received_ns)

    def awaited(self) -> list[Entry]:
        """Probes that the trace waits for."""
        end, phantoms = self.end()[0], self.phantoms()
        return [e for e in self.entries if e.state == "sent" and e.ttl <= end and e.ttl not in phantoms]

    def next_deadline(self) -> int | None:
        """When time alone changes something."""
        if self.stop_reason is not None:
            return None
        moments = [self.due_ns(entry) for entry in self.awaited()]
        if self.complete():
            moments.append(self.lingers_until())
        if self.overall_ns is not None:
            moments.append(self.overall_ns)
        if self.pace_opens_ns is not None and self.pace_opens_ns > self.latest_ns and self.waiting():
            moments.append(self.pace_opens_ns)
        return min(moments, default=None)

    def deadline_reached(self, now: int) -> None:
        """Time has passed."""
        self.latest_ns = max(self.latest_ns, now)
        if self.over():
            return
        horizon = now if self.overall_ns is None else min(now, self.overall_ns)
        overdue = [e for e in self.awaited() if self.due_ns(e) <= horizon]
        for entry in overdue:
            due = self.due_ns(entry)
            entry.state = "given up"
            entry.given_up_ns = entry.ended_ns = min(horizon, max(due, self.latest_reply_ns))
        self.conclude(horizon)
        if self.overall_ns is not None and now >= self.overall_ns and not self.over():
            if self.complete():
                self.stop_reason, self.last_listed = self.end()[1], self.end()[0]
                self.decided_ns = self.overall_ns
                self.drop(0)
            else:
                self.cut_short(StopReason.TIMEOUT, self.overall_ns)

    def over(self) -> bool:
        """Whether the trace is over."""
        return self.stop_reason is not None

    def cancel(self, now: int) -> None:
        """Somebody has had enough."""
        self.latest_ns = max(self.latest_ns, now)
        if self.stop_reason is None:
            self.cut_short(StopReason.CANCELLED, now)

    def complete(self) -> bool:
        """Whether every hop up to the end has settled."""
        end, phantoms = self.end()[0], self.phantoms()
        return all(self.settled(ttl) for ttl in self.ttls if ttl <= end and ttl not in phantoms)

    def lingers_until(self) -> int:
        """When the last silent probe has been waited for long enough by what is known now."""
        end, _ = self.end()
        silent = [entry for entry in self.entries if entry.state == "given up" and entry.ttl <= end]
        return max((self.due_ns(entry) for entry in silent), default=self.start_ns)

    def conclude(self, moment_ns: int) -> None:
        destination = self.destination_ttl()
        if destination is not None:
            self.drop(destination)
        end, reason = self.end()
        if self.complete():
            completed_ns = max(entry.ended_ns for entry in self.entries if entry.ttl <= end)
            if self.lingers_until() <= max(moment_ns, completed_ns):
                self.stop_reason, self.last_listed = reason, end
                self.decided_ns = max(completed_ns, self.lingers_until())
                self.drop(0)

    def cut_short(self, reason: StopReason, now: int) -> None:
        end, why = self.end()
        if why is StopReason.MAX_TTL:
            tried = (e.ttl for e in self.entries if e.state not in {"queued", "handed out", "cancelled"})
            end = max(tried, default=self.config.first_ttl)
        for entry in self.entries:
            if reason is StopReason.TIMEOUT and entry.state == "sent" and entry.ttl <= end:
                entry.state, entry.given_up_ns = "given up", now
        self.stop_reason, self.last_listed, self.decided_ns = reason, end, now
        self.drop(0)

    def drop(self, end: int) -> None:
        """Cancel what has not ended beyond a TTL."""
        for entry in self.entries:
            if entry.ttl > end and entry.state in {"queued", "handed out", "sent"}:
                entry.state = "cancelled"
        for probe_id in list(self.overtaking):
            if self.by_id[probe_id].state == "cancelled":
                del self.overtaking[probe_id]
                self.count("beyond_end")
