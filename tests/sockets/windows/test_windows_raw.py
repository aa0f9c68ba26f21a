"""UDP and TCP through raw sockets: hops and everything in quotes as elsewhere, and nothing left pending."""

from __future__ import annotations

import errno
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from tests.sockets.windows.driving import PATIENCE, discarded, receive
from tests.sockets.windows.path import REPLY_TTL, TARGET4, TARGET6, Path, icmp_error, quote
from tests.sockets.windows.winsock import STATUS_HOST_UNREACHABLE, STATUS_TIMEOUT, Datagram
from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol, TimingConfig, TracerouteConfig
from traceprobe.errors import (
    ClosedError,
    ConfigError,
    NoUsableSocketError,
    PrivilegeError,
    UnsupportedOption,
)
from traceprobe.ffi import windows
from traceprobe.loops import SystemClock
from traceprobe.model import ChangedField, MplsLabel, Probe, ReplyKind, TimestampSource, make_probe_id
from traceprobe.packets import IpProtocol, LabelStackEntry, build_extensions, build_icmp_error, build_ipv4
from traceprobe.sockets import ProbeSocketFactory
from traceprobe.sockets import factory as factory_module
from traceprobe.sockets._platform import ModeEntry
from traceprobe.sockets.windows.raw import WindowsUdpSocket, open_windows_raw
from traceprobe.testing import check_probe_socket
from traceprobe.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sockets.windows.fake import FakeWindows
    from tests.sockets.windows.winsock import FakeWinsock
    from traceprobe.loops import Clock
    from traceprobe.model import Reply
    from traceprobe.sockets.windows._reactor import ReactorHolder
    from traceprobe.sockets.windows._tcp import WindowsTcpSocket

IPV4, IPV6 = AddressFamily.IPV4, AddressFamily.IPV6
UDP, TCP = Protocol.UDP, Protocol.TCP
TARGET: dict[AddressFamily, IPv4Address | IPv6Address] = {IPV4: TARGET4, IPV6: TARGET6}
NOWHERE = {IPV4: "203.0.113.99", IPV6: "2001:db8:99::99"}
HOPS = 4
ROUTER = "192.0.2.101"

every_kind = pytest.mark.parametrize(
    ("family", "protocol"),
    [(family, protocol) for family in AddressFamily for protocol in (UDP, TCP)],
    ids=["udp4", "tcp4", "udp6", "tcp6"],
)


def opened(
    holder: ReactorHolder, protocol: Protocol, family: AddressFamily = IPV4, **options: Any
) -> WindowsUdpSocket | WindowsTcpSocket:
    config = TracerouteConfig().with_options(options)  # type: ignore[arg-type]
    return open_windows_raw(config, family, protocol, SystemClock(), holder)


def make_probes(
    count: int, family: AddressFamily = IPV4, *, trace: int = 1, first: int = 1, **fields: Any
) -> list[Probe]:
    return [
        Probe(make_probe_id(trace, place), TARGET[family], first + place, 1, timeout=5.0, **fields)
        for place in range(count)
    ]


async def exchange(
    socket: WindowsUdpSocket | WindowsTcpSocket, probes: Sequence[Probe], count: int | None = None
) -> list[Reply]:
    """Send probes and receive the replies, in the order of the probes."""
    for report in await socket.send_probes(probes):
        assert report.error is None
    replies = await receive(socket, len(probes) if count is None else count)
    return sorted(replies, key=lambda reply: reply.probe_id)


# --- hops ---------------------------------------------------------------------------------------------------


