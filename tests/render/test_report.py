"""The layout of mtr's report: column for column, as the installed mtr prints it."""

from __future__ import annotations

import re

import attrs
import pytest

from tests.model.samples import cancelled, hop, replied, result, silent, unsent
from tests.rigs.require import missing_program, require
from traceprobe.model import Knowledge
from traceprobe.render.report import result_to_report

TRACE = result(
    hop(1, ("10.0.0.1", 1.0), ("10.0.0.1", 3.0), ("10.0.0.1", 2.0)),
    hop(2, None, None, None),
    hop(3, ("198.51.100.1", 5.0), None, cancelled()),
    hop(4, unsent(), unsent(), silent()),
    hop(10, replied("2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", 12345.67)),
)

REPORT = """\
Start: 2026-11-22T10:00:00+0000
HOST: here                        Loss%   Snt   Last   Avg  Best  Wrst StDev
  1.|-- 10.0.0.1                   0.0%     3    2.0   2.0   1.0   3.0   1.0
  2.|-- ???                       100.0     3    0.0   0.0   0.0   0.0   0.0
  3.|-- 198.51.100.1              50.0%     2    5.0   5.0   5.0   5.0   0.0
  4.|-- ???                       100.0     1    0.0   0.0   0.0   0.0   0.0
 10.|-- 2001:db8:ffff:ffff:ffff:f  0.0%     1  12345.7 12345.7 12345.7 12345.7   0.0
"""


def test_every_figure_stands_in_its_column() -> None:
    assert result_to_report(TRACE, "here") == REPORT


def test_the_wide_form_leaves_names_whole() -> None:
    lines = result_to_report(TRACE, "here", wide=True).splitlines()
    assert lines[-1].startswith(" 10.|-- 2001:db8:ffff:ffff:ffff:ffff:ffff:fffe  0.0%     1 ")
    assert (
        len({line.index(word) + len(word) for line, word in zip(lines[1:3], ("Snt", " 3 "), strict=True)})
        == 2
    )
    assert lines[1].index("Snt") + 3 == lines[2].index("     3 ") + 6


def test_names_are_cleaned() -> None:
    named = attrs.evolve(TRACE.hops[0].responders[0], knowledge=Knowledge(hostname="evil\x1b[2J name"))
    traced = attrs.evolve(TRACE, hops=(attrs.evolve(TRACE.hops[0], responders=(named,)),))
    report = result_to_report(traced, "a\nb")
    assert "  1.|-- evil?[2J?name " in report
    assert "HOST: a?b " in report


def test_a_result_without_hops_is_two_lines() -> None:
    assert len(result_to_report(attrs.evolve(TRACE, hops=()), "here", wide=True).splitlines()) == 2


def shape(report: str) -> list[str]:
    """A report without what differs from run to run: the moment, and the figures of time."""
    lines = report.splitlines()
    lines[0] = re.sub(r"\d", "0", lines[0])
    return [re.sub(r"( +\d+\.\d){5}$", "  t", line) for line in lines]


@pytest.mark.netns
def test_it_is_what_mtr_prints() -> None:
    require("mtr", missing_program("mtr"))
    from tests.rigs.chain import RouterChain  # needs Linux even to be imported

    with RouterChain(3, silent={2}) as chain:
        target = chain.target4
        ours = chain.run(["python", "-m", "traceprobe", "-n", "--report", "-q", "2", target]).stdout
        environment = ["env", "TZ=UTC"]
        theirs = chain.run([
            *environment,
            "mtr",
            "-n",
            "-r",
            "-c",
            "2",
            "-i",
            "0.1",
            "-G",
            "0.2",
            target,
        ]).stdout
    assert shape(ours) == shape(theirs)
