"""The codecs under fire: probes are out, and whatever comes is refused or answers the very probe it shows.

Whether an answer is right is judged by a reading of its own, byte by byte against what was sent.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.sockets.wire import (
    ALL_KINDS,
    QUARANTINE_NS,
    SECRET,
    SOURCE_PORT,
    Codec,
    address,
    ip_protocol,
    make_codec,
    make_probe,
    source,
)
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.errors import PacketError
from traceprobe.model import Change, ReplyKind
from traceprobe.packets import (
    EchoMessage,
    IcmpError,
    IpProtocol,
    TcpSegment,
    UdpDatagram,
    parse_icmp,
    parse_tcp,
    parse_udp,
)
from traceprobe.sockets.codec import IcmpCodec, Refusal, TokenUdpCodec, UdpCodec, read_answer

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import ProbeId

TOKEN_SIZE: Final = 12
"""The codec's four bytes and the trace's eight."""
HOST: Final = 9
"""Where the probes of the first trace go; the second trace's go to the next address."""


class Armed(NamedTuple):
    """A codec with probes out, and what they look like on the wire."""

    codec: Codec
    segments: dict[ProbeId, bytes]
    destinations: dict[ProbeId, IPv4Address | IPv6Address]


@cache
def armed(family: AddressFamily, protocol: Protocol, flow: FlowStrategy) -> Armed:
    """Two traces of three probes each, and one probe that was given up; the same every time."""
    codec = make_codec(family, protocol, flow)
    probes = [
        make_probe(family, index, trace=trace, host=HOST + trace - 1)
        for trace in (1, 2)
        for index in range(3)
    ]
    given_up = make_probe(family, 3)
    segments = codec.encode_batch([*probes, given_up], source(family), 0)
    codec.release([given_up.id], 0)
    return Armed(
        codec,
        {probe.id: segment for probe, segment in zip(probes, segments, strict=False)},
        {probe.id: probe.destination for probe in probes},
    )


def answer_is_right(out: Armed, probe: ProbeId, message: object, sender: IPv4Address | IPv6Address) -> bool:
    """Whether a message shows all that it must of the probe that it is said to answer."""
    codec, sent, destination = out.codec, out.segments[probe], out.destinations[probe]
    token = slice(codec.cookie_at, codec.cookie_at + TOKEN_SIZE)
    protocol = ip_protocol(codec)
    if isinstance(message, IcmpError):
        quoted = message.quoted
        shown = bytes(quoted.transport)
        if (quoted.destination, quoted.protocol) != (destination, protocol) or quoted.fragment_offset:
            return False
        if protocol == IpProtocol.TCP:
            return shown[:8] == sent[:8]
        if protocol == IpProtocol.UDP:
            same = shown[:4] == sent[:4]
            if codec.flow is not FlowStrategy.CLASSIC:
                same = same and (shown[6:8] == sent[6:8] or shown[token] == sent[token])
        else:
            same = shown[0] == sent[0] and shown[4:8] == sent[4:8]
        return same and shows_token(sent, shown, token)
    if isinstance(message, EchoMessage):
        header = message.identifier.to_bytes(2, "big") + message.sequence.to_bytes(2, "big")
        brought_back = bytes(4) + header + bytes(message.payload)
        return not message.is_request and header == sent[4:8] and brought_back[token] == sent[token]
    if isinstance(message, UdpDatagram):
        ports = message.destination_port, message.source_port
        if sender != destination or ports != (SOURCE_PORT, int.from_bytes(sent[2:4], "big")):
            return False
        brought_back = bytes(8) + bytes(message.payload)
        return codec.flow is FlowStrategy.CLASSIC or brought_back[token] == sent[token]
    assert isinstance(message, TcpSegment)
    return (
        sender == destination
        and message.destination_port == int.from_bytes(sent[:2], "big")
        and message.source_port == int.from_bytes(sent[2:4], "big")
        and message.acknowledgement == int.from_bytes(sent[4:8], "big") + 1 & 0xFFFFFFFF
    )


