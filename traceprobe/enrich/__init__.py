"""Names and networks of the addresses on a path: look-ups that stream in and never delay a hop.

Knows nothing of probing.
"""

from traceprobe.enrich._pipeline import EnrichmentPipeline
from traceprobe.enrich._protocols import Enricher, Resolver, ReverseDnsEnricher

__all__ = ["Enricher", "EnrichmentPipeline", "Resolver", "ReverseDnsEnricher"]
