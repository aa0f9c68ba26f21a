"""What the pages say agrees with what the program is: links, numbers, options, statuses, reasons."""

from __future__ import annotations

import json
import re
import sys
from ast import literal_eval
from urllib.parse import urlsplit

import attrs
import jsonschema
import pytest

from tests.docs.markdown import Page, pages
from tests.house.package import ROOT, modules
from traceprobe.cli._exit import ExitStatus
from traceprobe.cli._parser import _parser
from traceprobe.config import FlowStrategy, Mode, Protocol, TimingConfig
from traceprobe.engine._states import COUNTED_AS
from traceprobe.model import ProbeStatus, StopReason, TimestampSource, TraceResult
from traceprobe.schema import trace_schema
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets._platform import platform_modes
from traceprobe.sockets.codec import Refusal
from traceprobe.sockets.codec._template import TOKEN_SIZE

README = Page(ROOT / "README.md")
ARCHITECTURE = Page(ROOT / "docs" / "architecture.md")
SILENCE = Page(ROOT / "docs" / "explanation" / "silence.md")
TIMESTAMPS = Page(ROOT / "docs" / "explanation" / "timestamps.md")
MATCHING = Page(ROOT / "docs" / "explanation" / "matching.md")
CLI = Page(ROOT / "docs" / "cli.md")
JSON = Page(ROOT / "docs" / "json.md")
ELSEWHERE = {
    "docs.peeringdb.com",
    "github.com",
    "keepachangelog.com",
    "man.freebsd.org",
    "maxmind.github.io",
    "publicdata.caida.org",
    "semver.org",
    "www.dnspython.org",
    "www.peeringdb.com",
    "www.team-cymru.com",
}
"""Where links may lead: to the home of what they speak of. Tests don't go there; ``-b linkcheck`` does."""

EVERY_PAGE = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def code(cell: str) -> str:
    """A table's cell without its back-quotes."""
    return cell.strip("`")


def anchors(page: Page) -> set[str]:
    """The anchors that GitHub and MyST make of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_PAGE
def test_every_link_leads_somewhere(page: Page) -> None:
    for link in page.links():
        if link.startswith("https://"):
            assert urlsplit(link).hostname in ELSEWHERE, f"{page.name}: {link}"
            continue
        path, _, anchor = link.partition("#")
        target = page.path if not path else (page.path.parent / path).resolve()
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(Page(target)), f"{page.name}: {link}"


@EVERY_PAGE
def test_every_file_that_is_named_is_there(page: Page) -> None:
    folders = {path.name for top in (ROOT, ROOT / "traceprobe") for path in top.iterdir() if path.is_dir()}
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+)`", page.text))
    ours = {name for name in named if name.partition("/")[0] in folders}
    missing = {name for name in ours if not ((ROOT / name).exists() or (ROOT / "traceprobe" / name).exists())}
    assert not missing


def test_every_guide_and_explanation_can_be_found() -> None:
    for folder in ("howto", "explanation", "reference"):
        index = Page(ROOT / "docs" / folder / "index.md")
        listed = {line for line in index.text.splitlines() if re.fullmatch(r"[\w-]+", line)}
        assert listed == {path.stem for path in index.path.parent.glob("*.md")} - {"index"}


@EVERY_PAGE
def test_lines_can_be_read(page: Page) -> None:
    text = re.sub(r"^```console\n.*?^```$", "", page.text, flags=re.MULTILINE | re.DOTALL)  # as it is printed
    long = [line for line in text.splitlines() if len(line) > 130 and not line.startswith("|")]
    assert not long


def test_the_timing_table_is_that_of_the_configuration() -> None:
    presets = (TimingConfig(), TimingConfig.fast(), TimingConfig.patient())
    rows = SILENCE.table("field")
    assert len(rows) >= 6
    for name, *values in rows:
        expected = [getattr(preset, code(name)) for preset in presets]
        assert [literal_eval(value) for value in values] == expected, name
    named = {code(row[0]) for row in rows}
    differing = {
        field.name
        for field in attrs.fields(TimingConfig)
        if len({getattr(preset, field.name) for preset in presets}) > 1
    }
    assert differing <= named


def test_every_room_is_in_the_picture() -> None:
    rows = {code(row[0]).removesuffix("/").removesuffix(".py") for row in ARCHITECTURE.table("room")}
    rooms = {module.name.split(".")[1] for module in modules() if "." in module.name}
    assert rows == {room for room in rooms if not room.startswith("_")} - {"api"}


def test_every_reason_for_refusing_a_reply_is_explained() -> None:
    explained = {code(row[0]) for row in MATCHING.table("reason")}
    assert {reason.value for reason in Refusal} | set(COUNTED_AS.values()) | {"after_end"} == explained


@pytest.mark.parametrize("name", ["architecture.md", "explanation/matching.md", "threat-model.md"])
def test_the_token_has_as_many_bits_as_are_told(name: str) -> None:
    told = re.findall(r"token (?:of|is) (\d+) bits", Page(ROOT / "docs" / name).text)
    assert told
    assert {int(bits) for bits in told} == {8 * TOKEN_SIZE}


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (JSON, [reason.value for reason in StopReason]),
        (JSON, [status.value for status in ProbeStatus]),
        (TIMESTAMPS, [source.value for source in TimestampSource if source is not TimestampSource.QPC]),
        (SILENCE, [reason.value for reason in StopReason if "destination" not in reason.value]),
    ],
)
def test_every_value_is_explained(page: Page, words: list[str]) -> None:
    assert not [word for word in words if f"`{word}`" not in page.text]


def test_the_example_document_is_one() -> None:
    (block,) = JSON.blocks("json")
    document = json.loads(block.code)
    jsonschema.Draft202012Validator(trace_schema()).validate(document)
    assert TraceResult.from_dict(document).reached


def test_every_option_is_explained_and_no_other() -> None:
    explained = [
        [code(name) for name in row[0].replace("`, `", "`\0`").split("\0")] for row in CLI.table("option")
    ]
    explained[0:1] = [[name] for name in explained[0]]  # -4 and -6 share a row
    options = [
        [*action.option_strings[:-1], f"{action.option_strings[-1]} {action.metavar or ''}".strip()]
        for action in _parser("trace")._actions
        if action.option_strings
    ]
    assert sorted(explained) == sorted(options)


def test_the_exit_statuses_are_the_same_everywhere() -> None:
    rows = CLI.table("status")
    assert [int(row[0]) for row in rows] == sorted(ExitStatus)
    assert README.table("status") == rows


def test_the_privileges_are_the_same_everywhere() -> None:
    short = [row[:4] for row in README.table("way (`--mode`)")]
    long = Page(ROOT / "docs" / "howto" / "without-root.md").table("way of probing")
    assert short == long
    assert {code(row[0]) for row in short} <= {mode.value for mode in Mode}


@pytest.mark.skipif(sys.platform != "linux", reason="the table is of Linux")
def test_the_privileges_are_those_of_the_sockets() -> None:
    protocols: dict[str, list[str]] = {}
    for entry in platform_modes():
        protocols.setdefault(entry.mode.value, []).append(entry.protocol.value.upper())
    expected = []
    for mode, names in protocols.items():
        flows = facts_of(Mode(mode), Protocol(names[0].lower())).flows
        expected.append([
            mode,
            ", ".join(names),
            flows[0].value.capitalize() if flows[0] is FlowStrategy.PARIS else flows[0].value,
        ])
    rows = README.table("way (`--mode`)")
    assert [[code(row[0]), row[2], row[3]] for row in rows] == expected
