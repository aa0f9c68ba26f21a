"""What routers add to their answers, and what the path did to a probe, comes through the kernel."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from traceprobe.config import FlowStrategy, Mode, Protocol
from traceprobe.model import (
    Change,
    ChangedField,
    ExtensionObject,
    InterfaceInformation,
    InterfaceRole,
    MplsLabel,
    ReplyKind,
)
from traceprobe.packets import (
    InterfaceObject,
    InterfaceObjectRole,
    LabelStackEntry,
    UnknownObject,
    build_extensions,
    internet_checksum,
)

if sys.platform != "linux":
    pytest.skip("sockets of Linux", allow_module_level=True)

from tests.sockets.linux import SILENT, all_modes, both_versions, collect, open_socket, probes_to, reply_of
from tests.sockets.network import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sockets.network import OwnNetwork
    from traceprobe.model import Reply
    from traceprobe.sockets import ProbeSocketFactory

pytestmark = [pytest.mark.tun, pytest.mark.usefixtures("network")]

HEADER = {4: 20, 6: 40}
every_protocol = pytest.mark.parametrize("protocol", list(Protocol))


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One event loop: what the kernel hands out does not depend on it."""
    return "asyncio", {"use_uvloop": False}


# --- extensions ------------------------------------------------------------------------------------------

STRUCTURE = build_extensions(
    mpls=[LabelStackEntry(16001, 3, 0, 1), LabelStackEntry(24, 0, 1, 254)],
    interfaces=[
        InterfaceObject(InterfaceObjectRole.INCOMING, 7, IPv4Address("198.51.100.9"), "xe-0/0/1", 9000),
        InterfaceObject(InterfaceObjectRole.OUTGOING, None, IPv6Address("2001:db8::7")),
    ],
    unknown=[UnknownObject(200, 5, b"what is this")],
)


@all_modes
@both_versions
@pytest.mark.parametrize("compliant", [True, False], ids=["compliant", "old"])
@pytest.mark.parametrize("shown", [8, 1000])
async def test_extensions_are_read(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    compliant: bool,
    shown: int,
) -> None:
    opened = await open_socket(factory, mode, protocol, version)
    wire = Wire(network, version)
    await opened.send_probes(probes_to(SILENT[version], 1))
    quote = wire.sent()[0][: HEADER[version] + shown]
    if compliant:
        wire.inject_error(quote, extension=STRUCTURE)
    else:  # the length field stays 0 (RFC 4884 section 5.5)
        wire.inject_error(quote.ljust(128, b"\0") + STRUCTURE)
    reply = reply_of(await collect(opened, 1))
    await opened.aclose()
    assert reply.kind is ReplyKind.TIME_EXCEEDED
    assert reply.mpls == (MplsLabel(16001, 3, 0, 1), MplsLabel(24, 0, 1, 254))
    assert reply.interfaces == (
        InterfaceInformation(InterfaceRole.INCOMING, 7, IPv4Address("198.51.100.9"), "xe-0/0/1", 9000),
        InterfaceInformation(InterfaceRole.OUTGOING, address=IPv6Address("2001:db8::7")),
    )
    assert reply.extensions == (ExtensionObject(200, 5, b"what is this"),)
    assert reply.changes == ()


@all_modes
@both_versions
async def test_an_extension_that_makes_no_sense_says_nothing(
    factory: ProbeSocketFactory, network: OwnNetwork, mode: Mode, protocol: Protocol, version: int
) -> None:
    opened = await open_socket(factory, mode, protocol, version)
    wire = Wire(network, version)
    await opened.send_probes(probes_to(SILENT[version], 1))
    spoilt = STRUCTURE[:9] + bytes([STRUCTURE[9] ^ 1]) + STRUCTURE[10:]
    wire.inject_error(wire.sent()[0], extension=spoilt)
    reply = reply_of(await collect(opened, 1))
    await opened.aclose()
    assert (reply.mpls, reply.interfaces, reply.extensions, reply.changes) == ((), (), (), ())


# --- changes ---------------------------------------------------------------------------------------------


def with_checksum(datagram: bytearray) -> bytes:
    """The datagram with the IPv4 header checksum that fits it."""
    if datagram[0] >> 4 == 4:
        datagram[10:12] = bytes(2)
        datagram[10:12] = internet_checksum(datagram[:20]).to_bytes(2, "big")
    return bytes(datagram)


def patched(place: int, value: bytes) -> Callable[[bytes], bytes]:
    def patch(datagram: bytes) -> bytes:
        changed = bytearray(datagram)
        assert changed[place : place + len(value)] != value
        changed[place : place + len(value)] = value
        return with_checksum(changed)

    return patch


async def reply_about(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    alter: Callable[[bytes], bytes],
    **options: object,
) -> tuple[bytes, Reply]:
    """Send a probe and let a router quote what the path has made of it."""
    opened = await open_socket(factory, mode, protocol, version, **options)
    wire = Wire(network, version)
    await opened.send_probes(probes_to(SILENT[version], 1))
    (sent,) = wire.sent()
    wire.inject_error(alter(sent))
    reply = reply_of(await collect(opened, 1))
    await opened.aclose()
    return sent, reply


