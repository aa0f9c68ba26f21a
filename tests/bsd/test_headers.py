"""Numbers, layouts and signatures of the table are those of each system's headers, by a cross compiler."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.rigs.require import missing_module, require
from traceprobe.ffi import bsd

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = """
#define __APPLE_USE_RFC_3542 1
#include <stddef.h>
#include <errno.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <netinet/in.h>
#ifndef __APPLE__
#include <netinet/icmp6.h>
#endif
"""

TARGETS = {
    f"{processor}-{system}": (name, processor)
    for system, name in (
        ("freebsd", "freebsd"),
        ("netbsd", "netbsd"),
        ("openbsd", "openbsd"),
        ("macos", "darwin"),
    )
    for processor in ("x86_64", "aarch64")
}

NO_HEADER_ON_MACOS = {"icmp6_filter"}
"""Numbers whose header the cross compiler lacks for macOS."""


def assertions(name: str, processor: str) -> str:
    """The table of one system on one processor, as C."""
    abi = bsd.abi_for(name, processor)
    lines = []
    for field in attrs.fields(bsd.BsdAbi):
        value = getattr(abi, field.name)
        macro = field.name.upper()
        if field.name in {"name", "control_alignment", "microseconds_size", "sendmmsg", "recvmmsg"}:
            continue
        if name == "darwin" and field.name in NO_HEADER_ON_MACOS:
            continue
        if value is None:
            lines.append(f"#ifdef {macro}\n#error {macro} exists\n#endif")
        else:
            lines.append(f'_Static_assert({macro} == {value}, "{macro}");')
    for struct, (size, fields) in bsd.KNOWN_LAYOUTS.items():
        if struct == "mmsghdr" and abi.sendmmsg is None:
            continue
        lines.append(f'_Static_assert(sizeof(struct {struct}) == {size}, "struct {struct}");')
        lines += [
            f'_Static_assert(offsetof(struct {struct}, {field}) == {place}, "{struct}.{field}");'
            for field, place in fields.items()
        ]
    header = bsd.aligned(bsd.CONTROL_HEADER.size, abi.control_alignment)
    for size in (0, 1, 4, 16, 20):
        space = header + bsd.aligned(size, abi.control_alignment)
        lines.append(f'_Static_assert(CMSG_LEN({size}) == {header + size}, "CMSG_LEN({size})");')
        lines.append(f'_Static_assert(CMSG_SPACE({size}) == {space}, "CMSG_SPACE({size})");')
    lines.append(f'_Static_assert(sizeof(suseconds_t) == {abi.microseconds_size}, "suseconds_t");')
    if name != "darwin":
        lines.append('_Static_assert(sizeof(struct icmp6_filter) == 32, "struct icmp6_filter");')
    signatures = {
        "sendmsg": "ssize_t(int, const struct msghdr *, int)",
        "recvmsg": "ssize_t(int, struct msghdr *, int)",
        "sendmmsg": abi.sendmmsg,
        "recvmmsg": abi.recvmmsg,
    }
    for function, signature in signatures.items():
        if signature is not None:
            kind = signature.replace("(", "(*)(", 1)
            lines.append(
                f"_Static_assert(__builtin_types_compatible_p(__typeof__(&{function}), {kind}), "
                f'"{function}");'
            )
    return HEADERS + "\n".join(lines) + "\n"


def compile_for(target: str, source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile C for another system; nothing is linked or run."""
    require("zig", missing_module("ziglang"))
    (folder / "check.c").write_text(source, encoding="ascii")
    caches = {name: str(folder / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    return subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", target, "-c", "-o", "check.o", "check.c"],
        cwd=folder,
        env=os.environ | caches,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_the_table_is_what_the_headers_say(target: str, tmp_path: Path) -> None:
    source = assertions(*TARGETS[target])
    assert source.count("_Static_assert") > 90
    done = compile_for(target, source, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "check.o").stat().st_size > 0


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    source = assertions("freebsd", "x86_64").replace("IP_RECVTTL == 65", "IP_RECVTTL == 24")
    done = compile_for("x86_64-freebsd", source, tmp_path)
    assert done.returncode != 0
    assert re.search(r"static assertion failed.*IP_RECVTTL", done.stderr)


def test_every_kernel_of_the_table_passes_what_a_bit_of_the_filter_is_set_for() -> None:
    """ICMP6_FILTER is the other way round on Linux; the macro of each system says which."""
    require("zig", missing_module("ziglang"))
    found = importlib.util.find_spec("ziglang")
    assert found is not None
    assert found.submodule_search_locations is not None
    (home,) = found.submodule_search_locations
    for system in ("freebsd", "netbsd", "openbsd"):
        path = f"{home}/lib/libc/include/generic-{system}/netinet/icmp6.h"
        with open(path, encoding="utf-8") as header:
            text = re.sub(r"\\\n|\s", "", header.read())
        assert "ICMP6_FILTER_SETPASS(type,filterp)" in text
        body = text.split("ICMP6_FILTER_SETPASS(type,filterp)", 1)[1]
        assert body.lstrip("(").startswith("filterp)->icmp6_filt[(type)>>5])|=(1<<((type)&31))")
