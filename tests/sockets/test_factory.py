"""The ladder takes the best mode that is left, and says exactly why the others are not."""

from __future__ import annotations

import errno
import pickle
import socket
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol, TimingConfig, TracerouteConfig
from traceprobe.errors import (
    AbiError,
    ConfigError,
    FamilyMismatchError,
    NameResolutionError,
    NoUsableSocketError,
    PrivilegeError,
    TraceprobeError,
    UnsupportedOption,
)
from traceprobe.loops import SystemClock
from traceprobe.sockets import ModeReport, ModeStatus, ProbeSocketFactory
from traceprobe.sockets import factory as factory_module
from traceprobe.sockets._platform import ModeEntry, platform_modes

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.sockets._built_in import OpenMode

IPV4 = AddressFamily.IPV4


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: choosing does not depend on it."""
    return "asyncio", {"use_uvloop": False}


class OpenedSocket:
    """Stands for an open socket."""

    def __init__(self, mode: Mode, protocol: Protocol) -> None:
        self.what = (mode, protocol)
        self.closed = False

    def close_now(self) -> None:
        self.closed = True


class Ladder:
    """A platform whose modes refuse as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors: dict[tuple[Mode, Protocol], Exception] = {}
        self.opened: list[OpenedSocket] = []
        self.tried: list[tuple[Mode, Protocol]] = []
        entries = [
            ModeEntry(mode, protocol, cast("OpenMode", self._opener(mode)))
            for mode, protocol in (
                (Mode.LINUX_RAW, Protocol.ICMP),
                (Mode.LINUX_PING, Protocol.ICMP),
                (Mode.LINUX_RAW, Protocol.UDP),
                (Mode.LINUX_UDP, Protocol.UDP),
            )
        ]
        monkeypatch.setattr(factory_module, "platform_modes", lambda: tuple(entries))

    def refuse(self, mode: Mode, error: Exception, *protocols: Protocol) -> None:
        for protocol in protocols or tuple(Protocol):
            self.errors[mode, protocol] = error

    def _opener(self, mode: Mode) -> Callable[..., OpenedSocket]:
        def open_it(config: object, family: object, protocol: Protocol, clock: object) -> OpenedSocket:
            assert isinstance(clock, SystemClock)
            self.tried.append((mode, protocol))
            error = self.errors.get((mode, protocol))
            if error is not None:
                raise error
            self.opened.append(OpenedSocket(mode, protocol))
            return self.opened[-1]

        return open_it


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Ladder:
    return Ladder(monkeypatch)


NO_RAW = PrivilegeError("raw sockets need CAP_NET_RAW", remedies=["sudo setpriv ..."])
NO_PING = PrivilegeError("ping sockets are open to no group", remedies=["sudo sysctl ..."])
NO_FAMILY = NoUsableSocketError("this machine has no such sockets for IPv4")


async def opened_by(options: dict[str, object]) -> tuple[Mode, Protocol]:
    config = TracerouteConfig().with_options(options)  # type: ignore[arg-type]
    opened = await ProbeSocketFactory().open(config, IPV4)
    assert isinstance(opened, OpenedSocket)
    return opened.what


async def refusal_of(options: dict[str, object]) -> TraceprobeError:
    with pytest.raises(TraceprobeError) as caught:
        await opened_by(options)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value


async def test_raw_icmp_is_best(ladder: Ladder) -> None:
    assert await opened_by({}) == (Mode.LINUX_RAW, Protocol.ICMP)


async def test_without_privileges_ping_sockets_and_then_udp_are(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, NO_RAW)
    assert await opened_by({}) == (Mode.LINUX_PING, Protocol.ICMP)
    ladder.refuse(Mode.LINUX_PING, NO_PING)
    assert await opened_by({}) == (Mode.LINUX_UDP, Protocol.UDP)
    assert await opened_by({"protocol": "udp"}) == (Mode.LINUX_UDP, Protocol.UDP)


async def test_what_the_system_refuses_meanwhile_is_a_reason_like_others(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, OSError(errno.ENOSYS, "Function not implemented"), Protocol.ICMP)
    factory = ProbeSocketFactory()
    assert await opened_by({}) == (Mode.LINUX_PING, Protocol.ICMP)
    (status, *_) = factory.report().statuses
    assert not status.usable
    assert status.reason == "the system refuses what such sockets need: Function not implemented"


