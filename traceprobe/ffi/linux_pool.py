"""Arenas that outlive their sockets: wiring one costs as much as a fifth of a trace.

A few of the ordinary shapes are kept for the process; whoever opens the next socket gets one of them,
cleared. Any thread may take and give: each step is one operation of a list. A forked process has copies of
its own.

Knows nothing of what the bytes mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from traceprobe.ffi.linux_arena import ReceiveArena, TransmitArena

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_ArenaT = TypeVar("_ArenaT", bound=ReceiveArena | TransmitArena)
_MOST_SHAPES: Final = 8
"""Ordinary sockets need three: one to receive with, and one each to send with over IPv4 and IPv6."""
_MOST_OF_A_SHAPE: Final = 2
_LARGEST_KEPT: Final = 512 << 10
"""Bytes of data; larger ones are for packets of unusual size."""


class ArenaPool(Generic[_ArenaT]):
    """Keeps arenas of one kind.

    Args:
        make: Makes one of a shape.
    """

    def __init__(self, make: Callable[..., _ArenaT]) -> None:
        self._make = make
        self._kept: dict[Hashable, list[_ArenaT]] = {}

    def take(self, *shape: Hashable) -> _ArenaT:
        """Get an arena for oneself.

        Args:
            *shape: What the arena is made of.
        """
        try:
            return self._kept[shape].pop()
        except (KeyError, IndexError):
            return self._make(*shape)

    def give_back(self, arena: _ArenaT, *shape: Hashable) -> None:
        """Give an arena back, whose bytes nobody reads any more.

        Args:
            arena: The arena.
            *shape: What it was taken for.
        """
        if arena.slots * arena.data_size > _LARGEST_KEPT:
            return
        if shape not in self._kept and len(self._kept) >= _MOST_SHAPES:
            return
        kept = self._kept.setdefault(shape, [])
        if len(kept) < _MOST_OF_A_SHAPE:
            arena.clear()
            kept.append(arena)


RECEIVE_ARENAS: Final = ArenaPool(ReceiveArena)
TRANSMIT_ARENAS: Final = ArenaPool(TransmitArena)
