"""How another thread reaches the event loop: one call that never waits, on asyncio, uvloop and trio alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Callable

    Post: TypeAlias = Callable[[Callable[[], None]], None]


def thread_safe_post() -> Post:
    """A function that has the running event loop call something soon; any thread may use it.

    It returns at once. What is posted to a loop that has ended is dropped.
    """
    # asyncio and uvloop name it one way, trio another; importing either only to ask would cost a lot.
    native = anyio.lowlevel.current_token().native_token
    method = getattr(native, "call_soon_threadsafe", None) or getattr(native, "run_sync_soon", None)
    call_soon = cast("Callable[[Callable[[], None]], object]", method)

    def post(function: Callable[[], None]) -> None:
        try:
            call_soon(function)
        except RuntimeError:
            # asyncio says so of a closed loop; trio.RunFinishedError is one too.
            return

    return post
