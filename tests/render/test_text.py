"""Text for people: golden pages, the order of a running trace, corrections, and hostile names."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given

from tests.golden import check_golden
from tests.model.samples import TYPICAL, hop, replied, result, unsent
from tests.model.strategies import results
from tests.render.samples import ALL
from traceprobe.model import Hop, ReplyKind, StopReason, TraceResult
from traceprobe.render.text import Header, PlainWriter, TextRenderer, result_to_text

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ALL)
def test_a_finished_trace_reads_as_on_the_golden_page(name: str) -> None:
    check_golden(GOLDEN / f"{name}.txt", result_to_text(ALL[name]))


@given(results())
def test_any_result_is_printable_lines(any_result: TraceResult) -> None:
    text = result_to_text(any_result)
    assert all(line.isprintable() and line == line.rstrip() for line in text.split("\n"))
    text.encode("utf-8")
    numbered = [line[:3] for line in text.splitlines()[2:] if re.fullmatch(r"[ \d]{2}\d( .*)?", line)]
    assert [int(number) for number in numbered][: len(any_result)] == [hop.ttl for hop in any_result]


class Page:
    """A renderer and what it has written so far."""

    def __init__(self, queries: int = 3, first_ttl: int = 1) -> None:
        self.stream = io.StringIO()
        self.renderer = TextRenderer(PlainWriter(self.stream), queries=queries, first_ttl=first_ttl)

    def new(self) -> list[str]:
        """Lines written since the last call."""
        lines = self.stream.getvalue().splitlines()
        self.stream.seek(0)
        self.stream.truncate()
        return lines


def test_the_header_says_what_is_about_to_happen() -> None:
    page = Page()
    page.renderer.begin(
        Header(
            target="www.example.net",
            address=TYPICAL.address,
            protocol=TYPICAL.protocol,
            queries=1,
            max_ttl=30,
        )
    )
    assert page.new() == [
        "traceprobe to www.example.net (203.0.113.80), ICMP, 1 probe per hop, at most 30 hops",
        "",
    ]


def test_lines_come_in_order_as_soon_as_they_can() -> None:
    page = Page()
    first, second, third, *_ = TYPICAL.hops
    page.renderer.hop(third)
    assert page.new() == []
    page.renderer.hop(first)
    assert [line.split()[0] for line in page.new()] == ["1"]
    page.renderer.hop(second)
    assert [line.split()[0] for line in page.new()] == ["2", "3"]


def test_a_streamed_trace_reads_like_a_finished_one() -> None:
    page = Page()
    page.renderer.begin(
        Header(target=TYPICAL.target, address=TYPICAL.address, protocol=TYPICAL.protocol, port=TYPICAL.port)
    )
    hops = list(TYPICAL.hops)
    random.Random(1).shuffle(hops)
    for each in hops:
        page.renderer.hop(each)
    page.renderer.finish(TYPICAL)
    assert page.new() == result_to_text(TYPICAL).splitlines()


def test_the_first_line_is_that_of_the_first_ttl() -> None:
    page = Page(first_ttl=4)
    page.renderer.hop(hop(5, None))
    page.renderer.hop(hop(4, ("10.0.0.4", 1.0)))
    assert [line.split()[0] for line in page.new()] == ["4", "5"]


def test_every_line_is_flushed() -> None:
    class Recorder(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    stream = Recorder()
    TextRenderer(PlainWriter(stream), queries=3).hop(TYPICAL.hops[0])
    assert stream.flushed == len(stream.getvalue()) > 0


def test_hops_that_never_settled_are_taken_from_the_result() -> None:
    page = Page()
    page.renderer.hop(TYPICAL.hops[0])
    page.new()
    page.renderer.finish(TYPICAL)
    assert [line.split()[0] for line in page.new()[:6]] == ["2", "3", "4", "5", "42.240~", "6"]


def test_what_a_late_reply_changed_is_written_again() -> None:
    page = Page()
    for each in TYPICAL.hops:
        page.renderer.hop(each)
    page.new()
    late = hop(3, None, replied("10.0.0.3", 812.0, late=True), None)
    page.renderer.finish(attrs.evolve(TYPICAL, hops=(*TYPICAL.hops[:2], late, *TYPICAL.hops[3:])))
    assert page.new()[:4] == [
        "",
        "After a late answer or look-up:",
        "  3        *   812.000~        *  ms  10.0.0.3  2 of 3 lost",
        "",
    ]


@pytest.mark.parametrize(
    ("printed", "words"),
    [(7, "Hop 7 is not part of the path"), (9, "Hops 7 to 9 are not part of the path")],
)
def test_hops_that_turn_out_to_lie_behind_the_destination_are_taken_back(printed: int, words: str) -> None:
    page = Page()
    for each in (*TYPICAL.hops, *(hop(ttl, None, None, None) for ttl in range(7, printed + 1))):
        page.renderer.hop(each)
    page.renderer.finish(TYPICAL)
    assert f"{words}: it ends before." in page.new()


def notes_of(probed: Hop) -> str:
    """What the line of a hop says behind the address."""
    line = result_to_text(result(probed, stop_reason=StopReason.MAX_TTL)).splitlines()[2]
    return line.partition("10.0.0.1")[2].strip()


@pytest.mark.parametrize(
    ("kind", "icmp", "mtu", "note"),
    [
        (ReplyKind.TIME_EXCEEDED, (11, 0), None, ""),
        (ReplyKind.PORT_UNREACHABLE, (3, 3), None, ""),
        (ReplyKind.ECHO_REPLY, (0, 0), None, ""),
        (ReplyKind.UNREACHABLE, (3, 0), None, "!N network unreachable"),
        (ReplyKind.UNREACHABLE, (3, 1), None, "!H host unreachable"),
        (ReplyKind.PROTOCOL_UNREACHABLE, (3, 2), None, "!P protocol unreachable"),
        (ReplyKind.UNREACHABLE, (3, 5), None, "!S source route failed"),
        (ReplyKind.UNREACHABLE, (3, 10), None, "!X host administratively prohibited"),
        (ReplyKind.UNREACHABLE, (3, 15), None, "!C precedence cutoff"),
        (ReplyKind.UNREACHABLE, (3, 77), None, "!<77> unreachable"),
        (ReplyKind.UNREACHABLE, None, None, "!? unreachable"),
        (ReplyKind.UNREACHABLE, (3, 4), 1400, "!F fragmentation needed, MTU 1400"),
        (ReplyKind.PACKET_TOO_BIG, (3, 4), 1400, "!F packet too big, MTU 1400"),
        (ReplyKind.PARAMETER_PROBLEM, (12, 0), None, "!P parameter problem"),
        (ReplyKind.SYN_ACK, None, None, "port open"),
        (ReplyKind.RST, None, None, "port closed"),
        (ReplyKind.UDP_DATA, None, None, "port open"),
    ],
)
def test_what_a_reply_says_stands_behind_its_address(
    kind: ReplyKind, icmp: tuple[int, int] | None, mtu: int | None, note: str
) -> None:
    assert notes_of(hop(1, replied("10.0.0.1", 1.0, kind=kind, icmp=icmp, mtu=mtu))) == note


def test_the_same_thing_is_said_once() -> None:
    prohibited = replied("10.0.0.1", 1.0, kind=ReplyKind.UNREACHABLE, icmp=(3, 13))
    assert notes_of(hop(1, prohibited, prohibited, None)) == "!X administratively prohibited, 1 of 3 lost"


def test_send_errors_are_loud() -> None:
    text = result_to_text(result(hop(1, *[unsent()] * 3), stop_reason=StopReason.MAX_TTL))
    assert text.count("error") >= 3
    assert "Warning: 3 of 3 probes not sent: ENETUNREACH (no route to that network)." in text


def test_attempts_beyond_the_columns_wrap() -> None:
    page = Page(queries=2)
    page.renderer.hop(hop(1, None, None, ("10.0.0.1", 3.0), ("10.0.0.1", 4.0), ("10.0.0.1", 5.0)))
    assert page.new() == [
        "  1        *         *  ms  10.0.0.1  2 of 5 lost",
        "       3.000     4.000",
        "       5.000",
    ]


def test_the_numbers_are_aligned_whatever_the_names_are() -> None:
    lines = [line for line in result_to_text(TYPICAL).splitlines() if " ms  " in line]
    assert len({line.index(" ms  ") for line in lines}) == 1
