"""What one trace knows of the addresses on its path: asked for in passing, learnt as it comes.

Replies only put a request down; everything else happens when an answer has come. What enrichers told is
put together in their order, not in the order in which they happened to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attr

from traceprobe.enrich import name_of
from traceprobe.model import NOTHING_KNOWN, EnrichmentError, Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet
    from ipaddress import IPv4Address, IPv6Address
    from typing import TypeAlias

    from traceprobe.enrich import Enricher, EnrichmentPipeline, PathJudge

    IPAddress: TypeAlias = IPv4Address | IPv6Address


class PathKnowledge:
    """The knowledge of one trace.

    Args:
        pipeline: Makes the look-ups.
        enrichers: Which look-ups to make; what an earlier one knows counts before what a later one does.
        make_judge: Makes whoever tells the segments, when he is first needed: what that takes to load can
            wait until the probes are on their way. None if nobody wants to know them.
        learnt: Called with an address and where it has answered, when something new is known of it.
        looked_up: Called after each look-up that has ended, and after ``learnt``.
    """

    def __init__(
        self,
        pipeline: EnrichmentPipeline,
        enrichers: Sequence[Enricher],
        make_judge: Callable[[], PathJudge] | None,
        learnt: Callable[[IPAddress, AbstractSet[int], Knowledge], None],
        looked_up: Callable[[], None],
    ) -> None:
        self.known: dict[IPAddress, Knowledge] = {}
        """What is known of each address by now."""
        self._make_judge = make_judge
        self._judge: PathJudge | None = None
        self._pipeline = pipeline
        self._enrichers = tuple(enrichers)
        self.is_wanted = bool(self._enrichers) or make_judge is not None
        """Whether anything is to be looked up at all."""
        self._learnt = learnt if self.is_wanted else _nobody_listens
        self._looked_up = looked_up if self.is_wanted else _nobody_listens
        self._ttls: dict[IPAddress, set[int]] = {}
        self._told: dict[IPAddress, list[Knowledge | None]] = {}
        """What each enricher has told of an address; None while it is being asked."""
        self._pending: dict[IPAddress, int] = {}
        """How many enrichers are still being asked about an address."""

    @property
    def judge(self) -> PathJudge | None:
        """Tells the segments, if anybody wants to know them."""
        if self._make_judge is not None:
            self._judge, self._make_judge = self._make_judge(), None
            self._judge.ends_known = self._ends_known
        return self._judge

    @property
    def is_waiting(self) -> bool:
        """Whether anything is still being looked up."""
        return bool(self._pending) or (self.judge is not None and self.judge.is_waiting)

    def is_being_looked_up(self, ttl: int) -> bool:
        """Whether something is still to be learnt of an address that has answered at this TTL.

        Its segment may depend on what is still being asked about its neighbours, or the ends of the path.
        """
        if self.judge is not None and (self.judge.is_waiting or self._pending):
            return any(
                ttl in ttls
                for address, ttls in self._ttls.items()
                if address in self._pending or self.known.get(address, NOTHING_KNOWN).segment is None
            )
        return any(ttl in self._ttls[address] for address in self._pending)

    def begin(self, source: IPAddress | None) -> None:
        """The probes are on their way, from this address."""
        if self.judge is not None:
            self.judge.look_up_ends(source)

    def has_answered(self, address: IPAddress, ttl: int) -> None:
        """An address has answered at a TTL: ask about it, if nobody has yet."""
        if not self.is_wanted:
            return
        ttls = self._ttls.get(address)
        if ttls is not None:
            ttls.add(ttl)
            return
        self._ttls[address] = {ttl}
        if self._enrichers:
            self._told[address] = [None] * len(self._enrichers)
            self._pending[address] = len(self._enrichers)
            self._pipeline.request(address, self._enrichers, self._take)

    def judge_path(self) -> None:
        """Tell the segments of what has answered by now, as far as that is certain."""
        if self.judge is None:
            return
        path: dict[int, list[IPAddress]] = {}
        for address, ttls in self._ttls.items():
            for ttl in ttls:
                path.setdefault(ttl, []).append(address)
        for address, verdict in self.judge.verdicts(path.items(), self.known, self._pending).items():
            known = self.known.get(address, NOTHING_KNOWN)
            self._note(address, attr.evolve(known, segment=verdict.segment, segment_reason=verdict.reason))

    def give_up(self, reason: str) -> None:
        """Wait no more, and say what is missing."""
        for address in self._pending:
            told = self._told[address]
            for place, enricher in enumerate(self._enrichers):
                if told[place] is None:
                    told[place] = Knowledge(errors=(EnrichmentError(name_of(enricher), reason),))
            self._note(address, self._merged(address))
        self._pending.clear()
        if self.judge is not None:
            self.judge.give_up(reason)
            self.judge_path()

    def close(self, reason: str) -> None:
        """Give up what is still being looked up, and tell nobody anything any more.

        Who is told holds on to this, and is held on to no longer: a trace that is over goes away as soon as
        nobody uses it, with all its probes, and leaves nothing to the garbage collector.
        """
        self.give_up(reason)
        self._learnt = self._looked_up = _nobody_listens
        if self.judge is not None:
            self.judge.ends_known = _nobody_listens

    def _take(self, address: IPAddress, enricher: Enricher, knowledge: Knowledge) -> None:
        left = self._pending.get(address)
        if left is None:
            return
        place = next(place for place, each in enumerate(self._enrichers) if each is enricher)
        self._told[address][place] = knowledge
        if left > 1:
            self._pending[address] = left - 1
        else:
            del self._pending[address]
        before = self.known.get(address, NOTHING_KNOWN)
        after = self._merged(address)
        self._note(address, after)
        # A name alone tells nothing about the path.
        if left == 1 or (before.asn, before.exchange) != (after.asn, after.exchange):
            self.judge_path()
        self._looked_up()

    def _ends_known(self) -> None:
        self.judge_path()
        self._looked_up()

    def _merged(self, address: IPAddress) -> Knowledge:
        """What all have told together, in the segment that the address was in so far."""
        knowledge = NOTHING_KNOWN
        for told in self._told.get(address, ()):
            if told is not None:
                knowledge = knowledge.merged(told)
        before = self.known.get(address, NOTHING_KNOWN)
        if self.judge is None or before.segment is None:
            return knowledge
        return attr.evolve(knowledge, segment=before.segment, segment_reason=before.segment_reason)

    def _note(self, address: IPAddress, knowledge: Knowledge) -> None:
        if knowledge != self.known.get(address, NOTHING_KNOWN):
            self.known[address] = knowledge
            self._learnt(address, self._ttls[address], knowledge)


def _nobody_listens(*_: object) -> None:
    """What is still learnt comes too late."""