@all_modes
@both_versions
@pytest.mark.parametrize("flow", [None, FlowStrategy.CLASSIC])
@pytest.mark.parametrize("options", [{}, {"dont_fragment": True, "dscp": 46}, {"dont_fragment": False}])
async def test_an_untouched_probe_shows_no_change(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    flow: FlowStrategy | None,
    options: dict[str, object],
) -> None:
    for shown in (1000, 8, 13, 19, 30):
        for padding in (0, 100):
            _, reply = await reply_about(
                factory,
                network,
                mode,
                protocol,
                version,
                lambda sent: sent[: HEADER[version] + shown] + bytes(padding),  # noqa: B023 - used at once
                flow=flow,
                **options,
            )
            assert reply.changes == ()


@every_protocol
@pytest.mark.parametrize(
    ("place", "value", "change"),
    [
        (1, b"\x01", Change(ChangedField.DSCP, 10, 0)),
        (1, b"\x2b", Change(ChangedField.ECN, 1, 3)),
        (2, b"\x04\x00", Change(ChangedField.TOTAL_LENGTH, 60, 1024)),
        (4, b"\xbe\xef", Change(ChangedField.IDENTIFICATION, 0, 0xBEEF)),
        (6, b"\x00", Change(ChangedField.DONT_FRAGMENT, 1, 0)),
        (8, b"\x00", Change(ChangedField.TTL, 1, 0)),
        (8, b"\x07", Change(ChangedField.TTL, 1, 7)),
        (12, b"\x0a\x00\x00\x01", Change(ChangedField.SOURCE, "192.0.2.1", "10.0.0.1")),
    ],
    ids=lambda value: value.field.value if isinstance(value, Change) else "",
)
async def test_changes_of_the_ipv4_header(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    protocol: Protocol,
    place: int,
    value: bytes,
    change: Change,
) -> None:
    options = {"dont_fragment": True, "dscp": 10, "ecn": 1}
    alter = patched(place, value)
    _, reply = await reply_about(factory, network, Mode.LINUX_RAW, protocol, 4, alter, **options)
    assert reply.changes == (change,)
    assert reply.quoted_ttl == (change.seen if change.field is ChangedField.TTL else 1)


@every_protocol
@pytest.mark.parametrize(
    ("place", "value", "change"),
    [
        (0, b"\x60\x11", Change(ChangedField.DSCP, 10, 0)),
        (4, b"\x00\x99", Change(ChangedField.TOTAL_LENGTH, 80, 40 + 0x99)),
        (2, b"\xff\xff", Change(ChangedField.FLOW_LABEL, 0x12345, 0x1FFFF)),
        (7, b"\x03", Change(ChangedField.TTL, 1, 3)),
        (8, b"\xfd\x00", Change(ChangedField.SOURCE, "2001:db8::1", "fd00:db8::1")),
    ],
    ids=lambda value: value.field.value if isinstance(value, Change) else "",
)
async def test_changes_of_the_ipv6_header(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    protocol: Protocol,
    place: int,
    value: bytes,
    change: Change,
) -> None:
    options = {"dscp": 10, "ecn": 1, "flow_label": 0x12345}
    alter = patched(place, value)
    _, reply = await reply_about(factory, network, Mode.LINUX_RAW, protocol, 6, alter, **options)
    assert reply.changes == (change,)


@every_protocol
async def test_a_header_checksum_that_does_not_fit(
    factory: ProbeSocketFactory, network: OwnNetwork, protocol: Protocol
) -> None:
    def spoil(sent: bytes) -> bytes:
        return sent[:10] + bytes([sent[10] ^ 0x5A]) + sent[11:]

    sent, reply = await reply_about(factory, network, Mode.LINUX_RAW, protocol, 4, spoil)
    fitting = int.from_bytes(sent[10:12], "big")
    assert reply.changes == (Change(ChangedField.IP_CHECKSUM, fitting, fitting ^ 0x5A00),)
    # Some routers take their hop off before they quote, and some not from the checksum.
    for ttl in (0, 2):
        alter = patched_ttl_only(ttl)
        _, reply = await reply_about(factory, network, Mode.LINUX_RAW, protocol, 4, alter)
        assert [change.field for change in reply.changes] == [ChangedField.TTL]


def patched_ttl_only(ttl: int) -> Callable[[bytes], bytes]:
    return lambda sent: sent[:8] + bytes([ttl]) + sent[9:]


