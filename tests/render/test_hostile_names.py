"""Names that mean harm, wherever a name can stand, through everything that shows a result."""

from __future__ import annotations

import csv
import io
import json
import re

import attrs
import pytest

from tests.model.samples import hop, replied, result
from tests.render.hostile import every_name, harmless
from tests.render.test_html import ALLOWED, ATTRIBUTES, Page
from tests.terminal import Terminal
from traceprobe.config import TracerouteConfig
from traceprobe.model import (
    Asn,
    EnrichmentError,
    Exchange,
    InterfaceInformation,
    InterfaceRole,
    Knowledge,
    StopReason,
    TraceFinished,
    TraceResult,
)
from traceprobe.render.csv import result_to_csv
from traceprobe.render.decisions import decision_lines
from traceprobe.render.html import result_to_html
from traceprobe.render.json import result_to_json
from traceprobe.render.ndjson import event_line
from traceprobe.render.report import result_to_report
from traceprobe.render.rich import RichWriter
from traceprobe.render.text import Header, TextRenderer, result_to_text

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def spoken_of(name: str) -> TraceResult:
    """A result in which everything that a stranger may name bears this name."""
    known = Knowledge(
        name,
        Asn(64500, prefix=name, country=name, registry=name, name=name),
        country=name,
        city=name,
        exchange=Exchange(name, name, name, name, 64501),
        errors=(EnrichmentError(name, name),),
    )
    told = InterfaceInformation(InterfaceRole.INCOMING, 7, None, name, 1500)
    probe = attrs.evolve(replied("10.0.0.1", 1.0), interfaces=(told,))
    first = hop(1, probe, ("10.0.0.1", 1.1), names={"10.0.0.1": known})
    # A mode of somebody's own socket, and reasons, are what documents say they are.
    return result(first, target=name, stop_reason=StopReason.MAX_TTL, mode=name, discarded={name: 3})


@every_name
def test_text(name: str) -> None:
    plain = result_to_text(spoken_of("gateway"))
    page = result_to_text(spoken_of(name))
    assert harmless(page)
    assert page.count("\n") == plain.count("\n")
    assert str(spoken_of(name)).isprintable()
    assert all(str(probed).isprintable() for probed in spoken_of(name).hops)


@every_name
@pytest.mark.parametrize("verbose", [False, True])
def test_a_terminal_with_colours(name: str, verbose: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = spoken_of(name)
    stream = Terminal()
    renderer = TextRenderer(RichWriter(stream), queries=2, first_ttl=1, verbose=verbose)
    renderer.begin(Header(target=shown.target, address=shown.address, protocol=shown.protocol, port=None))
    renderer.finish(shown)
    assert harmless(ESCAPE.sub("", stream.getvalue()))


@every_name
def test_the_report(name: str) -> None:
    for wide in (False, True):
        page = result_to_report(spoken_of(name), name, wide=wide)
        assert harmless(page)
        assert page.count("\n") == 3


@every_name
def test_decisions(name: str) -> None:
    lines = decision_lines(spoken_of(name), TracerouteConfig(), [name])
    assert all(harmless(text) and "\n" not in text for line in lines for text, _ in line)


@every_name
def test_html(name: str) -> None:
    shown = spoken_of(name)
    for page in (result_to_html(shown), shown._repr_html_()):
        for tag, attributes in Page(page).tags:
            assert tag in ALLOWED
            assert set(attributes) <= ATTRIBUTES
        assert harmless(page)


@every_name
def test_csv(name: str) -> None:
    text = result_to_csv(spoken_of(name))
    header, *rows = csv.reader(io.StringIO(text))
    assert text.count("\n") == 1 + len(rows) == 3
    for row in rows:
        assert len(row) == len(header)
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")) for cell in row)
    assert all(line.isprintable() for line in text.split("\n"))


@every_name
def test_json_and_its_lines(name: str) -> None:
    shown = spoken_of(name)
    for page in (result_to_json(shown), event_line(TraceFinished(shown))):
        assert page.isascii()
        assert harmless(page)
    assert json.loads(result_to_json(shown))["hops"][0]["hostname"] == name
