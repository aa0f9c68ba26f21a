"""What can't be had is told in terms of the configuration, with what would help on that system."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.bsd.kernels import FakeKernel
from tests.bsd.paths import Path
from traceprobe.config import AddressFamily, Mode, Protocol, TracerouteConfig
from traceprobe.errors import (
    ConfigError,
    FamilyMismatchError,
    NoUsableSocketError,
    PrivilegeError,
    UnsupportedOption,
)
from traceprobe.ffi.bsd import abi_for
from traceprobe.loops import SystemClock
from traceprobe.model import Probe, TimestampSource, make_probe_id
from traceprobe.sockets import ProbeSocketFactory, _platform, factory
from traceprobe.sockets._descriptors import free_descriptors
from traceprobe.sockets._platform import bsd_modes, bsd_name
from traceprobe.sockets.bsd import _kernel, _remedies
from traceprobe.sockets.bsd._kernel import KqueueGathering
from traceprobe.sockets.bsd._open import open_bsd_socket
from traceprobe.sockets.bsd._options import passing
from traceprobe.sockets.bsd._systems import SYSTEMS

if TYPE_CHECKING:
    from traceprobe.sockets._built_in import BuiltInSocket

pytestmark = pytest.mark.anyio

V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6
EVERY_SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
LOOPBACK = socket.if_nameindex()[0][1]


def kernel_of(system: str, *, root: bool = True) -> FakeKernel:
    return FakeKernel(abi_for(system, "amd64"), Path(), root=root)


def open_one(
    kernel: FakeKernel,
    mode: Mode = Mode.BSD_RAW,
    family: AddressFamily = V4,
    protocol: Protocol = Protocol.ICMP,
    **options: Any,
) -> BuiltInSocket:
    return open_bsd_socket(
        kernel, SYSTEMS[kernel.name], mode, TracerouteConfig(**options), family, protocol, SystemClock()
    )


# --- privileges ---------------------------------------------------------------------------------------


@EVERY_SYSTEM
@pytest.mark.parametrize("protocol", Protocol)
def test_raw_sockets_are_refused_with_what_would_help(
    system: str, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name == "doas" else None)
    kernel = kernel_of(system, root=False)
    with pytest.raises(PrivilegeError) as caught:
        open_one(kernel, protocol=protocol)
    assert f"raw sockets need root, and {SYSTEMS[system].title} refuses" in caught.value.message
    assert caught.value.remedies[0].startswith("doas ")
    assert any("darwin_dgram" in remedy for remedy in caught.value.remedies) is (system == "darwin")
    assert kernel.sockets == []


@pytest.mark.parametrize(
    ("helpers", "expected"), [({"sudo"}, "sudo /"), ({"sudo", "doas"}, "doas /"), (set(), "su root -c '/")]
)
def test_root_is_reached_by_what_is_installed(
    helpers: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: name if name in helpers else None)
    monkeypatch.setattr("sys.executable", "/usr/local/bin/python3")
    monkeypatch.setattr("sys.orig_argv", ["python3", "-m", "traceprobe", "example.com"])
    (remedy,) = _remedies.raw_remedies(SYSTEMS["openbsd"])
    assert remedy.startswith(expected)
    assert "-m traceprobe example.com" in remedy


def test_root_in_a_jail_is_told_to_have_it_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(PrivilegeError) as caught:
        open_one(kernel_of("freebsd", root=False))
    assert caught.value.remedies == ("on the host of this jail: jail -m name=JAIL allow.raw_sockets=1",)


def test_a_low_source_port_needs_root_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 501)
    kernel = kernel_of("darwin", root=False)
    with pytest.raises(PrivilegeError, match="source_port=53") as caught:
        open_one(kernel, Mode.DARWIN_DGRAM, protocol=Protocol.UDP, source_port=53)
    assert "choose a source port of 1024 or more" in caught.value.remedies
    assert kernel.sockets == []


def test_only_macos_has_icmp_without_privileges() -> None:
    for system in SYSTEMS:
        kernel = kernel_of(system, root=False)
        if system == "darwin":
            open_one(kernel, Mode.DARWIN_DGRAM).close_now()
        else:
            with pytest.raises(NoUsableSocketError, match="no such sockets"):
                open_one(kernel, Mode.DARWIN_DGRAM)
        assert kernel.sockets == []


# --- options ------------------------------------------------------------------------------------------


@EVERY_SYSTEM
@pytest.mark.parametrize(("option", "value"), [("mark", 7), ("flow_label", 5)])
def test_what_no_bsd_has_is_refused(system: str, option: str, value: int) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(UnsupportedOption, match=option):
        open_one(kernel_of(system), Mode.BSD_RAW, V6, Protocol.ICMP, **options)


@EVERY_SYSTEM
@pytest.mark.parametrize("family", AddressFamily)
def test_an_interface_can_be_chosen_on_macos_alone(system: str, family: AddressFamily) -> None:
    kernel = kernel_of(system)
    if system != "darwin":
        with pytest.raises(UnsupportedOption, match="interface"):
            open_one(kernel, family=family, interface=LOOPBACK)
        return
    opened = open_one(kernel, family=family, interface=LOOPBACK)
    (icmp,) = kernel.sockets
    option = (0, 25) if family is V4 else (41, 125)
    assert icmp.options[option] == socket.if_nameindex()[0][0]
    opened.close_now()
    with pytest.raises(ConfigError, match="an interface of this machine"):
        open_one(kernel, family=family, interface="none9")
    assert kernel.sockets == []


@EVERY_SYSTEM
@pytest.mark.parametrize("wanted", [True, False])
async def test_dont_fragment_is_set_where_there_is_a_way(system: str, wanted: bool) -> None:
    kernel = kernel_of(system)
    if wanted and system in {"openbsd", "dragonfly"}:
        with pytest.raises(UnsupportedOption, match="dont_fragment"):
            open_one(kernel, dont_fragment=True)
        return
    opened = open_one(kernel, dont_fragment=wanted)
    if system == "netbsd":
        await opened.send_probes([Probe(make_probe_id(1, 1), kernel.path.target(4), 3, 1)])
        assert bool(kernel.sent[0][6] & 0x40) is wanted
    elif system in {"freebsd", "darwin"}:
        assert kernel.sockets[0].options[0, {"freebsd": 67, "darwin": 28}[system]] == int(wanted)
    await opened.aclose()


@EVERY_SYSTEM
def test_local_fragmentation_is_forbidden_in_ipv6_everywhere(system: str) -> None:
    kernel = kernel_of(system)
    opened = open_one(kernel, family=V6, dont_fragment=True)
    assert kernel.sockets[0].options[41, 62] == 1
    opened.close_now()


def test_a_datagram_socket_is_asked_for_nothing_that_it_refuses() -> None:
    kernel = kernel_of("darwin", root=False)
    with pytest.raises(UnsupportedOption, match="dont_fragment"):
        open_one(kernel, Mode.DARWIN_DGRAM, V6, dont_fragment=True)
    open_one(kernel, Mode.DARWIN_DGRAM, V4, dont_fragment=True, dscp=10, interface=LOOPBACK).close_now()
    open_one(kernel, Mode.DARWIN_DGRAM, V6, dscp=10, interface=LOOPBACK).close_now()
    assert kernel.sockets == []


@EVERY_SYSTEM
@pytest.mark.parametrize("protocol", Protocol)
async def test_the_source_address_is_bound_and_checked(system: str, protocol: Protocol) -> None:
    kernel = kernel_of(system)
    with pytest.raises(ConfigError, match="an address of this machine"):
        open_one(kernel, protocol=protocol, source="192.0.2.1")
    with pytest.raises(FamilyMismatchError):
        open_one(kernel, protocol=protocol, source="fd00:1::1")
    assert kernel.sockets == []
    opened = open_one(kernel, protocol=protocol, source="10.0.1.1")
    (report,) = await opened.send_probes([Probe(make_probe_id(1, 1), kernel.path.target(4), 3, 1)])
    assert (report.error, str(report.source)) == (None, "10.0.1.1")
    assert kernel.sent[0][12:16] == bytes((10, 0, 1, 1))
    await opened.aclose()


def test_a_source_port_that_is_taken_is_told() -> None:
    kernel = kernel_of("freebsd")
    first = open_one(kernel, protocol=Protocol.UDP, source_port=4000)
    with pytest.raises(ConfigError, match="a port that no other socket has taken"):
        open_one(kernel, protocol=Protocol.UDP, source_port=4000)
    first.close_now()
    open_one(kernel, protocol=Protocol.UDP, source_port=4000).close_now()


def test_buffers_that_are_too_large_for_the_kernel_are_made_smaller() -> None:
    kernel = kernel_of("freebsd")
    opened = open_one(kernel, receive_buffer=16 << 20)
    assert kernel.sockets[0].options[0xFFFF, 0x1002] == 2 << 20
    assert opened.capabilities.max_in_flight == (2 << 20) // 4096
    opened.close_now()


@EVERY_SYSTEM
@pytest.mark.parametrize("protocol", Protocol)
def test_a_kernel_that_lacks_what_is_needed_is_said_to(
    system: str, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernel_of(system)
    everything = kernel.known_options
    needed = (0, kernel.quirks.recvttl)
    monkeypatch.setattr(kernel, "known_options", lambda opened: everything(opened) - {needed})
    with pytest.raises(NoUsableSocketError, match=f"{SYSTEMS[system].title} refuses what such sockets need"):
        open_one(kernel, protocol=protocol)
    assert kernel.sockets == []
    assert kernel.gatherings == []


def test_without_stamps_of_the_kernel_the_process_reads_its_own_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = kernel_of("openbsd")
    everything = kernel.known_options
    stamp = (0xFFFF, kernel.quirks.timestamp)
    monkeypatch.setattr(kernel, "known_options", lambda opened: everything(opened) - {stamp})
    opened = open_one(kernel)
    assert opened.capabilities.timestamps is TimestampSource.USER
    opened.close_now()


def test_stamps_come_in_nanoseconds_where_the_kernel_has_them() -> None:
    for system in SYSTEMS:
        kernel = kernel_of(system)
        opened = open_one(kernel)
        assert opened.capabilities.timestamps is TimestampSource.KERNEL_RX
        assert kernel.sockets[0].options.get((0xFFFF, 0x1017)) == (2 if system == "freebsd" else None)
        opened.close_now()


def test_the_filter_lets_through_what_a_set_bit_stands_for() -> None:
    words = [int.from_bytes(passing(1, 3, 129)[place : place + 4], "little") for place in range(0, 32, 4)]
    assert words == [0b1010, 0, 0, 0, 0b10, 0, 0, 0]


# --- the factory and doctor ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("freebsd14", "freebsd"),
        ("netbsd10", "netbsd"),
        ("openbsd7", "openbsd"),
        ("dragonfly6", "dragonfly"),
        ("darwin", "darwin"),
        ("linux", None),
        ("win32", None),
        ("sunos5", None),
    ],
)
def test_systems_are_known_by_the_name_that_python_gives_them(platform: str, name: str | None) -> None:
    assert bsd_name(platform) == name


def test_each_system_has_its_ways_of_probing_best_first() -> None:
    for system in SYSTEMS:
        ways = [(entry.mode, entry.protocol) for entry in bsd_modes(system)]
        protocols = (Protocol.ICMP, Protocol.UDP, Protocol.TCP)
        if system == "darwin":
            assert ways == [
                (mode, protocol) for protocol in protocols for mode in (Mode.BSD_RAW, Mode.DARWIN_DGRAM)
            ]
        else:
            assert ways == [
                (Mode.BSD_RAW, protocol) for protocol in (Protocol.ICMP, Protocol.UDP, Protocol.TCP)
            ]


@EVERY_SYSTEM
@pytest.mark.parametrize("root", [True, False])
def test_doctor_reports_what_a_system_has(system: str, root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernel_of(system, root=root)
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr("traceprobe.sockets.bsd.raw.HostKernel", lambda *_, **__: kernel)
    monkeypatch.setattr("traceprobe.sockets.bsd.darwin.HostKernel", lambda *_, **__: kernel)
    monkeypatch.setattr(factory, "platform_modes", lambda: bsd_modes(system))
    report = ProbeSocketFactory().report()
    assert len(report.statuses) == 2 * (6 if system == "darwin" else 3)
    for status in report.statuses:
        assert status.usable is (root or status.mode is Mode.DARWIN_DGRAM)
        assert status.usable or status.remedies
    best = report.best(V4)
    if root:
        assert best is not None
        assert (best.mode, best.protocol) == (Mode.BSD_RAW, Protocol.ICMP)
    elif system == "darwin":
        assert best is not None
        assert (best.mode, best.protocol) == (Mode.DARWIN_DGRAM, Protocol.ICMP)
    else:
        assert best is None
    assert kernel.sockets == []


async def test_on_macos_the_factory_falls_back_to_what_needs_no_privileges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = kernel_of("darwin", root=False)
    monkeypatch.setattr("traceprobe.sockets.bsd.raw.HostKernel", lambda *_, **__: kernel)
    monkeypatch.setattr("traceprobe.sockets.bsd.darwin.HostKernel", lambda *_, **__: kernel)
    monkeypatch.setattr(factory, "platform_modes", lambda: bsd_modes("darwin"))
    for protocol in Protocol:
        opened = await ProbeSocketFactory().open(TracerouteConfig(protocol=protocol), V4)
        assert opened.capabilities.mode == "darwin_dgram"
        assert opened.capabilities.protocol is protocol
        await opened.aclose()
    with pytest.raises(PrivilegeError, match="raw sockets need root"):
        await ProbeSocketFactory().open(TracerouteConfig(mode="bsd_raw"), V4)
    assert _platform.bsd_name("darwin") == "darwin"


# --- kqueue -------------------------------------------------------------------------------------------


class Queue:
    """A kqueue that notes what it is told; levels are what the test sets."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, int, int]] = []
        self.asked: list[int] = []
        self.ready: list[int] = []
        self.closed = False

    def fileno(self) -> int:
        return 99

    def control(self, changes: list[tuple[int, int, int]] | None, most: int, timeout: float) -> list[Any]:
        assert timeout == 0
        if changes is not None:
            self.changes += changes
            return []
        self.asked.append(most)
        return [SimpleNamespace(ident=descriptor) for descriptor in self.ready[:most]]

    def close(self) -> None:
        self.closed = True


