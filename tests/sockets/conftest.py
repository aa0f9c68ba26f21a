"""Fixtures for tests of real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel.conftest import kernel_stamps as kernel_stamps
from traceprobe.sockets import ProbeSocketFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sockets.network import OwnNetwork


@pytest.fixture(scope="module")
def network(kernel_stamps: None) -> Iterator[OwnNetwork]:
    """A network namespace for the thread that runs the tests of a module."""
    from tests.sockets.network import OwnNetwork

    with OwnNetwork() as entered:
        yield entered


@pytest.fixture
def factory() -> ProbeSocketFactory:
    return ProbeSocketFactory()
