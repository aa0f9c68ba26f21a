"""A trace for anyone, anywhere: the real engine, packets and output over a network that is in memory only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.cli._trace import trace_and_print
from traceprobe.errors import NameResolutionError

if TYPE_CHECKING:
    import argparse

    from traceprobe.cli._console import Results
    from traceprobe.cli._exit import ExitStatus

__all__ = ["demonstrate"]


def demonstrate(namespace: argparse.Namespace, results: Results) -> ExitStatus:
    """Trace a target of the demonstration network, the first one if none is named.

    Raises:
        TraceprobeError: The trace could not be made.
    """
    from traceprobe.testing.demo import demo_network

    network = demo_network()
    names = list(network.topology.names)
    try:
        return trace_and_print(
            namespace,
            namespace.target or names[0],
            results,
            network=network,
            resolver=None if namespace.numeric else network.resolver,
        )
    except NameResolutionError as error:
        error.add_note(f"the demonstration network has: {', '.join(names)}")
        raise
