"""What contributors are told is so: the stages of CI and their commands, the rigs, the generators."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.docs.markdown import Page
from tests.house.package import ROOT
from tests.rigs.require import CAPABILITIES

PAGE = Page(ROOT / "CONTRIBUTING.md")
RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
STAGES = dict(re.findall(r"^stage_(\w+)\(\) \{\n(.*?)^\}", RUN, re.MULTILINE | re.DOTALL))


def commands(cell: str) -> list[str]:
    """The commands in a table's cell."""
    return re.findall(r"`([^`]+)`", cell.partition(" (guards")[0])


def test_every_stage_is_named() -> None:
    assert {row[0].strip("`") for row in PAGE.table("stage")} == set(STAGES)


@pytest.mark.parametrize("row", PAGE.table("stage"), ids=lambda row: row[0].strip("`"))
def test_the_commands_are_those_of_the_stage(row: list[str]) -> None:
    # Where things are put is the script's business: folders and quotes are left out of the comparison.
    script = re.sub(
        r'"?\$scratch"?/', "", RUN if row[0] in {"`install`", "`test`"} else STAGES[row[0].strip("`")]
    )
    for command in commands(row[1]):
        words = [word for word in command.split() if not re.search(r"^docs/_build|^--outdir", word)]
        for word in words:
            assert word.strip("'\"") in script, f"{command}: {word}"


@pytest.mark.parametrize("row", PAGE.table("job"), ids=lambda row: row[0].strip("`"))
def test_the_commands_are_those_of_the_job(row: list[str]) -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    job = re.search(rf"^  {row[0].strip('`')}:\n((?:    .*\n|\n)+)", workflow, re.MULTILINE)
    assert job
    assert not [command for command in commands(row[1]) if command not in job[1]]


def test_every_rig_is_named() -> None:
    text = PAGE.text
    hidden = {
        "cc",
        "doh",
        "freebsd",
        "lab",
        "trio",
        "uvloop",
    }  # parts of others, or dependencies of the tests
    assert not [name for name in CAPABILITIES - hidden if f"`{name}`" not in text]


def test_the_generators_are_there() -> None:
    modules = re.findall(r"python -m ((?:tests|traceprobe)\.[\w.]+)", PAGE.text)
    assert len(modules) >= 5
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module
