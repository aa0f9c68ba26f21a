"""The same lines on a terminal, in colours and redrawn in place, by way of ``rich``, where that is installed.

``rich`` is imported when a screen is made, never with this module.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, cast

from traceprobe.render._fit import fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO, Self

    from rich.text import Text

    from traceprobe.render._lines import Line, Style
    from traceprobe.render.text import TextStream

__all__ = ["RichWriter", "can_be_redrawn", "colours_wanted"]

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


def colours_wanted(environment: Mapping[str, str]) -> bool:
    """Whether nobody asked for none (no-color.org)."""
    return not environment.get("NO_COLOR")


def can_be_redrawn(stream: TextStream, environment: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal that can go back to what it has shown."""
    return stream.isatty() and environment.get("TERM") != "dumb"


class RichWriter:
    """A terminal: lines that stay, and below them lines that are drawn anew.

    Enter it to draw; after that, lines are only written. Nothing is drawn but when it is asked for: there is
    no timer and no thread.

    Args:
        stream: The terminal.
        colours: Whether to use any.

    Raises:
        ImportError: ``rich`` is not installed.
    """

    def __init__(self, stream: TextStream, *, colours: bool = True) -> None:
        from rich.cells import cell_len
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        class Screen(Console):
            def on_broken_pipe(self) -> None:
                """Leave it to the program what that means; rich would end it."""
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

        self.measure: Callable[[str], int] = cell_len
        self._text = Text
        self._colours = colours
        self._console = Screen(
            file=cast("IO[str]", stream), highlight=False, markup=False, emoji=False, no_color=not colours
        )
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._is_drawing = False
        self._waiting: list[Line] = []
        """Lines to write when the rest is drawn next, so that both change at once."""

    @property
    def width(self) -> int:
        """Columns of the terminal, as it is now."""
        return self._console.width

    @property
    def height(self) -> int:
        """Rows of the terminal, as it is now."""
        return self._console.height

    def __enter__(self) -> Self:
        self._is_drawing = True
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_drawing = False
        try:
            with self._console:
                self._live.update(self._text(""))
                self._live.stop()
                self._write()
        finally:
            self._live.stop()

    def __call__(self, line: Line) -> None:
        """Write a line that stays; what is too long without its names wraps where the terminal wraps it."""
        self._waiting.append(line)
        if not self._is_drawing:
            self._write()

    def draw(self, lines: Sequence[Line]) -> None:
        """Write what is to stay, and draw the rest below it, in one piece."""
        with self._console:
            self._live.update(self._joined(lines), refresh=True)
            self._write()

    def _write(self) -> None:
        if self._waiting:
            width = self.width
            lines = [row for line in self._waiting for row in fitted(line, width, measure=self.measure)]
            self._waiting.clear()
            self._console.print(self._joined(lines), soft_wrap=True)

    def _joined(self, lines: Sequence[Line]) -> Text:
        text = self._text()
        for number, line in enumerate(lines):
            if number:
                text.append("\n")
            for content, style in line:
                text.append(content, _STYLES[style] if self._colours else "")
        return text