def test_a_gathering_speaks_to_kqueue_in_the_systems_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    numbers = SimpleNamespace(  # those of NetBSD, which has its own
        kqueue=lambda: queue,
        kevent=lambda descriptor, kind, flags: (descriptor, kind, flags),
        KQ_FILTER_READ=0,
        KQ_FILTER_WRITE=1,
        KQ_EV_ADD=1,
        KQ_EV_DELETE=2,
    )
    monkeypatch.setattr(_kernel, "_kqueues", numbers)
    gathering = KqueueGathering()
    assert gathering.fileno() == 99
    gathering.watch(5)
    gathering.watch(6, connecting=True)
    queue.ready = [6]
    assert list(gathering.settle()) == [6]
    assert queue.asked == [3], "room for whatever is watched"
    gathering.forget(6, connecting=True)
    assert queue.changes == [(5, 0, 1), (6, 1, 1), (6, 1, 2)]
    gathering.close()
    assert queue.closed


@pytest.mark.parametrize("listing", [["0", "1", "2"], None], ids=["without fdescfs", "no listing at all"])
def test_descriptors_are_counted_where_the_system_does_not_list_them(
    listing: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(_: str) -> list[str]:
        if listing is None:
            raise FileNotFoundError
        return listing

    monkeypatch.setattr("os.listdir", listed)
    monkeypatch.setattr("resource.getrlimit", lambda _: (1000, 1000))
    before = free_descriptors()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.socket())
        assert free_descriptors() < before
        assert free_descriptors() <= 1000 - 20  # all those, at least
