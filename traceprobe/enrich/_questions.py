"""Asks each question once: those who ask it while it is on its way share the answer, later ones the memory.

Knows neither DNS nor clocks; failures are remembered, too, but not for long.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Generic, TypeVar

from traceprobe.enrich._dns import Records
from traceprobe.enrich._flights import Flights
from traceprobe.enrich._memory import TtlCache
from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from traceprobe.enrich._libraries import DnsSettings

ValueT = TypeVar("ValueT")


class Questions(Generic[ValueT]):
    """All questions for one type of record.

    Args:
        ask: Asks a server.
        settings: How long to remember what.
        now_ns: The monotonic clock.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[Records[ValueT]]],
        settings: DnsSettings,
        now_ns: Callable[[], int],
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._known: TtlCache[str, Records[ValueT] | ResolverError] = TtlCache(settings.cache_size, now_ns)
        self._flights: Flights[str, Records[ValueT]] = Flights()

    async def answer(self, name: str) -> Records[ValueT]:
        """The records of a name, with the time to live that is left of them.

        Raises:
            ResolverError: It can't be answered, or couldn't a short while ago.
        """
        key = name.casefold()
        known = self._known.get(key)
        if known is None:
            return await self._flights.share(key, functools.partial(self._ask_and_remember, key, name))
        value, left = known
        if isinstance(value, ResolverError):
            raise ResolverError(value.question, value.reason)
        return Records(value.values, left)

    async def _ask_and_remember(self, key: str, name: str) -> Records[ValueT]:
        limits = self._settings
        try:
            records = await self._ask(name)
        except ResolverError as error:
            self._known.put(key, error, limits.failure_ttl)
            raise
        if records.ttl is not None:
            limit = limits.ttl_limit if records.values else limits.negative_ttl_limit
            self._known.put(key, records, min(records.ttl, limit))
        return records