async def test_what_was_passed_over_is_remembered(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, NO_RAW)
    factory = ProbeSocketFactory()
    await factory.open(TracerouteConfig(), IPV4)
    (status,) = factory.refused.statuses
    assert status == ModeStatus(
        Mode.LINUX_RAW, Protocol.ICMP, IPV4, False, "raw sockets need CAP_NET_RAW", ("sudo setpriv ...",)
    )
    assert str(status) == "linux_raw (icmp, IPv4): raw sockets need CAP_NET_RAW"


async def test_an_explicit_protocol_never_turns_into_another(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, NO_RAW)
    ladder.refuse(Mode.LINUX_PING, NO_PING)
    error = await refusal_of({"protocol": "icmp"})
    assert isinstance(error, PrivilegeError)
    assert isinstance(error, PermissionError)
    assert ladder.tried == [(Mode.LINUX_RAW, Protocol.ICMP), (Mode.LINUX_PING, Protocol.ICMP)]
    assert str(error).splitlines() == [
        "no usable socket for ICMP over IPv4",
        "  linux_raw (icmp, IPv4): raw sockets need CAP_NET_RAW",
        "  linux_ping (icmp, IPv4): ping sockets are open to no group",
        "to mend it, one of:",
        "  sudo setpriv ...",
        "  sudo sysctl ...",
        "  choose mode 'linux_udp', which needs no privileges",
    ]


async def test_an_explicit_mode_is_the_only_one_tried(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_PING, NO_PING)
    error = await refusal_of({"mode": "linux_ping"})
    assert isinstance(error, PrivilegeError)
    assert ladder.tried == [(Mode.LINUX_PING, Protocol.ICMP)]
    assert await opened_by({"mode": "linux_raw", "protocol": "udp"}) == (Mode.LINUX_RAW, Protocol.UDP)
    assert await opened_by({"mode": "linux_raw"}) == (Mode.LINUX_RAW, Protocol.ICMP)


async def test_without_a_question_of_privileges_it_says_so(ladder: Ladder) -> None:
    for mode in (Mode.LINUX_RAW, Mode.LINUX_PING, Mode.LINUX_UDP):
        ladder.refuse(mode, NO_FAMILY)
    error = await refusal_of({})
    assert type(error) is NoUsableSocketError
    assert error.message == "no usable socket for ICMP or UDP over IPv4"
    assert len(error.reasons) == 4
    assert error.remedies == ()


async def test_an_unknown_abi_is_a_reason_like_others(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, AbiError("struct msghdr has an unknown layout"))
    assert await opened_by({}) == (Mode.LINUX_PING, Protocol.ICMP)


async def test_an_option_that_one_mode_lacks_leads_to_the_next(ladder: Ladder) -> None:
    unsupported = UnsupportedOption("port", 53, mode="linux_raw", remedy="choose protocol 'udp'")
    ladder.refuse(Mode.LINUX_RAW, unsupported, Protocol.ICMP)
    ladder.refuse(Mode.LINUX_PING, unsupported)
    assert await opened_by({"port": 53}) == (Mode.LINUX_RAW, Protocol.UDP)
    ladder.refuse(Mode.LINUX_RAW, unsupported)
    ladder.refuse(Mode.LINUX_UDP, unsupported)
    error = await refusal_of({"port": 53})
    assert isinstance(error, UnsupportedOption)
    assert (error.field, error.value) == ("port", 53)


async def test_a_value_that_cannot_be_used_ends_the_search(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, ConfigError("interface", "eth9", "an interface of this machine: lo"))
    error = await refusal_of({})
    assert isinstance(error, ConfigError)
    assert ladder.tried == [(Mode.LINUX_RAW, Protocol.ICMP)]


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"protocol": "tcp"}, "protocol", "this installation has no support for it; choose 'icmp' or 'udp'"),
        ({"mode": "linux_tcp"}, "mode", "choose 'linux_raw' or 'linux_ping' or 'linux_udp'"),
        ({"mode": "bsd_raw"}, "mode", "choose 'linux_raw' or 'linux_ping' or 'linux_udp'"),
        (
            {"mode": "linux_ping", "protocol": "udp"},
            "protocol",
            "mode 'linux_ping' has no support for it; choose mode 'linux_raw' or 'linux_udp'",
        ),
        (
            {"mode": "linux_udp", "protocol": "icmp"},
            "protocol",
            "mode 'linux_udp' has no support for it; choose mode 'linux_raw' or 'linux_ping'",
        ),
    ],
)
async def test_what_is_not_there_is_unsupported(
    ladder: Ladder, options: dict[str, object], field: str, words: str
) -> None:
    error = await refusal_of(options)
    assert isinstance(error, UnsupportedOption)
    assert error.field == field
    assert words in str(error)
    assert not ladder.tried


