"""A terminal in memory: takes what a program writes, and shows what would stand there."""

from __future__ import annotations

import io
import re

Cell = tuple[str, str]
"""A character, and the style it is shown in: the numbers of ECMA-48's SGR, such as ``1;31``."""

_PIECE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """A screen of any length, with the little of ECMA-48 that live views need.

    Args:
        width: Columns; text beyond them wraps.
    """

    def __init__(self, width: int = 120) -> None:
        super().__init__()
        self.width = width
        self.rows: list[list[Cell]] = [[]]
        self.frames: list[list[str]] = []
        """What stood there after each write that changed something."""
        self.styled_frames: list[list[list[Cell]]] = []
        """The same, with styles."""
        self.style = ""
        self.coloured = False
        self.cursor_hidden = False
        self.row = self.column = 0

    def isatty(self) -> bool:
        """It is one."""
        return True

    def write(self, text: str) -> int:
        """Show text, and keep the frame."""
        end = 0
        for piece in _PIECE.finditer(text):
            assert piece.start() == end, f"unknown sequence: {text[end : end + 20]!r}"
            end = piece.end()
            private, numbers, final, control, shown = piece.groups()
            if final is not None:
                self._obey(private, numbers, final)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._feed()
            else:
                for character in shown:
                    self._put(character)
        assert end == len(text), f"unknown sequence: {text[end : end + 20]!r}"
        frame = self.shown()
        if not self.frames or self.frames[-1] != frame:
            self.frames.append(frame)
            self.styled_frames.append([list(row) for row in self.rows[: len(frame)]])
        return super().write(text)

    def shown(self) -> list[str]:
        """The rows, without blanks at their ends and empty rows at the end."""
        rows = ["".join(character for character, _ in row).rstrip() for row in self.rows]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _feed(self) -> None:
        self.row += 1
        self.column = 0
        if self.row == len(self.rows):
            self.rows.append([])

    def _put(self, character: str) -> None:
        if self.column == self.width:
            self._feed()
        row = self.rows[self.row]
        row += [(" ", "")] * (self.column + 1 - len(row))
        row[self.column] = character, self.style
        self.column += 1

    def _obey(self, private: str, numbers: str, final: str) -> None:
        if private:
            assert numbers == "25"
            self.cursor_hidden = final == "l"
        elif final == "m":
            self.coloured = True
            self.style = numbers.strip("0")
        elif final == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif final == "K":
            assert numbers == "2"
            self.rows[self.row] = []
        else:
            raise AssertionError(f"unknown sequence: {numbers}{final}")
