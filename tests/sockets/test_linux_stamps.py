"""Time stamps with less and less help from the kernel: always honest about where they come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from traceprobe.config import AddressFamily, Mode, Protocol
from traceprobe.loops import SystemClock
from traceprobe.model import TimestampSource

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import (
    NO_ROUTE,
    SILENT,
    both_versions,
    collect,
    config,
    every_mode,
    open_socket,
    probes_to,
)
from tests.sockets.network import Wire
from traceprobe.ffi import linux
from traceprobe.sockets.linux import _options as _linux_options
from traceprobe.sockets.linux import _socket as _linux_socket
from traceprobe.sockets.linux import ping as linux_ping
from traceprobe.sockets.linux import raw as linux_raw
from traceprobe.sockets.linux import udp as linux_udp

if TYPE_CHECKING:
    from tests.sockets.network import OwnNetwork
    from traceprobe.sockets import ProbeSocketFactory
    from traceprobe.sockets._built_in import OpenMode

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
OPENERS: dict[Mode, OpenMode] = {
    Mode.LINUX_RAW: linux_raw.open_linux_raw,
    Mode.LINUX_PING: linux_ping.open_linux_ping,
    Mode.LINUX_UDP: linux_udp.open_linux_udp,
}


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: stamps do not depend on it."""
    return "asyncio", {"use_uvloop": False}


@pytest.fixture
def without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel older than 6.13: it counts its stamps itself."""
    monkeypatch.setattr(_linux_socket, "stamps_can_be_numbered", lambda: False)


@every_mode
@both_versions
@pytest.mark.usefixtures("without_numbers")
async def test_the_kernels_own_count_is_followed(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version)
    for trace in range(1, 4):
        # The kernel may count a datagram that it refuses, or may not; afterwards both must agree again.
        good = probes_to(LOOPBACK[version], 140, trace=trace)
        bad = probes_to(NO_ROUTE[version], 2, trace=trace + 100)
        reports = await opened.send_probes([*good[:50], *bad, *good[50:]])
        replies = await collect(opened, 140)
        sent = {report.probe_id: report for report in reports}
        by_probe = {reply.probe_id: reply for reply in replies}
        assert len(by_probe) == 140
        stamps = [by_probe[probe.id].sent_at_ns for probe in good]
        sources = [by_probe[probe.id].timestamp_source for probe in good]
        # Where an error got in between, stamps on their way are given up rather than mixed up.
        assert sources.count(TimestampSource.KERNEL_TX_RX) >= 50
        known = [stamp for stamp in stamps if stamp is not None]
        assert known == sorted(known)
        for probe, stamp in zip(good, stamps, strict=True):
            reply = by_probe[probe.id]
            if stamp is None:
                assert reply.timestamp_source is TimestampSource.KERNEL_RX
            else:
                assert sent[probe.id].sent_at_ns <= stamp
                assert reply.rtt_ns > 0
    await opened.aclose()


@every_mode
async def test_numbered_stamps_never_get_mixed_up(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol
) -> None:
    opened = await open_socket(factory, mode, protocol, 4)
    for trace in range(1, 4):
        good = probes_to("127.0.0.1", 140, trace=trace)
        bad = probes_to("203.0.113.200", 2, trace=trace + 100)
        await opened.send_probes([*good[:50], *bad, *good[50:]])
        by_probe = {reply.probe_id: reply for reply in await collect(opened, 140)}
        stamps = [by_probe[probe.id].sent_at_ns for probe in good]
        assert {reply.timestamp_source for reply in by_probe.values()} == {TimestampSource.KERNEL_TX_RX}
        assert stamps == sorted(stamp for stamp in stamps if stamp is not None)
    await opened.aclose()


@every_mode
@both_versions
async def test_a_look_at_the_nearest_times_no_reply_without_its_stamp(
    factory: ProbeSocketFactory, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened: Any = await open_socket(factory, mode, protocol, version)
    probes = probes_to(LOOPBACK[version], 140)
    await opened.send_probes(probes)
    replies = [*opened.receive_nearest()]
    assert len(replies) > 16  # as many stamps as are read at first where nothing needs more
    replies += await collect(opened, 140 - len(replies)) if len(replies) < 140 else []
    by_probe = {reply.probe_id: reply for reply in replies}
    await opened.aclose()
    assert {reply.timestamp_source for reply in replies} == {TimestampSource.KERNEL_TX_RX}
    stamps = [by_probe[probe.id].sent_at_ns for probe in probes]
    assert stamps == sorted(stamps)


@both_versions
@pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])
async def test_a_look_at_the_nearest_leaves_most_stamps_for_later(
    factory: ProbeSocketFactory, protocol: Protocol, version: int
) -> None:
    opened: Any = await open_socket(factory, Mode.LINUX_RAW, protocol, version)
    await opened.send_probes(probes_to(SILENT[version], 40))
    assert opened.receive_nearest() == []
    assert len(opened._round_trips._awaited) == 40 - 16
    assert opened.receive_nowait() == []
    assert not opened._round_trips.awaits_stamps
    await opened.aclose()


@every_mode
@both_versions
async def test_with_receive_stamps_only(
    factory: ProbeSocketFactory,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    protocol: Protocol,
    version: int,
) -> None:
    monkeypatch.setattr(linux, "SO_TIMESTAMPING", 9999)  # an option that no kernel has
    opened = await open_socket(factory, mode, protocol, version)
    assert opened.capabilities.timestamps is TimestampSource.KERNEL_RX
    await opened.send_probes(probes_to(LOOPBACK[version], 5))
    replies = await collect(opened, 5)
    await opened.aclose()
    assert {reply.timestamp_source for reply in replies} == {TimestampSource.KERNEL_RX}
    assert {reply.sent_at_ns for reply in replies} == {None}
    assert all(reply.rtt_ns >= 0 for reply in replies)


@every_mode
@both_versions
async def test_without_any_stamps(
    factory: ProbeSocketFactory,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    protocol: Protocol,
    version: int,
) -> None:
    monkeypatch.setattr(linux, "SO_TIMESTAMPING", 9999)
    monkeypatch.setattr(linux, "SO_TIMESTAMPNS", 9998)
    opened = await open_socket(factory, mode, protocol, version)
    assert opened.capabilities.timestamps is TimestampSource.USER
    reports = await opened.send_probes(probes_to(LOOPBACK[version], 5))
    replies = await collect(opened, 5)
    await opened.aclose()
    assert {reply.timestamp_source for reply in replies} == {TimestampSource.USER}
    sent = {report.probe_id: report.sent_ns for report in reports}
    for reply in replies:
        assert reply.rtt_ns == reply.received_ns - sent[reply.probe_id]


class SteppedClock(SystemClock):
    """The system's clock, with a wall clock that can be stepped."""

    def __init__(self) -> None:
        self.step_ns = 0

    def realtime_ns(self) -> int:
        return super().realtime_ns() + self.step_ns


