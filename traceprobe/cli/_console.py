"""Standard output and standard error: results on the one, talk on the other.

A reader that has seen enough (``traceprobe example.com | head -3``) is no failure to complain about; a
full disk is. What goes elsewhere than to a terminal is UTF-8, also on Windows, where Python would take the
code page of the machine.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = ["OutputError", "Results", "complain", "give_up_output", "speak_utf8", "writing"]


class OutputError(Exception):
    """Standard output takes nothing more, for another reason than that nobody reads it."""


@contextmanager
def writing() -> Iterator[None]:
    """Around whatever writes to standard output.

    Raises:
        BrokenPipeError: Nobody reads it any more.
        OutputError: It can't be written to, for another reason.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # not a failure, though an OSError like those below
    except OSError as error:
        if sys.platform == "win32" and error.errno == errno.EINVAL:
            # What the C library of Windows makes of ERROR_NO_DATA: the other end of the pipe is closed.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise OutputError(f"cannot write the results: {error.strerror or error}") from error


def speak_utf8() -> None:
    """Write UTF-8 to pipes and files, unless ``PYTHONIOENCODING`` says otherwise.

    Consoles of Windows take Unicode in any case.
    """
    if sys.platform == "win32" and not os.environ.get("PYTHONIOENCODING"):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
                stream.reconfigure(encoding="utf-8", errors=stream.errors)


class Results:
    """Standard output, as the renderers see it.

    What the terminal's encoding doesn't have is shown as ``?``.

    Raises:
        BrokenPipeError: Nobody reads it any more.
        OutputError: It can't be written to.
    """

    def __init__(self) -> None:
        # There is none where whoever started the program closed it.
        stream = sys.stdout if sys.stdout is not None else io.StringIO()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        self.stream: TextIO = stream

    def write(self, text: str) -> int:
        """Write at once: somebody may be reading along."""
        with writing():
            count = self.stream.write(text)
            self.stream.flush()
        return count

    def flush(self) -> None:
        """Nothing is ever held back."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Its descriptor: consoles of Windows without escape codes are coloured by way of it.

        Raises:
            OSError: It has none.
        """
        return self.stream.fileno()


def complain(text: str) -> None:
    """Say something on standard error, each line as part of it; without it, say nothing."""
    if sys.stderr is not None:
        print(f"traceprobe: {text}", file=sys.stderr, flush=True)


def give_up_output() -> None:
    """Keep the interpreter from writing at its end what can't be written."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # none, or not a file
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
