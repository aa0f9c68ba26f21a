"""Lines that have to fit a terminal: what gives way, in which order, and what never does."""

from __future__ import annotations

import pytest

from tests.render.samples import ALL
from traceprobe.render._fit import fitted
from traceprobe.render._lines import Line, hop_lines

NAME = "core1.harbour.isp.example"


def line(*, name: str | None = NAME, network: bool = True, remark: str | None = None) -> Line:
    """A hop's line, as they are laid out."""
    who: list[tuple[str, str]] = [("192.0.2.1", "address")]
    if name is not None:
        who = [(name, "name"), (" (192.0.2.1)", "address")]
    spans = [("  1", "dim"), ("      0.999 ", "rtt"), (" ms  ", "dim"), *who]
    if network:
        spans.append((" [AS64500 EXAMPLE-NETWORK, NL]", "dim"))
    if remark is not None:
        spans += [("  ", "plain"), (remark, "note")]
    return tuple(spans)  # type: ignore[arg-type]


def texts(rows: list[Line]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (87, "  1      0.999  ms  core1.harbour.isp.example (192.0.2.1) [AS64500 EXAMPLE-NETWORK, NL]"),
        (80, "  1      0.999  ms  core1.harbour.i... (192.0.2.1) [AS64500 EXAMPLE-NETWORK, NL]"),
        (74, "  1      0.999  ms  core1.har... (192.0.2.1) [AS64500 EXAMPLE-NETWORK, NL]"),
        (73, "  1      0.999  ms  core1.har... (192.0.2.1) [AS64500]"),
        (40, "  1      0.999  ms  core1.har... (192.0.2.1) [AS64500]"),
    ],
)
def test_names_give_way_before_networks_and_figures_never(width: int, expected: str) -> None:
    assert texts(fitted(line(), width)) == [expected]


def test_what_is_drawn_anew_is_cut_at_the_edge() -> None:
    assert texts(fitted(line(), 40, crop=True)) == ["  1      0.999  ms  core1.har... (192..."]
    assert texts(fitted(line(), 2, crop=True)) == [".."]


@pytest.mark.parametrize("name", [NAME, None, "a.example"])
def test_remarks_that_do_not_fit_get_a_row_whether_or_not_a_name_has_come(name: str | None) -> None:
    remark = "!H host unreachable, 4 hops away"
    assert len(fitted(line(name=name, network=False, remark=remark), 78)) == 1
    rows = texts(fitted(line(name=name, network=False, remark=remark), 70))
    assert len(rows) == 2
    assert rows[1] == " " * 20 + remark
    assert (name or "192.0.2.1") in rows[0]


@pytest.mark.parametrize("sample", ALL)
@pytest.mark.parametrize("width", [40, 60, 80, 100, 132])
def test_no_row_is_wider_than_the_terminal_where_that_is_asked_for(sample: str, width: int) -> None:
    for hop in ALL[sample].hops:
        for each in hop_lines(hop, 3):
            rows = texts(fitted(each, width, crop=True))
            assert max(map(len, rows)) <= width
            whole = "".join(text for text, _ in each)
            if len(whole) <= width - 15:
                assert rows == [whole]
