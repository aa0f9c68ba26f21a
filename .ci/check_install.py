"""Check an installed wheel without extras: it works, and has brought all that belongs to it.

Usage: PYTHON-OF-THE-ENVIRONMENT -P check_install.py
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import distribution, version
from pathlib import Path

EXTRAS = ("rich", "maxminddb", "aioice", "httpx2", "shtab")
SHARED = (
    "share/man/man1/traceprobe.1",
    "share/bash-completion/completions/traceprobe",
    "share/zsh/site-functions/_traceprobe",
)


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in an empty folder."""
    with tempfile.TemporaryDirectory() as nowhere:
        return subprocess.run(
            [str(Path(sysconfig.get_path("scripts")) / "traceprobe"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=nowhere,
        )


def problems() -> list[str]:
    """Say what is wrong with the installation."""
    found = [
        f"{name} is installed, so this tells nothing" for name in EXTRAS if importlib.util.find_spec(name)
    ]
    data = Path(sysconfig.get_path("data"))
    found += [f"{name} is not installed" for name in SHARED if not (data / name).is_file()]
    licences = [
        file for file in distribution("traceprobe").files or () if "licenses/LICENSE" in file.as_posix()
    ]
    if not licences:
        found.append("the licence is not installed")

    demo = program("demo")
    if demo.returncode != 0 or demo.stderr or "Reached example.com" not in demo.stdout:
        found.append(f"traceprobe demo: status {demo.returncode}, {demo.stderr or demo.stdout}")
    document = json.loads(program("demo", "--json").stdout)
    from traceprobe.schema import trace_schema

    missing = [name for name in trace_schema()["required"] if name not in document]
    if missing:
        found.append(f"the document lacks {missing}")
    stated = program("--version").stdout.strip()
    if not document["traceprobe"] == version("traceprobe") == stated.removeprefix("traceprobe "):
        found.append(f"versions differ: {document['traceprobe']}, {version('traceprobe')}, {stated}")
    return found


def main() -> int:
    """Check, and say what is wrong."""
    found = problems()
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
