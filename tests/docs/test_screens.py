"""The screens of the documentation are what the program prints."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.docs import screens
from tests.golden import without_duration
from tests.rigs.require import require

STALE = "run python -m tests.docs.screens"
SCREENS = [
    (command, shown)
    for page in screens.PAGES
    for command, shown in screens.screens(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("command", "shown"), SCREENS, ids=[command for command, _ in SCREENS])
def test_the_screen_is_true(command: str, shown: str) -> None:
    require("unprivileged", screens.can_be_taken_down(command))
    printed = screens.taken_down(command)
    assert without_duration(shown) == without_duration(printed), STALE


def test_what_newcomers_want_to_see_is_there() -> None:
    commands = {command for command, _ in SCREENS}
    assert {"traceprobe demo", "traceprobe doctor", "traceprobe demo --report"} <= commands
    assert any("--verbose" in command for command in commands)
    assert any("error:" in shown for _, shown in SCREENS)


def test_the_live_view_is_recorded_as_it_is() -> None:
    ((command, shown),) = screens.recordings(screens.PAGE.read_text(encoding="utf-8"))
    assert without_duration(shown).strip() == without_duration(screens.recording(command)).strip(), STALE


def test_whoever_wants_no_animations_sees_the_end_of_the_live_view() -> None:
    root = ElementTree.fromstring(screens.live_drawing("traceprobe demo"))
    texts = root.findall("{http://www.w3.org/2000/svg}text")
    staying = ["".join(text.itertext()) for text in texts if text.get("visibility") != "hidden"]
    assert staying == [row for row in screens.recorded("traceprobe demo").shown() if row]
