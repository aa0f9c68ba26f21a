"""Writes docs/newcomer.md: a newcomer's log of a fresh clone and the README's two commands, with their times.

``python -m tests.docs.newcomer`` does the first command, really: it clones the last commit into an empty
folder, makes a virtual environment, and lets pip take nothing from its cache. With ``--tests`` it does the
second one as well, which takes as long as the tests do. What wasn't done again keeps its last log.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.house.package import ROOT

PAGE: Final = ROOT / "docs" / "newcomer.md"
HEADINGS: Final = {"trace": "The first command: a trace", "tests": "The second command: the tests"}
CLONE: Final = "git clone REPOSITORY traceprobe && cd traceprobe"
ENVIRONMENT: Final = "python -m venv .venv && . .venv/bin/activate"


def commands() -> tuple[str, str]:
    """The README's two commands: what runs a trace, and what runs the tests."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^(python -m pip install .* && .*)$", readme, re.MULTILINE)
    return first, second


class Newcomer:
    """Somebody with an empty folder, who does one thing after another and looks at the clock."""

    def __init__(self, home: Path) -> None:
        self.clone = home / "traceprobe"
        binaries = self.clone / ".venv" / "bin"
        strange = {"PYTHONPATH", "PYTEST_ADDOPTS", "TRACEPROBE_REQUIRE", "VIRTUAL_ENV"}
        self.environment = {name: value for name, value in os.environ.items() if name not in strange}
        self.environment["PATH"] = f"{binaries}{os.pathsep}{self.environment['PATH']}"
        self.environment |= {"PIP_NO_CACHE_DIR": "1", "PIP_PROGRESS_BAR": "off"}
        self._home = home

    def set_up(self) -> dict[str, float]:
        """Clone and make a virtual environment; how many seconds each took."""
        cloned = self._timed(["git", "clone", "--quiet", str(ROOT), str(self.clone)], self._home)
        made = self._timed([sys.executable, "-m", "venv", str(self.clone / ".venv")], self.clone)
        return {CLONE: cloned[1], ENVIRONMENT: made[1]}

    def do(self, command: str) -> tuple[str, float]:
        """Run a command as a shell does: what it printed, and how many seconds it took."""
        return self._timed(["bash", "-euo", "pipefail", "-c", command], self.clone)

    def _timed(self, words: list[str], where: Path) -> tuple[str, float]:
        begun = time.monotonic()
        done = subprocess.run(
            words,
            cwd=where,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}")
        return done.stdout, time.monotonic() - begun


def shown(output: str) -> str:
    """What is worth reading of an output: pip's last word, and all that comes after it."""
    lines = [line.rstrip() for line in output.splitlines() if not line.startswith(("WARNING:", "[notice]"))]
    last_word = max(i for i, line in enumerate(lines) if line.startswith("Successfully installed"))
    rest = lines[last_word + 1 :]
    if any(re.match(r"=+ test session starts", line) for line in rest):
        rest = rest[-1:]
    installed = re.sub(r"(.{1,110})(?: |$)", r"\1\n", lines[last_word]).splitlines()
    return "\n".join(["...", *installed, *rest]).replace(str(ROOT), "traceprobe") + "\n"


def machine() -> str:
    """Where this was done."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    who = "root" if hasattr(os, "geteuid") and os.geteuid() == 0 else "an ordinary user"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{system}, {os.cpu_count()} processors, {python}, as {who}, on {datetime.now(UTC):%-d %B %Y}"


def written(name: str, steps: dict[str, float], command: str, output: str) -> str:
    """One part of the page: the log, then the times."""
    log = "".join(f"$ {step}\n" for step in steps if step != command)
    rows = "".join(f"| `{step}` | {seconds:.1f} |\n" for step, seconds in steps.items())
    parts = (
        f"<!-- begin {name} -->",
        f"## {HEADINGS[name]}",
        f"```console\n{log}$ {command}\n{shown(output)}```",
        f"{machine()}:",
        f"| command | seconds |\n| --- | --- |\n{rows}",
    )
    return "\n\n".join(parts) + f"\n<!-- end {name} -->"


def with_part(name: str, part: str, text: str) -> str:
    """A page's text with one part written anew."""
    return re.sub(rf"<!-- begin {name} -->.*<!-- end {name} -->", lambda _: part, text, flags=re.DOTALL)


def main(*, tests: bool) -> None:
    """Do what a newcomer does, and write it down."""
    first, second = commands()
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # tests run parts of themselves as another user
        newcomer = Newcomer(Path(home))
        steps = newcomer.set_up()
        output, seconds = newcomer.do(first)
        text = with_part("trace", written("trace", steps | {first: seconds}, first, output), text)
        if tests:
            output, seconds = newcomer.do(second)
            text = with_part("tests", written("tests", {second: seconds}, second, output), text)
    PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(tests="--tests" in sys.argv[1:])
