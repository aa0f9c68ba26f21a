"""Pools of wire identifiers: which number the next probe gets, and when a used one may be taken again.

Three kinds, for three kinds of identifier. A *random* pool hands out the numbers of a sixteen-bit field in
an order that nobody outside can guess, a *sequence* pool those of a field of thirty-two bits. A *port* pool
hands out destination ports from a base port up, the lowest free one first, because ports far from the base
are more likely to be in real use.

Knows nothing of packets; resting before reuse is the business of the ledger.
"""

from __future__ import annotations

import functools
from array import array
from heapq import heappop, heappush
from sys import byteorder
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container
    from random import Random

LAST_PORT: Final = 0xFFFF


class RandomPool:
    """The numbers ``first`` to ``last``, drawn without replacement and without a guessable order.

    A Fisher-Yates shuffle that is carried out as far as numbers are drawn. Its array has two bytes for each
    number and never grows, however long the pool is in use.
    """

    __slots__ = ("_free", "_places", "_random")

    def __init__(self, first: int, last: int, random: Random) -> None:
        self._free = last - first + 1
        self._places = array("H", _every_number()[2 * first : 2 * last + 2])
        self._random = random

    @property
    def free(self) -> int:
        """How many numbers are left."""
        return self._free

    def take(self, count: int) -> list[int] | None:
        """Draw some numbers; None if there are not that many."""
        free, places = self._free, self._places
        if count > free:
            return None
        # Drawing the entropy of all of them at once spares a system call for each.
        words = memoryview(self._random.randbytes(2 * count)).cast("H")
        numbers = []
        for word in words:
            place = word % free
            free -= 1
            numbers.append(places[place])
            # The last free number moves to where one was taken.
            places[place] = places[free]
        self._free = free
        return numbers

    def give_back(self, number: int) -> None:
        """Return a number that was drawn."""
        self._places[self._free] = number
        self._free += 1


@functools.cache
def _every_number() -> bytes:
    """All numbers of sixteen bits in their order, as an array holds them: to begin each pool with a copy."""
    numbers = bytearray(2 << 16)
    low, high = (0, 1) if byteorder == "little" else (1, 0)
    numbers[low::2] = bytes(range(256)) * 256
    numbers[high::2] = b"".join(bytes((byte,)) * 256 for byte in range(256))
    return bytes(numbers)


class SequencePool:
    """Numbers of thirty-two bits, drawn at random; those that are out are never drawn again."""

    __slots__ = ("_out", "_random")

    def __init__(self, random: Random) -> None:
        self._out: set[int] = set()
        self._random = random

    def take(self, count: int) -> list[int]:
        """Draw some numbers. There are four thousand million: no socket holds a noticeable part of them."""
        numbers: list[int] = []
        out = self._out
        while len(numbers) < count:
            for word in memoryview(self._random.randbytes(4 * (count - len(numbers)))).cast("I"):
                if word not in out:
                    out.add(word)
                    numbers.append(word)
        return numbers

    def give_back(self, number: int) -> None:
        """Return a number that was drawn."""
        self._out.remove(number)


class PortPool:
    """Destination ports from ``base`` to 65535 towards one destination, the lowest free one first."""

    __slots__ = ("_base", "_next", "_returned", "taken")

    def __init__(self, base: int) -> None:
        self._base = base
        self._next = base
        self._returned: list[int] = []
        self.taken = 0
        """How many ports are out; a pool with none may be forgotten."""

    def take(self, count: int, prefix: int, used: Container[int]) -> list[int] | None:
        """Take the lowest free ports; None if there are not that many.

        Args:
            count: How many.
            prefix: What a port is added to in ``used``: the destination, shifted out of the port's way.
            used: The identifiers in use, those of pools with another base among them.
        """
        ports: list[int] = []
        while len(ports) < count:
            port = self._next_port(prefix, used, ports)
            if port is None:
                for taken in ports:
                    heappush(self._returned, taken)
                return None
            ports.append(port)
        self.taken += count
        return ports

    def give_back(self, port: int) -> None:
        """Return a port that was taken."""
        self.taken -= 1
        heappush(self._returned, port)

    def _next_port(self, prefix: int, used: Container[int], ports: Container[int]) -> int | None:
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
        left = (
            port
            for port in range(self._base, LAST_PORT + 1)
            if prefix + port not in used and port not in ports
        )
        return next(left, None)
