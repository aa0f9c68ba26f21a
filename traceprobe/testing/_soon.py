"""What anyio does not tell of event loops: their next turn, and whether a task has ended.

The same for asyncio, uvloop and trio. No time passes meanwhile, real or virtual.
"""

from __future__ import annotations

import inspect
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


def current_task() -> object | None:
    """The event loop's own object for the running task; None outside of event loops."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task: object | None = asyncio.current_task()
        except RuntimeError:
            pass
        else:
            return task
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            return trio.lowlevel.current_task()  # type: ignore[no-any-return]
        except RuntimeError:
            pass
    return None


def has_ended(task: object) -> bool:
    """Whether a task that :func:`current_task` gave has run to its end."""
    done: Callable[[], bool] | None = getattr(task, "done", None)
    if done is not None:
        return done()
    coroutine = getattr(task, "coro", None)
    return inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


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
