"""Names and networks of the addresses on a path: look-ups that stream in and never delay a hop.

Knows nothing of probing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe._late import import_when_asked
from traceprobe.enrich._lookups import Lookups
from traceprobe.enrich._pipeline import EnrichmentPipeline
from traceprobe.enrich._protocols import Enricher, Resolver, TextResolver, name_of

if TYPE_CHECKING:
    from traceprobe.enrich._ends import PathJudge as PathJudge
    from traceprobe.enrich._reverse import ReverseDnsEnricher as ReverseDnsEnricher
    from traceprobe.enrich._text_answer import TextAnswer as TextAnswer

__all__ = [
    "Enricher",
    "EnrichmentPipeline",
    "Lookups",
    "Resolver",
    "ReverseDnsEnricher",
    "TextAnswer",
    "TextResolver",
    "name_of",
]

if not TYPE_CHECKING:
    # What only look-ups need.
    __getattr__ = import_when_asked(
        __name__,
        {
            "ReverseDnsEnricher": "traceprobe.enrich._reverse",
            "TextAnswer": "traceprobe.enrich._text_answer",
        },
    )
