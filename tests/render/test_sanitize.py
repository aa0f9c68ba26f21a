"""Whatever a name server says, no terminal obeys it and no column moves."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe.render.sanitize import (
    LONGEST_NAME,
    LONGEST_TEXT,
    clean_line,
    clean_name,
    clean_text,
    escape_del,
)

HOSTILE = {
    "clears the screen": "\x1b[2Jgateway",
    "sets the window title": "\x1b]0;owned\x07gateway",
    "8-bit control sequence": "\x9b31mgateway",
    "rings the bell": "gate\x07way",
    "back to the start of the line": "gateway\r1  good.example",
    "next line": "gateway\n 2  good.example",
    "next line (C1)": "gateway\x85good",
    "next line (Unicode)": "gateway\u2028good\u2029good",
    "backspaces": "gateway\b\b\b\b\b\b\bevil",
    "deletes": "gate\x7fway",
    "right-to-left override": "gateway\u202egpj.exe",
    "isolates": "\u2066gateway\u2069",
    "marks": "gate\u200eway\u200f\u061c",
    "zero width": "gate\u200bway\u200c\u200d\u2060\ufeff",
    "lone surrogate": "gate\ud800way",
    "tag characters": "gateway\U000e0067\U000e007f",
    "private use": "gateway\ue000",
    "not assigned": "gateway\U000e0fff",
    "no-break space": "gateway\u00a0good",
    "ideographic space": "gateway\u3000good",
    "Hangul filler": "gate\u3164way",
    "variation selector": "gateway\ufe0f\U000e0100",
    "blank braille": "gate\u2800way",
    "NUL": "gate\x00way",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_characters_become_question_marks(name: str) -> None:
    for cleaned in (clean_name(name), clean_text(name)):
        assert "?" in cleaned
        assert cleaned.isprintable()
        assert "gate" in cleaned


@pytest.mark.parametrize(
    "name",
    [
        "gateway.home.example",
        "xn--mnchen-3ya.example",
        "münchen.example",
        "日本.example",
        "рф.example",
        "a_b-c.d",
    ],
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert clean_name(name) == name


def test_a_name_has_no_blanks_and_a_text_has_single_ones() -> None:
    assert clean_name("gateway  9.9.9.9  1.0 ms") == "gateway??9.9.9.9??1.0?ms"
    assert clean_text("  EXAMPLE   NETWORK, NL ") == "EXAMPLE NETWORK, NL"


def test_length_is_capped() -> None:
    assert clean_name("a" * LONGEST_NAME) == "a" * LONGEST_NAME
    assert clean_name("a" * 10_000) == "a" * (LONGEST_NAME - 3) + "..."
    assert len(clean_text("word " * 10_000)) == LONGEST_TEXT


def test_a_line_of_ours_keeps_its_length_and_its_blanks() -> None:
    assert clean_line("  remedy:  " + "x" * 500) == "  remedy:  " + "x" * 500
    assert clean_line("  target='\x1b[2J'") == "  target='?[2J'"


def test_marks_can_not_be_piled_up() -> None:
    assert clean_name("e\u0301") == "é"
    assert clean_name("z" + "\u0335" * 40) == "z\u0335\u0335" + "?" * 38


@given(st.text(st.characters()))
def test_nothing_unprintable_comes_through(text: str) -> None:
    for cleaned in (clean_name(text), clean_text(text), clean_line(text)):
        assert cleaned.isprintable()
        assert not any(unicodedata.category(character)[0] == "C" for character in cleaned)
        assert len(cleaned) <= LONGEST_NAME
        cleaned.encode("utf-8")
    assert " " not in clean_name(text)


@given(st.text(st.characters()))
def test_cleaning_again_changes_nothing(text: str) -> None:
    assert clean_name(clean_name(text)) == clean_name(text)
    assert clean_text(clean_text(text)) == clean_text(text)


def test_del_is_escaped_for_json() -> None:
    assert escape_del('"a\x7fb"') == '"a\\u007fb"'