def shows_token(sent: bytes, shown: bytes, token: slice) -> bool:
    """Whether what is shown of the token is right; zeros at the end stand for nothing (RFC 4884)."""
    return sent[token].startswith(shown[token].rstrip(b"\0"))


def fuzz_codecs(data: bytes) -> None:
    """First byte: which codec. Second: which kind of message, and from whom. The rest: the message."""
    if len(data) < 2:
        return
    out = armed(*ALL_KINDS[data[0] % len(ALL_KINDS)])
    codec = out.codec
    family = codec.family
    sender = address(family, HOST + (data[1] >> 4) % 3)
    try:
        message = (
            parse_udp(data[2:]) if data[1] & 3 == 1
            else parse_tcp(data[2:]) if data[1] & 3 == 2
            else parse_icmp(int(family), data[2:])
        )  # fmt: skip
    except PacketError:
        return
    answer = read_answer(codec, message, sender)
    assert codec.outstanding == len(out.segments)
    if isinstance(answer, Refusal):
        return
    assert isinstance(answer.kind, ReplyKind)
    assert all(isinstance(change, Change) for change in answer.changes)
    assert answer_is_right(out, answer.probe_id, message, sender), "an answer that shows another probe"


def fuzz_hidden_headers(data: bytes) -> None:
    """What error queues show: quotes without their headers, for the codecs of the unprivileged modes."""
    if len(data) < 4:
        return
    family = AddressFamily.IPV4 if data[0] & 1 else AddressFamily.IPV6
    flow = FlowStrategy.PARIS if data[0] & 2 else FlowStrategy.DUBLIN
    destination = address(family, HOST + data[1] % 3)
    port = int.from_bytes(data[2:4], "big")
    quote = memoryview(data)[4:]
    codec = TokenUdpCodec(
        family, flow, source_port=SOURCE_PORT, quarantine_ns=QUARANTINE_NS, random=Random(1), secret=SECRET
    )
    probes = [make_probe(family, index) for index in range(2)]
    segments = dict(
        zip((probe.id for probe in probes), codec.encode_batch(probes, source(family), 0), strict=True)
    )
    outcome = codec.resolve_quoted_payload(destination, port, quote, destination, 1)
    if not isinstance(outcome, Refusal):
        assert destination == address(family, HOST), "an answer from where no probe went"
        shown = bytes(quote[: 2 + TOKEN_SIZE]).rstrip(b"\0")
        assert segments[outcome][8:].startswith(shown), "an answer with another payload"
        codec.payload_changes(outcome, quote)
        codec.take_note(outcome, quote, destination)
    outcome = codec.resolve_answer(destination, port, quote)
    if not isinstance(outcome, Refusal):
        sent = segments[outcome]
        assert destination == address(family, HOST), "an answer from where no probe went"
        assert port == int.from_bytes(sent[2:4], "big"), "an answer from another port"
        if flow is FlowStrategy.PARIS:
            assert bytes(quote[: 2 + TOKEN_SIZE]) == sent[8:][: 2 + TOKEN_SIZE], (
                "an answer with another payload"
            )
    out = armed(family, Protocol.ICMP, FlowStrategy.PARIS)
    assert isinstance(out.codec, IcmpCodec)
    found = out.codec.resolve_quote(destination, quote)
    _check_hidden(out, found, destination, bytes(quote), slice(4, 8))
    out = armed(family, Protocol.UDP, FlowStrategy.CLASSIC)
    assert isinstance(out.codec, UdpCodec)
    found = out.codec.resolve_payload(destination, port, quote)
    _check_hidden(out, found, destination, bytes(2) + data[2:4] + bytes(4) + bytes(quote), slice(2, 4))


def _check_hidden(
    out: Armed, found: ProbeId | Refusal, destination: object, shown: bytes, identifier: slice
) -> None:
    if isinstance(found, Refusal):
        return
    sent = out.segments[found]
    assert destination == out.destinations[found], "an answer from where no probe went"
    assert shown[identifier] == sent[identifier], "an answer with another identifier"
    token = slice(out.codec.cookie_at, out.codec.cookie_at + TOKEN_SIZE)
    assert shows_token(sent, shown, token), "an answer with another token"
