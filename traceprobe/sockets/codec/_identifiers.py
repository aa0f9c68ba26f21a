"""Pools of wire identifiers: which number the next probe gets, and when a used one may be taken again.

Two kinds, for two kinds of identifier. A *random* pool hands out the numbers of a sixteen-bit field in an
order that nobody outside can guess. A *port* pool hands out destination ports from a base port up, the
lowest free one first, because ports far from the base are more likely to be in real use.

Knows nothing of packets; resting before reuse is the business of the ledger.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container
    from random import Random

LAST_PORT: Final = 0xFFFF
_WORDS_PER_DRAW: Final = 256


class RandomPool:
    """The numbers ``first`` to ``last``, drawn without replacement and without a guessable order.

    A Fisher-Yates shuffle that is only carried out as far as numbers are drawn: ``_moved`` holds those
    places of the imaginary array that differ from their own index, so that an unused pool costs nothing.
    """

    __slots__ = ("_first", "_free", "_moved", "_random", "_word", "_words")

    def __init__(self, first: int, last: int, random: Random) -> None:
        self._first = first
        self._free = last - first + 1
        self._moved: dict[int, int] = {}
        self._random = random
        self._words = memoryview(b"").cast("H")
        self._word = 0

    @property
    def free(self) -> int:
        """How many numbers are left."""
        return self._free

    def take(self) -> int | None:
        """Draw a number; None if all are taken."""
        free = self._free
        if not free:
            return None
        if self._word == len(self._words):
            # Drawing the entropy of many numbers at once spares a system call for each.
            self._words = memoryview(self._random.randbytes(2 * _WORDS_PER_DRAW)).cast("H")
            self._word = 0
        place = (self._words[self._word] * free) >> 16
        self._word += 1
        self._free = last = free - 1
        moved = self._moved
        moved_last = moved.pop(last, last)
        if place == last:
            return self._first + moved_last
        number = moved.get(place, place)
        moved[place] = moved_last
        return self._first + number

    def give_back(self, number: int) -> None:
        """Return a number that was drawn."""
        place, value = self._free, number - self._first
        if place != value:
            self._moved[place] = value
        self._free = place + 1


class PortPool:
    """Destination ports from ``base`` to 65535 towards one destination, the lowest free one first."""

    __slots__ = ("_base", "_next", "_returned", "taken")

    def __init__(self, base: int) -> None:
        self._base = base
        self._next = base
        self._returned: list[int] = []
        self.taken = 0
        """How many ports are out; a pool with none may be forgotten."""

    def take(self, prefix: int, used: Container[int]) -> int | None:
        """Take the lowest free port; None if there is none.

        Args:
            prefix: What a port is added to in ``used``: the destination, shifted out of the port's way.
            used: The identifiers in use, those of pools with another base among them.
        """
        port = self._next_port(prefix, used)
        if port is not None:
            self.taken += 1
        return port

    def give_back(self, port: int) -> None:
        """Return a port that was taken."""
        self.taken -= 1
        heappush(self._returned, port)

    def _next_port(self, prefix: int, used: Container[int]) -> int | None:
        while self._returned:
            port = heappop(self._returned)
            if prefix + port not in used:
                return port
        while self._next <= LAST_PORT:
            port = self._next
            self._next += 1
            if prefix + port not in used:
                return port
        # Ports that were skipped because a pool with another base held them are in neither place.
        return next((port for port in range(self._base, LAST_PORT + 1) if prefix + port not in used), None)
