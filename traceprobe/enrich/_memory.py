"""What is remembered of answers: each for its time to live, and no more than there is room for.

The clock is an argument; nothing here waits or asks.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

_NS = 1_000_000_000


class TtlCache(Generic[KeyT, ValueT]):
    """Forgets what has expired, and what has not been used for longest when it is full.

    Args:
        size: Most entries.
        now_ns: The monotonic clock that expiry is judged by.
    """

    __slots__ = ("_entries", "_now_ns", "_size")

    def __init__(self, size: int, now_ns: Callable[[], int]) -> None:
        self._size = size
        self._now_ns = now_ns
        self._entries: OrderedDict[KeyT, tuple[ValueT, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: KeyT) -> tuple[ValueT, float] | None:
        """A value and for how many more seconds it is good; None if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires_ns = entry
        left_ns = expires_ns - self._now_ns()
        if left_ns <= 0:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value, left_ns / _NS

    def put(self, key: KeyT, value: ValueT, ttl: float) -> None:
        """Remember a value for some seconds; 0 forgets it."""
        self._entries.pop(key, None)
        if ttl > 0 and self._size:
            self._entries[key] = value, self._now_ns() + round(ttl * _NS)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