async def test_a_platform_without_modes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory_module, "platform_modes", lambda: ())
    monkeypatch.setattr(sys, "platform", "plan9")
    error = await refusal_of({})
    assert type(error) is NoUsableSocketError
    assert "there is no way of probing yet on this platform (plan9)" in str(error)
    assert ProbeSocketFactory().report() == ModeReport(())


def test_the_report_tries_everything_and_closes_it(ladder: Ladder) -> None:
    ladder.refuse(Mode.LINUX_RAW, NO_RAW)
    ladder.refuse(
        Mode.LINUX_UDP, UnsupportedOption("flow", "paris", mode="linux_udp", remedy="choose 'classic'")
    )
    report = ProbeSocketFactory().report(TracerouteConfig(protocol=Protocol.ICMP))
    assert [(status.mode, status.protocol, status.family, status.usable) for status in report.statuses] == [
        (mode, protocol, family, mode is Mode.LINUX_PING)
        for family in AddressFamily
        for mode, protocol in (
            (Mode.LINUX_RAW, Protocol.ICMP),
            (Mode.LINUX_PING, Protocol.ICMP),
            (Mode.LINUX_RAW, Protocol.UDP),
            (Mode.LINUX_UDP, Protocol.UDP),
        )
    ]
    assert len(ladder.opened) == 2
    assert all(opened.closed for opened in ladder.opened)
    best = report.best(IPV4)
    assert best is not None
    assert best.mode is Mode.LINUX_PING
    assert report.statuses[3].remedies == ("choose 'classic'",)
    assert "linux_ping (icmp, IPv4): usable" in str(report).splitlines()
    assert ModeReport(()).best(IPV4) is None


# --- sharing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": "udp"},
        {"mode": "linux_udp"},
        {"flow": "classic"},
        {"port": 53},
        {"source_port": 4000},
        {"source": "127.0.0.1"},
        {"interface": "lo"},
        {"mark": 1},
        {"dscp": 1},
        {"dont_fragment": True},
        {"receive_buffer": 4096},
        {"identifier_quarantine": 1.0},
        {"clock_step_tolerance": 1.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_is_the_sockets_state_is_not_shared(options: dict[str, object]) -> None:
    factory = ProbeSocketFactory()
    config = TracerouteConfig()
    other = config.with_options(options)  # type: ignore[arg-type]
    assert factory.socket_key(config, IPV4) != factory.socket_key(other, IPV4)
    assert factory.socket_key(other, IPV4) == factory.socket_key(other, IPV4)
    assert factory.socket_key(config, IPV4) != factory.socket_key(config, AddressFamily.IPV6)


@pytest.mark.parametrize(
    "options",
    [
        {"first_ttl": 2},
        {"max_ttl": 9},
        {"queries": 1},
        {"packet_size": 100},
        {"probe_timeout": 1.0},
        {"max_in_flight": 3},
        {"timing": TimingConfig.fast()},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_every_probe_carries_is_shared(options: dict[str, object]) -> None:
    factory = ProbeSocketFactory()
    config = TracerouteConfig()
    other = config.with_options(options)  # type: ignore[arg-type]
    key = factory.socket_key(config, IPV4)
    assert key == factory.socket_key(other, IPV4)
    assert hash(key) == hash(factory.socket_key(other, IPV4))


def test_two_ports_share_a_socket() -> None:
    factory = ProbeSocketFactory()
    keys = {factory.socket_key(TracerouteConfig(protocol=Protocol.UDP, port=port), IPV4) for port in (53, 54)}
    assert len(keys) == 1


# --- names -----------------------------------------------------------------------------------------------


async def test_names_are_looked_up_by_the_system() -> None:
    factory = ProbeSocketFactory()
    assert await factory.lookup("127.0.0.1", None) == (IPv4Address("127.0.0.1"),)
    assert await factory.lookup("::1", AddressFamily.IPV6) == (IPv6Address("::1"),)
    assert IPv4Address("127.0.0.1") in await factory.lookup("localhost", IPV4)


@pytest.mark.parametrize("name", ["x" * 64 + ".example", "a..example", "\udcff.example"])
async def test_an_impossible_name(name: str) -> None:
    with pytest.raises(NameResolutionError) as caught:
        await ProbeSocketFactory().lookup(name, None)
    assert caught.value.target == name


async def test_what_the_resolver_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(anyio, "getaddrinfo", fail)
    with pytest.raises(NameResolutionError, match=r"cannot resolve 'nowhere\.test': Name or service"):
        await ProbeSocketFactory().lookup("nowhere.test", None)


async def test_addresses_keep_their_order_and_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(*_: object, **__: object) -> object:
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::1", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", 0)),
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::1", 0)),
        ]

    monkeypatch.setattr(anyio, "getaddrinfo", answer)
    found = await ProbeSocketFactory().lookup("both.test", None)
    assert found == (IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1"))

    async def nothing(*_: object, **__: object) -> object:
        return []

    monkeypatch.setattr(anyio, "getaddrinfo", nothing)
    with pytest.raises(NameResolutionError, match="no IP address"):
        await ProbeSocketFactory().lookup("neither.test", None)


# --- the real platform -----------------------------------------------------------------------------------

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="modes of Linux")


