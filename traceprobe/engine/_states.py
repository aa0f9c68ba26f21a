"""The life of a probe, as one table. Nothing else may move a probe from one state to another.

Rule 1: a probe's state changes only along :data:`TRANSITIONS`, by :meth:`ProbeRecord.move`; a move that is
not in the table is a mistake of the caller and raises. The three moves that every ordinary probe makes have
names of their own below: who has just seen a probe in the state that the name begins with may assign it.

Rule 2: a reply either has a transition in the state that it finds, or it changes nothing and is counted
under the reason that :data:`COUNTED_AS` names.

This module knows no time-outs, hops or ends: why a probe moves is decided elsewhere.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from traceprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceprobe.model import Probe, ProbeId, Reply


class ProbeState(Enum):
    """Where a probe stands."""

    if not TYPE_CHECKING:
        # Members are unique, and keys of tables that every reply goes through: enum's own hash is slow.
        __hash__ = object.__hash__

    QUEUED = auto()
    """Planned; nobody has been asked to send it yet."""
    SUBMITTED = auto()
    """Handed out; what the kernel made of it is not known yet."""
    SENT = auto()
    """On its way; a reply is awaited."""
    ANSWERED = auto()
    """A reply came while it was awaited."""
    GIVEN_UP = auto()
    """Nobody waits for it any more, but a reply would still be welcome."""
    ANSWERED_LATE = auto()
    """A reply came after it had been given up."""
    CANCELLED = auto()
    """Nothing that it could bring matters any more."""
    SEND_ERROR = auto()
    """The kernel refused to send it."""


class Trigger(Enum):
    """What can happen to a probe."""

    if not TYPE_CHECKING:
        __hash__ = object.__hash__  # as above

    HAND_OUT = auto()
    TAKEN = auto()
    REFUSED = auto()
    REPLY = auto()
    """A reply that reached the machine before the probe was given up, whenever it is reported."""
    LATE_REPLY = auto()
    GIVE_UP = auto()
    CANCEL = auto()


_S = ProbeState
_T = Trigger

TRANSITIONS: Final[Mapping[ProbeState, Mapping[Trigger, ProbeState]]] = {
    _S.QUEUED: {_T.HAND_OUT: _S.SUBMITTED, _T.CANCEL: _S.CANCELLED},
    _S.SUBMITTED: {_T.TAKEN: _S.SENT, _T.REFUSED: _S.SEND_ERROR, _T.CANCEL: _S.CANCELLED},
    _S.SENT: {_T.REPLY: _S.ANSWERED, _T.GIVE_UP: _S.GIVEN_UP, _T.CANCEL: _S.CANCELLED},
    _S.GIVEN_UP: {_T.REPLY: _S.ANSWERED, _T.LATE_REPLY: _S.ANSWERED_LATE},
    _S.ANSWERED: {},
    _S.ANSWERED_LATE: {},
    _S.CANCELLED: {},
    _S.SEND_ERROR: {},
}

COUNTED_AS: Final[Mapping[ProbeState, str]] = {
    _S.QUEUED: "unsent",
    _S.SEND_ERROR: "unsent",
    _S.ANSWERED: "duplicate",
    _S.ANSWERED_LATE: "duplicate",
    _S.CANCELLED: "beyond_end",
}
"""Why a reply to a probe in this state changes nothing."""

PENDING: Final = frozenset({_S.QUEUED, _S.SUBMITTED, _S.SENT})
"""States that a probe does not end in."""

# To look a member of an enumeration up by its class takes ten times as long as to look a constant up, and
# these are looked up several times for every probe.
QUEUED: Final = ProbeState.QUEUED
SUBMITTED: Final = ProbeState.SUBMITTED
SENT: Final = ProbeState.SENT
GIVEN_UP: Final = ProbeState.GIVEN_UP
ANSWERED_LATE: Final = ProbeState.ANSWERED_LATE
QUEUED_THEN_HANDED_OUT: Final = TRANSITIONS[QUEUED][Trigger.HAND_OUT]
SUBMITTED_THEN_TAKEN: Final = TRANSITIONS[SUBMITTED][Trigger.TAKEN]
SENT_THEN_ANSWERED: Final = TRANSITIONS[SENT][Trigger.REPLY]


class ProbeRecord:
    """One probe of a trace and what has become of it; :func:`plan` makes them."""

    __slots__ = (
        "attempt",
        "error",
        "flow",
        "given_up_ns",
        "probe",
        "probe_id",
        "released",
        "reply",
        "sent_at_ns",
        "sent_ns",
        "state",
        "ttl",
    )

    probe_id: ProbeId
    ttl: int
    attempt: int
    flow: int
    state: ProbeState
    probe: Probe | None
    """What was handed out; None before."""
    sent_ns: int | None
    sent_at_ns: int | None
    given_up_ns: int | None
    reply: Reply | None
    error: int | None
    released: bool

    def __lt__(self, other: ProbeRecord) -> bool:
        """TTL-major order, the order of sending."""
        return (self.ttl, self.attempt) < (other.ttl, other.attempt)

    def move(self, trigger: Trigger) -> None:
        """Follow the table.

        Raises:
            UsageError: The table has no such move.
        """
        try:
            self.state = TRANSITIONS[self.state][trigger]
        except KeyError:
            event = trigger.name.lower().replace("_", " ")
            raise UsageError(
                f"probe {self.probe_id} (TTL {self.ttl}, attempt {self.attempt}) "
                f"is {self.state.name.lower().replace('_', ' ')}: {event!r} can't happen to it"
            ) from None


def plan(
    first_id: ProbeId, ttls: Iterable[int], flows: Iterable[int], *, first_attempt: int = 1
) -> list[ProbeRecord]:
    """Records of probes that nobody has been asked to send yet: for each TTL, one of each flow.

    They are made in place, since there are so many: a call of ``__init__`` for each would double the cost.

    Args:
        first_id: Identity of the first one; the others count up from it.
        ttls: Where to, in this order.
        flows: By attempt.
        first_attempt: Number of the first attempt at each TTL.
    """
    records: list[ProbeRecord] = []
    probe_id: Any = first_id
    for ttl in ttls:
        attempt = first_attempt
        for flow in flows:
            record = ProbeRecord()
            record.probe_id = probe_id
            record.ttl = ttl
            record.attempt = attempt
            record.flow = flow
            record.state = QUEUED
            record.probe = record.reply = None
            record.sent_ns = record.sent_at_ns = record.given_up_ns = record.error = None
            record.released = False
            records.append(record)
            probe_id += 1
            attempt += 1
    return records
