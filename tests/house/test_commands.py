"""The README's two commands are the very ones that CI runs, and CI's stages are the ones it names."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.house.package import ROOT

RUN = ROOT / ".ci" / "run"


def constant(name: str) -> str:
    """A constant of the script."""
    match = re.search(rf"""^readonly {name}=(["'])(.*)\1$""", RUN.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f".ci/run has no {name}"
    return match.group(2)


@pytest.mark.parametrize("name", ["RUN_COMMAND", "TEST_COMMAND"])
def test_the_readme_says_what_ci_runs(name: str) -> None:
    command = constant(name)
    assert command.startswith("python -m pip install ")
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert command in lines


def test_every_stage_is_run_by_default() -> None:
    text = RUN.read_text(encoding="utf-8")
    match = re.search(r"^readonly STAGES=\((.*)\)$", text, re.MULTILINE)
    assert match
    assert sorted(match.group(1).split()) == sorted(re.findall(r"^stage_(\w+)\(\)", text, re.MULTILINE))


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_an_unknown_stage_is_refused_before_anything_runs() -> None:
    run = subprocess.run(["bash", str(RUN), "lint", "nonsense"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "nonsense" in run.stderr
    assert "==>" not in run.stdout
