"""The tables of the reference that follow from the code are those of the code, and leave nothing out."""

from __future__ import annotations

import re

import attrs
import pytest

import traceprobe.testing
from tests.docs import reference_tables
from tests.docs.markdown import Page
from tests.house.package import ROOT
from traceprobe import EnrichmentConfig, TimingConfig, TracerouteConfig
from traceprobe.schema import trace_schema

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", reference_tables.TABLES)
def test_the_page_is_up_to_date(name: str) -> None:
    page, _ = reference_tables.TABLES[name]
    text = page.read_text(encoding="utf-8")
    assert reference_tables.with_table(name, text) == text, "run python -m tests.docs.reference_tables"


@pytest.mark.parametrize("config", [TracerouteConfig, TimingConfig, EnrichmentConfig])
def test_every_field_is_there_with_what_it_takes_and_means(config: type[attrs.AttrsInstance]) -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    section = text.partition(f"### Fields of `{config.__name__}`")[2].partition("###")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [row[0].strip(" `") for row in rows] == [field.name for field in attrs.fields(config)]
    for row in rows:
        assert len(row) == 6
        assert row[3].strip()
        assert row[4].strip()


def test_a_field_of_time_has_a_unit() -> None:
    lines = (REFERENCE / "configuration.md").read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")
    ]
    units = {row[0].strip("`"): row[1] for row in rows}
    for field in attrs.fields(TimingConfig):
        assert units[field.name] in {"seconds", "factor"}


def test_every_exception_is_there() -> None:
    named = {row[0].strip("`") for row in Page(REFERENCE / "errors.md").table("exception")}
    public = set()
    for name in traceprobe.__all__:
        value = getattr(traceprobe, name)
        if isinstance(value, type) and issubclass(value, traceprobe.TraceprobeError):
            public.add(name)
    assert named == public


def test_every_public_name_is_there() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    described = set(re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE))
    assert described == {*traceprobe.__all__, *traceprobe.testing.__all__}


def test_every_part_of_a_document_is_there() -> None:
    text = (REFERENCE / "schema.md").read_text(encoding="utf-8")
    definitions = trace_schema()["$defs"]
    assert isinstance(definitions, dict)
    assert not [name for name in definitions if f"## `{name}`" not in text]
