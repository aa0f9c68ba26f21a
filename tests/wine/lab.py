"""A network for Windows programs: ten routers between the source, where they run, and a target.

Wine's processes live in the network namespace that the first of them was started in. So everything that
runs in the set-up is ended first; what is started from then on, its drivers too, sees the source's
interfaces. Only one process at a time may use a set-up; a second one waits.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from tests.rigs.chain import RouterChain
from tests.rigs.namespaces import PROJECT, RigError
from tests.wine.setup import Environment, locked, windows_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

SILENT_TARGET = "192.0.2.66"
"""Dropped by the fifth router without a word, whatever its TTL; only the four before it are ever seen."""
SILENT_AFTER = 4
UNREACHABLE_TARGET = "192.0.2.77"
"""The seventh router says that there is no such host."""
UNREACHABLE_AT = 7
OPEN_PORT = 8080
"""The target takes TCP connections on this port."""

_LISTENER = f"""\
import socket
server = socket.create_server(("", {OPEN_PORT}))
print(flush=True)
while True:
    server.accept()[0].close()
"""

_PATIENCE = 300
"""Seconds after which a program is taken to hang."""

_UNREACHABLE = f"""\
table ip unreachable {{
  chain prerouting {{
    type filter hook prerouting priority 0;
    ip daddr {UNREACHABLE_TARGET} reject with icmp type host-unreachable
  }}
}}
"""


class Finished(NamedTuple):
    """How a Windows program ended."""

    status: int | None
    """Exit status; None if it had to be ended."""
    out: bytes
    err: bytes

    def __str__(self) -> str:
        how = f"took more than {_PATIENCE} s" if self.status is None else f"ended with status {self.status}"
        out, err = (part.decode(errors="replace").replace("\r\n", "\n") for part in (self.out, self.err))
        return f"{how}\n{out}\n{err}"


class WineLab:
    """Runs Windows programs in the source of a router chain; a context manager."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._stack = ExitStack()
        self.chain = RouterChain(10)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(locked(self._environment.folder / "in-use"))
            stack.enter_context(self.chain)
            routers = self.chain.routers
            routers[SILENT_AFTER].run(["ip", "route", "add", "blackhole", f"{SILENT_TARGET}/32"])
            routers[UNREACHABLE_AT - 1].run(["nft", "-f", "-"], standard_input=_UNREACHABLE)
            stack.enter_context(_running(self.chain.target.command([sys.executable, "-c", _LISTENER])))
            self._environment.stop()
            stack.callback(self._environment.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> Finished:
        """Run Windows Python with these arguments, in the project's folder, and wait for its end."""
        variables = {**_inherited(), **self._environment.variables, **self._facts(), **(variables or {})}
        command = [self._environment.wine.loader, str(self._environment.python), *arguments]
        with subprocess.Popen(
            self.chain.source.command(command),
            cwd=PROJECT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                ended, out, err = _follow(process)
                if not ended:
                    self._environment.stop()
            finally:
                process.kill()
        return Finished(process.returncode if ended else None, out, err)

    def path(self, path: Path) -> str:
        """What a file of the host is called in there."""
        return windows_path(path)

    def _facts(self) -> dict[str, str]:
        """What the tests on the Windows side are told of the network; see ``tests/windows/conftest.py``."""
        return {
            "TRACEPROBE_REQUIRE": "administrator,lab,trio",
            "TRACEPROBE_LAB_TARGET": self.chain.target4,
            "TRACEPROBE_LAB_HOPS": ",".join(str(address) for address in self.chain.hops4),
            "TRACEPROBE_LAB_SILENT": SILENT_TARGET,
            "TRACEPROBE_LAB_SILENT_AFTER": str(SILENT_AFTER),
            "TRACEPROBE_LAB_UNREACHABLE": UNREACHABLE_TARGET,
            "TRACEPROBE_LAB_UNREACHABLE_AT": str(UNREACHABLE_AT),
            "TRACEPROBE_LAB_OPEN_PORT": str(OPEN_PORT),
        }


@contextmanager
def _running(command: Sequence[str]) -> Iterator[None]:
    """Run a program that says when it is ready, and end it at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RigError(f"{command} did not start")
            yield
        finally:
            process.kill()


def _follow(process: subprocess.Popen[bytes]) -> tuple[bool, bytes, bytes]:
    """Read what a process writes, until it ends or time is up; whether it has ended, and what it wrote.

    Not until its pipes end: Wine's services, which the first process of all starts, hold them open. Neither
    could they be files: Windows Python takes none from Wine for its standard streams.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    written = {stream: bytearray() for stream in (process.stdout, process.stderr)}
    streams = list(written)
    ending = os.pidfd_open(process.pid)
    deadline = time.monotonic() + _PATIENCE
    try:
        for stream in streams:
            os.set_blocking(stream.fileno(), False)
        ended = False
        while not ended:
            awaited: list[int | IO[bytes]] = [ending, *streams]
            ready, _, _ = select.select(awaited, [], [], max(0, deadline - time.monotonic()))
            if not ready:
                break
            ended = ending in ready
            for stream in tuple(streams):
                while piece := stream.read(1 << 16):
                    written[stream] += piece
                if piece is not None:
                    streams.remove(stream)  # it has been closed
    finally:
        os.close(ending)
    out, err = map(bytes, written.values())
    return ended, out, err


def _inherited() -> dict[str, str]:
    """The environment without what is meant for the interpreter and the terminal outside."""
    kept = {"PATH", "LANG", "LC_ALL", "TMPDIR", "USER"}
    return {name: value for name, value in os.environ.items() if name in kept}
