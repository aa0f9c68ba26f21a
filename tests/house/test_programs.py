"""The package starts no other program, runs no text as code, and unpacks no objects."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest

from tests.house.package import ROOT, Module, listed, modules
from tests.house.program_rules import programs

LATER = "import_module of something that is worked out"
ALLOWED = {
    ("traceprobe/_late.py", LATER): "names of packages, from a table of the package itself",
    ("traceprobe/enrich/_resolver.py", LATER): "the resolver's library, compared with its name before",
    ("traceprobe/model/_quick.py", "compile"): "a function made of the names of a class's own fields",
    ("traceprobe/model/_quick.py", "exec"): "as above",
}
"""What must be, and why no stranger has a say in it."""

PROGRAM = """
import json, sys
STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
            "os.startfile", "pty.spawn", "pickle.find_class", "webbrowser.open")
seen = []
sys.addaudithook(lambda event, arguments: event.startswith(STARTING) and seen.append(event))
from traceprobe.cli import main
import contextlib, io
statuses = []
for line in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        statuses.append(main(line))
import traceprobe
traceprobe.trace("127.0.0.1", mode="linux_udp", max_ttl=1)
print(json.dumps([statuses, seen]))
"""


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_no_module_starts_a_program(module: Module) -> None:
    found = [finding for finding in programs(module.tree) if (module.where, finding.what) not in ALLOWED]
    assert listed(module, found) == []


def test_no_exception_is_left_over() -> None:
    found = {(module.where, finding.what) for module in modules() for finding in programs(module.tree)}
    assert found >= ALLOWED.keys()


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess",
        "from subprocess import run",
        "import multiprocessing.pool",
        "from asyncio import create_subprocess_exec",
        "from asyncio import subprocess",
        "import os\nos.system('ls')",
        "import os\nrun = os.popen",
        "from os import execv",
        "import os\nos.posix_spawn('/bin/ls', [], {})",
        "import anyio\nanyio.run_process('ls')",
        "loop.subprocess_shell(f, 'ls')",
        "eval('1')",
        "exec(text)",
        "import pickle",
        "import importlib\nimportlib.import_module('subprocess')",
        "import importlib\nimportlib.import_module(name)",
        "__import__('pty')",
        "import warnings",
    ],
)
def test_each_way_is_found(text: str) -> None:
    assert programs(ast.parse(text))


@pytest.mark.parametrize("text", ["import os\nos.read(0, 1)", "re.compile('x')", "from os import environ"])
def test_what_is_harmless_is_not(text: str) -> None:
    assert programs(ast.parse(text)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="traces by UDP without privileges, on Linux")
def test_nothing_is_started_while_it_runs() -> None:
    lines = [["demo"], ["demo", "-v", "--public-address"], ["demo", "--json"], ["doctor"], ["--help"], ["-x"]]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(lines)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    statuses, seen = json.loads(done.stdout)
    assert len(statuses) == len(lines)
    assert seen == []