@linux_only
def test_linux_has_six_rungs() -> None:
    assert [(entry.mode, entry.protocol) for entry in platform_modes()] == [
        (Mode.LINUX_RAW, Protocol.ICMP),
        (Mode.LINUX_PING, Protocol.ICMP),
        (Mode.LINUX_RAW, Protocol.UDP),
        (Mode.LINUX_UDP, Protocol.UDP),
        (Mode.LINUX_RAW, Protocol.TCP),
        (Mode.LINUX_TCP, Protocol.TCP),
    ]


@linux_only
@pytest.mark.parametrize("options", [{}, {"port": 443}, {"ecn": 1, "source_port": 40123}])
def test_nobody_connects_unasked(options: dict[str, Any]) -> None:
    offered = factory_module._fitting(TracerouteConfig(**options))
    assert Protocol.TCP not in {entry.protocol for entry in offered}
    asked = factory_module._fitting(TracerouteConfig(mode=Mode.LINUX_TCP, **options))
    assert [(entry.mode, entry.protocol) for entry in asked] == [(Mode.LINUX_TCP, Protocol.TCP)]
    asked = factory_module._fitting(TracerouteConfig(protocol=Protocol.TCP, **options))
    assert [entry.mode for entry in asked] == [Mode.LINUX_RAW, Mode.LINUX_TCP]


@linux_only
def test_udp_without_privileges_is_always_there() -> None:
    report = ProbeSocketFactory().report()
    usable = {(status.mode, status.family) for status in report.usable}
    assert (Mode.LINUX_UDP, IPV4) in usable
    for status in report.statuses:
        assert status.usable or status.reason


async def real_refusal(**options: object) -> TraceprobeError:
    config = TracerouteConfig(mode=Mode.LINUX_UDP).with_options(options)  # type: ignore[arg-type]
    with pytest.raises(TraceprobeError) as caught:
        await ProbeSocketFactory().open(config, IPV4)
    return caught.value


@linux_only
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"interface": "nowhere9"}, ConfigError, r"interface='nowhere9': must be an interface.*: .*lo"),
        ({"source": "203.0.113.9"}, ConfigError, "source='203.0.113.9': must be an address of this machine"),
        ({"source": "::1"}, FamilyMismatchError, "source='::1': must be an IPv4 address"),
        ({"flow_label": 7}, UnsupportedOption, "mode 'linux_udp' has no support .*IPv4 has no flow label"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_what_this_machine_cannot_do(
    options: dict[str, object], kind: type[TraceprobeError], words: str
) -> None:
    error = await real_refusal(**options)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


@linux_only
async def test_a_packet_that_is_too_small_is_refused_when_opening() -> None:
    for size in (30, 31):
        config = TracerouteConfig(mode=Mode.LINUX_UDP, packet_size=size)
        opened = await ProbeSocketFactory().open(config, IPV4)
        await opened.aclose()
    config = TracerouteConfig(mode=Mode.LINUX_UDP, packet_size=49)
    with pytest.raises(ConfigError, match="packet_size=49: must be from 50 to 65535 bytes for UDP over IPv6"):
        await ProbeSocketFactory().open(config, AddressFamily.IPV6)


@linux_only
@pytest.mark.parametrize("flow", [None, FlowStrategy.CLASSIC])
async def test_a_flow_that_the_mode_holds_is_used(flow: FlowStrategy | None) -> None:
    config = TracerouteConfig(mode=Mode.LINUX_UDP, flow=flow)
    opened = await ProbeSocketFactory().open(config, IPV4)
    await opened.aclose()
    assert opened.capabilities.flow is FlowStrategy.CLASSIC
