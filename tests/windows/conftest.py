"""What the tests on Windows know of the network that they run in; elsewhere there is nothing to collect.

The environment says what lies between here and which target (``TRACEPROBE_LAB_...``, as ``tests/wine/lab.py``
sets them). Without that, the target is this machine, and tests that need routers are skipped.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.rigs.require import require

if TYPE_CHECKING:
    from traceprobe.sockets.windows._reactor import ReactorHolder

if sys.platform != "win32":
    collect_ignore_glob = ["test_*.py"]


class Target(NamedTuple):
    """Somebody who answers, and who answers on the way there."""

    address: str
    hops: tuple[str, ...]


class Lab(NamedTuple):
    """A network with routers."""

    target: Target
    silent: str
    """An address that nothing answers for; only the first ``silent_after`` routers on the way there do."""
    silent_after: int
    unreachable: str
    """An address that the router at ``unreachable_at`` calls an unreachable host."""
    unreachable_at: int
    open_port: int
    """A TCP port on which the target takes connections."""


def _told() -> Lab | None:
    told = os.environ.get
    if "TRACEPROBE_LAB_TARGET" not in os.environ:
        return None
    return Lab(
        Target(os.environ["TRACEPROBE_LAB_TARGET"], tuple(told("TRACEPROBE_LAB_HOPS", "").split(","))),
        told("TRACEPROBE_LAB_SILENT", ""),
        int(told("TRACEPROBE_LAB_SILENT_AFTER", "0")),
        told("TRACEPROBE_LAB_UNREACHABLE", ""),
        int(told("TRACEPROBE_LAB_UNREACHABLE_AT", "0")),
        int(told("TRACEPROBE_LAB_OPEN_PORT", "0")),
    )


@pytest.fixture(scope="session")
def target() -> Target:
    """The target of the lab, or this machine."""
    lab = _told()
    return Target("127.0.0.1", ("127.0.0.1",)) if lab is None else lab.target


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The network with routers."""
    told = _told()
    require("lab", None if told is not None else "TRACEPROBE_LAB_TARGET names no target behind routers")
    assert told is not None
    return told


@pytest.fixture
def reactor() -> ReactorHolder:
    """The reactor of this process, with nobody using it and nothing pending."""
    from traceprobe.sockets.windows._reactor import process_reactor

    holder = process_reactor()
    holder.join()
    return holder