@every_mode
@both_versions
@pytest.mark.parametrize("step_ns", [-3_600 * 10**9, 2 * 10**6, 10**9])
async def test_a_step_of_the_clock_spoils_no_round_trip(
    network: OwnNetwork, mode: Mode, protocol: Protocol, version: int, step_ns: int
) -> None:
    clock = SteppedClock()
    opened = OPENERS[mode](config(mode, protocol), AddressFamily(version), protocol, clock)
    wire = Wire(network, version)
    probes = probes_to(SILENT[version], 2)
    await opened.send_probes(probes)
    quotes = wire.sent()
    wire.inject_error(quotes[0])
    (before,) = opened.receive_nowait()
    clock.step_ns = step_ns
    wire.inject_error(quotes[1])
    (after,) = opened.receive_nowait()
    await opened.aclose()
    assert before.timestamp_source is TimestampSource.KERNEL_TX_RX
    assert after.timestamp_source is TimestampSource.USER
    assert 0 < before.rtt_ns <= after.rtt_ns < 60 * 10**9
    assert before.received_ns <= after.received_ns <= clock.monotonic_ns()


def test_this_kernel_is_asked_whether_it_numbers_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    _linux_options.stamps_can_be_numbered.cache_clear()
    try:
        assert _linux_options.stamps_can_be_numbered() in {True, False}
        _linux_options.stamps_can_be_numbered.cache_clear()
        monkeypatch.setattr(linux, "SCM_TS_OPT_ID", 9999)  # a control message that no kernel has
        assert _linux_options.stamps_can_be_numbered() is False
    finally:
        _linux_options.stamps_can_be_numbered.cache_clear()
