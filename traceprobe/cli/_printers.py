"""What each output option prints: something to do while the trace runs, and something at its end.

A printer follows a trace as far as it goes. ``finish`` gets the result, also that of a trace that was cut
short, and prints whatever is still missing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from traceprobe import ModeReport, Trace, TraceResult
    from traceprobe.cli._console import Results
    from traceprobe.render.rich import RichWriter
    from traceprobe.render.text import LineWriter, TextRenderer

__all__ = ["Printer", "printer_for"]

_STAMPED_ELSEWHERE: Final = ("linux_", "simulated")
"""Ways of probing whose replies are stamped before Python sees them. With the others this process reads the
clock, so it must not be busy while they come."""


class Printer(Protocol):
    """Prints one trace."""

    async def follow(self, trace: Trace) -> None:
        """Print what there is to print until the trace has ended."""
        ...

    def finish(self, result: TraceResult) -> None:
        """Print the rest."""
        ...


def printer_for(
    namespace: argparse.Namespace,
    results: Results,
    *,
    host: str | None = None,
    refused: Callable[[], ModeReport] | None = None,
) -> Printer:
    """The printer that the options ask for.

    Args:
        namespace: The parsed command line.
        results: Where to print.
        host: What the machine that traces is called; None for its own name.
        refused: Tells the ways of probing that were passed over; None if there was no choice.
    """
    if namespace.json:
        return _Json(results)
    if namespace.ndjson:
        return _Ndjson(results)
    if namespace.csv:
        return _Csv(results)
    if namespace.report or namespace.report_wide:
        return _Report(results, host=host, wide=namespace.report_wide)
    return _Text(results, verbose=namespace.verbose, refused=refused)


class _Text:
    """Lines for people: on a terminal, those of hops that are not complete yet change in place."""

    def __init__(self, results: Results, *, verbose: bool, refused: Callable[[], ModeReport] | None) -> None:
        self._results = results
        self._verbose = verbose
        self._refused = refused
        self._trace: Trace | None = None
        self._renderer: TextRenderer | None = None

    async def follow(self, trace: Trace) -> None:
        self._trace = trace
        if trace.mode.startswith(_STAMPED_ELSEWHERE):
            await _first_probes(trace)
        screen = screen_for(self._results)
        renderer = self._begin(trace, screen)
        if screen is not None:
            from traceprobe.cli._live import draw

            with screen:
                await draw(trace, renderer, screen)
        else:
            async for hop in trace.hops(until="enriched"):
                renderer.hop(hop)
        await trace.wait()

    def _begin(self, trace: Trace, screen: RichWriter | None) -> TextRenderer:
        from traceprobe.render.text import Header, PlainWriter, TextRenderer

        config = trace.config
        self._renderer = TextRenderer(
            screen or PlainWriter(self._results),
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
        return self._renderer

    def finish(self, result: TraceResult) -> None:
        if self._trace is not None:
            # Whoever interrupts at once does so before anything was written.
            renderer = self._renderer or self._begin(self._trace, screen_for(self._results))
            renderer.finish(result)
            if self._verbose:
                self._tell_decisions(result, self._trace, renderer)

    def _tell_decisions(self, result: TraceResult, trace: Trace, renderer: TextRenderer) -> None:
        from traceprobe.render.decisions import decision_lines

        refused = None if self._refused is None else map(str, self._refused().statuses)
        renderer.write(())
        for line in decision_lines(result, trace.config, refused):
            renderer.write(line)


async def _first_probes(trace: Trace) -> None:
    """Wait until the first probes have left: what rendering needs is imported behind them, not before."""
    async for _ in trace.events():
        break


def screen_for(results: Results) -> RichWriter | None:
    """The terminal, if it is one that can be redrawn and ``rich`` is there."""
    from traceprobe.render.rich import RichWriter, can_be_redrawn, colours_wanted

    if can_be_redrawn(results, os.environ):
        try:
            return RichWriter(results, colours=colours_wanted(os.environ))
        except ImportError:
            pass
    return None


def line_writer(results: Results) -> LineWriter:
    """Colours where they are wanted and to be had."""
    from traceprobe.render.text import PlainWriter

    return screen_for(results) or PlainWriter(results)


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
