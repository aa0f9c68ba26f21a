"""The soak in short: nothing crossed, nothing missed, nothing left behind; and it would notice."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.soak.network import SoakWire
from tests.soak.run import soak
from traceprobe.sockets.codec import Refusal
from traceprobe.sockets.codec._ledger import ProbeCodec

if TYPE_CHECKING:
    from traceprobe.testing._socket import SimulatedSocket


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def quiet(line: str) -> None:
    """Say nothing."""


async def test_no_answer_is_crossed_or_missed_and_nothing_is_left() -> None:
    report = await soak(10_000, traces=200, told=quiet)
    assert (report.crossed, report.missed) == (0, 0), report.faults
    assert report.probes >= 10_000
    assert report.at_once == 200
    assert report.answered > 2500
    assert report.late > 0
    assert report.forged > 500
    assert set(report.refused) >= {"bad_checksum", "bad_token", "foreign", "malformed", "unmatched"}
    assert report.descriptors[0] == report.descriptors[1]
    assert report.tasks[0] == report.tasks[1]


async def test_equal_seeds_give_equal_runs() -> None:
    first, second = [await soak(1500, traces=30, seed=7, told=quiet) for _ in range(2)]
    assert (first.probes, first.answered, first.refused) == (second.probes, second.answered, second.refused)


async def test_a_matcher_that_believes_forgers_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = ProbeCodec._match

    def gullible(codec: ProbeCodec, identifier: int, *rest: object, **options: object) -> object:
        outcome = honest(codec, identifier, *rest, **options)  # type: ignore[arg-type]
        if outcome is Refusal.BAD_TOKEN and codec._probes[identifier][0] in codec._identifiers:
            return codec._probes[identifier][0]
        return outcome

    monkeypatch.setattr(ProbeCodec, "_match", gullible)
    report = await soak(1500, traces=30, told=quiet)
    assert report.crossed > 0


async def test_answers_that_get_lost_inside_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()

    def forgetful(wire: SoakWire, socket: SimulatedSocket, datagram: bytes) -> None:
        if next(numbers) % 20:
            socket.arrived(datagram)

    monkeypatch.setattr(SoakWire, "_hand_over", forgetful)
    report = await soak(1500, traces=30, told=quiet)
    assert report.missed > 0
