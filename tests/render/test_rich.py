"""Colours and drawing in place: only on a terminal that can do it, and colours never instead of words."""

from __future__ import annotations

import io

import pytest

from tests.render.samples import ALL
from tests.terminal import Terminal
from traceprobe.render.rich import RichWriter, can_be_redrawn, colours_wanted
from traceprobe.render.text import Header, TextRenderer, result_to_text


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_only_a_terminal_that_can_go_back_is_drawn_on(
    stream: io.StringIO, environment: dict[str, str], expected: bool
) -> None:
    assert can_be_redrawn(stream, environment) is expected


@pytest.mark.parametrize(
    ("environment", "wanted"), [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)]
)
def test_colours_are_for_those_who_want_them(environment: dict[str, str], wanted: bool) -> None:
    assert colours_wanted(environment) is wanted


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal that is wide enough."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "400")
    return Terminal(400)


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_without_its_colours_it_is_the_plain_text(name: str, colours: bool, terminal: Terminal) -> None:
    result = ALL[name]
    renderer = TextRenderer(
        RichWriter(terminal, colours=colours),
        queries=max((len(hop.probes) for hop in result.hops), default=1),
        first_ttl=result.hops[0].ttl if result.hops else 1,
    )
    renderer.begin(
        Header(target=result.target, address=result.address, protocol=result.protocol, port=result.port)
    )
    renderer.finish(result)
    assert terminal.coloured is colours
    assert "\n".join(terminal.shown()) + "\n" == result_to_text(result)


def test_names_are_no_markup(terminal: Terminal) -> None:
    RichWriter(terminal)((("[bold red]:boom: 10.0.0.1[/]", "name"),))
    assert terminal.shown() == ["[bold red]:boom: 10.0.0.1[/]"]


def test_what_stays_is_written_above_what_is_drawn(terminal: Terminal) -> None:
    with RichWriter(terminal) as screen:
        screen.draw([(("one", "plain"),), (("status", "dim"),)])
        screen((("one is complete", "plain"),))
        assert terminal.shown() == ["one", "status"], "it waits for the rest"
        screen.draw([(("status", "dim"),)])
        assert (terminal.shown(), terminal.cursor_hidden) == (["one is complete", "status"], True)
    assert (terminal.shown(), terminal.cursor_hidden) == (["one is complete"], False)
    screen((("the end", "good"),))
    assert terminal.shown() == ["one is complete", "the end"]
    assert len(terminal.frames) == 5, "each change is drawn in one piece"