@every_kind
async def test_every_hop_answers(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    path = Path(winsock, hops=HOPS)
    socket = opened(holder, protocol, family)
    replies = await exchange(socket, make_probes(HOPS + 2, family))
    await socket.aclose()
    sent = winsock.sent if protocol is UDP else winsock.connects
    assert [datagram.ttl for datagram in sent] == list(range(1, HOPS + 3))
    for ttl, reply in enumerate(replies[:HOPS], 1):
        assert reply.kind is ReplyKind.TIME_EXCEEDED
        assert reply.address == path.hop(sent[0], ttl)
        assert (reply.icmp_type, reply.icmp_code) == ((11, 0) if family is IPV4 else (3, 0))
        assert reply.quoted_ttl == 1
        assert reply.reply_ttl == (REPLY_TTL if family is IPV4 else None)
    last = ReplyKind.PORT_UNREACHABLE if protocol is UDP else ReplyKind.SYN_ACK
    for reply in replies[HOPS:]:
        assert (reply.kind, reply.address) == (last, TARGET[family])
    assert {reply.timestamp_source for reply in replies} == {TimestampSource.QPC}
    assert all(reply.rtt_ns > 0 for reply in replies)
    assert all(reply.changes == () for reply in replies)


@pytest.mark.parametrize("flow", list(FlowStrategy))
async def test_udp_flows(winsock: FakeWinsock, holder: ReactorHolder, flow: FlowStrategy) -> None:
    Path(winsock, hops=HOPS)
    socket = opened(holder, UDP, flow=flow)
    probes = [*make_probes(3), *make_probes(3, trace=2, flow=1)]
    await exchange(socket, probes)
    await socket.aclose()
    assert {datagram.source_port for datagram in winsock.sent} == {winsock.sent[0].source_port}
    ports = [datagram.port for datagram in winsock.sent]
    if flow is FlowStrategy.CLASSIC:
        ports.sort()  # which of them gets which is left to chance
    expected = {
        FlowStrategy.PARIS: [33434] * 3 + [33435] * 3,
        FlowStrategy.DUBLIN: [33434] * 3 + [33435] * 3,
        FlowStrategy.CLASSIC: [33434, 33435, 33436, 33437, 33438, 33439],
    }
    assert ports == expected[flow]


def quoting(sent: Datagram, checksum: int) -> bytes:
    """A router's answer that quotes another UDP checksum than was sent."""
    quoted = bytearray(quote(sent))
    quoted[26:28] = checksum.to_bytes(2)
    message = build_icmp_error(4, type=11, code=0, quoted=bytes(quoted))
    assert isinstance(sent.source, IPv4Address)
    return build_ipv4(
        message, source=IPv4Address(ROUTER), destination=sent.source, protocol=IpProtocol.ICMP, ttl=9
    )


def checksum_of(sent: Datagram) -> int:
    return int.from_bytes(quote(sent)[26:28])


async def test_a_checksum_that_is_not_filled_in_yet_is_no_obstacle_and_no_change(
    winsock: FakeWinsock, holder: ReactorHolder
) -> None:
    """A router on this very machine quotes what a network card would still have completed."""
    socket = opened(holder, UDP)
    (probe,) = make_probes(1)
    await socket.send_probes([probe])
    (sent,) = winsock.sent
    raw = winsock.of(windows.SOCK_RAW)
    total = sum(sent.source.packed[place] << 8 | sent.source.packed[place + 1] for place in (0, 2))
    total += sum(sent.destination.packed[place] << 8 | sent.destination.packed[place + 1] for place in (0, 2))
    total += 17 + 8 + len(sent.data)
    winsock.deliver(raw, quoting(sent, (total & 0xFFFF) + (total >> 16)), (ROUTER, 0))
    (reply,) = await receive(socket, 1)
    assert (reply.probe_id, reply.changes) == (probe.id, ())
    winsock.deliver(raw, quoting(sent, 0x1234), (ROUTER, 0))
    (reply,) = await receive(socket, 1)
    assert reply.probe_id == probe.id
    assert [change.field for change in reply.changes] == [ChangedField.TRANSPORT_CHECKSUM]
    await socket.aclose()


async def test_another_probes_checksum_does_not_make_an_answer_that_ones(
    winsock: FakeWinsock, holder: ReactorHolder
) -> None:
    socket = opened(holder, UDP)
    probes = make_probes(3)
    await socket.send_probes(probes)
    first, second, third = winsock.sent
    raw = winsock.of(windows.SOCK_RAW)
    for sent in (first, third):
        winsock.deliver(raw, quoting(sent, checksum_of(second)), (ROUTER, 0))
    replies = await receive(socket, 2)
    assert [reply.probe_id for reply in replies] == [probes[0].id, probes[2].id]
    await socket.aclose()


@every_kind
async def test_what_routers_add_is_read(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    path = Path(winsock, hops=HOPS)
    path.extension = build_extensions(mpls=[LabelStackEntry(16001, 1, 1, 1)])
    socket = opened(holder, protocol, family)
    (reply,) = await exchange(socket, make_probes(1, family))
    assert reply.mpls == (MplsLabel(16001, 1, 1, 1),)
    assert socket.capabilities.sees_extensions
    await socket.aclose()


async def test_ports_that_refuse_and_that_say_nothing(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    Path(winsock, hops=0, open_ports=())
    socket = opened(holder, TCP, port=81)
    (reply,) = await exchange(socket, make_probes(1, port=81))
    assert (reply.kind, reply.address) == (ReplyKind.RST, TARGET4)
    assert winsock.connects[0].port == 81
    winsock.network = lambda syn: winsock.finish_connect(syn.sender, STATUS_TIMEOUT)
    await socket.send_probes(make_probes(1, trace=2, port=81))
    assert socket.receive_nowait() == []
    assert not [one for one in winsock.sockets.values() if one.kind == windows.SOCK_STREAM]
    await socket.aclose()


async def test_udp_data_of_the_destination(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    def echo(sent: Datagram) -> None:
        winsock.deliver(sent.sender, sent.data, (str(sent.destination), sent.port))

    winsock.network = echo
    socket = opened(holder, UDP)
    (reply,) = await exchange(socket, make_probes(1))
    assert (reply.kind, reply.address) == (ReplyKind.UDP_DATA, TARGET4)
    await socket.aclose()


@pytest.mark.parametrize("status", [0xC0000236, 0xC000023D, 0x80000005])
async def test_an_error_of_one_datagram_does_not_end_the_reception(
    winsock: FakeWinsock, holder: ReactorHolder, status: int
) -> None:
    Path(winsock, hops=HOPS)
    socket = opened(holder, UDP)
    await socket.send_probes([])
    for kind in (windows.SOCK_DGRAM, windows.SOCK_RAW):
        one = next(one for one in winsock.sockets.values() if one.kind == kind)
        with anyio.fail_after(PATIENCE):
            while one.receiving is None:
                await anyio.lowlevel.checkpoint()
        winsock.fail_reception(one, status)
    assert len(await exchange(socket, make_probes(HOPS))) == HOPS
    udp = winsock.of(windows.SOCK_DGRAM)
    assert {windows.SIO_UDP_CONNRESET, windows.SIO_UDP_NETRESET} <= set(udp.controls)
    await socket.aclose()


async def test_damaged_and_foreign_messages_are_counted(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    Path(winsock, hops=HOPS)
    socket = opened(holder, UDP)
    await exchange(socket, make_probes(1))
    (sent,) = winsock.sent
    raw = winsock.of(windows.SOCK_RAW)
    good = icmp_error(sent, IPv4Address("192.0.2.101"))
    damaged = good[:-1] + bytes([good[-1] ^ 1])
    foreign = icmp_error(sent._replace(source_port=9), IPv4Address("192.0.2.101"))
    tcp = good[:9] + b"\x06" + good[10:]
    for data in (damaged, foreign, good[:12], tcp):
        winsock.deliver(raw, data, ("192.0.2.101", 0))
    with anyio.fail_after(PATIENCE):
        while sum(socket.discarded.values()) < 3:
            await anyio.lowlevel.checkpoint()
            assert socket.receive_nowait() == []
    assert dict(socket.discarded) == {"bad_checksum": 1, "rewritten": 1, "malformed": 1}
    await socket.aclose()


# --- without administrator ----------------------------------------------------------------------------------


def test_raw_sockets_need_an_administrator(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    winsock.administrator = False
    for protocol in (UDP, TCP):
        with pytest.raises(PrivilegeError, match="rights of an administrator") as caught:
            opened(holder, protocol)
        assert "Start-Process -Verb RunAs" in caught.value.remedies[0]
    holder.join()
    assert winsock.sockets == {}


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])
async def test_tcp_needs_none_where_connections_tell_what_they_failed_with(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily
) -> None:
    winsock.administrator, winsock.tells_errors = False, True
    path = Path(winsock, hops=HOPS, fails_connects=True)
    socket = opened(holder, TCP, family)
    replies = await exchange(socket, make_probes(HOPS + 1, family))
    for ttl, reply in enumerate(replies[:HOPS], 1):
        assert (reply.kind, reply.address) == (ReplyKind.TIME_EXCEEDED, path.hop(winsock.connects[0], ttl))
        assert reply.quoted_ttl is None
    assert replies[HOPS].kind is ReplyKind.SYN_ACK
    has = socket.capabilities
    assert not has.sees_quoted_ttl
    assert not has.sees_reply_ttl
    assert not has.sees_extensions
    assert not has.sees_changes
    option = (windows.IPPROTO_TCP, windows.TCP_FAIL_CONNECT_ON_ICMP_ERROR)
    assert all(syn.sender.options[option] == 1 for syn in winsock.connects)
    await socket.aclose()


async def test_with_a_raw_socket_connections_do_not_fail_for_routers(
    winsock: FakeWinsock, holder: ReactorHolder
) -> None:
    """Each answer counts once: the raw socket sees more of it."""
    winsock.tells_errors = True
    path = Path(winsock, hops=HOPS)

    def both(syn: Datagram) -> None:  # as Linux leaks through in Wine
        path.answer(syn, path.hop(syn, 1))
        winsock.finish_connect(syn.sender, STATUS_HOST_UNREACHABLE)

    winsock.network = both
    socket = opened(holder, TCP)
    (reply,) = await exchange(socket, make_probes(1))
    assert (reply.kind, reply.quoted_ttl) == (ReplyKind.TIME_EXCEEDED, 1)
    option = (windows.IPPROTO_TCP, windows.TCP_FAIL_CONNECT_ON_ICMP_ERROR)
    assert option not in winsock.connects[0].sender.options
    assert socket.receive_nowait() == []
    assert dict(socket.discarded) == {}
    await socket.aclose()


def test_a_system_without_such_sockets(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    winsock.raw6 = False
    with pytest.raises(NoUsableSocketError, match=r"no such sockets.*10043"):
        opened(holder, UDP, IPV6)


# --- options ------------------------------------------------------------------------------------------------


@every_kind
async def test_source_interface_and_fragmentation(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    Path(winsock, hops=HOPS)
    source = {IPV4: "192.0.2.77", IPV6: "2001:db8::77"}[family]
    socket = opened(holder, protocol, family, source=source, interface="7", dont_fragment=True)
    await exchange(socket, make_probes(1, family))
    sender = (winsock.sent if protocol is UDP else winsock.connects)[0].sender
    level = windows.IPPROTO_IP if family is IPV4 else windows.IPPROTO_IPV6
    assert sender.name is not None
    assert sender.name[0] == source
    assert sender.options[level, 14] == 1  # IP_DONTFRAGMENT, IPV6_DONTFRAG
    # IP_UNICAST_IF is in network byte order, IPV6_UNICAST_IF is not.
    assert sender.options[level, 31] == (7 << 24 if family is IPV4 else 7)
    await socket.aclose()


async def test_source_ports_sizes_and_patterns_of_udp(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    Path(winsock, hops=HOPS)
    socket = opened(holder, UDP, source_port=40001, packet_size=100, payload_pattern=b"ab")
    await exchange(socket, make_probes(2, size=100))
    assert [(sent.source_port, len(sent.data)) for sent in winsock.sent] == [(40001, 72)] * 2
    assert winsock.sent[0].data.endswith(b"abababab")
    await socket.aclose()


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        (UDP, {"mark": 1}),
        (UDP, {"dscp": 46}),
        (UDP, {"ecn": 1}),
        (UDP, {"flow_label": 1}),
        (TCP, {"dscp": 46}),
        (TCP, {"packet_size": 60}),
        (TCP, {"source_port": 5}),
        (TCP, {"payload_pattern": b"x"}),
        (TCP, {"flow": "paris"}),
        (UDP, {"receive_all": True}),
    ],
)
def test_what_it_cannot_do_is_refused(
    holder: ReactorHolder, protocol: Protocol, options: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedOption, match="windows_raw") as caught:
        opened(holder, protocol, **options)
    assert caught.value.option in options


def test_addresses_and_ports_that_cannot_be_had(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    for protocol in (UDP, TCP):
        with pytest.raises(ConfigError, match=r"source='192\.0\.2\.5': must be an address of this machine"):
            opened(holder, protocol, source="192.0.2.5")
        with pytest.raises(ConfigError, match="interface='no-such-one': must be an interface"):
            opened(holder, protocol, interface="no-such-one")
        for family in (IPV4, IPV6):
            # Cut to 32 bits this would be the number of another interface.
            with pytest.raises(ConfigError, match="interface='4294967303': must be an interface"):
                opened(holder, protocol, family, interface="4294967303")
        with pytest.raises(ConfigError, match=r"source='fe80::1%no-such-one': must be an address of this"):
            opened(holder, protocol, IPV6, source="fe80::1%no-such-one")
    winsock.administrator, winsock.tells_errors = False, True  # nothing is bound but connections
    with pytest.raises(ConfigError, match=r"source='192\.0\.2\.5': must be an address of this machine"):
        opened(holder, TCP, source="192.0.2.5")
    winsock.administrator = True
    winsock.taken.add(40001)
    with pytest.raises(ConfigError, match="source_port=40001: must be a port that nobody else uses"):
        opened(holder, UDP, source_port=40001)
    holder.join()
    assert winsock.sockets == {}


async def test_everything_of_an_interface_only_on_request(
    winsock: FakeWinsock, holder: ReactorHolder
) -> None:
    Path(winsock, hops=HOPS)
    socket = opened(holder, UDP)
    raw = winsock.of(windows.SOCK_RAW)
    assert windows.SIO_RCVALL not in raw.controls
    assert raw.protocol == windows.IPPROTO_ICMP
    await socket.aclose()
    holder.join()
    socket = opened(holder, UDP, receive_all=True, source="192.0.2.77")
    raw = winsock.of(windows.SOCK_RAW)
    assert windows.SIO_RCVALL in raw.controls
    assert raw.protocol == windows.IPPROTO_IP
    (reply,) = await exchange(socket, make_probes(1))
    assert reply.kind is ReplyKind.TIME_EXCEEDED
    await socket.aclose()
    with pytest.raises(UnsupportedOption, match="choose IPv4"):
        opened(holder, UDP, IPV6, receive_all=True, source="2001:db8::77")


# --- what fails ---------------------------------------------------------------------------------------------


@every_kind
async def test_a_refused_probe_keeps_no_other_back(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    Path(winsock, hops=HOPS)
    winsock.refuse = lambda sent: windows.WSAENOBUFS if sent.ttl == 2 else 0
    socket = opened(holder, protocol, family)
    reports = await socket.send_probes(make_probes(3, family))
    codes = [None if report.error is None else report.error.code for report in reports]
    assert codes == [None, errno.ENOBUFS, None]
    assert "Windows error 10055" in str(reports[1].error)
    await receive(socket, 2)
    await socket.aclose()


async def test_no_route_is_an_error_of_its_probes(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    Path(winsock, hops=HOPS)
    socket = opened(holder, UDP)
    lost = Probe(make_probe_id(2, 0), IPv4Address(NOWHERE[IPV4]), 1, 1)
    reports = await socket.send_probes([lost, *make_probes(1)])
    assert reports[0].error is not None
    assert reports[0].error.code == errno.ENETUNREACH
    assert reports[1].error is None
    await socket.aclose()


# --- giving up and closing ----------------------------------------------------------------------------------


async def test_the_system_waits_for_each_connection_as_long_as_its_probe_says(
    winsock: FakeWinsock, holder: ReactorHolder
) -> None:
    """One socket serves traces of different patience."""
    socket = opened(holder, TCP, probe_timeout=2.0)
    seconds = (0.5, 9.0, 0.0, 1e6)
    probes = [attrs.evolve(probe, timeout=each) for probe, each in zip(make_probes(4), seconds, strict=True)]
    await socket.send_probes(probes)
    given = [syn.sender.controls[windows.SIO_TCP_INITIAL_RTO] for syn in winsock.connects]
    assert [int.from_bytes(control[:2], "little") for control in given] == [500, 9000, 2000, 0xFFFD]
    await socket.aclose()


async def test_connections_of_released_probes_are_given_up(
    system: FakeWindows, winsock: FakeWinsock, holder: ReactorHolder
) -> None:
    socket = opened(holder, TCP)
    kept, given_up = make_probes(2)
    await socket.send_probes([kept, given_up])
    assert holder.counters.pending == 3  # two connections, and the reception
    socket.release([given_up.id])
    system.wait_until(lambda: holder.counters.pending == 2)
    syn = winsock.connects[0]
    winsock.finish_connect(syn.sender, 0)
    (reply,) = await receive(socket, 1)
    assert reply.probe_id == kept.id
    await socket.aclose()
    holder.join()
    assert winsock.sockets == {}


@every_kind
async def test_closing_with_everything_pending_leaves_nothing(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    socket = opened(holder, protocol, family)
    await socket.send_probes(make_probes(90, family))
    await socket.aclose()
    with pytest.raises(ClosedError):
        socket.receive_nowait()
    holder.join()
    assert holder.counters[:2] == (0, 0)
    assert winsock.sockets == {}


@every_kind
async def test_the_end_of_the_process_leaves_nothing(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    """Receptions never complete by themselves: they must be cancelled."""
    socket = opened(holder, protocol, family)
    await socket.send_probes(make_probes(5, family))
    holder.shut_down()
    assert holder.counters[:2] == (0, 0)
    assert winsock.sockets == {}
    await socket.aclose()  # as good as it gets, for whoever still does


async def test_a_late_answer_finds_its_released_probe(winsock: FakeWinsock, holder: ReactorHolder) -> None:
    socket = opened(holder, TCP)
    (probe,) = make_probes(1)
    await socket.send_probes([probe])
    socket.release([probe.id])
    (syn,) = winsock.connects
    raw = winsock.of(windows.SOCK_RAW)
    winsock.deliver(raw, icmp_error(syn, IPv4Address("192.0.2.101")), ("192.0.2.101", 0))
    assert await discarded(socket) == {"released": 1}
    await socket.aclose()


# --- the contract, and whole traces -------------------------------------------------------------------------


@every_kind
async def test_it_keeps_the_contract(
    winsock: FakeWinsock, holder: ReactorHolder, family: AddressFamily, protocol: Protocol
) -> None:
    Path(winsock, hops=0)

    async def open_socket() -> WindowsUdpSocket | WindowsTcpSocket:
        return opened(holder, protocol, family)

    def sockets() -> int:
        holder.join()
        return len(winsock.sockets)

    unroutable = NOWHERE[family] if protocol is UDP else None
    await check_probe_socket(open_socket, TARGET[family], unroutable=unroutable, count_descriptors=sockets)


@pytest.mark.parametrize("protocol", [UDP, TCP])
async def test_a_trace(
    monkeypatch: pytest.MonkeyPatch, winsock: FakeWinsock, holder: ReactorHolder, protocol: Protocol
) -> None:
    def open_it(
        config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
    ) -> WindowsUdpSocket | WindowsTcpSocket:
        return open_windows_raw(config, family, protocol, clock, holder)

    entries = tuple(ModeEntry(Mode.WINDOWS_RAW, one, open_it) for one in (UDP, TCP))
    monkeypatch.setattr(factory_module, "platform_modes", lambda: entries)
    Path(winsock, hops=HOPS, silent=[2])
    config = TracerouteConfig(protocol=protocol, timing=TimingConfig.fast())
    with anyio.fail_after(PATIENCE):
        async with Tracer(config, socket_factory=ProbeSocketFactory()) as tracer:
            result = await tracer.trace(str(TARGET4))
    shown = [None if hop.address is None else str(hop.address) for hop in result.hops]
    assert shown == ["192.0.2.101", None, "192.0.2.103", "192.0.2.104", str(TARGET4)]
    assert (result.reached, result.mode, str(result.source)) == (True, "windows_raw", "192.0.2.77")
    assert result.port == (33434 if protocol is UDP else 80)
