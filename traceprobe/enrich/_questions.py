"""Asks each question once: those who ask it while it is on its way share the answer, later ones the memory.

Knows neither DNS nor clocks; failures are remembered, too, but not for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from traceprobe.enrich._dns import Records
from traceprobe.enrich._memory import TtlCache
from traceprobe.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from traceprobe.enrich._dns import DnsSettings

ValueT = TypeVar("ValueT")


class _Flight(Generic[ValueT]):
    """A question on its way, and its outcome; without one, whoever asked it was cancelled."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.outcome: Records[ValueT] | ResolverError | None = None


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
        self._flights: dict[str, _Flight[ValueT]] = {}

    async def answer(self, name: str) -> Records[ValueT]:
        """The records of a name, with the time to live that is left of them.

        Raises:
            ResolverError: It can't be answered, or couldn't a short while ago.
        """
        key = name.casefold()
        while True:
            known = self._known.get(key)
            if known is not None:
                value, left = known
                if isinstance(value, ResolverError):
                    raise ResolverError(value.question, value.reason)
                return Records(value.values, left)
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, name)
            await flight.landed.wait()
            if isinstance(flight.outcome, ResolverError):
                raise ResolverError(flight.outcome.question, flight.outcome.reason)
            if flight.outcome is not None:
                return flight.outcome

    async def _lead(self, key: str, name: str) -> Records[ValueT]:
        flight = self._flights[key] = _Flight[ValueT]()
        try:
            flight.outcome = records = await self._ask(name)
        except ResolverError as error:
            flight.outcome = error
            self._known.put(key, error, self._settings.failure_ttl)
            raise
        else:
            self._remember(key, records)
            return records
        finally:
            del self._flights[key]
            flight.landed.set()

    def _remember(self, key: str, records: Records[ValueT]) -> None:
        if records.ttl is not None:
            limits = self._settings
            limit = limits.ttl_limit if records.values else limits.negative_ttl_limit
            self._known.put(key, records, min(records.ttl, limit))
