"""Plain command lines are understood as the parser understands them; all others are left to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe.cli import _parser
from traceprobe.cli._plain import FLAGS, VALUES, parse_plainly

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

WORDS = st.sampled_from([
    "host",
    "192.0.2.1",
    "::1",
    "trace",
    "demo",
    "doctor",
    "",
    " ",
    "5",
    "0.5",
    "1e3",
    "x y",
    "-",
])
NUMBERS = st.sampled_from(["1", "30", "0x1f", "1.5", "inf", "-1", "-", "--", "host", "", "99999"])
OPTIONS = st.one_of(
    WORDS.map(lambda word: [word]),
    st.sampled_from(sorted(FLAGS)).map(lambda name: [name]),
    st.tuples(st.sampled_from(sorted(VALUES)), NUMBERS).map(list),
    st.sampled_from([
        "--",
        "-h",
        "--version",
        "-n4",
        "-m5",
        "--max-ttl=5",
        "--json=1",
        "-x",
        "--flow",
        "paris",
        "-nv",
    ]).map(lambda word: [word]),
)


def by_the_parser(arguments: Sequence[str]) -> argparse.Namespace | None:
    """What argparse makes of it; None if it ends instead."""
    try:
        return _parser.parse(arguments)
    except SystemExit:
        return None


@given(st.lists(OPTIONS, max_size=5).map(lambda parts: [word for part in parts for word in part]))
def test_it_says_what_the_parser_says_or_nothing(arguments: list[str]) -> None:
    plain = parse_plainly(arguments)
    if plain is not None:
        parsed = by_the_parser(arguments)
        assert parsed is not None
        assert vars(plain) == vars(parsed)
        assert {name: type(value) for name, value in vars(plain).items()} == {
            name: type(value) for name, value in vars(parsed).items()
        }


@pytest.mark.parametrize("option", sorted(FLAGS))
def test_a_flag_alone_is_plain(option: str) -> None:
    plain = parse_plainly([option, "host"])
    assert plain is not None
    assert vars(plain) == vars(_parser.parse([option, "host"]))


@pytest.mark.parametrize("option", sorted(VALUES))
@pytest.mark.parametrize("value", ["7", "0.25", "lo"])
def test_an_option_with_a_value_is_plain(option: str, value: str) -> None:
    plain = parse_plainly(["host", option, value])
    assert plain is not None
    assert vars(plain) == vars(_parser.parse(["host", option, value]))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-n"],
        ["trace", "host"],
        ["doctor"],
        ["demo"],
        ["host", "another"],
        ["host", "-n", "-n"],
        ["host", "-4", "-6"],
        ["host", "--fast", "--patient"],
        ["host", "--json", "-v"],
        ["host", "-m"],
        ["host", "-m", "-1"],
        ["host", "-m5"],
        ["host", "--max-ttl=5"],
        ["--", "host"],
        ["host", "-h"],
        ["host", "--version"],
        ["host", "--resolver", "192.0.2.53"],
        ["host", "--unknown"],
        [""],
    ],
)
def test_all_else_is_left_to_the_parser(arguments: list[str]) -> None:
    assert parse_plainly(arguments) is None
