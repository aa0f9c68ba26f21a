"""Calls functions in another process, which a namespace holds: the near half of ``worker``."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class RemoteError(Exception):
    """A function that was called in a namespace raised; the message is its traceback."""


class Worker:
    """A process that waits for orders, and forks for each.

    Args:
        command: The command line that starts it; a descriptor's number is appended.
        environment: Its environment variables.
        directory: Where it runs.
        patience: Seconds after which a function is taken to hang.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path, patience: float
    ) -> None:
        self._patience = patience
        self._output: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._answers, far_end = os.pipe()
        self._received = b""
        try:
            self._process = subprocess.Popen(
                [*command, str(far_end)],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                pass_fds=[far_end],
            )
        except BaseException:
            self._output.close()
            os.close(self._answers)
            raise
        finally:
            os.close(far_end)

    def call(self, function: Callable[..., Any], arguments: Sequence[Any], backend: str | None) -> Any:
        """Call a function at the top of an importable module, and hand its result back.

        Raises:
            RemoteError: It raised, or the process has ended.
        """
        order = {
            "module": function.__module__,
            "function": function.__qualname__,
            "arguments": arguments,
            "backend": backend,
        }
        before = os.fstat(self._output.fileno()).st_size
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and its output will say why
        line = self._read_line()
        answer = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in answer:
            printed = os.pread(self._output.fileno(), 1 << 20, before).decode(errors="replace")
            raise RemoteError(f"{answer['error']}\n{printed}".rstrip())
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(self._patience)
            finally:
                if self._process.poll() is None:
                    self._process.kill()
                os.close(self._answers)
                self._output.close()

    def _read_line(self) -> bytes:
        while b"\n" not in self._received:
            if not select.select([self._answers], [], [], self._patience)[0]:
                self._process.kill()
                return b""
            data = os.read(self._answers, 1 << 20)
            if not data:
                return b""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line
