"""Traces as text for people: a header, a line for each hop while the trace runs, and how it ended.

Everything that stands in a line has been cleaned; see :mod:`traceprobe.render.sanitize`. Where the lines
go, and in which colours, is the writer's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from traceprobe.render._lines import Header, columns_line, hop_lines, summary_lines

if TYPE_CHECKING:
    from traceprobe.model import Hop, TraceResult
    from traceprobe.render._lines import Line

__all__ = ["Header", "LineWriter", "PlainWriter", "TextRenderer", "TextStream", "result_to_text"]


class TextStream(Protocol):
    """What is needed of a stream; every text file has it."""

    def write(self, text: str, /) -> int:
        """Write text."""
        ...

    def flush(self) -> None:
        """Hand on what was written."""
        ...

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        ...


class LineWriter(Protocol):
    """Shows one line at once; a line is a sequence of ``(text, style)``."""

    def __call__(self, line: Line) -> None:
        """Show the line."""
        ...


class PlainWriter:
    """Writes lines without colours, each one as soon as it is there."""

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream

    def __call__(self, line: Line) -> None:
        """Write the line and flush it, for whoever reads along through a pipe."""
        self._stream.write("".join(text for text, _ in line) + "\n")
        self._stream.flush()


class TextRenderer:
    """Turns a running trace into lines, in the order of the TTLs.

    Feed it each hop once it is complete, in any order; a line is written as soon as those of all
    nearer hops have been. What changed after its line was written is written again at the end.

    Args:
        write: Takes each line.
        queries: Attempts per hop.
        first_ttl: TTL of the nearest hop.
        verbose: Write below each hop all that its replies tell.
    """

    def __init__(self, write: LineWriter, *, queries: int, first_ttl: int = 1, verbose: bool = False) -> None:
        self.write = write
        self._verbose = verbose
        self.known: set[str] = set()
        """What hops have shown of the probes' fate; it goes without saying at those behind them."""
        self._columns = max(queries, 1)
        self.next_ttl: int = first_ttl
        """TTL of the nearest hop that has not been written yet."""
        self._held: dict[int, Hop] = {}
        self._written: dict[int, list[Line]] = {}

    def begin(self, header: Header) -> None:
        """Write what is known before the first reply comes."""
        self.write(header.line())
        self.write(())
        titles = columns_line(self._columns)
        if titles is not None:
            self.write(titles)

    def hop(self, hop: Hop) -> None:
        """Take a hop that has settled and whose names are there or given up."""
        self._held[hop.ttl] = hop
        while self.next_ttl in self._held:
            self._write_hop(self._held.pop(self.next_ttl))
            self.next_ttl += 1

    def finish(self, result: TraceResult) -> None:
        """Write the hops that are still missing, what has changed meanwhile, and how the trace ended."""
        for hop in result.hops:
            if hop.ttl not in self._written:
                self._write_hop(hop)
        self._write_changes(result)
        self.write(())
        for line in summary_lines(result):
            self.write(line)

    def _write_hop(self, hop: Hop) -> None:
        lines = hop_lines(hop, self._columns, known=self.known, verbose=self._verbose)
        self._written[hop.ttl] = lines
        for line in lines:
            self.write(line)

    def _write_changes(self, result: TraceResult) -> None:
        """The result is what counts: a late reply may have changed a hop, or shortened the path."""
        known: set[str] = set()
        final = {
            hop.ttl: hop_lines(hop, self._columns, known=known, verbose=self._verbose) for hop in result.hops
        }
        changed = [ttl for ttl, lines in final.items() if self._written[ttl] != lines]
        beyond = sorted(self._written.keys() - final.keys())
        if changed:
            self.write(())
            self.write((("After a late answer or look-up:", "title"),))
            for line in (line for ttl in changed for line in final[ttl]):
                self.write(line)
        if beyond:
            hops = f"Hop {beyond[0]} is" if len(beyond) == 1 else f"Hops {beyond[0]} to {beyond[-1]} are"
            self.write(())
            self.write(((f"{hops} not part of the path: it ends before.", "note"),))


def result_to_text(result: TraceResult, *, verbose: bool = False) -> str:
    """A finished trace as the lines that :class:`TextRenderer` writes for it."""
    lines: list[str] = []
    renderer = TextRenderer(
        lambda line: lines.append("".join(text for text, _ in line)),
        queries=max((len(hop.probes) for hop in result.hops), default=0),
        first_ttl=result.hops[0].ttl if result.hops else 1,
        verbose=verbose,
    )
    renderer.begin(
        Header(target=result.target, address=result.address, protocol=result.protocol, port=result.port)
    )
    renderer.finish(result)
    return "\n".join(lines) + "\n"
