"""The generated module is what its declarations say, and every structure in it is checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traceprobe.ffi import build_windows, windows

if TYPE_CHECKING:
    from pathlib import Path

BOTH = build_windows.PACKED_DECLARATIONS + build_windows.DECLARATIONS


def test_the_committed_module_is_what_the_generator_writes(tmp_path: Path) -> None:
    target = tmp_path / "generated.py"
    build_windows.generate(target)
    written = target.read_text(encoding="utf-8").splitlines()
    assert written == build_windows.TARGET.read_text(encoding="utf-8").splitlines()


def test_every_declared_structure_is_checked() -> None:
    declared = set(re.findall(r"^\s*struct (\w+) \{", BOTH, re.MULTILINE))
    assert declared == set(windows.KNOWN_LAYOUTS)


def test_no_type_has_a_width_that_differs_between_systems() -> None:
    without_comments = re.sub(r"//[^\n]*", "", BOTH)
    words = set(re.findall(r"\b(?:int|long|short|unsigned|signed|size_t|wchar_t)\b", without_comments))
    assert words == set()


def test_every_declared_function_has_a_type() -> None:
    functions = set(re.findall(r"__stdcall (\w+)\(", BOTH))
    libraries = (windows.Iphlpapi, windows.Kernel32, windows.Ntdll, windows.Ws2_32)
    typed = {name for library in libraries for name in vars(library) if not name.startswith("_")}
    assert functions == typed
