"""Packets on simulated networks, byte by byte: forwarding, answers, flows, and transcripts."""

from __future__ import annotations

import itertools
import random
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IpProtocol,
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_tcp,
    build_udp,
    parse_icmp,
    parse_ip,
)
from traceprobe.testing import Path, Router, Target, Topology, Unreachability
from traceprobe.testing._forge import FORGERIES, flow_key, forge, with_ttl
from traceprobe.testing._internet import Answer, Internet
from traceprobe.testing._transcript import describe

V4 = (ip_address("192.0.2.77"), ip_address("192.0.2.9"))
V6 = (ip_address("2001:db8::77"), ip_address("2001:db8::9"))


def echo(version: int, *, ttl: int = 64, payload: bytes = b"0123456789") -> bytes:
    source, destination = V4 if version == 4 else V6
    segment = build_icmp_echo(
        version, identifier=7, sequence=9, payload=payload, source=source, destination=destination
    )
    return wrap(segment, IpProtocol.ICMP if version == 4 else IpProtocol.ICMPV6, version, ttl)


def udp(version: int, *, ttl: int = 64) -> bytes:
    source, destination = V4 if version == 4 else V6
    return wrap(build_udp(source, destination, 40000, 33434, b"payload"), IpProtocol.UDP, version, ttl)


def wrap(segment: bytes, protocol: int, version: int, ttl: int = 64) -> bytes:
    source, destination = V4 if version == 4 else V6
    if version == 4:
        return build_ipv4(segment, source=source, destination=destination, protocol=protocol, ttl=ttl)
    return build_ipv6(
        segment, source=source, destination=destination, next_header=protocol, hop_limit=ttl, flow_label=5
    )


def routers(count: int) -> list[Router]:
    return [Router([f"198.51.100.{n}", f"2001:db8:1::{n}"]) for n in range(1, count + 1)]


def internet() -> Internet:
    return Internet(Topology(paths=[Path(Target([V4[1], V6[1]]), routers(3))]), seed=0)


def answers(net: Internet, datagram: bytes) -> list[Answer]:
    journey = net.carry(datagram, 0)
    assert journey.responder is not None, journey.lost
    found = net.answer(journey, journey.delay_ns)
    assert isinstance(found, list), found
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_a_router_quotes_the_packet_as_it_came(version: int) -> None:
    probe = echo(version, ttl=3)
    (answer,) = answers(internet(), probe)
    parsed = parse_ip(answer.datagram, verify=True)
    message = parse_icmp(version, parsed.payload, pseudo=(parsed.source, parsed.destination), verify=True)
    assert isinstance(message, IcmpError)
    assert message.quoted.ttl == 1
    assert message.quoted.transport == parse_ip(probe).payload
    if version == 4:
        assert parse_ip(with_ttl(probe, 1), verify=True).header.checksum == message.quoted.header_checksum  # type: ignore[union-attr]
    else:
        assert message.quoted.flow_label == 5


@pytest.mark.parametrize("version", [4, 6])
def test_an_echo_reply_brings_everything_back(version: int) -> None:
    (answer,) = answers(internet(), echo(version))
    parsed = parse_ip(answer.datagram, verify=True)
    message = parse_icmp(version, parsed.payload, pseudo=(parsed.source, parsed.destination), verify=True)
    assert message == EchoMessage(False, 7, 9, memoryview(b"0123456789"))
    assert (parsed.source, parsed.destination) == (V4 if version == 4 else V6)[::-1]


@pytest.mark.parametrize("version", [4, 6])
def test_a_target_tells_of_protocols_that_it_does_not_speak(version: int) -> None:
    (answer,) = answers(internet(), wrap(b"something", 132, version))
    message = parse_icmp(version, parse_ip(answer.datagram).payload)
    assert isinstance(message, IcmpError)
    assert (message.type, message.code) == Unreachability.PROTOCOL.icmp(version)
    assert message.pointer == (None if version == 4 else 6)


@pytest.mark.parametrize("version", [4, 6])
def test_a_target_ignores_what_was_damaged_on_its_way(version: int) -> None:
    net = internet()
    for probe in (echo(version), udp(version)):
        damaged = probe[:-1] + bytes([probe[-1] ^ 1])
        journey = net.carry(damaged, 0)
        found = net.answer(journey, 0)
        assert isinstance(found, str)
        assert "checksum" in found


