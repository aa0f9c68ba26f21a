"""A fake system for each test, and the check that nothing was done on it that no program may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sockets.windows.fake import TIMED_OUT, FakeWindows
from tests.sockets.windows.winsock import FakeWinsock
from traceprobe.sockets.windows._reactor import ReactorHolder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def system() -> FakeWindows:
    return FakeWindows()


@pytest.fixture
def winsock(system: FakeWindows) -> FakeWinsock:
    return FakeWinsock(system)


@pytest.fixture
def holder(system: FakeWindows, winsock: FakeWinsock) -> Iterator[ReactorHolder]:
    """The reactor of the fake system; at the end of the test it must come to an end with nothing left."""
    made = ReactorHolder(system.libraries)
    yield made
    system.network = lambda _: TIMED_OUT
    system.time_out()
    made.shut_down()
    assert system.violations == []
    assert made.counters[:2] == (0, 0)
    assert system.open_handles == set()
