"""What routers answer goes through the kernel to the right probe; what is forged is counted as refused."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
import pytest

from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.model import Reply, ReplyKind, TimestampSource

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import MODES, SILENT, both_versions, collect, every_mode, open_socket, probes_to
from tests.sockets.network import SOURCE4, SOURCE6, Wire
from traceprobe.packets import build_icmp_echo

if TYPE_CHECKING:
    from tests.sockets.network import OwnNetwork
    from traceprobe.model import Probe
    from traceprobe.sockets import AsyncProbeSocket, ProbeSocketFactory

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]

HEADER = {4: 20, 6: 40}
ROUTER = {4: "203.0.113.7", 6: "2001:db8:7::7"}
raw_modes = pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: what the kernel hands out does not depend on it."""
    return "asyncio", {"use_uvloop": False}


class Trace:
    """A socket with probes under way to where nobody is, and what left of them."""

    def __init__(self, opened: AsyncProbeSocket, wire: Wire, probes: list[Probe], sent: list[bytes]) -> None:
        self.opened = opened
        self.wire = wire
        self.probes = probes
        self.sent = sent

    async def replies(self, count: int) -> list[Reply]:
        replies = await collect(self.opened, count)
        assert len(replies) == count
        return replies

    async def refused(self) -> dict[str, int]:
        """What was refused, once everything that was injected has been read."""
        assert not self.opened.receive_nowait()
        return dict(self.opened.discarded)


async def start(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    *,
    count: int = 3,
    flow: FlowStrategy | None = None,
    size: int | None = None,
    destination: str | None = None,
) -> Trace:
    opened = await open_socket(factory, mode, protocol, version, flow=flow)
    wire = Wire(network, version)
    probes = probes_to(destination or SILENT[version], count, **({} if size is None else {"size": size}))
    await opened.send_probes(probes)
    sent = wire.sent()
    assert len(sent) == count
    return Trace(opened, wire, probes, sent)


