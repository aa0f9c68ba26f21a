"""Colours: only on a terminal that wants them, and never instead of words."""

from __future__ import annotations

import io
import re

import pytest

from tests.render.samples import ALL
from traceprobe.render.rich import RichWriter, colours_wanted
from traceprobe.render.text import Header, TextRenderer, result_to_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: io.StringIO, environment: dict[str, str], wanted: bool
) -> None:
    assert colours_wanted(stream, environment) is wanted


@pytest.mark.parametrize("name", ALL)
def test_without_its_colours_it_is_the_plain_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    result = ALL[name]
    stream = Terminal()
    renderer = TextRenderer(
        RichWriter(stream),
        queries=max((len(hop.probes) for hop in result.hops), default=1),
        first_ttl=result.hops[0].ttl if result.hops else 1,
    )
    renderer.begin(
        Header(target=result.target, address=result.address, protocol=result.protocol, port=result.port)
    )
    renderer.finish(result)
    coloured = stream.getvalue()
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == result_to_text(result)


def test_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    RichWriter(stream)((("[bold red]:boom: 10.0.0.1[/]", "name"),))
    assert "[bold red]:boom: 10.0.0.1[/]" in stream.getvalue()
