"""What the page on look-ups says of the configuration is so."""

from __future__ import annotations

from ast import literal_eval

from tests.docs.markdown import Page
from tests.house.package import ROOT
from traceprobe import EnrichmentConfig, TimingConfig

PAGE = Page(ROOT / "docs" / "howto" / "enrichment.md")


def test_the_bounds_are_those_of_the_configuration() -> None:
    rows = PAGE.table("field")
    assert len(rows) == 7
    for field, home, _, default in rows:
        config = {"`TimingConfig`": TimingConfig(), "`EnrichmentConfig`": EnrichmentConfig()}[home]
        assert getattr(config, field.strip("`")) == literal_eval(default)


def test_the_kinds_of_look_ups_are_fields() -> None:
    for name in ("reverse_dns", "asn"):
        assert f"`{name}`\n: " in PAGE.text
        assert getattr(EnrichmentConfig(), name) is False
