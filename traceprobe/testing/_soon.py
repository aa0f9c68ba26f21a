"""Runs a function in the next turn of the event loop, on asyncio, uvloop and trio alike.

anyio has no such call. No time passes meanwhile, real or virtual.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def call_soon(callback: Callable[[], None]) -> bool:
    """Have the running event loop call a function that must not raise.

    Args:
        callback: Called once, in the loop's next turn; not at all if the loop ends before.

    Returns:
        False if no event loop runs in this thread, or it is about to end.
    """
    post = _running_loop()
    if post is None:
        return False
    try:
        post(callback)
    except RuntimeError:
        return False
    return True


def _running_loop() -> Callable[[Callable[[], None]], object] | None:
    # Whatever loop runs here, its module has been imported.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            call: Callable[[Callable[[], None]], object] = asyncio.get_running_loop().call_soon
        except RuntimeError:
            pass
        else:
            return call
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            return trio.lowlevel.current_trio_token().run_sync_soon  # type: ignore[no-any-return]
        except RuntimeError:
            pass
    return None
