"""Lets whoever wants what somebody else is already asking for share the answer."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class _Flight(Generic[ValueT]):
    """A question on its way, and what became of it; nothing, if whoever asked it was cancelled."""

    __slots__ = ("failure", "landed", "values")

    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.values: list[ValueT] = []
        self.failure: OSError | None = None


class Flights(Generic[KeyT, ValueT]):
    """Everything that is being asked for at the moment."""

    def __init__(self) -> None:
        self._flights: dict[KeyT, _Flight[ValueT]] = {}

    async def share(self, key: KeyT, ask: Callable[[], Awaitable[ValueT]]) -> ValueT:
        """Ask, unless somebody does already; then have their answer, or their failure.

        If they are cancelled, one of those who wait asks instead.

        Raises:
            OSError: What ``ask`` raised.
        """
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, ask)
            await flight.landed.wait()
            if flight.failure is not None:
                raise copy.copy(flight.failure)
            if flight.values:
                return flight.values[0]

    async def _lead(self, key: KeyT, ask: Callable[[], Awaitable[ValueT]]) -> ValueT:
        flight: _Flight[ValueT] = _Flight()
        self._flights[key] = flight
        try:
            value = await ask()
        except OSError as error:
            flight.failure = error
            raise
        else:
            flight.values.append(value)
            return value
        finally:
            del self._flights[key]
            flight.landed.set()
