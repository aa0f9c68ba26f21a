"""Running code without privileges, with an interpreter that anybody may execute.

The interpreter that runs the tests often lives in a home folder that nobody else may enter. No folder is
opened up for these tests: the interpreter, its standard library, what the package needs at run time, the
package and the tests are copied into a fresh folder of mode 755, once for each run of pytest.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs.namespaces import PROJECT, Privileges, RigError, program
from tests.rigs.require import missing_netns, missing_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_EXTRA_DISTRIBUTIONS = ("trio", "uvloop", "jsonschema", "pytest")
"""What the functions that tests run inside may import beyond the package's own dependencies."""

_UNNEEDED = frozenset(
    {
        *("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo"),
        *("ensurepip", "lib2to3", "pydoc_data", "distutils"),
    },
)
"""Parts of the standard library's folder that are left out of the copy."""


def missing_unprivileged() -> str | None:
    """Why code can't be run without privileges here, or None if it can."""
    if (reason := missing_netns()) is not None:
        return reason
    if (reason := missing_program("setpriv")) is not None:
        return reason
    try:
        pwd.getpwnam("nobody")
    except KeyError:
        return "there is no user 'nobody'"
    return None


def drop_privileges(privileges: Privileges) -> list[str]:
    """The beginning of a command line that runs the rest of it with these privileges."""
    if privileges is Privileges.ROOT:
        return []
    command = [program("setpriv"), "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    if privileges is Privileges.NOBODY:
        nobody = pwd.getpwnam("nobody")
        command += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return [*command, "--"]


@dataclass(frozen=True)
class PortableInterpreter:
    """A copy of the running interpreter and of all that the package needs, for anybody to run."""

    directory: Path

    @property
    def executable(self) -> str:
        """The path of the interpreter."""
        return str(self.directory / "python" / "bin" / "python")

    @property
    def environment(self) -> dict[str, str]:
        """What its environment must hold; no home folder, nothing of the coverage measurement."""
        return {
            "HOME": "/nonexistent",
            "LD_LIBRARY_PATH": str(self.directory / "python" / "lib"),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(self.directory / "packages")]),
            "PYTHONSAFEPATH": "1",
        }


class InterpreterCopy:
    """Makes a :class:`PortableInterpreter` and removes it; a context manager."""

    def __enter__(self) -> PortableInterpreter:
        self._directory = Path(tempfile.mkdtemp(prefix="traceprobe-rig-"))
        try:
            self._directory.chmod(0o755)
            interpreter = PortableInterpreter(self._directory)
            _copy_python(self._directory / "python")
            _copy_distributions(self._directory / "packages")
            for folder in ("traceprobe", "tests"):
                shutil.copytree(PROJECT / folder, self._directory / folder, ignore=_tool_caches)
            _compile(interpreter)
            _make_readable(self._directory)
        except BaseException:
            shutil.rmtree(self._directory)
            raise
        return interpreter

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._directory)


def _tool_caches(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name in {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}}


def _copy_python(destination: Path) -> None:
    """Copy the interpreter and its standard library, without the packages that are installed beside it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    executable = Path(sys.executable).resolve()
    (destination / "bin").mkdir(parents=True)
    shutil.copy2(executable, destination / "bin" / "python")

    def unneeded(_: str, names: list[str]) -> set[str]:
        return {name for name in names if name in _UNNEEDED or name.startswith("config-")}

    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, destination / "lib" / version, ignore=unneeded)
    dynamic = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
    if not (destination / "lib" / version / "lib-dynload").exists() and dynamic.exists():
        shutil.copytree(dynamic, destination / "lib" / version / "lib-dynload")
    shared = sysconfig.get_config_var("INSTSONAME")
    if shared and (path := Path(sysconfig.get_config_var("LIBDIR")) / shared).exists():
        shutil.copy2(path, destination / "lib" / shared)


def _copy_distributions(destination: Path) -> None:
    """Copy the run-time dependencies, found by following the requirements of the project."""
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [_distribution_name(requirement) for requirement in project["dependencies"]]
    wanted += [
        name for extra in project["optional-dependencies"].values() for name in map(_distribution_name, extra)
    ]
    wanted += _EXTRA_DISTRIBUTIONS
    done: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in done:
            continue
        done.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # a dependency for another platform, or an optional one
        for path in _installed_files(distribution):
            target = destination / path[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path[0], target)
        wanted += [
            _distribution_name(requirement)
            for requirement in distribution.requires or ()
            if "extra ==" not in requirement
        ]


def _installed_files(distribution: metadata.Distribution) -> Iterator[tuple[Path, str]]:
    for file in distribution.files or ():
        name = str(file)
        if not name.startswith(".."):
            path = Path(str(file.locate()))
            if path.is_file():
                yield path, name


def _distribution_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    if match is None:
        raise RigError(f"not a requirement: {requirement!r}")
    return match[0]


def _compile(interpreter: PortableInterpreter) -> None:
    """Import what will be needed, so that the compiled modules are there for those who can't write them."""
    subprocess.run(
        [
            interpreter.executable,
            "-c",
            "import anyio, tests.kernel.inside, tests.rigs.worker, traceprobe.cli",
        ],
        cwd=interpreter.directory,
        env={**os.environ, **interpreter.environment},
        check=True,
    )


def _make_readable(directory: Path) -> None:
    """Let everybody read all of it, and execute what its owner may execute."""
    subprocess.run([program("chmod"), "-R", "u=rwX,go=rX", str(directory)], check=True)
