"""Runs look-ups beside the traces of one tracer: each address once at a time, for everybody who asks.

A look-up never holds up a probe, a reply or a hop. It knows nothing of probing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import TypeAlias

    from anyio.abc import TaskGroup

    from traceprobe.enrich._protocols import Enricher
    from traceprobe.model import Knowledge

    IPAddress: TypeAlias = IPv4Address | IPv6Address
    Subscriber: TypeAlias = Callable[[IPAddress, Knowledge | None], None]

logger = logging.getLogger(__name__)


class EnrichmentPipeline:
    """The look-ups of one tracer.

    Args:
        enrichers: Asked in this order; the first to know something wins.
        tasks: Where look-ups run; they live no longer than the tracer.
    """

    def __init__(self, enrichers: Sequence[Enricher], tasks: TaskGroup) -> None:
        self._enrichers = tuple(enrichers)
        self._tasks = tasks
        self._subscribers: dict[tuple[Enricher, IPAddress], list[Subscriber]] = {}

    def request(self, address: IPAddress, subscriber: Subscriber) -> int:
        """Look an address up; the subscriber is called once for each look-up, with None if it failed.

        Returns:
            How many calls there will be.
        """
        for enricher in self._enrichers:
            waiting = self._subscribers.get((enricher, address))
            if waiting is None:
                self._subscribers[enricher, address] = [subscriber]
                self._tasks.start_soon(self._look_up, enricher, address)
            else:
                waiting.append(subscriber)
        return len(self._enrichers)

    async def _look_up(self, enricher: Enricher, address: IPAddress) -> None:
        knowledge: Knowledge | None = None
        try:
            knowledge = await enricher.enrich(address)
        except OSError as error:
            logger.debug("look-up of %s by %s failed: %s", address, type(enricher).__name__, error)
        except Exception:
            # An enricher is somebody else's code. Its fault is theirs to mend: it is told in full, and the
            # trace goes on without what the enricher would have known.
            logger.exception("look-up of %s by %s failed", address, type(enricher).__name__)
        finally:
            for subscriber in self._subscribers.pop((enricher, address)):
                subscriber(address, knowledge)
