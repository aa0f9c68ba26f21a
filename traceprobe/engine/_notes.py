"""What has happened in a trace, put down at next to no cost, and made into events once somebody asks.

Most traces are awaited, and nobody looks at their events. So a sending, a reply and a hop that has settled
are noted by what there is of them anyway: the record of the probe, the reply, the hop. None of that may
change between the note and the event that is made of it. A record and a reply don't; a hop that has settled
can change, and then it is shown as it was before, if that has not been told yet.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from traceprobe.engine._hop_state import HopState
from traceprobe.engine._states import ANSWERED_LATE, ProbeRecord
from traceprobe.model import HopSettled, ProbeSent, Reply, ReplyReceived

if TYPE_CHECKING:
    from traceprobe.engine._path import Path
    from traceprobe.model import Event

    Note: TypeAlias = ProbeRecord | Reply | HopState | Event


class Notes:
    """The events of a trace that nobody has taken yet.

    Attributes:
        append: Put something down: the record of a probe that the kernel took, the first reply to a probe, a
            hop that has settled, or an event as it stands.
    """

    __slots__ = ("_path", "_waiting", "append")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[Note] = deque()
        self.append = self._waiting.append

    def next_event(self) -> Event | None:
        """Remove and return the oldest event; None if there is none."""
        return self._event_of(self._waiting.popleft()) if self._waiting else None

    def take_events(self) -> list[Event]:
        """Remove and return all events, oldest first."""
        events = [self._event_of(note) for note in self._waiting]
        self._waiting.clear()
        return events

    def hop_will_change(self, hop: HopState) -> None:
        """Keep a hop that has settled as it stands, for the event that tells of it."""
        if hop.announced_as is None:
            hop.announced_as = self._path.snapshot(hop)

    def _event_of(self, note: Note) -> Event:
        if isinstance(note, ProbeRecord):
            assert note.probe is not None
            assert note.sent_ns is not None
            return ProbeSent(note.probe, note.sent_ns)
        if isinstance(note, Reply):
            record = self._path.find(note.probe_id)
            assert record is not None
            assert record.probe is not None
            return ReplyReceived(record.probe, note, record.state is ANSWERED_LATE)
        if isinstance(note, HopState):
            self.hop_will_change(note)
            assert note.announced_as is not None
            return HopSettled(note.announced_as)
        return note
