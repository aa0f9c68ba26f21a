"""The live view: hops fill in where they stand, nothing jumps, and what stays is the plain view."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.terminal import Terminal
from traceprobe import Knowledge
from traceprobe.cli import main
from traceprobe.cli._exit import ExitStatus
from traceprobe.testing import Router, SimulatedNetwork

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]
    UseNetwork = Callable[..., None]
    Show = Callable[..., Terminal]


class PressesCtrlCOnce:
    """Looks nothing up, but interrupts the program when the first hop has answered."""

    pressed = False

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        return Knowledge()


LONG_NAME = "a-router-with-a-very-long-name.somewhere.in.the.network.of.a.carrier.example"


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run the program on a terminal in memory."""

    def show(
        *arguments: str,
        width: int = 200,
        height: int = 50,
        status: int = ExitStatus.REACHED,
        **variables: str,
    ) -> Terminal:
        for name, value in {"TERM": "xterm-256color", "NO_COLOR": "", **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("LINES", str(height))
        terminal = Terminal(width)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            assert main(arguments) == status
        return terminal

    return show


def hop_rows(frame: list[str]) -> dict[int, int]:
    """In which row each hop stands."""
    return {
        int(found[1]): row
        for row, text in enumerate(frame)
        if (found := re.match(r" {0,2}(\d{1,3}) +[-*\d]", text)) is not None
    }


@pytest.mark.parametrize("target", ["example.com", "unreachable.example", "silent.example"])
@pytest.mark.parametrize("option", ["--numeric", "--verbose", "--queries=9"])
def test_what_stays_is_the_plain_view(target: str, option: str, show: Show, run: Run) -> None:
    plain = run("demo", target, option)
    terminal = show("demo", target, option, width=300, status=plain.status)
    assert "\n".join(terminal.shown()) + "\n" == plain.out
    assert terminal.coloured
    assert not terminal.cursor_hidden


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_hop_ever_moves(width: int, show: Show) -> None:
    terminal = show("demo", width=width)
    seen: dict[int, int] = {}
    for frame in terminal.frames:
        for ttl, row in hop_rows(frame).items():
            if width >= 80:  # below that, a line that stays wraps even without its names
                assert seen.setdefault(ttl, row) == row, "\n".join(frame)
        # Figures stand in columns of their own, whatever has come by now.
        assert {line.index(" ms  ") for line in frame if re.search(r"\d  ms  ", line)} <= {33, 34}
    assert len(hop_rows(terminal.shown())) == 12


def test_answers_come_before_names_and_what_is_awaited_is_told(show: Show) -> None:
    frames = ["\n".join(frame) for frame in show("demo", width=100).frames]
    first = next(
        at for at, frame in enumerate(frames) if "  1        -     0.753         -  ms  192.0.2.1\n" in frame
    )
    named = next(at for at, frame in enumerate(frames) if "gateway.home.example (192.0.2.1)" in frame)
    assert 0 < first < named
    assert "\n89 of 90 probes are out, waiting for hops 1-30, at most 1.0 s more" in frames[first]
    assert any(
        re.search(r"\n1 of 90 probes is out, waiting for hop 9, at most \d+ ms more$", frame)
        for frame in frames
    )
    assert not any("more$" in frame for frame in frames[-2:])


def test_a_short_terminal_shows_the_nearest_of_what_is_not_complete(show: Show) -> None:
    terminal = show("demo", width=100, height=8)
    for frame in terminal.frames[1:-2]:
        moving = [row for row in frame if "198.51.100." in row or "203.0.113." in row]
        assert len(moving) <= 40
    assert len(hop_rows(terminal.shown())) == 12
    assert any(re.search(r"^\.\.\. and \d+ more lines$", row) for frame in terminal.frames for row in frame)


def test_names_give_way_on_a_narrow_terminal(show: Show, use_network: UseNetwork) -> None:
    network = SimulatedNetwork.path(
        "2001:db8::9", [Router("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", hostname=LONG_NAME), "2001:db8::9"]
    )
    use_network(network, names=True)
    shown = show("2001:db8::9", "-m", "2", width=100).shown()
    assert re.search(r"  ms  a-router-[-a-z]*\.\.\. \(2001:db8:aaaa:bbbb:cccc:dddd:eeee:1\)$", shown[2])
    assert len(shown[2]) == 100


def test_without_colours_it_is_live_all_the_same(show: Show) -> None:
    terminal = show("demo", NO_COLOR="1")
    assert not terminal.coloured
    assert len(terminal.frames) > 20


def test_a_dumb_terminal_gets_the_plain_view(show: Show, run: Run) -> None:
    terminal = show("demo", TERM="dumb", width=80)
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue() == run("demo").out


def test_whoever_interrupts_keeps_what_is_known(show: Show, use_network: UseNetwork) -> None:
    slow = Router("10.0.0.2", rtt=0.9)
    use_network(
        SimulatedNetwork.path("203.0.113.9", [Router("10.0.0.1", rtt=0.001), slow, "203.0.113.9"]),
        enrichers=(PressesCtrlCOnce(),),
    )
    terminal = show("203.0.113.9", "-m", "3", status=ExitStatus.INTERRUPTED)
    shown = "\n".join(terminal.shown())
    assert "  1    1.000     1.000     1.000  ms  10.0.0.1\n" in shown
    assert "the trace was cut short; the last to answer was hop " in shown
    assert " are out" not in shown
    assert not terminal.cursor_hidden


def test_a_trace_that_fails_says_so_once(
    show: Show, use_network: UseNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    use_network(SimulatedNetwork.path("203.0.113.9", ["203.0.113.9"]))
    terminal = show("203.0.113.9", "--packet-size", "65535", status=ExitStatus.REACHED)
    assert not terminal.cursor_hidden
    assert capsys.readouterr().err == ""


def test_a_terminal_that_has_gone_ends_it(monkeypatch: pytest.MonkeyPatch, show: Show) -> None:
    def gone(self: Terminal, text: str) -> int:
        if len(self.frames) > 5:
            raise BrokenPipeError
        return written(self, text)

    written = Terminal.write
    monkeypatch.setattr(Terminal, "write", gone)
    show("demo", status=ExitStatus.FAILURE)
