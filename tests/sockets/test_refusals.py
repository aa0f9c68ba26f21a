"""What does not answer a probe is refused, and counted for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sockets.wire import (
    KIND_IDS,
    KINDS,
    QUARANTINE_NS,
    SECRET,
    Codec,
    address,
    datagram,
    echo_reply,
    make_codec,
    make_probe,
    source,
    time_exceeded,
)
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.errors import PacketError
from traceprobe.model import ReplyKind
from traceprobe.packets import IcmpOther, parse_icmp, parse_udp
from traceprobe.sockets.codec import IcmpCodec, Refusal, UdpCodec, error_kind

if TYPE_CHECKING:
    from traceprobe.model import Probe

every_kind = pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
both_families = pytest.mark.parametrize("family", list(AddressFamily))

WHOLE = 1000
SHORT = 8
"""Bytes of the transport that a router quotes at least (RFC 792)."""


class Sent:
    """A codec with one probe outstanding, and ways to quote it."""

    def __init__(self, kind: tuple[AddressFamily, Protocol, FlowStrategy], size: int | None = None) -> None:
        self.codec: Codec = make_codec(*kind)
        self.family = self.codec.family
        self.probe: Probe = make_probe(self.family, **({} if size is None else {"size": size}))
        self.segment = self.codec.encode(self.probe, source(self.family), 0)

    def quoted(
        self,
        *,
        changed: dict[int, bytes] | None = None,
        host: int = 9,
        shown: int = WHOLE,
        protocol: int | None = None,
        ttl: int = 1,
        traffic_class: int = 0,
        identification: int = 0,
    ) -> object:
        """What the codec makes of an error that quotes the probe, with bytes of the transport changed."""
        segment = bytearray(self.segment)
        for place, new in (changed or {}).items():
            assert segment[place : place + len(new)] != new
            segment[place : place + len(new)] = new
        sent = datagram(
            self.codec,
            bytes(segment),
            address(self.family, host),
            protocol=protocol,
            ttl=ttl,
            traffic_class=traffic_class,
            identification=identification,
        )
        message = time_exceeded(self.codec, sent[: self.codec.header_size + shown])
        return self.codec.resolve(message, address(self.family, 77))


@every_kind
def test_a_changed_destination(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    assert sent.quoted(host=10) is Refusal.REWRITTEN
    assert sent.quoted(host=10, shown=SHORT) is Refusal.UNMATCHED


@both_families
@pytest.mark.parametrize("flow", [FlowStrategy.PARIS, FlowStrategy.CLASSIC])
def test_a_changed_icmp_identifier(family: AddressFamily, flow: FlowStrategy) -> None:
    sent = Sent((family, Protocol.ICMP, flow))
    assert sent.quoted(changed={4: b"\x43\x21"}) is Refusal.REWRITTEN
    assert sent.quoted(changed={4: b"\x43\x21"}, shown=SHORT) is Refusal.FOREIGN


@both_families
@pytest.mark.parametrize("flow", [FlowStrategy.PARIS, FlowStrategy.CLASSIC])
def test_a_changed_sequence_number(family: AddressFamily, flow: FlowStrategy) -> None:
    sent = Sent((family, Protocol.ICMP, flow))
    other = bytes([sent.segment[6] ^ 1, sent.segment[7]])
    assert sent.quoted(changed={6: other}) is Refusal.REWRITTEN
    assert sent.quoted(changed={6: other}, shown=SHORT) is Refusal.UNMATCHED


@both_families
def test_a_sequence_number_changed_to_that_of_another_probe(family: AddressFamily) -> None:
    sent = Sent((family, Protocol.ICMP, FlowStrategy.PARIS))
    other = sent.codec.encode(make_probe(family, 1), source(family), 0)
    # The word that balances the checksum still tells that it was another one.
    assert sent.quoted(changed={6: other[6:8]}) is Refusal.REWRITTEN


@both_families
@pytest.mark.parametrize("flow", [FlowStrategy.PARIS, FlowStrategy.CLASSIC])
def test_changed_udp_ports(family: AddressFamily, flow: FlowStrategy) -> None:
    sent = Sent((family, Protocol.UDP, flow))
    for place, short in ((0, Refusal.FOREIGN), (2, Refusal.UNMATCHED)):
        assert sent.quoted(changed={place: b"\x01\x02"}) is Refusal.REWRITTEN
        assert sent.quoted(changed={place: b"\x01\x02"}, shown=SHORT) is short


@both_families
def test_a_changed_udp_checksum(family: AddressFamily) -> None:
    paris = Sent((family, Protocol.UDP, FlowStrategy.PARIS))
    other = bytes([paris.segment[6] ^ 1, paris.segment[7]])
    # A translator changes it with the addresses; word and token behind it still say which probe it is.
    assert paris.quoted(changed={6: other}) == paris.probe.id
    assert paris.quoted(changed={6: other}, shown=10 + 11) is Refusal.UNMATCHED
    assert paris.quoted(changed={6: other}, shown=SHORT) is Refusal.UNMATCHED
    assert paris.quoted(changed={6: other}, host=10) is Refusal.REWRITTEN
    # Where the port is the identifier, the checksum is a field like any other.
    classic = Sent((family, Protocol.UDP, FlowStrategy.CLASSIC))
    assert classic.quoted(changed={6: b"\0\0"}) == classic.probe.id


@every_kind
def test_fields_that_routers_change(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    assert sent.quoted(ttl=200, traffic_class=0xB8, identification=4711) == sent.probe.id
    if kind[1] is Protocol.UDP:
        assert sent.quoted(changed={4: b"\0\x63"}) == sent.probe.id  # the length
    else:
        assert sent.quoted(changed={2: b"\x12\x34"}) == sent.probe.id  # the checksum


@every_kind
def test_a_wrong_token(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    for place in range(sent.codec.cookie_at, sent.codec.cookie_at + 12):
        forged = bytes([sent.segment[place] ^ 0x55])
        assert sent.quoted(changed={place: forged}) is Refusal.BAD_TOKEN
        assert sent.quoted(changed={place: forged}, shown=place + 1) is Refusal.BAD_TOKEN
        assert sent.quoted(changed={place: forged}, shown=place) == sent.probe.id


@every_kind
def test_the_token_of_another_trace(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    at = sent.codec.cookie_at
    other = sent.codec.encode(make_probe(sent.family, 0, trace=2), source(sent.family), 0)
    assert other[at : at + 4] == sent.segment[at : at + 4] == sent.codec.cookie
    assert sent.quoted(changed={at + 4: other[at + 4 : at + 12]}) is Refusal.REWRITTEN


@every_kind
def test_the_token_of_another_process(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    stranger = make_codec(*kind, secret=SECRET[::-1])
    segment = stranger.encode(make_probe(sent.family), source(sent.family), 0)
    assert stranger.cookie != sent.codec.cookie
    message = time_exceeded(stranger, datagram(stranger, segment, sent.probe.destination))
    assert sent.codec.resolve(message, address(sent.family, 77)) is Refusal.BAD_TOKEN


@every_kind
def test_another_protocol(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    assert Sent(kind).quoted(protocol=6) is Refusal.FOREIGN


@every_kind
@pytest.mark.parametrize("shown", range(SHORT))
def test_a_quote_without_a_whole_transport_header(
    kind: tuple[AddressFamily, Protocol, FlowStrategy], shown: int
) -> None:
    assert Sent(kind).quoted(shown=shown) is Refusal.MALFORMED


@pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])
def test_a_later_fragment_has_no_transport_header(protocol: Protocol) -> None:
    sent = Sent((AddressFamily.IPV4, protocol, FlowStrategy.PARIS))
    quote = bytearray(datagram(sent.codec, sent.segment, sent.probe.destination))
    quote[6:8] = (0x2001).to_bytes(2, "big")
    message = time_exceeded(sent.codec, bytes(quote))
    assert sent.codec.resolve(message, address(sent.family, 77)) is Refusal.MALFORMED


@both_families
def test_messages_of_another_kind(family: AddressFamily) -> None:
    sent = Sent((family, Protocol.ICMP, FlowStrategy.PARIS))
    sender = sent.probe.destination
    own_request = parse_icmp(int(family), sent.segment)
    assert sent.codec.resolve(own_request, sender) is Refusal.FOREIGN
    assert sent.codec.resolve(IcmpOther(13, 0), sender) is Refusal.FOREIGN
    to_somebody = parse_udp(bytes.fromhex("0035 1234 0008 0000"))
    udp = Sent((family, Protocol.UDP, FlowStrategy.PARIS))
    assert udp.codec.resolve(to_somebody, sender) is Refusal.FOREIGN
    assert udp.codec.resolve(own_request, sender) is Refusal.FOREIGN
    # An error about an echo reply of ours is about no probe.
    reply = 0 if family is AddressFamily.IPV4 else 129
    assert sent.quoted(changed={0: bytes([reply])}) is Refusal.FOREIGN
    assert sent.quoted(changed={1: b"\x01"}) is Refusal.FOREIGN


@both_families
def test_an_echo_reply_must_bring_the_token_back(family: AddressFamily) -> None:
    sent = Sent((family, Protocol.ICMP, FlowStrategy.PARIS))
    there, elsewhere = sent.probe.destination, address(family, 50)
    whole = echo_reply(sent.codec, sent.segment)
    assert sent.codec.resolve(whole, there) == sent.probe.id
    # Whoever brings the token back has got the probe, so the address may be another.
    assert sent.codec.resolve(whole, elsewhere) == sent.probe.id
    assert sent.codec.resolve(echo_reply(sent.codec, sent.segment[:22]), there) == sent.probe.id
    for cut in (8, 10, 21):
        assert sent.codec.resolve(echo_reply(sent.codec, sent.segment[:cut]), there) is Refusal.BAD_TOKEN
    forged = sent.segment[:12] + bytes(len(sent.segment) - 12)
    assert sent.codec.resolve(echo_reply(sent.codec, forged), there) is Refusal.BAD_TOKEN
    renumbered = sent.segment[:4] + b"\x77\x77" + sent.segment[6:]
    assert sent.codec.resolve(echo_reply(sent.codec, renumbered), there) is Refusal.REWRITTEN
    assert sent.codec.resolve(echo_reply(sent.codec, renumbered[:12]), there) is Refusal.FOREIGN


@both_families
def test_an_echo_reply_without_room_for_a_token_must_come_from_the_destination(
    family: AddressFamily,
) -> None:
    tiny = make_codec(family, Protocol.ICMP, FlowStrategy.CLASSIC)
    sent = Sent((family, Protocol.ICMP, FlowStrategy.CLASSIC), size=tiny.minimum_size)
    reply = echo_reply(sent.codec, sent.segment)
    assert sent.codec.resolve(reply, sent.probe.destination) == sent.probe.id
    assert sent.codec.resolve(reply, address(family, 50)) is Refusal.UNMATCHED


@every_kind
def test_probes_that_were_given_up(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    sent.codec.release([sent.probe.id], 100)
    sent.codec.release([sent.probe.id, make_probe(sent.family, 5).id], 200)
    assert sent.quoted() is Refusal.RELEASED
    sent.codec.release([], 100 + QUARANTINE_NS - 1)
    assert sent.quoted() is Refusal.RELEASED
    sent.codec.release([], 100 + QUARANTINE_NS)
    assert sent.quoted() is Refusal.UNMATCHED


@every_kind
def test_probes_that_never_left(kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    sent.codec.withdraw([sent.probe.id, make_probe(sent.family, 5).id])
    assert sent.quoted() is Refusal.UNMATCHED


@given(
    kind=st.sampled_from(KINDS),
    place=st.integers(0, 39),
    flipped=st.integers(1, 255),
    shown=st.integers(8, 40),
    others=st.integers(0, 30),
)
@settings(deadline=None)
def test_no_flipped_byte_leads_to_another_probe(
    kind: tuple[AddressFamily, Protocol, FlowStrategy], place: int, flipped: int, shown: int, others: int
) -> None:
    sent = Sent(kind)
    for trace in (1, 2):
        for index in range(others):
            sent.codec.encode(make_probe(sent.family, 1 + index, trace=trace), source(sent.family), 0)
    outcome = sent.quoted(changed={place: bytes([sent.segment[place] ^ flipped])}, shown=shown)
    identity = {0, 1, 4, 5, 6, 7} if kind[1] is Protocol.ICMP else {0, 1, 2, 3}
    if kind[1] is Protocol.UDP and kind[2] is FlowStrategy.PARIS:
        identity |= {6, 7}
    end = sent.codec.cookie_at + 12
    if place in identity:
        # With eight bytes quoted a changed identifier can look like another one: none is outstanding that
        # would be, but in the classic way, where ports are neighbours.
        classic = kind[1] is Protocol.UDP and kind[2] is FlowStrategy.CLASSIC
        vouched = place in {6, 7} and shown >= end
        assert isinstance(outcome, Refusal) or (classic and place == 3) or shown < 10 or vouched
    elif 8 <= place < min(end, shown):
        assert outcome in {Refusal.BAD_TOKEN, Refusal.REWRITTEN} or outcome == sent.probe.id
    else:
        assert outcome == sent.probe.id


@given(data=st.binary(max_size=120), kind=st.sampled_from(KINDS))
@settings(deadline=None)
def test_any_bytes_are_refused(data: bytes, kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    sent = Sent(kind)
    sender = sent.probe.destination
    try:
        message = parse_icmp(int(sent.family), data)
    except PacketError:
        return
    assert isinstance(sent.codec.resolve(message, sender), Refusal)
    view = memoryview(data)
    if isinstance(sent.codec, IcmpCodec):
        assert isinstance(sent.codec.resolve_quote(sender, view), Refusal)
    else:
        assert isinstance(sent.codec, UdpCodec)
        if kind[2] is FlowStrategy.PARIS:
            assert isinstance(sent.codec.resolve_answer(sender, 33434, view), Refusal)


@pytest.mark.parametrize(
    ("family", "icmp_type", "icmp_code", "kind"),
    [
        (4, 11, 0, ReplyKind.TIME_EXCEEDED),
        (4, 11, 1, None),
        (4, 3, 0, ReplyKind.UNREACHABLE),
        (4, 3, 1, ReplyKind.UNREACHABLE),
        (4, 3, 2, ReplyKind.PROTOCOL_UNREACHABLE),
        (4, 3, 3, ReplyKind.PORT_UNREACHABLE),
        (4, 3, 4, ReplyKind.PACKET_TOO_BIG),
        (4, 3, 13, ReplyKind.UNREACHABLE),
        (4, 12, 0, ReplyKind.PARAMETER_PROBLEM),
        (4, 4, 0, None),
        (4, 5, 1, None),
        (6, 1, 0, ReplyKind.UNREACHABLE),
        (6, 1, 4, ReplyKind.PORT_UNREACHABLE),
        (6, 2, 0, ReplyKind.PACKET_TOO_BIG),
        (6, 3, 0, ReplyKind.TIME_EXCEEDED),
        (6, 3, 1, None),
        (6, 4, 0, ReplyKind.PARAMETER_PROBLEM),
        (6, 4, 1, ReplyKind.PROTOCOL_UNREACHABLE),
        (6, 137, 0, None),
    ],
)
def test_errors_have_names(family: int, icmp_type: int, icmp_code: int, kind: ReplyKind | None) -> None:
    assert error_kind(AddressFamily(family), icmp_type, icmp_code) is kind
