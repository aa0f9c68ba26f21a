"""More codecs under fire: those that leave headers to the system, and whole datagrams.

As in ``tests.fuzz.messages``, whether an answer is right is judged by a reading of its own.
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.fuzz.messages import HOST, answer_is_right, armed, shows_token
from tests.sockets.wire import (
    ALL_KINDS,
    QUARANTINE_NS,
    SECRET,
    SOURCE_PORT,
    address,
    make_probe,
    source,
)
from traceprobe.config import AddressFamily, FlowStrategy
from traceprobe.errors import PacketError
from traceprobe.model import Reply
from traceprobe.packets import IcmpError, parse_icmp, parse_ip, parse_tcp, parse_udp
from traceprobe.sockets._connects import ConnectCodec
from traceprobe.sockets.codec import Refusal
from traceprobe.sockets.windows._datagrams import SystemUdpCodec
from traceprobe.testing._reading import read_reply

if TYPE_CHECKING:
    from traceprobe.model import ProbeId

PORTS: Final = {50_000 + index: index for index in range(3)}
"""Source ports of connections, as a system chose them, and the probes that they are of."""
TOKEN: Final = slice(8, 22)
"""Where the payload of a datagram says which probe it is: the word in front of the token, and the token."""


class Sent(NamedTuple):
    """Two codecs with three probes out each."""

    connects: ConnectCodec
    datagrams: SystemUdpCodec
    probes: list[ProbeId]
    segments: dict[ProbeId, bytes]


@cache
def sent(family: AddressFamily) -> Sent:
    """The same every time."""
    probes = [make_probe(family, index) for index in range(3)]
    connects = ConnectCodec(family, quarantine_ns=QUARANTINE_NS, random=Random(1))
    for port, ticket in zip(PORTS, connects.encode_batch(probes, None, 0), strict=True):
        connects.opened(connects.read_ticket(ticket)[0], port)
    datagrams = SystemUdpCodec(
        family,
        FlowStrategy.PARIS,
        source_port=SOURCE_PORT,
        quarantine_ns=QUARANTINE_NS,
        random=Random(1),
        secret=SECRET,
    )
    segments = datagrams.encode_batch(probes, source(family), 0)
    ids = [probe.id for probe in probes]
    return Sent(connects, datagrams, ids, dict(zip(ids, segments, strict=True)))


def system_codecs(data: bytes) -> None:
    """First byte: the family. The rest: an ICMP message, for connections and for datagrams of the system."""
    if not data:
        return
    family = AddressFamily.IPV4 if data[0] & 1 else AddressFamily.IPV6
    try:
        message = parse_icmp(int(family), data[1:])
    except PacketError:
        return
    out = sent(family)
    outcome = out.connects.resolve(message, address(family, 7))
    if not isinstance(outcome, Refusal):
        assert isinstance(message, IcmpError)
        shown = bytes(message.quoted.transport)
        assert message.quoted.destination == address(family, HOST)
        assert int.from_bytes(shown[2:4], "big") == out.connects.default_port
        assert out.probes[PORTS[int.from_bytes(shown[:2], "big")]] == outcome
        out.connects.changes(outcome, message.quoted, time_exceeded=True)
    outcome = out.datagrams.resolve(message, address(family, 7))
    if not isinstance(outcome, Refusal):
        assert isinstance(message, IcmpError)
        segment, shown = out.segments[outcome], bytes(message.quoted.transport)
        assert message.quoted.destination == address(family, HOST)
        assert shown[:4] == segment[:4]
        # The checksum may not have been filled in yet; the word in front of the token says the same.
        assert shown[6:8] == segment[6:8] or shown[TOKEN] == segment[TOKEN]
        assert shows_token(segment, shown, TOKEN)
        out.datagrams.changes(outcome, message.quoted, time_exceeded=True)


def received(data: bytes) -> None:
    """First byte: which codec. The rest: a whole datagram, as simulated sockets take it."""
    if not data:
        return
    out = armed(*ALL_KINDS[data[0] % len(ALL_KINDS)])
    outcome = read_reply(out.codec, data[1:], dict.fromkeys(out.segments, 0), 5)
    if not isinstance(outcome, Reply):
        assert isinstance(outcome, Refusal)
        return
    parsed = parse_ip(data[1:], verify=True)
    assert outcome.address == parsed.source == ip_address(str(outcome.address))
    assert outcome.rtt_ns == 5
    message = (
        parse_udp(parsed.payload) if parsed.protocol == 17
        else parse_tcp(parsed.payload) if parsed.protocol == 6
        else parse_icmp(parsed.version, parsed.payload)
    )  # fmt: skip
    assert answer_is_right(out, outcome.probe_id, message, parsed.source)
