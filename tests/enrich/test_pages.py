"""What the pages about files, exchanges and segments say is what the code does."""

from __future__ import annotations

import attrs

from tests.docs.markdown import pages
from tests.enrich.test_segments import SEGMENT_OF
from traceprobe import EnrichmentConfig, Segment, SegmentReason, TimingConfig

(SEGMENTS,) = [page for page in pages() if page.name == "docs/howto/segments.md"]


def test_every_reason_is_explained_with_its_segment() -> None:
    explained = {row[0].strip("`"): row[1] for row in SEGMENTS.table("reason")}
    assert explained == {reason.value: SEGMENT_OF[reason].value for reason in SegmentReason}


def test_every_segment_is_explained() -> None:
    assert not [segment for segment in Segment if f"\n`{segment.value}`\n: " not in SEGMENTS.text]


def test_the_defaults_of_stun_are_those_of_the_configuration() -> None:
    for name, home, _, default in SEGMENTS.table("field"):
        config = EnrichmentConfig() if home == "`EnrichmentConfig`" else TimingConfig()
        value = getattr(config, name.strip("`"))
        assert default == (
            ", ".join(f"`{each}`" for each in value) if isinstance(value, tuple) else f"{value:g}"
        )
    named = {row[0].strip("`") for row in SEGMENTS.table("field")}
    fields = (*attrs.fields(EnrichmentConfig), *attrs.fields(TimingConfig))
    assert named == {field.name for field in fields if field.name.startswith("stun_")}
