"""Programs in C that rigs run: compiled once for each process, and told what to do line by line."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.rigs.namespaces import PATIENCE, RigError
from tests.rigs.require import find_program, missing_program, missing_tun

if TYPE_CHECKING:
    from types import TracebackType

FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra")


def compiler() -> str | None:
    """The C compiler that is called ``cc``, or that ``CC`` names; None if there is none."""
    return find_program(os.environ.get("CC", "cc"))


def missing_tun_program() -> str | None:
    """Why a program that is compiled here and opens a TUN device can't run, or None if it can."""
    return missing_tun() or (None if compiler() else missing_program("cc"))


@functools.cache
def build(name: str, *sources: Path) -> Path:
    """Compile a program, once for each process that asks; it is gone when the process is.

    Args:
        name: What it is called.
        sources: What it is made of.

    Raises:
        RigError: There is no compiler, or it does not compile.
    """
    command = compiler()
    if command is None:
        raise RigError("there is no C compiler")
    folder = Path(tempfile.mkdtemp(prefix="traceprobe-rig-"))
    atexit.register(shutil.rmtree, folder)
    program = folder / name
    finished = subprocess.run(
        [command, *FLAGS, "-o", str(program), *map(str, sources)],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise RigError(f"{name} does not compile:\n{finished.stderr}")
    return program


class Conversation:
    """A program that answers each line with one; a context manager, which ends it by closing its input.

    Args:
        name: What to call it where it goes wrong.
        command: What to run.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self._name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            try:
                self._process.stdin.close()
                self._process.wait(PATIENCE)
            finally:
                if self._process.poll() is None:
                    self._process.kill()

    def read(self, expected: str) -> str:
        """The next line that it says.

        Args:
            expected: The word that it must begin with.

        Raises:
            RigError: It has ended, or says something else.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            assert self._process.stderr is not None
            raise RigError(f"{self._name} ended: {self._process.stderr.read().strip()}")
        if line.split()[0] != expected:
            raise RigError(line)
        return line

    def say(self, line: str) -> None:
        """Tell it something, and wait until it has done that.

        Raises:
            RigError: It has ended, or refuses.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        try:
            self.read("ok")
        except RigError as error:
            raise RigError(f"{line.split()[0]}: {error}") from None
