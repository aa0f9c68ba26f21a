"""What happens during a trace, in order. Frozen; told apart by their class."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from traceprobe._frozen import frozen

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model._hop import Hop
    from traceprobe.model._knowledge import Knowledge
    from traceprobe.model._probe import Probe
    from traceprobe.model._reply import Reply
    from traceprobe.model._result import TraceResult


@frozen
class ProbeSent:
    """The kernel took a probe."""

    probe: Probe
    sent_ns: int
    """Monotonic clock just before it was handed over, nanoseconds."""


@frozen
class ReplyReceived:
    """A probe was answered for the first time."""

    probe: Probe
    reply: Reply
    late: bool
    """The probe had been given up before."""


@frozen
class HopSettled:
    """Nothing more is awaited of this hop. Each hop settles once."""

    hop: Hop


@frozen
class HopRevised:
    """A late reply changed a hop that had settled."""

    hop: Hop


@frozen
class HopEnriched:
    """A look-up taught something new about an address of this hop."""

    hop: Hop
    address: IPv4Address | IPv6Address
    knowledge: Knowledge


@frozen
class TraceFinished:
    """The last event of every trace."""

    result: TraceResult


Event: TypeAlias = ProbeSent | ReplyReceived | HopSettled | HopRevised | HopEnriched | TraceFinished
