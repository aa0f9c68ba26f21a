"""The soak in short: nothing crossed, nothing missed, nothing left behind; and it would notice."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.soak.network import SoakWire
from tests.soak.run import Part, Report, soak
from traceprobe.packets import IpProtocol, build_icmp_echo, build_ipv4
from traceprobe.sockets.codec import Refusal
from traceprobe.sockets.codec._ledger import ProbeCodec
from traceprobe.testing import FaultKind
from traceprobe.testing._forge import forge

if TYPE_CHECKING:
    from traceprobe.testing._socket import SimulatedSocket


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_no_answer_is_crossed_or_missed_and_nothing_is_left() -> None:
    report = await soak(10_000, traces=200)
    assert (report.crossed, report.missed) == (0, 0), report.faults
    assert report.probes >= 10_000
    assert report.at_once == 200
    assert report.answered > 2500
    assert report.late > 0
    assert report.forged > 500
    assert set(report.refused) >= {"bad_checksum", "bad_token", "foreign", "malformed", "unmatched"}
    assert report.left_behind == (0, 0)
    assert report.parts[-1].identifiers == 0
    assert report.parts[0].probes < report.parts[1].probes < report.parts[-1].probes


async def test_a_run_that_is_stopped_tells_how_far_it_got() -> None:
    scope = anyio.CancelScope()

    def looked(part: Part, report: Report) -> None:
        if report.traces > 40:
            scope.cancel()

    report = await soak(100_000, traces=30, scope=scope, looked=looked)
    assert report.stopped
    assert 40 < report.traces < report.probes < 100_000
    assert (report.crossed, report.missed) == (0, 0), report.faults
    assert report.left_behind == (0, 0)
    assert report.growth is None


def part(probes: int, megabytes: int) -> Part:
    return Part(probes, 0, megabytes * 1_000_000, 0, 0, 0, 0, 0)


def test_memory_that_goes_on_growing_is_noticed() -> None:
    growing = [part(probes, 100 + probes) for probes in range(101)]
    flat = [part(probes, min(100 + 4 * probes, 200)) for probes in range(101)]
    found = Report(probes=100, parts=growing)
    assert found.growth is not None
    assert found.growth[0] == 50_000_000
    assert not found.is_flat
    assert Report(probes=100, parts=flat).is_flat


def test_a_forger_finds_something_to_say_when_every_number_is_in_use() -> None:
    probe = build_ipv4(
        build_icmp_echo(4, identifier=7, sequence=9, payload=b"payload"),
        source=IPv4Address("192.0.2.77"),
        destination=IPv4Address("192.0.2.9"),
        protocol=IpProtocol.ICMP,
        ttl=3,
        identification=1,
    )
    every = {number.to_bytes(2, "big") for number in range(0x10000)}
    forged = forge(FaultKind.WRONG_SEQUENCE, probe, Random(1), every)
    assert forged[26:28] != probe[26:28]
    free = forge(FaultKind.WRONG_SEQUENCE, probe, Random(1), every - {b"\x12\x34"})
    assert free[26:28] == b"\x12\x34"


async def test_equal_seeds_give_equal_runs() -> None:
    first, second = [await soak(1500, traces=30, seed=7) for _ in range(2)]
    assert (first.probes, first.answered, first.refused) == (second.probes, second.answered, second.refused)


async def test_a_matcher_that_believes_forgers_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = ProbeCodec._match

    def gullible(codec: ProbeCodec, identifier: int, *rest: object, **options: object) -> object:
        outcome = honest(codec, identifier, *rest, **options)  # type: ignore[arg-type]
        if outcome is Refusal.BAD_TOKEN and codec._probes[identifier][0] in codec._identifiers:
            return codec._probes[identifier][0]
        return outcome

    monkeypatch.setattr(ProbeCodec, "_match", gullible)
    report = await soak(1500, traces=30)
    assert report.crossed > 0


async def test_answers_that_get_lost_inside_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()

    def forgetful(wire: SoakWire, socket: SimulatedSocket, datagram: bytes) -> None:
        if next(numbers) % 20:
            socket.arrived(datagram)

    monkeypatch.setattr(SoakWire, "_hand_over", forgetful)
    report = await soak(1500, traces=30)
    assert report.missed > 0
