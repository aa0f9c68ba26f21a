"""Check what the built distributions hold: all that users need, and nothing that they don't.

Usage: check_dist.py WHEEL_OR_SDIST...
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import PurePosixPath

IN_SHARE = (
    "share/man/man1/traceprobe.1",
    "share/bash-completion/completions/traceprobe",
    "share/zsh/site-functions/_traceprobe",
)
"""What a wheel installs beside the package."""


def contents(path: str) -> list[str]:
    """Names of the files in a distribution, those of an sdist without the leading folder."""
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel:
            return wheel.namelist()
    with tarfile.open(path) as sdist:
        return [name.partition("/")[2] for name in sdist.getnames()]


def problems(path: str, tracked: list[str]) -> list[str]:
    """Say what is wrong with a distribution."""
    names = contents(path)
    found: list[str] = []
    if path.endswith(".whl"):
        found += [f"lacks {name}" for name in tracked if name.startswith("traceprobe/") and name not in names]
        tops = {PurePosixPath(name).parts[0] for name in names}
        known = (".dist-info", ".data")
        found += [f"installs {top}" for top in tops if top != "traceprobe" and not top.endswith(known)]
        beside = {name.partition(".data/data/")[2] for name in names if ".data/" in name}
        found += [f"lacks {name}" for name in IN_SHARE if name not in beside]
        found += [f"installs {name}" for name in beside.difference(IN_SHARE)]
        if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
            found.append("lacks the licence")
    else:
        # All of it: so the tests run from there as they do in a clone, and the wheel is the same.
        found += [f"lacks {name}" for name in tracked if name not in names]
    found += [f"holds {name}" for name in names if "__pycache__" in name or name.endswith(".pyc")]
    return found


def main(paths: list[str]) -> int:
    """Check every distribution named on the command line."""
    if {path.endswith(".whl") for path in paths} != {True, False}:
        print("expected a wheel and an sdist, got:", *paths)
        return 1
    tracked = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    status = 0
    for path in paths:
        for problem in problems(path, tracked):
            print(f"{path}: {problem}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
