"""The same lines in colours, by way of ``rich``, where that is installed.

``rich`` is imported when a writer is made, never with this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from traceprobe.render._lines import Line, Style
    from traceprobe.render.text import TextStream

__all__ = ["RichWriter", "colours_wanted"]

_STYLES: Final[dict[Style, str]] = {
    "plain": "",
    "dim": "dim",
    "title": "bold",
    "rtt": "",
    "late": "yellow",
    "name": "bold",
    "address": "cyan",
    "note": "yellow",
    "good": "green",
    "bad": "bold red",
}
"""Colour never says anything that the words don't."""


def colours_wanted(stream: TextStream, environment: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal that shows colours, and nobody asked for none (no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class RichWriter:
    """Writes lines in colours to a terminal.

    Raises:
        ImportError: ``rich`` is not installed.
    """

    def __init__(self, stream: TextStream) -> None:
        from rich.console import Console
        from rich.text import Text

        self._text = Text
        self._console = Console(file=cast("IO[str]", stream), highlight=False, markup=False, emoji=False)

    def __call__(self, line: Line) -> None:
        """Write the line; one longer than the terminal is wide wraps where the terminal wraps it."""
        text = self._text()
        for content, style in line:
            text.append(content, _STYLES[style])
        self._console.print(text, soft_wrap=True)
