"""Network namespaces that a test owns: made, entered and always removed again.

A namespace has no interface but its own loopback until a rig gives it one, and a rig only ever joins
two of its own; so nothing that is sent in here can leave the machine. Names carry the process id of
whoever made them, so that the remains of a process that was killed can be told apart and removed.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.rigs.remote import Worker
from tests.rigs.require import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from tests.rigs.unprivileged import PortableInterpreter

_Made = TypeVar("_Made")

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds the package and the tests."""

PATIENCE = 120.0
"""Seconds after which a command in a namespace is taken to hang; only ever reached by a broken test."""

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>

_NAME = re.compile(r"^tprig-(\d+)-\d+-")
_numbers = itertools.count()


class RigError(Exception):
    """A rig could not be built, or a program in it failed."""


class Privileges(Enum):
    """What a program in a namespace may do."""

    ROOT = "root"
    NO_CAPABILITIES = "no-capabilities"
    """Still uid 0, but with an empty capability set that nothing can fill again."""
    NOBODY = "nobody"
    """The uid of ``nobody``, and no capabilities either."""


@functools.cache
def program(name: str) -> str:
    """The full path of a program that a rig can't do without."""
    path = find_program(name)
    if path is None:
        raise RigError(f"there is no {name!r} program")
    return path


