"""Text for people: golden pages, the order of a running trace, corrections, and hostile names."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given

from tests.docs.markdown import Page
from tests.golden import check_golden
from tests.house.package import ROOT
from tests.model.samples import TYPICAL, hop, replied, result, unsent
from tests.model.strategies import results
from tests.render.samples import ALL
from traceprobe.model import (
    Change,
    ChangedField,
    Hop,
    InterfaceInformation,
    InterfaceRole,
    MplsLabel,
    ProbeResult,
    ReplyKind,
    StopReason,
    TraceResult,
)
from traceprobe.render._reply_words import _UNREACHABLE_V4, _UNREACHABLE_V6
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


class Screen:
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
    page = Screen()
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
    page = Screen()
    first, second, third, *_ = TYPICAL.hops
    page.renderer.hop(third)
    assert page.new() == []
    page.renderer.hop(first)
    assert [line.split()[0] for line in page.new()] == ["1"]
    page.renderer.hop(second)
    assert [line.split()[0] for line in page.new()] == ["2", "3"]


def test_a_streamed_trace_reads_like_a_finished_one() -> None:
    page = Screen()
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
    page = Screen(first_ttl=4)
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
    page = Screen()
    page.renderer.hop(TYPICAL.hops[0])
    page.new()
    page.renderer.finish(TYPICAL)
    assert [line.split()[0] for line in page.new()[:6]] == ["2", "3", "4", "5", "42.240~", "6"]


def test_what_a_late_reply_changed_is_written_again() -> None:
    page = Screen()
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
    page = Screen()
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
        (ReplyKind.UNREACHABLE, (3, 6), None, "!U network unknown"),
        (ReplyKind.UNREACHABLE, (3, 7), None, "!W host unknown"),
        (ReplyKind.UNREACHABLE, (3, 8), None, "!I source host isolated"),
        (ReplyKind.UNREACHABLE, (3, 9), None, "!A network administratively prohibited"),
        (ReplyKind.UNREACHABLE, (3, 10), None, "!Z host administratively prohibited"),
        (ReplyKind.UNREACHABLE, (3, 11), None, "!Q network unreachable for this type of service"),
        (ReplyKind.UNREACHABLE, (3, 12), None, "!T host unreachable for this type of service"),
        (ReplyKind.UNREACHABLE, (3, 13), None, "!X administratively prohibited"),
        (ReplyKind.UNREACHABLE, (3, 14), None, "!V host precedence violation"),
        (ReplyKind.UNREACHABLE, (3, 15), None, "!C precedence cutoff"),
        (ReplyKind.UNREACHABLE, (3, 77), None, "!<77> unreachable"),
        (ReplyKind.UNREACHABLE, None, None, "!? unreachable"),
        (ReplyKind.UNREACHABLE, (3, 4), 1400, "!F-1400 fragmentation needed"),
        (ReplyKind.PACKET_TOO_BIG, (3, 4), 1400, "!F-1400 fragmentation needed"),
        (ReplyKind.PACKET_TOO_BIG, (3, 4), None, "!F fragmentation needed"),
        (ReplyKind.PARAMETER_PROBLEM, (12, 0), None, "!<12-0> parameter problem"),
        (ReplyKind.PARAMETER_PROBLEM, None, None, "!? parameter problem"),
        (ReplyKind.SYN_ACK, None, None, "port open"),
        (ReplyKind.RST, None, None, "port closed"),
        (ReplyKind.UDP_DATA, None, None, "port open"),
    ],
)
def test_what_a_reply_says_stands_behind_its_address(
    kind: ReplyKind, icmp: tuple[int, int] | None, mtu: int | None, note: str
) -> None:
    assert notes_of(hop(1, replied("10.0.0.1", 1.0, kind=kind, icmp=icmp, mtu=mtu))) == note


@pytest.mark.parametrize(
    ("kind", "icmp", "mtu", "note"),
    [
        (ReplyKind.UNREACHABLE, (1, 0), None, "!N no route"),
        (ReplyKind.UNREACHABLE, (1, 1), None, "!X administratively prohibited"),
        (ReplyKind.UNREACHABLE, (1, 2), None, "!S beyond the scope of the source address"),
        (ReplyKind.UNREACHABLE, (1, 3), None, "!H address unreachable"),
        (ReplyKind.UNREACHABLE, (1, 5), None, "!X source address failed a policy"),
        (ReplyKind.UNREACHABLE, (1, 6), None, "!X route rejected"),
        (ReplyKind.UNREACHABLE, (1, 7), None, "!S source route failed"),
        (ReplyKind.UNREACHABLE, (1, 8), None, "!X headers too long"),
        (ReplyKind.UNREACHABLE, (1, 99), None, "!<99> unreachable"),
        (ReplyKind.PORT_UNREACHABLE, (1, 4), None, ""),
        (ReplyKind.PROTOCOL_UNREACHABLE, (4, 1), None, "!P protocol unreachable"),
        (ReplyKind.PACKET_TOO_BIG, (2, 0), 1280, "!F-1280 packet too big"),
        (ReplyKind.PARAMETER_PROBLEM, (4, 2), None, "!<4-2> parameter problem"),
    ],
)
def test_the_same_of_ipv6(kind: ReplyKind, icmp: tuple[int, int], mtu: int | None, note: str) -> None:
    answered = hop(1, replied("2001:db8::1", 1.0, kind=kind, icmp=icmp, mtu=mtu))
    line = result_to_text(result(answered, stop_reason=StopReason.MAX_TTL)).splitlines()[2]
    assert line.partition("2001:db8::1")[2].strip() == note
    mark = note.split()[0] if note.startswith("!") else ""
    assert line.startswith(f"  1    1.000 {mark}".rstrip())


def test_marks_stand_behind_the_times_of_their_attempts() -> None:
    unreachable = replied("10.0.0.1", 2.0, kind=ReplyKind.UNREACHABLE, icmp=(3, 1))
    too_big = replied("10.0.0.1", 3.0, kind=ReplyKind.PACKET_TOO_BIG, icmp=(3, 4), mtu=1400, late=True)
    page = Screen()
    page.renderer.hop(hop(1, ("10.0.0.1", 1.0), unreachable, too_big))
    (line,) = page.new()
    assert line.startswith("  1    1.000     2.000 !H     3.000~!F-1400  ms  10.0.0.1  !H host unreachable, ")


def changed(rtt: float, *changes: Change, address: str = "10.0.0.1", quoted_ttl: int = 1) -> ProbeResult:
    return replied(address, rtt, changes=changes, quoted_ttl=quoted_ttl)


DSCP = Change(ChangedField.DSCP, 0, 46)
CHECKSUM = Change(ChangedField.TRANSPORT_CHECKSUM, 0x1234, 0xABCD)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ([DSCP], "DSCP 0 -> 46"),
        ([DSCP, Change(ChangedField.ECN, 1, 0)], "DSCP 0 -> 46, ECN 1 -> 0"),
        ([Change(ChangedField.SOURCE, "10.0.0.9", "192.0.2.1"), CHECKSUM], "NAT to 192.0.2.1"),
        ([CHECKSUM], "NAT"),
        ([CHECKSUM, Change(ChangedField.TCP_OPTIONS, "020405b4", "020405a0")],
         "checksum 0x1234 -> 0xabcd, TCP options 020405b4 -> 020405a0"),
        ([Change(ChangedField.TTL, 1, 0)], "quoted TTL 0"),
        ([Change(ChangedField.IP_CHECKSUM, 1, 2)], ""),
        ([Change(ChangedField.IDENTIFICATION, 1, 0xD431)], "IP ID 0x0001 -> 0xd431"),
        ([Change(ChangedField.TCP_OPTIONS, "020405b4", "")], "TCP options 020405b4 -> nothing"),
        ([Change(ChangedField.SOURCE, "a", "\x1b[2J b")], "NAT to ?[2J?b"),
    ],
)  # fmt: skip
def test_what_the_path_changed(changes: list[Change], note: str) -> None:
    assert notes_of(hop(1, changed(1.0, *changes))) == note


def test_what_a_nearer_hop_showed_already_is_not_said_again() -> None:
    page = Screen(queries=1)
    for ttl in (1, 2, 3):
        page.renderer.hop(hop(ttl, changed(1.0, *([DSCP] if ttl > 1 else []))))
    page.renderer.hop(hop(4, changed(1.0, DSCP, CHECKSUM)))
    assert [line.partition("10.0.0.1")[2].strip() for line in page.new()] == ["", "DSCP 0 -> 46", "", "NAT"]


def test_a_label_stack_reads_as_mtr_writes_it() -> None:
    labels = [MplsLabel(16001, 1, 0, 1), MplsLabel(24005, 0, 1, 254)]
    assert notes_of(hop(1, replied("10.0.0.1", 1.0, mpls=labels))) == (
        "[MPLS: Lbl 16001 TC 1 S 0 TTL 1, Lbl 24005 TC 0 S 1 TTL 254]"
    )


def test_of_a_deep_label_stack_a_line_shows_the_beginning() -> None:
    labels = [MplsLabel(number, 0, int(number == 16), 1) for number in range(1, 17)]
    first = ", ".join(f"Lbl {number} TC 0 S 0 TTL 1" for number in range(1, 5))
    assert notes_of(hop(1, replied("10.0.0.1", 1.0, mpls=labels))) == f"[MPLS: {first} and 12 more]"
    shown = notes_of(hop(1, replied("10.0.0.1", 1.0, mpls=labels[:4])))
    assert shown.endswith("Lbl 4 TC 0 S 0 TTL 1]")


def test_one_probe_tells_how_far_away_its_end_is() -> None:
    refused = replied("10.0.0.1", 1.0, kind=ReplyKind.PORT_UNREACHABLE, icmp=(3, 3), quoted_ttl=4)
    assert notes_of(hop(9, refused)) == "6 hops away"
    assert notes_of(hop(9, attrs.evolve(refused, quoted_ttl=1))) == ""


@pytest.mark.parametrize("queries", [3, 8])
def test_a_router_that_forwards_ttl_zero_is_not_a_second_hop(queries: int) -> None:
    page = Screen(queries=queries)
    next_router = [replied("10.0.0.2", 1.0 + attempt, quoted_ttl=0) for attempt in range(queries - 1)]
    hidden = attrs.evolve(hop(1, *next_router, None), ttl_zero_forwarding=True)
    page.renderer.hop(hidden)
    page.renderer.hop(hop(2, *(("10.0.0.2", 2.0),) * queries))
    first, second = page.new()
    assert "10.0.0.2" not in first
    assert first.endswith(
        f"  ms  ?  forwards what has no TTL left, so that the next hop answers for it, 1 of {queries} lost"
    )
    assert first.startswith("  1    1.000     ")
    assert "10.0.0.2" in second


def test_in_full_everything_stands_below_its_hop() -> None:
    text = result_to_text(TYPICAL, verbose=True)
    check_golden(GOLDEN / "typical_verbose.txt", text)
    assert [line for line in text.splitlines() if line in result_to_text(TYPICAL)] == (
        result_to_text(TYPICAL).splitlines()
    )


@given(results())
def test_any_result_in_full_is_printable_lines(any_result: TraceResult) -> None:
    text = result_to_text(any_result, verbose=True)
    assert all(line.isprintable() and line == line.rstrip() for line in text.split("\n"))
    text.encode("utf-8")


def test_what_interfaces_are_called_is_cleaned() -> None:
    hostile = InterfaceInformation(InterfaceRole.INCOMING, name="eth0\x1b[2J\u202e 9 9.9.9.9")
    nameless = InterfaceInformation(InterfaceRole.NEXT_HOP)
    answer = replied("10.0.0.1", 1.0, interfaces=[hostile, nameless])
    lines = result_to_text(result(hop(1, answer), stop_reason=StopReason.MAX_TTL), verbose=True).splitlines()
    assert "         incoming interface: eth0?[2J??9?9.9.9.9" in lines
    assert "         next hop: nothing told of it" in lines


def test_the_same_thing_is_said_once() -> None:
    prohibited = replied("10.0.0.1", 1.0, kind=ReplyKind.UNREACHABLE, icmp=(3, 13))
    assert notes_of(hop(1, prohibited, prohibited, None)) == "!X administratively prohibited, 1 of 3 lost"


def test_send_errors_are_loud() -> None:
    text = result_to_text(result(hop(1, *[unsent()] * 3), stop_reason=StopReason.MAX_TTL))
    assert text.count("error") >= 3
    assert "Warning: 3 of 3 probes not sent: ENETUNREACH (no route to that network)." in text


@pytest.mark.parametrize(
    ("reason", "warning"),
    [
        ("overflow", "7 packets found no room in the receive buffer; there may have been replies among"),
        ("failed", "The system failed to send 7 probes that it had taken, or to wait for answers."),
    ],
)
def test_what_the_machine_failed_to_do_is_no_secret(reason: str, warning: str) -> None:
    text = result_to_text(attrs.evolve(TYPICAL, discarded={"unmatched": 0, reason: 7}))
    assert f"Warning: {warning}" in text.replace("\n", " ")


def test_attempts_beyond_the_columns_wrap() -> None:
    page = Screen(queries=2)
    page.renderer.hop(hop(1, None, None, ("10.0.0.1", 3.0), ("10.0.0.1", 4.0), ("10.0.0.1", 5.0)))
    assert page.new() == [
        "  1        *         *  ms  10.0.0.1  2 of 5 lost",
        "       3.000     4.000",
        "       5.000",
    ]


def test_the_numbers_are_aligned_whatever_the_names_are() -> None:
    lines = [line for line in result_to_text(TYPICAL).splitlines() if " ms  " in line]
    assert len({line.index(" ms  ") for line in lines}) == 1


def test_the_page_on_the_command_line_explains_every_mark() -> None:
    explained = {
        mark
        for row in Page(ROOT / "docs" / "cli.md").table("mark")
        for mark in re.findall(r"`(!\w+)", row[0])
    }
    drawn = {mark for table in (_UNREACHABLE_V4, _UNREACHABLE_V6) for mark, _ in table.values()}
    assert explained == drawn | {"!P", "!F"}
