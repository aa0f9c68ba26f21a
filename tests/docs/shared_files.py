"""Writes what is installed beside the package, below ``share/``: the manual page and the completion scripts.

Run ``python -m tests.docs.shared_files`` after a change of the options; tests compare.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import shtab

from tests.docs.markdown import Page
from tests.house.package import ROOT
from traceprobe._version import __version__
from traceprobe.cli import _parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

SHARE: Final = ROOT / "share"
MANUAL: Final = SHARE / "man" / "man1" / "traceprobe.1"
COMPLETIONS: Final = {
    "bash": SHARE / "bash-completion" / "completions" / "traceprobe",
    "zsh": SHARE / "zsh" / "site-functions" / "_traceprobe",
}

_SYNOPSIS: Final = (
    (None, "[\\fIoption\\fR ...] \\fITARGET\\fR"),
    ("doctor", "[\\fB-4\\fR | \\fB-6\\fR] [\\fB-I\\fR | \\fB-U\\fR | \\fB-T\\fR] [\\fB--json\\fR]"),
    ("demo", "[\\fIoption\\fR ...] [\\fITARGET\\fR]"),
)

_ABOUT: Final = (
    "Probes every hop between this machine and TARGET, a host name or an IP address, and says who answered, "
    "how fast, and what the answers tell of the path. All probes leave at once, and each hop is shown once "
    "it is settled. Round-trip times come from the kernel's time stamps wherever it makes some."
)

_EXAMPLES: Final = (
    ("What the path looks like, without asking anybody for names:", "traceprobe -n --no-asn example.com"),
    ("By TCP to the port of a web server, over IPv6:", "traceprobe -6 -T -p 443 example.com"),
    ("The result for another program:", "traceprobe --json example.com"),
    ("Which ways of probing are open, and what would open the others:", "traceprobe doctor"),
    ("Without a network and without privileges:", "traceprobe demo"),
)


def manual() -> str:
    """The manual page (man(7) of groff), from the options as they are parsed."""
    return "\n".join(_manual()) + "\n"


def _manual() -> Iterator[str]:
    yield f'.TH TRACEPROBE 1 "" "traceprobe {__version__}" "User Commands"'
    yield ".SH NAME"
    yield "traceprobe \\- see the path that packets take"
    yield ".SH SYNOPSIS"
    for command, rest in _SYNOPSIS:
        yield ".PP"
        name = "traceprobe" if command is None else f"traceprobe {command}"
        yield f"\\fB{name}\\fR {rest.replace('-', chr(92) + '-')}"
    yield ".SH DESCRIPTION"
    yield _plain(_ABOUT)
    commands, statuses = _epilog()
    yield ".SH COMMANDS"
    for name, meaning in commands:
        yield from _entry(f"\\fB{name}\\fR", meaning)
    parser = _parser._parser("trace")
    yield ".SH OPTIONS"
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.option_strings]
        if not actions or group.title is None:
            continue
        yield f".SS {_plain(group.title[0].upper() + group.title[1:])}"
        for action in actions:
            yield from _entry(_invocation(action), action.help or "")
    yield ".SH EXIT STATUS"
    for number, meaning in statuses:
        yield from _entry(f"\\fB{number}\\fR", meaning)
    yield ".SH ENVIRONMENT"
    yield from _entry(
        "\\fBNO_COLOR\\fR", "If it is set and not empty, nothing is coloured (https://no-color.org)."
    )
    yield ".SH EXAMPLES"
    for purpose, line in _EXAMPLES:
        yield ".PP"
        yield _plain(purpose)
        yield ".PP"
        yield ".RS 4"
        yield ".nf"
        yield f"{_plain(line)}"
        yield ".fi"
        yield ".RE"
    yield ".SH SEE ALSO"
    yield "\\fBtraceroute\\fR(8), \\fBping\\fR(8), \\fBmtr\\fR(8)"


def _entry(tag: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield tag
    yield _plain(text[:1].upper() + text[1:].rstrip(".") + ".")


def _invocation(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" \\fI{_plain(str(action.metavar))}\\fR"
    return ", ".join(f"\\fB{_plain(name)}\\fR" for name in action.option_strings) + value


def _plain(text: str) -> str:
    """Text that roff takes for nothing else."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in {".", "'"} else escaped


def _epilog() -> tuple[list[tuple[str, str]], list[tuple[int, str]]]:
    """Commands and exit statuses, as ``--help`` and docs/cli.md explain them."""
    commands = re.findall(r"^  (\w+) +(.+)$", _parser._EPILOG.partition("exit status")[0], re.MULTILINE)
    rows = Page(ROOT / "docs" / "cli.md").table("status")
    return commands, [(int(number), meaning) for number, meaning in rows]


def completion(shell: str) -> str:
    """The script by which a shell completes what is typed."""
    script = shtab.complete(_parser._completion_parser(), shell=shell)
    return "\n".join(line.rstrip() for line in str(script).splitlines()) + "\n"


def words(script: str) -> set[str]:
    """What a completion script knows: options and choices, however the generator lays them out."""
    return set(
        re.findall(r"--[a-z][a-z-]+|\b(?:linux|bsd|darwin|windows)_\w+\b|\bparis\b|\bdoctor\b", script)
    )


def files() -> dict[Path, str]:
    """Every file and what has to be in it."""
    return {MANUAL: manual()} | {path: completion(shell) for shell, path in COMPLETIONS.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