def test_what_is_no_datagram_or_goes_nowhere_is_lost() -> None:
    net = internet()
    assert "no IP datagram" in net.carry(b"nonsense", 0).lost
    broken = bytearray(echo(4))
    broken[10] ^= 1
    assert "checksum" in net.carry(bytes(broken), 0).lost
    source = V4[0]
    elsewhere = build_ipv4(b"", source=source, destination=ip_address("203.0.113.1"), protocol=17)
    assert "no route" in net.carry(elsewhere, 0).lost


def test_routers_look_at_what_the_model_says() -> None:
    assert flow_key(parse_ip(udp(4))) == V4[0].packed + V4[1].packed + b"\x11" + bytes.fromhex("9c40829a")
    icmp = parse_ip(echo(6))
    assert flow_key(icmp) == V6[0].packed + V6[1].packed + b"\x3a" + icmp.payload[:6] + b"\0\0\0\x05"


@pytest.mark.parametrize("kind", sorted(FORGERIES))
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("make", [echo, udp])
def test_a_forgery_is_a_sound_packet(make: object, version: int, kind: str) -> None:
    probe = make(version)  # type: ignore[operator]
    forged = forge(kind, probe, random.Random(1), set())  # type: ignore[arg-type]
    assert forged != probe
    assert len(forged) == len(probe)
    assert parse_ip(forged, verify=True).destination == parse_ip(probe).destination


@pytest.mark.parametrize("version", [4, 6])
def test_transcripts_speak_of_every_kind_of_packet(version: int) -> None:
    router = ip_address("198.51.100.1" if version == 4 else "2001:db8:1::1")
    quoted = udp(version)
    errors = [
        build_icmp_error(version, type=kind, code=0, quoted=quoted)
        for kind in ((3, 11, 5) if version == 4 else (1, 3))
    ]
    protocol = IpProtocol.ICMP if version == 4 else IpProtocol.ICMPV6
    texts = [describe(wrap(error, protocol, version)) for error in errors]
    assert "unreachable (" in texts[0]
    assert "time exceeded (" in texts[1]
    assert all("udp 40000 > 33434" in text for text in texts)
    assert "echo request id 0x0007 seq 0x0009" in describe(echo(version))
    assert "icmp type 137 code 1" in describe(wrap(b"\x89\1\0\0", protocol, version))
    source, destination = V4 if version == 4 else V6
    syn = build_tcp(source, destination, 40000, 80, sequence=7, window=9)
    assert "tcp 40000 > 80 seq 0x00000007 syn" in describe(wrap(syn, IpProtocol.TCP, version))
    answer = build_tcp(destination, source, 80, 40000, sequence=1, acknowledgement=8, flags=0x12, window=9)
    assert "seq 0x00000001 ack 0x00000008 syn ack" in describe(wrap(answer, IpProtocol.TCP, version))
    expired = build_icmp_error(
        version, type=11 if version == 4 else 3, code=0, quoted=wrap(syn, IpProtocol.TCP, version)[:-12]
    )
    assert "ttl 64 tcp 40000 > 80 seq 0x00000007" in describe(wrap(expired, protocol, version))
    assert "protocol 132" in describe(wrap(b"abc", 132, version))
    assert "2 bytes of protocol 17" in describe(
        wrap(build_icmp_error(version, type=3, code=0, quoted=quoted[:-13]), protocol, version)
    )
    assert str(router)


@given(st.binary(max_size=120))
def test_transcripts_have_a_line_for_any_bytes(data: bytes) -> None:
    assert describe(data)
    assert "\n" not in describe(data)


@given(st.binary(max_size=80), st.sampled_from([1, 6, 17, 58, 132]), st.sampled_from([4, 6]))
def test_the_network_survives_any_transport_segment(segment: bytes, protocol: int, version: int) -> None:
    changing = Router("198.51.100.1", nat=["203.0.113.1", "2001:db8:7::1"], dscp=1, ttl_zero_forwarding=True)
    translating = Topology(paths=[Path(Target([V4[1], V6[1]]), [changing, *routers(3)])])
    for net, ttl in itertools.product((internet(), Internet(translating, seed=0)), (1, 2, 64)):
        journey = net.carry(wrap(segment, protocol, version, ttl), 0)
        if journey.responder is not None:
            net.answer(journey, 0)
