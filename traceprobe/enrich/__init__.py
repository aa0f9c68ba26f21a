"""Names and networks of the addresses on a path: look-ups that stream in and never delay a hop.

Knows nothing of probing.
"""

from typing import TYPE_CHECKING

from traceprobe.enrich._lookups import Lookups
from traceprobe.enrich._pipeline import EnrichmentPipeline
from traceprobe.enrich._protocols import Enricher, Resolver, TextAnswer, TextResolver, name_of
from traceprobe.enrich._reverse import ReverseDnsEnricher

if TYPE_CHECKING:
    from traceprobe.enrich._ends import PathJudge as PathJudge

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
