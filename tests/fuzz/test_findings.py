"""What fuzzing has found stays mended: each finding, as small as it could be made."""

from __future__ import annotations

import sys

import attrs
import pytest

from tests.model.samples import TYPICAL

linux = pytest.mark.skipif(sys.platform != "linux", reason="the layout is that of Linux")


@linux
@pytest.mark.parametrize(
    "control",
    [
        "14000000000000000100000025000000" + "00f15365" + "00000000",
        "10000000000000000100000025000000",
        "11000000000000000000000002000000" + "3f",
        "14000000000000000000000000000000",
        "18000000000000000000000b00000000" + "7100000002",
        "18000000000000000b00000000000000" + "0000000000000000",
    ],
)
def test_a_control_message_that_is_shorter_than_its_kind_is_skipped(control: str) -> None:
    from traceprobe.sockets._control import Control, read_control

    assert read_control(memoryview(bytes.fromhex(control))) == Control(None, None, None)


@linux
def test_a_short_control_message_does_not_borrow_from_the_next() -> None:
    from traceprobe.sockets._control import read_control

    # A TTL of one byte; then a whole one, of 63.
    control = "11000000000000000000000002000000ff00000000000000" + "140000000000000000000000020000003f00000000000000"
    assert read_control(memoryview(bytes.fromhex(control))).ttl == 63


def test_a_target_out_of_a_document_gives_no_orders_to_the_terminal() -> None:
    hostile = attrs.evolve(TYPICAL, target="\x1b]0;owned\x07www\u202e.example\n")
    assert str(hostile).startswith("?]0;owned?www?.example? (203.0.113.80): reached")
    assert str(hostile).isprintable()
