"""The manual page and the completions that are installed are those of the options, and they work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs import shared_files
from tests.docs.shared_files import COMPLETIONS, MANUAL
from tests.rigs.require import missing_program, require

if TYPE_CHECKING:
    from pathlib import Path

STALE = "run python -m tests.docs.shared_files"


def bash_version() -> int:
    """The major version of bash; 0 where there is none, as on Windows, whose bash is another system's."""
    if sys.platform == "win32" or shutil.which("bash") is None:
        return 0
    version = subprocess.run(
        ["bash", "-c", "echo $BASH_VERSINFO"], capture_output=True, text=True, check=True
    )
    return int(version.stdout)


needs_bash = pytest.mark.skipif(bash_version() < 4, reason="no bash 4")


def test_the_manual_page_is_up_to_date() -> None:
    assert MANUAL.read_text(encoding="utf-8") == shared_files.manual(), STALE


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_the_completions_are_up_to_date(shell: str) -> None:
    # Another version of the generator lays the script out in another way; what it knows is the same.
    shipped = COMPLETIONS[shell].read_text(encoding="utf-8")
    assert shared_files.words(shipped) == shared_files.words(shared_files.completion(shell)), STALE


def test_the_manual_page_has_no_mistakes_and_can_be_read() -> None:
    require("groff", missing_program("groff"))
    run = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", str(MANUAL)], capture_output=True, text=True, check=True
    )
    assert not run.stderr
    for words in ("NAME", "--max-ttl TTL", "Farthest hop (30).", "traceprobe doctor", "130"):
        assert words in run.stdout.replace("\N{HYPHEN}", "-")


def completed(*words: str) -> list[str]:
    """What bash offers for a command line whose last word has been begun."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        source '{COMPLETIONS["bash"]}'
        function=$(complete -p traceprobe | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=({quoted})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        COMP_LINE="${{COMP_WORDS[*]}}"
        COMP_POINT=${{#COMP_LINE}}
        "$function" traceprobe "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    run = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return run.stdout.split()


@needs_bash
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["traceprobe", "--pri"], {"--print-completion"}),
        (["traceprobe", "--over"], {"--overall-timeout"}),
        (["traceprobe", "doc"], {"doctor"}),
        (["traceprobe", "demo", "--que"], {"--queries"}),
        (["traceprobe", "--mode", "linux_"], {"linux_raw", "linux_ping", "linux_udp", "linux_tcp"}),
        (["traceprobe", "demo", "--flow", ""], {"paris", "classic", "dublin"}),
        (["traceprobe", "doctor", "--max-t"], set()),
    ],
)
def test_bash_completes(words: list[str], expected: set[str]) -> None:
    assert set(completed(*words)) == expected


@needs_bash
def test_bash_completes_the_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "networks.mmdb").touch()
    (tmp_path / "other.mmdb").touch()
    begun = tmp_path / "net"
    assert completed("traceprobe", "--asn-db", str(begun)) == [str(tmp_path / "networks.mmdb")]


def line_of_zsh(typed: str, tmp_path: Path) -> str:
    """What zsh makes of a line when the tabulator is pressed at its end, in a terminal of its own."""
    import pty

    # The line is not run but printed: the cursor goes to its beginning, and a word is put in front.
    (tmp_path / ".zshrc").write_text(
        f"""
        PROMPT=ready: RPROMPT= ; unsetopt zle_bracketed_paste prompt_sp beep 2>/dev/null
        fpath=('{COMPLETIONS["zsh"].parent}' $fpath)
        autoload -Uz compinit && compinit -u -D
        bindkey -e
        """,
        encoding="utf-8",
    )
    environment = {**os.environ, "ZDOTDIR": str(tmp_path), "HOME": str(tmp_path), "TERM": "dumb"}
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("zsh", ["zsh", "-i"], environment)
    output = b""
    typed_ahead = [f"{typed}\t\x01print -r -- @\r", "exit\r"]
    try:
        while part := os.read(terminal, 4096):
            output += part
            if typed_ahead and output.count(b"ready:") > 2 - len(typed_ahead):
                os.write(terminal, typed_ahead.pop(0).encode())
    except OSError:  # Linux says EIO when the other side is closed
        pass
    os.close(terminal)
    os.waitpid(child, 0)
    (line,) = [line for line in output.decode().splitlines() if line.startswith("@")]
    return line.removeprefix("@")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("traceprobe --over", "traceprobe --overall-timeout"),
        ("traceprobe --mode linux_r", "traceprobe --mode linux_raw"),
        ("traceprobe demo --flow pa", "traceprobe demo --flow paris"),
        ("traceprobe doc", "traceprobe doctor"),
        ("traceprobe --repor", "traceprobe --report"),
    ],
)
def test_zsh_completes(typed: str, expected: str, tmp_path: Path) -> None:
    require("zsh", missing_program("zsh"))
    assert line_of_zsh(typed, tmp_path).rstrip() == expected
