"""Traces one target and prints the result, also that of a trace that somebody interrupts."""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING, cast

import anyio

import traceprobe
from traceprobe.cli._names import FIELDS
from traceprobe.cli._printers import printer_for

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from traceprobe import Enricher, Resolver, SocketFactory, TraceOptions, TraceResult
    from traceprobe.cli._console import Results
    from traceprobe.cli._exit import ExitStatus
    from traceprobe.cli._printers import Printer

__all__ = ["options_of", "trace_and_print"]


def options_of(namespace: argparse.Namespace) -> TraceOptions:
    """The options that were given, as fields of the configuration; nothing is checked yet."""
    options: dict[str, object] = {}
    if getattr(namespace, "fast", False):
        options["timing"] = traceprobe.TimingConfig.fast()
    if getattr(namespace, "patient", False):
        options["timing"] = traceprobe.TimingConfig.patient()
    tos = getattr(namespace, "tos", None)
    if tos is not None:
        options["dscp"], options["ecn"] = tos >> 2, tos & 3
    for option, field in FIELDS.items():
        value = getattr(namespace, option, None)
        if value is not None:
            options[field] = value
    return cast("TraceOptions", options)


def lookups_of(namespace: argparse.Namespace, *, ask: bool = True) -> traceprobe.EnrichmentConfig:
    """What to look up: everything that the system's name servers can tell, unless the options say otherwise.

    Args:
        namespace: The parsed command line.
        ask: Whether name servers know anything of the network.

    Raises:
        ConfigError: An option can't be used.
    """
    asked_for = (namespace.asn_db, namespace.ixp_db, namespace.public_address, namespace.own_address)
    # The report has no place for networks.
    networks = ask and not (namespace.no_asn or namespace.report or namespace.report_wide)
    return traceprobe.EnrichmentConfig(
        reverse_dns=ask and not namespace.numeric,
        asn=networks and not namespace.asn_db,
        dns_servers=tuple(namespace.resolver or ()),
        databases=tuple(namespace.asn_db or ()),
        exchange_snapshot=namespace.ixp_db,
        public_address=namespace.public_address,
        own_addresses=tuple(namespace.own_address or ()),
        segments=networks or any(asked_for),
    )


def trace_and_print(
    namespace: argparse.Namespace,
    target: str,
    results: Results,
    *,
    network: SocketFactory | None = None,
    resolver: Resolver | None = None,
    enrichers: Sequence[Enricher] = (),
) -> ExitStatus:
    """Trace ``target`` with the options of the command line.

    Args:
        namespace: The parsed command line.
        target: Name or address.
        results: Where to print.
        network: Another network than the real one; real name servers know nothing of its addresses.
        resolver: Its name service.
        enrichers: More look-ups.

    Raises:
        TraceprobeError: The trace could not be made.
        KeyboardInterrupt: Somebody interrupted it; what was known has been printed.
    """
    options = options_of(namespace)
    options["enrichment"] = lookups_of(namespace, ask=network is None)
    host = None if network is None else "simulated"
    refused = None
    if network is None and namespace.verbose:
        real = traceprobe.ProbeSocketFactory()
        network, refused = real, lambda: real.refused
    trace = traceprobe.open_trace(
        target, socket_factory=network, resolver=resolver, enrichers=enrichers, **options
    )
    printer = printer_for(namespace, results, host=host, refused=refused)
    result = anyio.run(functools.partial(_follow, trace, printer))
    from traceprobe.cli._exit import ExitStatus

    return ExitStatus.REACHED if result.reached else ExitStatus.NOT_REACHED


async def _follow(trace: traceprobe.Trace, printer: Printer) -> TraceResult:
    """Print the trace while it runs, and its end.

    Ctrl-C cancels this task; the trace then ends with what it knows, which is printed before the
    cancellation goes on.
    """
    try:
        async with trace:
            gc.enable()  # all that is needed until the first probe leaves has been imported
            await printer.follow(trace)
    except anyio.get_cancelled_exc_class():
        if trace.finished:
            printer.finish(trace.result)
        raise
    printer.finish(trace.result)
    return trace.result
