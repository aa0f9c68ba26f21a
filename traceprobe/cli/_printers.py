"""What each output option prints: something to do while the trace runs, and something at its end.

A printer follows a trace as far as it goes. ``finish`` gets the result, also that of a trace that was cut
short, and prints whatever is still missing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import argparse

    from traceprobe import Trace, TraceResult
    from traceprobe.cli._console import Results
    from traceprobe.render.text import LineWriter, TextRenderer

__all__ = ["Printer", "printer_for"]


class Printer(Protocol):
    """Prints one trace."""

    async def follow(self, trace: Trace) -> None:
        """Print what there is to print until the trace has ended."""
        ...

    def finish(self, result: TraceResult) -> None:
        """Print the rest."""
        ...


def printer_for(namespace: argparse.Namespace, results: Results, *, host: str | None = None) -> Printer:
    """The printer that the options ask for.

    Args:
        namespace: The parsed command line.
        results: Where to print.
        host: What the machine that traces is called; None for its own name.
    """
    if namespace.json:
        return _Json(results)
    if namespace.ndjson:
        return _Ndjson(results)
    if namespace.csv:
        return _Csv(results)
    if namespace.report or namespace.report_wide:
        return _Report(results, host=host, wide=namespace.report_wide)
    return _Text(results, verbose=namespace.verbose)


class _Text:
    """Lines for people."""

    def __init__(self, results: Results, *, verbose: bool) -> None:
        self._results = results
        self._verbose = verbose
        self._renderer: TextRenderer | None = None

    async def follow(self, trace: Trace) -> None:
        from traceprobe.render.text import Header, TextRenderer

        config = trace.config
        self._renderer = TextRenderer(
            line_writer(self._results),
            queries=config.queries,
            first_ttl=config.first_ttl,
            verbose=self._verbose,
        )
        self._renderer.begin(
            Header(
                target=trace.target,
                address=trace.address,
                protocol=trace.protocol,
                port=trace.port,
                queries=config.queries,
                max_ttl=config.max_ttl,
            )
        )
        async for hop in trace.hops(until="enriched"):
            self._renderer.hop(hop)
        await trace.wait()

    def finish(self, result: TraceResult) -> None:
        if self._renderer is not None:
            self._renderer.finish(result)


def line_writer(results: Results) -> LineWriter:
    """Colours where they are wanted and to be had."""
    from traceprobe.render.rich import RichWriter, colours_wanted
    from traceprobe.render.text import PlainWriter

    if colours_wanted(results, os.environ):
        try:
            return RichWriter(results)
        except ImportError:
            pass
    return PlainWriter(results)


class _Json:
    """One document."""

    def __init__(self, results: Results) -> None:
        self._results = results

    async def follow(self, trace: Trace) -> None:
        await trace.wait()

    def finish(self, result: TraceResult) -> None:
        from traceprobe.render.json import result_to_json

        self._results.write(result_to_json(result))


class _Csv:
    """A row for each probe."""

    def __init__(self, results: Results) -> None:
        self._results = results

    async def follow(self, trace: Trace) -> None:
        await trace.wait()

    def finish(self, result: TraceResult) -> None:
        from traceprobe.render.csv import result_to_csv

        self._results.write(result_to_csv(result))


class _Report:
    """A line of figures for each hop."""

    def __init__(self, results: Results, *, host: str | None, wide: bool) -> None:
        self._results = results
        self._host = host
        self._wide = wide

    async def follow(self, trace: Trace) -> None:
        await trace.wait()

    def finish(self, result: TraceResult) -> None:
        import socket

        from traceprobe.render.report import result_to_report

        host = socket.gethostname() if self._host is None else self._host
        self._results.write(result_to_report(result, host, wide=self._wide))


class _Ndjson:
    """A line for each event; the last one is written by ``finish``, however the trace ended."""

    def __init__(self, results: Results) -> None:
        self._results = results

    async def follow(self, trace: Trace) -> None:
        from traceprobe import TraceFinished
        from traceprobe.render.ndjson import event_line, started_line

        started = started_line(
            trace.target,
            trace.address,
            protocol=trace.protocol,
            mode=trace.mode,
            port=trace.port,
            config=trace.config,
        )
        self._results.write(started)
        async for event in trace.events():
            if not isinstance(event, TraceFinished):
                self._results.write(event_line(event))

    def finish(self, result: TraceResult) -> None:
        from traceprobe import TraceFinished
        from traceprobe.render.ndjson import event_line

        self._results.write(event_line(TraceFinished(result)))
