"""The newcomer's log is of the commands that the README gives, and they did what it promises."""

from __future__ import annotations

import re

from tests.docs.newcomer import PAGE, commands, shown

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_commands_are_those_of_the_readme() -> None:
    logged = re.findall(r"^\$ (python -m pip install .*)$", TEXT, re.MULTILINE)
    assert logged == list(commands())


def test_a_trace_was_printed_and_the_tests_passed() -> None:
    trace, _, tests = TEXT.partition("## The second command")
    assert re.search(r"^Reached example\.com ", trace, re.MULTILINE)
    assert re.search(r"^=+ \d+ passed", tests, re.MULTILINE)
    assert "failed" not in TEXT


def test_the_times_were_taken() -> None:
    seconds = re.findall(r"^\| `.+` \| (\d+\.\d) \|$", TEXT, re.MULTILINE)
    assert len(seconds) == 4
    assert all(float(time) > 0 for time in seconds)


def test_nothing_is_told_of_the_machine_but_its_kind() -> None:
    assert not re.search(r"/(?:home|root|tmp|opt|Users)/|https?://", TEXT)


def test_what_pip_says_on_its_way_is_left_out() -> None:
    output = "Collecting a\nSuccessfully installed a-1\nCollecting b\nSuccessfully installed b-2 c-3\nhello\n"
    assert shown(output) == "...\nSuccessfully installed b-2 c-3\nhello\n"


def test_of_the_tests_only_the_outcome_is_kept() -> None:
    output = "Successfully installed a-1\n=== test session starts ===\n...\n=== 2 passed in 1s ===\n"
    assert shown(output) == "...\nSuccessfully installed a-1\n=== 2 passed in 1s ===\n"