def ip_batch(lines: Sequence[str]) -> None:
    """Run many ``ip`` commands in one process."""
    finished = subprocess.run(
        [program("ip"), "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if finished.returncode != 0:
        raise RigError(f"ip failed: {finished.stderr.strip()}")


class Namespace:
    """One network namespace, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._workers: dict[object, Worker] = {}

    @property
    def path(self) -> str:
        """The file that stands for the namespace."""
        return f"/run/netns/{self.name}"

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The arguments that run a program inside."""
        return [program("ip"), "netns", "exec", self.name, *arguments]

    def run(
        self,
        arguments: Sequence[str],
        *,
        privileges: Privileges = Privileges.ROOT,
        interpreter: PortableInterpreter | None = None,
        processors: Collection[int] = (),
        environment: Mapping[str, str] | None = None,
        standard_input: str | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside and wait for it.

        ``python`` as the program's name stands for an interpreter that can import the package and the
        tests; it is ``interpreter`` if one is given, and has to be for ``Privileges.NOBODY``, who may
        not be allowed to enter the folder of the one that runs the tests. ``processors``
        are those that it may use; none stands for all.

        Raises:
            RigError: The program failed, and ``check`` is on.
        """
        variables = dict(os.environ if environment is None else environment)
        arguments, directory, more = _prepare(arguments, privileges, interpreter, processors)
        variables.update(more)
        finished = subprocess.run(
            self.command(arguments),
            input=standard_input,
            stdin=subprocess.DEVNULL if standard_input is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=variables,
            cwd=directory,
            check=False,
        )
        if check and finished.returncode != 0:
            raise RigError(_failure(arguments, finished))
        return finished

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        backend: str | None = None,
        privileges: Privileges = Privileges.ROOT,
        interpreter: PortableInterpreter | None = None,
        processors: Collection[int] = (),
    ) -> Any:
        """Call a function in a fresh process inside, and hand its result back.

        Args:
            function: A function at the top of an importable module.
            arguments: Positional arguments; they and the result go through JSON.
            backend: ``asyncio``, ``uvloop`` or ``trio`` to run a coroutine function on.
            privileges: What the function may do.
            interpreter: As for :meth:`run`.
            processors: As for :meth:`run`.

        Raises:
            RemoteError: The function raised, or its process died.
        """
        key = (privileges, interpreter, tuple(processors))
        worker = self._workers.get(key)
        if worker is None:
            command, directory, more = _prepare(
                ["python", "-m", "tests.rigs.worker"], privileges, interpreter, processors
            )
            variables = {**os.environ, **more}
            worker = self._workers[key] = Worker(self.command(command), variables, directory, PATIENCE)
        return worker.call(function, arguments, backend)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that lives inside, for the calling process to use and to close.

        Raises:
            RigError: The namespace can't be entered.
        """
        return self.inside(socket.socket, family, kind, protocol)

    def inside(self, function: Callable[..., _Made], *arguments: Any) -> _Made:
        """Call a function of the calling process inside: what it opens lives there.

        Raises:
            RigError: The namespace can't be entered, or the function failed.
        """
        found: list[_Made] = []
        failures: list[str] = []

        def enter() -> None:
            # A thread of its own, so that no other has to find its way back.
            libc = ctypes.CDLL(None, use_errno=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                    failures.append(os.strerror(ctypes.get_errno()))
                else:
                    found.append(function(*arguments))
            except OSError as error:
                failures.append(str(error))
            finally:
                os.close(descriptor)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if not found:
            raise RigError(f"nothing made in {self.name}: {failures}")
        return found[0]

    def close(self) -> None:
        """End the processes that wait inside for functions to call."""
        while self._workers:
            self._workers.popitem()[1].close()

    def write_sysctl(self, name: str, value: str) -> None:
        """Set a kernel parameter inside, by its path under /proc/sys."""
        self.run(["sh", "-c", 'printf %s "$2" > "/proc/sys/$1"', "sh", name, value])


def _prepare(
    arguments: Sequence[str],
    privileges: Privileges,
    interpreter: PortableInterpreter | None,
    processors: Collection[int],
) -> tuple[list[str], Path, dict[str, str]]:
    """The program with its privileges dropped, the folder it runs in, and its extra environment."""
    from tests.rigs.unprivileged import drop_privileges

    prepared = list(arguments)
    if prepared[0] == "python":
        prepared[0] = sys.executable if interpreter is None else interpreter.executable
    prepared = [*drop_privileges(privileges), *prepared]
    if processors:
        prepared = [program("taskset"), "-c", ",".join(map(str, processors)), *prepared]
    if interpreter is None:
        return prepared, PROJECT, {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(_bytecode())}
    return prepared, interpreter.directory, interpreter.environment


def _failure(arguments: Sequence[str], finished: subprocess.CompletedProcess[str]) -> str:
    status = f"{' '.join(arguments)}: exit status {finished.returncode}"
    return f"{status}\n{finished.stdout}\n{finished.stderr}"


@functools.cache
def _bytecode() -> Path:
    """Where interpreters inside keep what they compiled, so that they start fast; gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="traceprobe-rig-"))
    atexit.register(shutil.rmtree, folder)
    return folder


class NamespaceGroup:
    """The namespaces of one rig, made and removed together.

    Use it as a context manager: whatever happens inside, they are gone afterwards.
    """

    def __init__(self, *roles: str) -> None:
        self._prefix = f"tprig-{os.getpid()}-{next(_numbers)}-"
        self.namespaces = [Namespace(self._prefix + role) for role in roles]

    def __enter__(self) -> list[Namespace]:
        remove_stale_namespaces()
        try:
            ip_batch([f"netns add {namespace.name}" for namespace in self.namespaces])
        except BaseException:
            self._remove()
            raise
        return self.namespaces

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for namespace in self.namespaces:
            namespace.close()
        existing = set(existing_namespaces())
        names = [namespace.name for namespace in self.namespaces if namespace.name in existing]
        if names:
            ip_batch([f"netns del {name}" for name in names])


def existing_namespaces() -> list[str]:
    """The names of all network namespaces that rigs have made and not removed."""
    try:
        return sorted(name for name in os.listdir("/run/netns") if _NAME.match(name))
    except FileNotFoundError:
        return []


def remove_stale_namespaces() -> None:
    """Remove what processes left behind that were killed before they could clean up."""
    stale = []
    for name in existing_namespaces():
        match = _NAME.match(name)
        if match is not None and not Path(f"/proc/{match[1]}").exists():
            stale.append(name)
    if stale:
        # Another process may be at the same work: what it removed first is gone, and that is all right.
        finished = subprocess.run(
            [program("ip"), "-force", "-batch", "-"],
            input="".join(f"netns del {name}\n" for name in stale),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        remaining = set(existing_namespaces()) & set(stale)
        if remaining:
            raise RigError(
                f"stale namespaces remain: {', '.join(sorted(remaining))}: {finished.stderr.strip()}"
            )
