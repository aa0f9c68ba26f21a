"""The generated module is what its declarations say, and the declarations are what the C compiler says."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.rigs.require import find_program, missing_program, require
from traceprobe.ffi import build_linux

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="structures and numbers of Linux")

C_LIBRARY = """
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <linux/types.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>
"""

KERNEL = """
#include <stdio.h>
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
"""

ENUMERATED = re.compile(r"SOF_TIMESTAMPING_|MSG_")
"""Numbers that the preprocessor does not know, since they are members of enumerations."""

YOUNG = {"SCM_TS_OPT_ID", "IP_RECVERR_RFC4884", "IPV6_RECVERR_RFC4884"}
"""Numbers that the headers of an older system may lack."""


def compile_and_run(folder: Path, source: str) -> str:
    require("cc", missing_program("cc"))
    compiler = find_program("cc")
    assert compiler is not None
    (folder / "probe.c").write_text(source, encoding="ascii")
    built = subprocess.run(
        [compiler, "-w", "-o", str(folder / "probe"), str(folder / "probe.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return subprocess.run([str(folder / "probe")], capture_output=True, text=True, check=True).stdout


def test_the_committed_module_is_what_the_generator_writes(tmp_path: Path) -> None:
    target = tmp_path / "generated.py"
    build_linux.generate(target)
    assert target.read_bytes() == build_linux.TARGET.read_bytes()


def test_every_structure_is_laid_out_as_the_compiler_does(tmp_path: Path) -> None:
    from traceprobe.ffi.linux import declared_layouts

    layouts = declared_layouts()
    lines = []
    for name, (_, fields) in layouts.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));' for field in fields]
    output = compile_and_run(tmp_path, C_LIBRARY + "int main(void) {" + "".join(lines) + "return 0;}")
    measured = dict(line.split() for line in output.splitlines())
    expected = {name: str(size) for name, (size, _) in layouts.items()}
    for name, (_, fields) in layouts.items():
        expected |= {f"{name}.{field}": str(offset) for field, offset in fields.items()}
    assert measured == expected


def test_every_declared_structure_is_checked() -> None:
    from traceprobe.ffi.linux import KNOWN_LAYOUTS

    declared = set(re.findall(r"^\s*struct (\w+) \{", build_linux.DECLARATIONS, re.MULTILINE))
    assert declared == set(KNOWN_LAYOUTS)


def test_every_number_is_that_of_the_headers(tmp_path: Path) -> None:
    from traceprobe.ffi import linux

    numbers = {
        name: value
        for name, value in vars(linux).items()
        if name.isupper() and not name.startswith("_") and type(value) is int
    }
    numbers.pop("CONTROL_ALIGNMENT")
    assert len(numbers) > 30
    measured: dict[str, int] = {}
    for headers in (C_LIBRARY, KERNEL):
        lines = []
        for name in numbers:
            line = f'printf("{name} %lld\\n", (long long)({name}));'
            if not ENUMERATED.match(name):
                lines.append(f"\n#ifdef {name}\n{line}\n#endif\n")
            elif headers is C_LIBRARY:
                lines.append(line)
        output = compile_and_run(tmp_path, headers + "int main(void) {" + "".join(lines) + "return 0;}")
        measured |= {name: int(value) for name, value in map(str.split, output.splitlines())}
    assert measured == {name: value for name, value in numbers.items() if name in measured}
    assert set(numbers) - set(measured) <= YOUNG
