"""Writes the screens of docs/screens.md and the README: what the program prints, taken down while it runs.

Run ``python -m tests.docs.screens`` after a change of what is printed; a test compares. The doctor is taken
down only as root, where namespaces can be made. How long a trace took is not compared: that may get better.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from tests.docs.cast import drawing
from tests.house.package import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.terminal import Terminal

PAGE: Final = ROOT / "docs" / "screens.md"
PAGES: Final = (PAGE, ROOT / "README.md")
DOCTOR: Final = "traceprobe doctor"

_SCREEN: Final = re.compile(r"^```console\n\$ (traceprobe[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_RECORDING: Final = re.compile(
    r"^<!-- recording of (traceprobe[^\n]*) -->\n(.*?)^<!-- end of recording -->$", re.MULTILINE | re.DOTALL
)
_COLUMNS: Final = 96

_MOMENTS: Final = (
    ("The first routers have answered, their names haven't come yet:", r" 4 .* 198\.51\.100\.65$"),
    ("Hop 5 stays silent and names follow; hops from 8 on are awaited:", r" 7 .* ms  cr1\.westc"),
    ("The target has answered, so nothing behind it is awaited any more:", r"12 .* 203\.0\.113\.200$"),
    ("One probe is missing:", r"^1 of 90 probes is out"),
    ("What stays:", r" in all; "),
)
"""What is shown of a recording: the first frame in which something can be seen."""

# The doctor is asked in a network namespace as it begins, by a process that has given its privileges up.
# It was asked once before, so that nothing is left to import that this user may not read.
_AS_NOBODY: Final = """
import contextlib, io, os, shutil, sys
from traceprobe.cli import main
sys.executable, sys.orig_argv = "/usr/bin/python3", ["python3", "/usr/bin/traceprobe", "doctor"]
shutil.which = "/usr/bin/{}".format  # what is installed where this runs is of no interest
with contextlib.redirect_stdout(io.StringIO()):
    main(["doctor"])
os.setgroups([])
os.setresgid(1000, 1000, 1000)
os.setresuid(1000, 1000, 1000)
sys.exit(main(["doctor"]))
"""


def screens(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a page, and what stands below it."""
    for found in _SCREEN.finditer(text):
        yield found[1], found[2]


def taken_down(command: str) -> str:
    """What a command prints, standard error included."""
    if command == DOCTOR:
        return subprocess.run(
            ["unshare", "--net", sys.executable, "-c", _AS_NOBODY],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    from traceprobe.cli import main

    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        main(shlex.split(command)[1:])
    return output.getvalue()


def can_be_taken_down(command: str) -> str | None:
    """Why a command can't be run here, or None if it can."""
    if command != DOCTOR:
        return None
    if sys.platform != "linux":
        return "the doctor that is shown is that of Linux"
    from tests.rigs.unprivileged import missing_unprivileged

    return missing_unprivileged()


def recorded(command: str) -> Terminal:
    """A terminal on which a command has run."""
    from tests.terminal import Terminal
    from traceprobe.cli import main

    wanted = {"TERM": "xterm-256color", "COLUMNS": str(_COLUMNS), "LINES": "40", "NO_COLOR": ""}
    terminal = Terminal(_COLUMNS)
    with patch.dict(os.environ, wanted), redirect_stdout(terminal):
        main(shlex.split(command)[1:])
    return terminal


def recording(command: str) -> str:
    """The moments of a live view that tell most, as Markdown."""
    frames = recorded(command).frames
    parts = []
    for caption, sign in _MOMENTS:
        shown = next(frame for frame in frames if any(re.search(sign, row) for row in frame))
        parts.append(f"{caption}\n\n```text\n" + "\n".join(shown) + "\n```\n")
    return "\n".join(parts)


def live_drawing(command: str) -> str:
    """The whole live view as a drawing that plays."""
    title = f"{command}: hops fill in where they stand, names follow, and the path remains"
    return drawing(recorded(command).styled_frames, columns=_COLUMNS, title=title)


def recordings(text: str) -> Iterator[tuple[str, str]]:
    """Each recorded command of a page, and what stands there."""
    for found in _RECORDING.finditer(text):
        yield found[1], found[2]


def with_screens(text: str) -> str:
    """A page's text with fresh screens; those that can't be taken down here stay what they are."""

    def fresh(found: re.Match[str]) -> str:
        if can_be_taken_down(found[1]) is not None:
            return found[0]
        return f"```console\n$ {found[1]}\n{taken_down(found[1])}```"

    def anew(found: re.Match[str]) -> str:
        return f"<!-- recording of {found[1]} -->\n\n{recording(found[1])}\n<!-- end of recording -->"

    return _RECORDING.sub(anew, _SCREEN.sub(fresh, text))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_screens(page.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