@every_mode
@both_versions
async def test_a_time_exceeded_names_router_and_ttls(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    trace = await start(factory, network, mode, protocol, version)
    for quote in trace.sent:
        trace.wire.inject_error(quote)
    replies = await trace.replies(3)
    assert not await trace.refused()
    await trace.opened.aclose()
    assert [reply.probe_id for reply in replies] == [probe.id for probe in trace.probes]
    for reply, probe in zip(replies, trace.probes, strict=True):
        assert reply.kind is ReplyKind.TIME_EXCEEDED
        assert reply.address == ip_address(ROUTER[version])
        assert (reply.icmp_type, reply.icmp_code) == ((11, 0) if version == 4 else (3, 0))
        assert reply.reply_ttl == 61
        assert reply.quoted_ttl == (probe.ttl if mode is Mode.LINUX_RAW else None)
        assert reply.timestamp_source is TimestampSource.KERNEL_TX_RX


@every_mode
@both_versions
@pytest.mark.parametrize("shown", [8, 9, 12, 18])
async def test_routers_that_quote_little_are_understood(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int, shown: int
) -> None:
    trace = await start(factory, network, mode, protocol, version)
    for quote in trace.sent:
        trace.wire.inject_error(quote[: HEADER[version] + shown])
    replies = await trace.replies(3)
    await trace.opened.aclose()
    assert [reply.probe_id for reply in replies] == [probe.id for probe in trace.probes]


@every_mode
@both_versions
@pytest.mark.parametrize("shown", [8, 1000])
async def test_extensions_do_not_hide_the_probe(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int, shown: int
) -> None:
    trace = await start(factory, network, mode, protocol, version)
    # An MPLS label stack object (RFC 4950); its checksum is that of RFC 4884 section 7.
    label = bytes.fromhex("2000 0000 0008 0101 03e8 1101")
    total = sum(int.from_bytes(label[at : at + 2], "big") for at in range(0, len(label), 2))
    checksum = 0xFFFF - (total % 0xFFFF)
    extension = label[:2] + checksum.to_bytes(2, "big") + label[4:]
    for quote in trace.sent:
        # The quote is filled up with zeros to 128 bytes, however little of it there is.
        trace.wire.inject_error(quote[: HEADER[version] + shown], extension=extension)
    replies = await trace.replies(3)
    await trace.opened.aclose()
    assert [reply.probe_id for reply in replies] == [probe.id for probe in trace.probes]


@every_mode
@both_versions
async def test_every_kind_of_error_is_named(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    if version == 4:
        errors = [
            (3, 0, ReplyKind.UNREACHABLE),
            (3, 2, ReplyKind.PROTOCOL_UNREACHABLE),
            (3, 3, ReplyKind.PORT_UNREACHABLE),
            (3, 13, ReplyKind.UNREACHABLE),
            (12, 0, ReplyKind.PARAMETER_PROBLEM),
        ]
    else:
        errors = [
            (1, 0, ReplyKind.UNREACHABLE),
            (1, 1, ReplyKind.UNREACHABLE),
            (1, 4, ReplyKind.PORT_UNREACHABLE),
            (4, 0, ReplyKind.PARAMETER_PROBLEM),
            (4, 1, ReplyKind.PROTOCOL_UNREACHABLE),
        ]
    trace = await start(factory, network, mode, protocol, version, count=len(errors))
    for quote, (icmp_type, code, _) in zip(trace.sent, errors, strict=True):
        trace.wire.inject_error(quote, icmp_type=icmp_type, code=code)
    replies = await trace.replies(len(errors))
    await trace.opened.aclose()
    seen = [(reply.icmp_type, reply.icmp_code, reply.kind) for reply in replies]
    assert seen == errors
    assert [reply.probe_id for reply in replies] == [probe.id for probe in trace.probes]


@every_mode
@both_versions
async def test_a_packet_too_big_tells_the_mtu(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    # A destination of its own, for the kernel will believe it.
    host = f"{SILENT[version]}{MODES.index((mode, protocol))}"
    trace = await start(factory, network, mode, protocol, version, count=1, size=1400, destination=host)
    icmp_type, code = (3, 4) if version == 4 else (2, 0)
    trace.wire.inject_error(trace.sent[0][:400], icmp_type=icmp_type, code=code, rest=1300)
    (reply,) = await trace.replies(1)
    await trace.opened.aclose()
    assert (reply.kind, reply.mtu) == (ReplyKind.PACKET_TOO_BIG, 1300)


@raw_modes
@both_versions
async def test_a_redirect_says_nothing_about_the_path(
    factory: ProbeSocketFactory, network: OwnNetwork, protocol: Protocol, version: int
) -> None:
    trace = await start(factory, network, Mode.LINUX_RAW, protocol, version)
    if version == 4:
        trace.wire.inject_error(trace.sent[0], icmp_type=11, code=1)  # reassembly timed out
    else:
        trace.wire.inject_error(trace.sent[0], icmp_type=3, code=1)
    assert await trace.refused() == {"unexpected": 1}
    await trace.opened.aclose()


# --- what is refused -------------------------------------------------------------------------------------


def changed(quote: bytes, place: int, mask: int = 0x55) -> bytes:
    new = quote[place] ^ mask or 0xFF  # zeros at the end of a quote could be padding
    return quote[:place] + bytes([new]) + quote[place + 1 :]


@raw_modes
@both_versions
async def test_a_raw_socket_refuses_what_is_not_ours(
    factory: ProbeSocketFactory, network: OwnNetwork, protocol: Protocol, version: int
) -> None:
    trace = await start(factory, network, Mode.LINUX_RAW, protocol, version)
    header = HEADER[version]
    identifier_at = header + (4 if protocol is Protocol.ICMP else 0)
    token_at = header + 10
    quote = trace.sent[0]
    # A checksum that a translator has changed is a field like any other, if the token vouches for the rest.
    renumbered = changed(quote if protocol is Protocol.ICMP else quote[: header + 21], header + 6)
    cases = [
        # Translated on the way: the filter of the kernel lets it through by the cookie.
        (changed(quote, identifier_at), "rewritten"),
        (changed(quote, header - 1), "rewritten"),  # the destination
        (renumbered, "rewritten" if protocol is Protocol.ICMP else "unmatched"),
        (changed(quote[: header + 8], header + 6), "unmatched"),
        (changed(quote, token_at), "bad_token"),
        (changed(quote, token_at + 11), "bad_token"),
    ]
    expected: dict[str, int] = {}
    for forged, reason in cases:
        trace.wire.inject_error(forged)
        expected[reason] = expected.get(reason, 0) + 1
    assert await trace.refused() == expected
    # The genuine one still counts, and a second copy of it is handed out too.
    trace.wire.inject_error(quote)
    trace.wire.inject_error(quote)
    assert {reply.probe_id for reply in await trace.replies(2)} == {trace.probes[0].id}
    await trace.opened.aclose()


@pytest.mark.parametrize(
    ("mode", "protocol"),
    [(m, p) for m, p in MODES if m in {Mode.LINUX_PING, Mode.LINUX_UDP}],
    ids=["ping", "udp"],
)
@both_versions
async def test_an_error_queue_refuses_what_is_not_ours(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    trace = await start(factory, network, mode, protocol, version)
    header = HEADER[version]
    token_at = header + 10  # behind a word that balances the checksum, or is left to chance
    identity_at = header + (6 if protocol is Protocol.ICMP else 2)
    quote = trace.sent[0]
    for forged in (changed(quote, token_at), changed(quote, token_at + 11)):
        trace.wire.inject_error(forged)
    assert await trace.refused() == {"bad_token": 2}
    trace.wire.inject_error(changed(quote, identity_at))
    assert await trace.refused() == {"bad_token": 2, "rewritten": 1}
    trace.wire.inject_error(changed(quote[: header + 8], identity_at))
    assert await trace.refused() == {"bad_token": 2, "rewritten": 1, "unmatched": 1}
    trace.wire.inject_error(quote)
    (reply,) = await trace.replies(1)
    await trace.opened.aclose()
    assert reply.probe_id == trace.probes[0].id


@raw_modes
async def test_damaged_icmp_is_refused(
    factory: ProbeSocketFactory, network: OwnNetwork, protocol: Protocol
) -> None:
    trace = await start(factory, network, Mode.LINUX_RAW, protocol, 4)
    trace.wire.inject_error(trace.sent[0], spoil=True)
    assert await trace.refused() == {"bad_checksum": 1}
    await trace.opened.aclose()
    # ICMPv6 that is damaged does not get as far as the socket, but into its count of what was dropped.
    trace = await start(factory, network, Mode.LINUX_RAW, protocol, 6)
    trace.wire.inject_error(trace.sent[0], spoil=True)
    assert await trace.refused() == {"overflow": 1}
    await trace.opened.aclose()


@raw_modes
@both_versions
async def test_foreign_icmp_does_not_wake_a_raw_socket(
    factory: ProbeSocketFactory, network: OwnNetwork, protocol: Protocol, version: int
) -> None:
    trace = await start(factory, network, Mode.LINUX_RAW, protocol, version)
    source = ip_address(ROUTER[version])
    here = ip_address(SOURCE4 if version == 4 else SOURCE6)
    addresses = {"source": source, "destination": here} if version == 6 else {}
    echo = build_icmp_echo(version, identifier=7, sequence=7, payload=bytes(40), request=False, **addresses)
    header = HEADER[version]
    woken = False

    async def receive() -> None:
        nonlocal woken
        await trace.opened.receive()
        woken = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        for _ in range(5):
            trace.wire.inject(echo, sender=str(source))
            foreign = changed(trace.sent[0][: header + 8], header + (4 if protocol is Protocol.ICMP else 0))
            trace.wire.inject_error(foreign)
            trace.wire.inject_error(changed(trace.sent[0], 9 if version == 4 else 6, 0x11 ^ 0x2F))
        await anyio.wait_all_tasks_blocked()
        assert not woken
        assert not trace.opened.discarded
        tasks.cancel_scope.cancel()
    assert await trace.refused() == {}
    await trace.opened.aclose()


@every_mode
@both_versions
async def test_replies_to_given_up_probes_are_counted(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    trace = await start(factory, network, mode, protocol, version)
    trace.opened.release([trace.probes[0].id])
    trace.opened.release([trace.probes[0].id])
    for quote in trace.sent:
        trace.wire.inject_error(quote)
    replies = await trace.replies(2)
    assert await trace.refused() == {"released": 1}
    await trace.opened.aclose()
    assert [reply.probe_id for reply in replies] == [probe.id for probe in trace.probes[1:]]


@every_mode
@both_versions
async def test_a_large_reply_comes_whole(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    # Echo replies bring all of the probe back, errors as much as routers like.
    opened = await open_socket(factory, mode, protocol, version)
    probes = probes_to("127.0.0.1" if version == 4 else "::1", 3, size=9000)
    await opened.send_probes(probes)
    replies = await collect(opened, 3)
    await opened.aclose()
    assert {reply.probe_id for reply in replies} == {probe.id for probe in probes}
    assert not opened.discarded
