"""The command line: options in, exit status out. Knows the public API, the renderers and nothing below."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: The command line without the program's name; None takes that of the process.

    Returns:
        The exit status; see :class:`~traceprobe.cli._exit.ExitStatus`.
    """
    import gc

    # Nothing of what is imported until the first probe leaves is garbage; looking for it would delay that.
    # The trace turns the collector on again once it is under way.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        from traceprobe.cli._main import run

        return run(arguments)
    finally:
        if was_enabled:
            gc.enable()