@every_protocol
@both_versions
@pytest.mark.parametrize("flow", [None, FlowStrategy.CLASSIC])
async def test_changes_of_the_transport(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    protocol: Protocol,
    version: int,
    flow: FlowStrategy | None,
) -> None:
    start = HEADER[version]
    checksum_at = start + {Protocol.ICMP: 2, Protocol.UDP: 6, Protocol.TCP: 16}[protocol]
    cases = [(checksum_at, b"\x12\x34", ChangedField.TRANSPORT_CHECKSUM)]
    if protocol is Protocol.UDP:
        cases.append((start + 4, b"\x00\x63", ChangedField.UDP_LENGTH))
    if protocol is Protocol.TCP:
        cases += [
            (start + 13, b"\xc2", ChangedField.TCP_FLAGS),
            (start + 14, b"\x01\x02", ChangedField.TCP_WINDOW),
            (start + 22, b"\x02", ChangedField.TCP_OPTIONS),
        ]
    else:
        cases.append((start + 30, b"\x77", ChangedField.PAYLOAD))
    for place, value, field in cases:
        alter = patched(place, value)
        sent, reply = await reply_about(factory, network, Mode.LINUX_RAW, protocol, version, alter, flow=flow)
        (change,) = reply.changes
        assert change.field is field
        if field is ChangedField.TRANSPORT_CHECKSUM:
            assert (change.sent, change.seen) == (
                int.from_bytes(sent[checksum_at : checksum_at + 2], "big"),
                0x1234,
            )


@pytest.mark.parametrize(
    ("mode", "protocol", "place", "value", "change"),
    [
        (Mode.LINUX_PING, Protocol.ICMP, 30, b"\x77", ChangedField.PAYLOAD),
        (Mode.LINUX_PING, Protocol.ICMP, 2, b"\x12\x34", ChangedField.TRANSPORT_CHECKSUM),
        (Mode.LINUX_UDP, Protocol.UDP, 30, b"\x77", ChangedField.PAYLOAD),
        (Mode.LINUX_TCP, Protocol.TCP, 13, b"\x12", ChangedField.TCP_FLAGS),
    ],
)
@both_versions
async def test_what_an_error_queue_shows_of_changes(
    factory: ProbeSocketFactory,
    network: OwnNetwork,
    mode: Mode,
    protocol: Protocol,
    version: int,
    place: int,
    value: bytes,
    change: ChangedField,
) -> None:
    alter = patched(HEADER[version] + place, value)
    _, reply = await reply_about(factory, network, mode, protocol, version, alter)
    assert [seen.field for seen in reply.changes] == [change]


async def test_a_payload_with_a_pattern_is_compared_with_it(
    factory: ProbeSocketFactory, network: OwnNetwork
) -> None:
    def spoil(sent: bytes) -> bytes:
        return sent[:50] + b"\x00\x00" + sent[52:]

    for mode in (Mode.LINUX_RAW, Mode.LINUX_UDP):
        sent, reply = await reply_about(
            factory, network, mode, Protocol.UDP, 4, spoil, payload_pattern=b"\xab\xcd\xef"
        )
        rest = sent[52:]
        (change,) = reply.changes
        assert change == Change(ChangedField.PAYLOAD, sent[50:60].hex(), (b"\0\0" + rest).hex())


@both_versions
async def test_an_address_translator_is_seen_through(
    factory: ProbeSocketFactory, network: OwnNetwork, version: int
) -> None:
    # It changes source address and UDP checksum; a router behind it quotes that, and nobody translates back.
    inside, outside = {
        4: ("192.0.2.1", "198.51.100.250"),
        6: ("2001:db8::1", "2001:db8:ffff::1"),
    }[version]
    place = 12 if version == 4 else 8

    def translate(sent: bytes) -> bytes:
        changed = bytearray(sent)
        size = 4 if version == 4 else 16
        changed[place : place + size] = ip_address(outside).packed
        at = HEADER[version] + 6
        changed[at : at + 2] = bytes([changed[at] ^ 0x3C, changed[at + 1]])
        return with_checksum(changed)

    for flow in (None, FlowStrategy.CLASSIC):
        _, reply = await reply_about(
            factory, network, Mode.LINUX_RAW, Protocol.UDP, version, translate, flow=flow
        )
        fields = {change.field: (change.sent, change.seen) for change in reply.changes}
        assert fields.keys() == {ChangedField.SOURCE, ChangedField.TRANSPORT_CHECKSUM}
        assert fields[ChangedField.SOURCE] == (inside, outside)


@every_protocol
@both_versions
@pytest.mark.parametrize("shown", [8, 500, 1500])
async def test_fragments_of_this_machines_own_are_no_change(
    factory: ProbeSocketFactory, network: OwnNetwork, protocol: Protocol, version: int, shown: int
) -> None:
    opened = await open_socket(factory, Mode.LINUX_RAW, protocol, version, dont_fragment=False)
    wire = Wire(network, version)
    (probe,) = probes_to(SILENT[version], 1, size=1600)
    await opened.send_probes([probe])
    first, second = wire.sent()
    wire.inject_error(first[: HEADER[version] + 8 + shown][:1200])
    reply = reply_of(await collect(opened, 1))
    wire.inject_error(second)
    assert not opened.receive_nowait()
    await opened.aclose()
    assert (reply.probe_id, reply.changes) == (probe.id, ())
    # A later fragment shows no ports; behind IPv6 extension headers the filter leaves that to the parser.
    assert dict(opened.discarded) == ({} if version == 4 else {"malformed": 1})
