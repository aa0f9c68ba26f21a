"""The shortcut for ordinary replies: it finds nothing that a closer look would tell otherwise."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.sockets.wire import QUARANTINE_NS, Codec, address, make_codec, make_probe, source
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.errors import PacketError
from traceprobe.model import ReplyKind
from traceprobe.packets import (
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    internet_checksum,
    ones_complement_sum,
    parse_icmp,
)
from traceprobe.sockets.codec import (
    DEFAULT_UDP_PORT,
    NO_EXTENSION,
    Answer,
    IcmpCodec,
    Refusal,
    SentHeader,
    UdpCodec,
    read_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Probe

V4 = AddressFamily.IPV4
ROUTER = address(V4, 77)
HEADER = 20
KNOWN = SentHeader(0)


def make(
    flow: FlowStrategy = FlowStrategy.PARIS,
    known: SentHeader = KNOWN,
    protocol: Protocol = Protocol.ICMP,
) -> tuple[IcmpCodec | UdpCodec, Probe, bytes]:
    """A codec with one outstanding probe, and the datagram that says that its TTL has run out."""
    codec = make_codec(V4, protocol, flow)
    assert isinstance(codec, IcmpCodec | UdpCodec)
    codec.sent_header = known
    probe = make_probe(V4, ttl=5)
    segment = codec.encode(probe, source(V4), 0)
    number = 1 if protocol is Protocol.ICMP else 17
    quote = build_ipv4(
        segment,
        source=source(V4),
        destination=probe.destination,
        protocol=number,
        ttl=1,
        identification=0x4321,
    )
    return codec, probe, reply(quote)


def reply(quote: bytes) -> bytes:
    message = build_icmp_error(4, type=11, code=0, quoted=quote)
    return build_ipv4(message, source=ROUTER, destination=source(V4), protocol=1, ttl=60)


def closer_look(codec: IcmpCodec | UdpCodec, datagram: bytes) -> Answer | Refusal:
    """What a socket makes of a datagram without the shortcut."""
    message = datagram[(datagram[0] & 0xF) * 4 :]
    if ones_complement_sum(message) != 0xFFFF:
        return Refusal.BAD_CHECKSUM
    try:
        return read_answer(codec, parse_icmp(4, message), ROUTER)
    except PacketError:
        return Refusal.MALFORMED


def repaired(datagram: bytes) -> bytes:
    """The same with its ICMP checksum right."""
    message = bytearray(datagram[HEADER:])
    message[2:4] = bytes(2)
    message[2:4] = internet_checksum(message).to_bytes(2, "big")
    return datagram[:HEADER] + bytes(message)


def recognised(codec: IcmpCodec | UdpCodec, datagram: bytes) -> tuple[object, ...] | None:
    step = len(datagram) + 9
    padded = b"\xaa" * step + datagram + b"\xaa" * 9
    nothing, found = codec.recognise_each(memoryview(padded), step, [0, len(datagram)])
    assert nothing is None
    return found


def each_bit_flipped(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """What comes of flipping one bit, from a byte on, by the number of the bit."""
    for bit in range(8 * start, 8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(changed)


BOTH = pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])


@BOTH
def test_an_ordinary_reply_is_recognised(protocol: Protocol) -> None:
    codec, probe, datagram = make(protocol=protocol)
    assert recognised(codec, datagram) == (
        probe.id,
        ROUTER.packed,
        60,
        (ReplyKind.TIME_EXCEEDED, 11, 0, 1),
    )
    assert closer_look(codec, datagram) == Answer(
        probe.id, ReplyKind.TIME_EXCEEDED, 11, 0, 1, None, NO_EXTENSION, ()
    )


@BOTH
@pytest.mark.parametrize("repair", [False, True], ids=["damaged", "repaired"])
def test_whatever_bit_is_different_a_closer_look_says_the_same_or_is_taken(
    repair: bool, protocol: Protocol
) -> None:
    codec, probe, datagram = make(protocol=protocol)
    ordinary = Answer(probe.id, ReplyKind.TIME_EXCEEDED, 11, 0, 1, None, NO_EXTENSION, ())
    taken = 0
    for bit, changed in each_bit_flipped(datagram, HEADER if repair else 0):
        variant = repaired(changed) if repair else changed
        if recognised(codec, variant) is None:
            taken += 1
        else:
            assert closer_look(codec, variant) == ordinary, f"bit {bit}"
    assert taken > 8 * len(datagram) // 2, "the shortcut looks at too little"


@BOTH
def test_a_quote_of_any_length_says_the_same_or_gets_a_closer_look(protocol: Protocol) -> None:
    codec, probe, datagram = make(protocol=protocol)
    quote = datagram[HEADER + 8 :]
    found = []
    for length in range(HEADER + 8, len(quote) + 1):
        variant = reply(quote[:length])
        if recognised(codec, variant) is not None:
            found.append(length)
            outcome = closer_look(codec, variant)
            assert isinstance(outcome, Answer)
            assert (outcome.probe_id, outcome.changes) == (probe.id, ())
    assert found[-1] == len(quote)


@BOTH
def test_a_longer_quote_than_the_probe_gets_a_closer_look(protocol: Protocol) -> None:
    codec, _, datagram = make(protocol=protocol)
    for size in (2, 64, 128):
        assert recognised(codec, reply(datagram[HEADER + 8 :] + bytes(size))) is None


@BOTH
def test_a_released_probe_gets_a_closer_look(protocol: Protocol) -> None:
    codec, probe, datagram = make(protocol=protocol)
    codec.release([probe.id], 0)
    assert recognised(codec, datagram) is None
    assert closer_look(codec, datagram) is Refusal.RELEASED


@pytest.mark.parametrize(
    "known", [SentHeader(), SentHeader(0, True, 0)], ids=["nothing is known", "more is known"]
)
def test_what_is_known_of_the_header_decides_whether_quotes_can_be_ordinary(known: SentHeader) -> None:
    codec, _, datagram = make(known=known)
    assert recognised(codec, datagram) is None


def test_a_flow_that_varies_is_recognised_as_well() -> None:
    codec, probe, datagram = make(FlowStrategy.CLASSIC)
    ordinary = Answer(probe.id, ReplyKind.TIME_EXCEEDED, 11, 0, 1, None, NO_EXTENSION, ())
    assert recognised(codec, datagram) is not None
    assert closer_look(codec, datagram) == ordinary


def test_udp_probes_that_vary_their_port_and_echoes_of_udp_get_a_closer_look() -> None:
    codec, probe, datagram = make(FlowStrategy.CLASSIC, protocol=Protocol.UDP)
    assert recognised(codec, datagram) is None
    outcome = closer_look(codec, datagram)
    assert isinstance(outcome, Answer)
    assert outcome.probe_id == probe.id
    codec, probe, _ = make(protocol=Protocol.UDP)
    segment = next(known[3] for known in codec._probes.values() if known[0] == probe.id)
    assert recognised(codec, echo(segment)) is None


def test_quotes_of_probes_that_are_too_long_to_keep_get_a_closer_look() -> None:
    codec = make_codec(V4, Protocol.ICMP, FlowStrategy.PARIS)
    assert isinstance(codec, IcmpCodec)
    codec.sent_header = KNOWN
    probe = make_probe(V4, ttl=5, size=400)
    segment = codec.encode(probe, source(V4), 0)
    quote = build_ipv4(
        segment, source=source(V4), destination=probe.destination, protocol=1, ttl=1, identification=0x4321
    )
    datagram = reply(quote[: HEADER + 40])
    assert recognised(codec, datagram) is None
    outcome = closer_look(codec, datagram)
    assert isinstance(outcome, Answer)
    assert outcome.probe_id == probe.id


# --- echo replies --------------------------------------------------------------------------------------


def echo(segment: bytes, sender: IPv4Address | IPv6Address = ROUTER) -> bytes:
    """The reply to an echo request."""
    message = b"\0\0\0\0" + segment[4:]
    return repaired(build_ipv4(message, source=sender, destination=source(V4), protocol=1, ttl=60))


def make_echo(size: int = 60) -> tuple[IcmpCodec, Probe, bytes]:
    codec = make_codec(V4, Protocol.ICMP, FlowStrategy.PARIS)
    assert isinstance(codec, IcmpCodec)
    probe = make_probe(V4, ttl=5, size=size)
    return codec, probe, codec.encode(probe, source(V4), 0)


def test_an_echo_reply_is_recognised() -> None:
    codec, probe, segment = make_echo()
    answer = (ReplyKind.ECHO_REPLY, 0, 0, None)
    assert recognised(codec, echo(segment)) == (probe.id, ROUTER.packed, 60, answer)
    assert closer_look(codec, echo(segment)) == Answer(probe.id, ReplyKind.ECHO_REPLY, 0, 0)


@pytest.mark.parametrize("repair", [False, True], ids=["damaged", "repaired"])
def test_whatever_bit_of_an_echo_reply_is_different_a_closer_look_says_the_same(repair: bool) -> None:
    codec, probe, segment = make_echo()
    datagram = echo(segment)
    taken = 0
    for bit, changed in each_bit_flipped(datagram, HEADER if repair else 0):
        variant = repaired(changed) if repair else changed
        if recognised(codec, variant) is None:
            taken += 1
        else:
            assert closer_look(codec, variant) == Answer(probe.id, ReplyKind.ECHO_REPLY, 0, 0), f"bit {bit}"
    assert taken > 8 * len(segment) - 24, "the shortcut looks at too little"


def test_an_echo_reply_without_a_whole_token_gets_a_closer_look() -> None:
    codec, probe, segment = make_echo(size=36)  # six bytes of the token
    assert recognised(codec, echo(segment + bytes(22))) is None
    assert recognised(codec, echo(segment, probe.destination)) is None


def test_an_echo_reply_to_a_released_probe_gets_a_closer_look() -> None:
    codec, probe, segment = make_echo()
    codec.release([probe.id], 0)
    assert recognised(codec, echo(segment)) is None
    assert closer_look(codec, echo(segment)) is Refusal.RELEASED


# --- error queues --------------------------------------------------------------------------------------

KINDS = [(family, protocol) for family in AddressFamily for protocol in (Protocol.ICMP, Protocol.UDP)]


def make_queued(family: AddressFamily, protocol: Protocol) -> tuple[Codec, Probe, bytes]:
    """A codec with one outstanding probe, and what an error queue shows of that."""
    flow = FlowStrategy.PARIS if protocol is Protocol.ICMP else FlowStrategy.CLASSIC
    codec = make_codec(family, protocol, flow)
    probe = make_probe(family, ttl=5)
    segment = codec.encode(probe, source(family), 0)
    return codec, probe, segment if protocol is Protocol.ICMP else segment[8:]


def shortcut(codec: Codec, destination: IPv4Address | IPv6Address, port: int, quote: bytes) -> object:
    if isinstance(codec, IcmpCodec):
        return codec.recognise_quote(destination.packed, quote)
    assert isinstance(codec, UdpCodec)
    return codec.recognise_payload(destination.packed, port, quote)


def long_way(codec: Codec, destination: IPv4Address | IPv6Address, port: int, quote: bytes) -> object:
    """The probe, if there is nothing else to tell."""
    shown = memoryview(quote)
    if isinstance(codec, IcmpCodec):
        outcome = codec.resolve_quote(destination, shown)
        changes = () if isinstance(outcome, Refusal) else codec.transport_changes(outcome, shown)
    else:
        assert isinstance(codec, UdpCodec)
        outcome = codec.resolve_payload(destination, port, shown)
        changes = () if isinstance(outcome, Refusal) else codec.payload_changes(outcome, shown)
    return (outcome, changes) if changes else outcome


@pytest.mark.parametrize(("family", "protocol"), KINDS)
def test_an_untouched_quote_in_an_error_queue_is_recognised_at_any_length(
    family: AddressFamily, protocol: Protocol
) -> None:
    codec, probe, quote = make_queued(family, protocol)
    port = DEFAULT_UDP_PORT
    recognised = [
        length
        for length in range(len(quote) + 1)
        if shortcut(codec, probe.destination, port, quote[:length]) == probe.id
    ]
    assert recognised == list(range(8 if protocol is Protocol.ICMP else 0, len(quote) + 1))
    for length in recognised:
        assert long_way(codec, probe.destination, port, quote[:length]) == probe.id
    assert shortcut(codec, probe.destination, port, quote + b"\0") is None


@pytest.mark.parametrize(("family", "protocol"), KINDS)
def test_whatever_is_different_in_an_error_queue_gets_a_closer_look(
    family: AddressFamily, protocol: Protocol
) -> None:
    codec, probe, quote = make_queued(family, protocol)
    port = DEFAULT_UDP_PORT
    for bit, changed in each_bit_flipped(quote):
        assert shortcut(codec, probe.destination, port, changed) is None, f"bit {bit}"
    assert shortcut(codec, address(family, 10), port, quote) is None
    if protocol is Protocol.UDP:
        assert shortcut(codec, probe.destination, port + 1, quote) is None
    codec.release([probe.id], 0)
    assert shortcut(codec, probe.destination, port, quote) is None
    assert long_way(codec, probe.destination, port, quote) is Refusal.RELEASED


def test_a_constant_flow_of_udp_gets_a_closer_look() -> None:
    codec = make_codec(V4, Protocol.UDP, FlowStrategy.PARIS)
    probe = make_probe(V4, ttl=5)
    segment = codec.encode(probe, source(V4), 0)
    assert shortcut(codec, probe.destination, DEFAULT_UDP_PORT, segment[8:]) is None


# --- IPv6 ----------------------------------------------------------------------------------------------

V6 = AddressFamily.IPV6
ROUTER6 = address(V6, 77)
LABEL = 0x12345


def make_ipv6(
    flow: FlowStrategy = FlowStrategy.PARIS, known: SentHeader = KNOWN, label: int | None = None
) -> tuple[IcmpCodec, Probe, bytes, bytes]:
    """A codec with one outstanding probe, that, and the message that says that its hop limit has run out."""
    codec = IcmpCodec(
        V6,
        flow,
        identifier=0x1234,
        quarantine_ns=QUARANTINE_NS,
        random=Random(1),
        labelled=label is not None,
        flow_label=label,
    )
    codec.sent_header = known
    probe = make_probe(V6, ttl=5)
    segment = codec.encode(probe, source(V6), 0)
    quote = build_ipv6(
        segment,
        source=source(V6),
        destination=probe.destination,
        next_header=58,
        hop_limit=1,
        flow_label=LABEL if label is None else label,
    )
    return codec, probe, segment, reply_ipv6(quote)


def reply_ipv6(quote: bytes) -> bytes:
    return build_icmp_error(6, type=3, code=0, quoted=quote, source=ROUTER6, destination=source(V6))


def closer_look_ipv6(codec: IcmpCodec | UdpCodec, message: bytes) -> Answer | Refusal:
    """What a socket makes of a message without the shortcut."""
    try:
        return read_answer(codec, parse_icmp(6, message), ROUTER6)
    except PacketError:
        return Refusal.MALFORMED


def recognised_ipv6(codec: IcmpCodec | UdpCodec, message: bytes) -> tuple[object, ...] | None:
    padded = b"\xaa" * 7 + message + b"\xaa" * 9
    return codec.recognise_ipv6(memoryview(padded), 7, len(message))


@pytest.mark.parametrize("label", [None, LABEL], ids=["any label", "labelled"])
def test_an_ordinary_reply_of_ipv6_is_recognised_and_nothing_else(label: int | None) -> None:
    codec, probe, _, message = make_ipv6(label=label)
    ordinary = Answer(probe.id, ReplyKind.TIME_EXCEEDED, 3, 0, 1, None, NO_EXTENSION, ())
    assert recognised_ipv6(codec, message) == (probe.id, (ReplyKind.TIME_EXCEEDED, 3, 0, 1))
    assert closer_look_ipv6(codec, message) == ordinary
    taken = 0
    for bit, changed in each_bit_flipped(message):
        if recognised_ipv6(codec, changed) is None:
            taken += 1
        else:
            assert closer_look_ipv6(codec, changed) == ordinary, f"bit {bit}"
    # All but the checksum, which the kernel has verified, and the label that nobody knows.
    assert taken == 8 * len(message) - 16 - (20 if label is None else 0)


def test_an_ordinary_reply_to_udp_over_ipv6_is_recognised_and_nothing_else() -> None:
    codec = make_codec(V6, Protocol.UDP, FlowStrategy.PARIS)
    assert isinstance(codec, UdpCodec)
    codec.sent_header = KNOWN
    probe = make_probe(V6, ttl=5)
    segment = codec.encode(probe, source(V6), 0)
    ends = source(V6), probe.destination
    quote = build_ipv6(segment, source=ends[0], destination=ends[1], next_header=17, hop_limit=1)
    message = reply_ipv6(quote)
    ordinary = Answer(probe.id, ReplyKind.TIME_EXCEEDED, 3, 0, 1, None, NO_EXTENSION, ())
    assert recognised_ipv6(codec, message) == (probe.id, (ReplyKind.TIME_EXCEEDED, 3, 0, 1))
    assert closer_look_ipv6(codec, message) == ordinary
    for bit, changed in each_bit_flipped(message):
        if recognised_ipv6(codec, changed) is not None:
            assert closer_look_ipv6(codec, changed) == ordinary, f"bit {bit}"
    assert recognised_ipv6(codec, b"\x81\0" + segment[2:]) is None


def test_a_quote_of_ipv6_of_any_length_says_the_same_or_gets_a_closer_look() -> None:
    codec, probe, _, message = make_ipv6()
    quote = message[8:]
    found = []
    for length in range(40, len(quote) + 1):
        variant = reply_ipv6(quote[:length])
        if recognised_ipv6(codec, variant) is not None:
            found.append(length)
            outcome = closer_look_ipv6(codec, variant)
            assert isinstance(outcome, Answer)
            assert (outcome.probe_id, outcome.changes) == (probe.id, ())
    assert found == list(range(48, len(quote) + 1))
    for size in (2, 64, 128):
        assert recognised_ipv6(codec, reply_ipv6(quote + bytes(size))) is None


def test_what_is_not_known_of_ipv6_gets_a_closer_look() -> None:
    for codec, probe, _, message in (
        make_ipv6(known=SentHeader()),
        make_ipv6(FlowStrategy.CLASSIC, label=LABEL),
    ):
        assert recognised_ipv6(codec, message) is None
        outcome = closer_look_ipv6(codec, message)
        assert isinstance(outcome, Answer)
        assert outcome.probe_id == probe.id


def test_an_echo_reply_of_ipv6_is_recognised_and_nothing_else() -> None:
    codec, probe, segment, _ = make_ipv6()
    message = b"\x81\0" + segment[2:]
    assert recognised_ipv6(codec, message) == (probe.id, (ReplyKind.ECHO_REPLY, 129, 0, None))
    ordinary = Answer(probe.id, ReplyKind.ECHO_REPLY, 129, 0)
    taken = 0
    for bit, changed in each_bit_flipped(message):
        if recognised_ipv6(codec, changed) is None:
            taken += 1
        else:
            assert closer_look_ipv6(codec, changed) == ordinary, f"bit {bit}"
    assert taken == 8 * len(message) - 16
    codec.release([probe.id], 0)
    assert recognised_ipv6(codec, message) is None
