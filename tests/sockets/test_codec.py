"""What is encoded resolves to the probe it was encoded for, through any quote; identifiers never clash."""

from __future__ import annotations

import itertools
from collections import Counter
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sockets.wire import (
    ALL_KIND_IDS,
    ALL_KINDS,
    QUARANTINE_NS,
    SOURCE_PORT,
    Codec,
    address,
    datagram,
    echo_reply,
    identifier_of,
    ids,
    ip_protocol,
    make_codec,
    make_probe,
    source,
    time_exceeded,
)
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.errors import ConfigError, NoUsableSocketError, UsageError
from traceprobe.model import Probe, make_probe_id
from traceprobe.packets import ones_complement_sum, parse_udp, pseudo_header_sum
from traceprobe.sockets.codec import IcmpCodec, Refusal, TcpCodec, UdpCodec

every_kind = pytest.mark.parametrize(("family", "protocol", "flow"), ALL_KINDS, ids=ALL_KIND_IDS)
both_families = pytest.mark.parametrize("family", list(AddressFamily))
kinds = st.sampled_from(ALL_KINDS)


def checksum_is_right(codec: Codec, segment: bytes, destination: object) -> bool:
    assert isinstance(destination, IPv4Address | IPv6Address)
    initial = 0
    if isinstance(codec, UdpCodec | TcpCodec) or codec.family is AddressFamily.IPV6:
        initial = pseudo_header_sum(source(codec.family), destination, ip_protocol(codec), len(segment))
    return ones_complement_sum(segment, initial) == 0xFFFF


# --- there and back --------------------------------------------------------------------------------------


@given(
    kind=kinds,
    size=st.none() | st.integers(60, 200),
    flow=st.integers(0, 50),
    traces=st.lists(st.integers(1, 2**30), min_size=1, max_size=3, unique=True),
    cut=st.integers(0, 220),
    padding=st.integers(0, 150),
    mutable=st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF)),
)
@settings(deadline=None)
def test_any_legal_quote_leads_back_to_its_probe(
    kind: tuple[AddressFamily, Protocol, FlowStrategy],
    size: int | None,
    flow: int,
    traces: list[int],
    cut: int,
    padding: int,
    mutable: tuple[int, int, int],
) -> None:
    codec = make_codec(*kind)
    family = codec.family
    probes = [
        Probe(make_probe_id(trace, index), address(family, 9 + trace % 3), 7, 1, flow, size)
        for trace in traces
        for index in range(4)
    ]
    segments = {probe: codec.encode(probe, source(family), 0) for probe in probes}
    header = 20 if family is AddressFamily.IPV4 else 40
    ttl, traffic_class, identification = mutable
    for probe, segment in segments.items():
        assert len(segment) == (size or codec.default_size) - header
        assert checksum_is_right(codec, segment, probe.destination)
        sent = datagram(
            codec,
            segment,
            probe.destination,
            ttl=ttl,
            traffic_class=traffic_class,
            identification=identification,
        )
        # At least eight bytes of the transport are quoted (RFC 792); zeros fill it up (RFC 4884).
        quote = sent[: header + 8 + cut] + bytes(padding)
        assert codec.resolve(time_exceeded(codec, quote), address(family, 77)) == probe.id


@given(kind=kinds, index=st.integers(0, 2**20 - 1), size=st.integers(60, 3000))
@settings(deadline=None)
def test_an_echo_reply_leads_back_to_its_probe(
    kind: tuple[AddressFamily, Protocol, FlowStrategy], index: int, size: int
) -> None:
    codec = make_codec(kind[0], Protocol.ICMP, kind[2])
    probe = make_probe(codec.family, index, size=size)
    segment = codec.encode(probe, source(codec.family), 0)
    assert codec.resolve(echo_reply(codec, segment), probe.destination) == probe.id


@every_kind
def test_a_second_reply_resolves_again(family: AddressFamily, protocol: Protocol, flow: FlowStrategy) -> None:
    codec = make_codec(family, protocol, flow)
    probe = make_probe(family)
    segment = codec.encode(probe, source(family), 0)
    message = time_exceeded(codec, datagram(codec, segment, probe.destination))
    assert [codec.resolve(message, address(family, n)) for n in range(3)] == [probe.id] * 3


def test_a_zone_does_not_hide_the_destination() -> None:
    family = AddressFamily.IPV6
    codec = make_codec(family, Protocol.ICMP, FlowStrategy.PARIS)
    probe = Probe(make_probe_id(1, 0), IPv6Address("fe80::9%lo"), 1, 1)
    segment = codec.encode(probe, source(family), 0)
    message = time_exceeded(codec, datagram(codec, segment, probe.destination))
    assert codec.resolve(message, IPv6Address("fe80::1%lo")) == probe.id


# --- flows -----------------------------------------------------------------------------------------------


@both_families
def test_an_icmp_flow_is_its_checksum(family: AddressFamily) -> None:
    codec = make_codec(family, Protocol.ICMP, FlowStrategy.PARIS)
    flows = {
        (trace, flow): {
            codec.encode(make_probe(family, index, trace=trace, flow=flow), source(family), 0)[:6]
            for index in range(flow * 20, flow * 20 + 20)
        }
        for trace in (1, 2)
        for flow in (0, 1)
    }
    assert all(len(headers) == 1 for headers in flows.values())
    checksums = [headers.pop()[2:4] for headers in flows.values()]
    assert len(set(checksums)) == 4
    assert not {b"\x00\x00", b"\xff\xff"} & set(checksums)


@both_families
def test_a_classic_icmp_checksum_varies(family: AddressFamily) -> None:
    codec = make_codec(family, Protocol.ICMP, FlowStrategy.CLASSIC)
    segments = [codec.encode(make_probe(family, index), source(family), 0) for index in range(20)]
    assert len({segment[2:4] for segment in segments}) == 20


@both_families
def test_a_udp_flow_is_its_ports(family: AddressFamily) -> None:
    codec = make_codec(family, Protocol.UDP, FlowStrategy.PARIS)
    for flow, port in ((0, 33434), (3, 33437)):
        probes = [make_probe(family, flow * 20 + index, flow=flow) for index in range(20)]
        segments = [codec.encode(probe, source(family), 0) for probe in probes]
        assert {segment[:6] for segment in segments} == {
            SOURCE_PORT.to_bytes(2, "big") + port.to_bytes(2, "big") + (40).to_bytes(2, "big")
        }
        assert len({segment[6:8] for segment in segments}) == 20


@both_families
def test_classic_udp_takes_the_lowest_ports_in_any_order(family: AddressFamily) -> None:
    codec = make_codec(family, Protocol.UDP, FlowStrategy.CLASSIC)
    for port in (None, 53):
        fields = {} if port is None else {"port": port}
        first = 33434 if port is None else port
        probes = [make_probe(family, (port or 0) * 10 + index, **fields) for index in range(5)]
        segments = codec.encode_batch(probes, source(family), 0)
        assert sorted(parse_udp(segment).destination_port for segment in segments) == list(
            range(first, first + 5)
        )
    other = [make_probe(family, 700 + index, host=10) for index in range(2)]
    ports = [parse_udp(segment).destination_port for segment in codec.encode_batch(other, source(family), 0)]
    assert sorted(ports) == [33434, 33435]


@both_families
@pytest.mark.parametrize("protocol", list(Protocol))
def test_dublin_varies_the_flow_by_its_number(family: AddressFamily, protocol: Protocol) -> None:
    codec = make_codec(family, protocol, FlowStrategy.DUBLIN)
    # What routers hash: ports, and the checksum of ICMP.
    hashed = slice(0, 6) if protocol is Protocol.ICMP else slice(0, 4)
    for trace in (1, 2):
        flows: list[bytes] = []
        for flow in range(60):
            probes = [make_probe(family, flow * 5 + index, trace=trace, flow=flow) for index in range(5)]
            headers = {segment[hashed] for segment in codec.encode_batch(probes, source(family), 0)}
            assert len(headers) == 1
            flows += headers
        assert len(set(flows)) == 60


@both_families
def test_a_tcp_flow_is_its_ports(family: AddressFamily) -> None:
    paris = make_codec(family, Protocol.TCP, FlowStrategy.PARIS)
    found: list[tuple[int, int]] = []
    for flow in (0, 3):
        probes = [make_probe(family, flow * 20 + index, flow=flow, port=443) for index in range(20)]
        segments = paris.encode_batch(probes, source(family), 0)
        (ports,) = {(int.from_bytes(segment[:2]), int.from_bytes(segment[2:4])) for segment in segments}
        found.append(ports)
        assert len({segment[4:8] for segment in segments}) == 20
    (first, _), (fourth, _) = found
    assert (fourth - first) % 512 == 3
    assert {port for _, port in found} == {443}
    classic = make_codec(family, Protocol.TCP, FlowStrategy.CLASSIC)
    probes = [make_probe(family, index) for index in range(600)]
    segments = classic.encode_batch(probes, source(family), 0)
    assert len({segment[:2] for segment in segments}) == 512
    assert {segment[2:4] for segment in segments} == {(80).to_bytes(2, "big")}
    assert all(first[:2] != second[:2] for first, second in itertools.pairwise(segments))


@both_families
def test_traces_by_tcp_have_source_ports_of_their_own_unless_one_is_asked_for(family: AddressFamily) -> None:
    def ports(*, is_first_port: bool) -> list[int]:
        codec = TcpCodec(
            family, FlowStrategy.PARIS, source_port=SOURCE_PORT, quarantine_ns=0, is_first_port=is_first_port
        )
        probes = [make_probe(family, trace=trace) for trace in (1, 2, 511, 512, 513)]
        segments = codec.encode_batch(probes, source(family), 0)
        return [int.from_bytes(segment[:2]) - SOURCE_PORT for segment in segments]

    found = ports(is_first_port=False)
    assert [(port - found[0]) % 512 for port in found] == [0, 1, 510, 511, 0]
    assert len({ports(is_first_port=False)[0] for _ in range(8)}) > 1
    assert ports(is_first_port=True) == [0] * 5


def test_a_tcp_flow_needs_a_source_port() -> None:
    codec = make_codec(AddressFamily.IPV4, Protocol.TCP, FlowStrategy.DUBLIN)
    with pytest.raises(ConfigError, match="a flow number from 0 to 511 for TCP"):
        codec.encode(make_probe(AddressFamily.IPV4, flow=512), source(AddressFamily.IPV4), 0)


# --- identifiers -----------------------------------------------------------------------------------------


@every_kind
def test_no_two_outstanding_probes_share_an_identifier(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    probes = [
        make_probe(family, index, trace=trace, host=9 + trace % 2)
        for trace in range(1, 9)
        for index in range(500)
    ]
    segments = codec.encode_batch(probes, source(family), 0)
    assert codec.outstanding == len(probes)
    keys = Counter(
        (
            identifier_of(codec, segment),
            probe.destination if (protocol, flow) == (Protocol.UDP, FlowStrategy.CLASSIC) else None,
        )
        for probe, segment in zip(probes, segments, strict=True)
    )
    assert set(keys.values()) == {1}


@given(
    kind=kinds,
    seed=st.integers(0, 1000),
    steps=st.lists(st.tuples(st.sampled_from("srw"), st.integers(1, 40), st.integers(0, 4000)), max_size=40),
)
@settings(deadline=None, max_examples=60)
def test_an_identifier_rests_before_another_probe_gets_it(
    kind: tuple[AddressFamily, Protocol, FlowStrategy],
    seed: int,
    steps: list[tuple[str, int, int]],
) -> None:
    codec = make_codec(*kind, seed=seed)
    family = codec.family
    now, index = 0, 0
    outstanding: dict[Probe, bytes] = {}
    free_at: dict[bytes, int] = {}
    for action, count, elapsed in steps:
        now += elapsed
        if action == "s":
            probes = [make_probe(family, index + n) for n in range(count)]
            index += count
            for probe, segment in zip(probes, codec.encode_batch(probes, source(family), now), strict=True):
                identifier = identifier_of(codec, segment)
                assert identifier not in outstanding.values()
                assert free_at.get(identifier, 0) <= now
                outstanding[probe] = identifier
        else:
            gone = list(outstanding)[:count]
            if action == "r":
                codec.release(ids(gone), now)
                free_at |= {outstanding[probe]: now + QUARANTINE_NS for probe in gone}
            else:
                codec.withdraw(ids(gone))
            for probe in gone:
                del outstanding[probe]
        assert codec.outstanding == len(outstanding)


@both_families
@pytest.mark.parametrize("protocol", [Protocol.ICMP, Protocol.UDP])
def test_the_whole_space_is_used_and_then_refused(family: AddressFamily, protocol: Protocol) -> None:
    codec = make_codec(family, protocol, FlowStrategy.PARIS)
    probes = [make_probe(family, index) for index in range(codec.capacity)]
    segments = codec.encode_batch(probes, source(family), 0)
    seen = {identifier_of(codec, segment) for segment in segments}
    assert len(seen) == codec.capacity >= 65534
    late = make_probe(family, codec.capacity)
    with pytest.raises(NoUsableSocketError, match="identifiers of this socket left"):
        codec.encode(late, source(family), 0)
    # What a failed batch took goes back, and what rests is not free yet.
    codec.release(ids(probes[:10]), 5)
    with pytest.raises(NoUsableSocketError, match="10 others are resting"):
        codec.encode(late, source(family), 5 + QUARANTINE_NS - 1)
    again = codec.encode(late, source(family), 5 + QUARANTINE_NS)
    assert identifier_of(codec, again) in {identifier_of(codec, segment) for segment in segments[:10]}
    assert codec.outstanding == codec.capacity - 9


def test_classic_ports_run_out_for_one_destination_only() -> None:
    family = AddressFamily.IPV4
    codec = make_codec(family, Protocol.UDP, FlowStrategy.CLASSIC)
    probes = [make_probe(family, index, port=65500) for index in range(36)]
    segments = codec.encode_batch(probes, source(family), 0)
    with pytest.raises(NoUsableSocketError):
        codec.encode(make_probe(family, 36, port=65500), source(family), 0)
    # A pool with a lower base still has ports, and so has another destination.
    codec.encode(make_probe(family, 37, port=65499), source(family), 0)
    with pytest.raises(NoUsableSocketError):
        codec.encode(make_probe(family, 38, port=65499), source(family), 0)
    codec.encode(make_probe(family, 39, port=65500, host=10), source(family), 0)
    # A port that another base's pool gave back is found again.
    port = parse_udp(segments[7]).destination_port
    codec.withdraw([probes[7].id])
    segment = codec.encode(make_probe(family, 40, port=65499), source(family), 0)
    assert parse_udp(segment).destination_port == port


@every_kind
def test_identifiers_do_not_come_in_a_guessable_order(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    def order(seed: int) -> list[int]:
        codec = make_codec(family, protocol, flow, seed=seed)
        probes = [make_probe(family, index) for index in range(50)]
        segments = codec.encode_batch(probes, source(family), 0)
        return [int.from_bytes(identifier_of(codec, segment), "big") for segment in segments]

    first, second = order(1), order(2)
    assert first == order(1)
    assert first != second
    if protocol is Protocol.UDP and flow is FlowStrategy.CLASSIC:
        assert sorted(first) == sorted(second) == list(range(min(first), min(first) + 50))
        return
    assert first[0] != second[0]
    space = 2 ** (8 * len(identifier_of(make_codec(family, protocol, flow), bytes(20))))
    steps = {(b - a) % space for a, b in itertools.pairwise(first)}
    assert len(steps) > 45


def test_by_default_the_operating_system_is_the_source_of_chance() -> None:
    codecs = [IcmpCodec(AddressFamily.IPV4, FlowStrategy.PARIS, quarantine_ns=0) for _ in range(2)]
    probe = make_probe(AddressFamily.IPV4)
    first, second = (codec.encode(probe, None, 0) for codec in codecs)
    assert first[10:] != second[10:]


@every_kind
def test_a_probe_that_is_sent_again_gets_a_new_identifier(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    probe = make_probe(family)
    first = codec.encode(probe, source(family), 0)
    second = codec.encode(probe, source(family), 1)
    assert identifier_of(codec, first) != identifier_of(codec, second)
    assert codec.outstanding == 1
    old = time_exceeded(codec, datagram(codec, first, probe.destination))
    new = time_exceeded(codec, datagram(codec, second, probe.destination))
    assert codec.resolve(new, address(family, 2)) == probe.id
    # The old datagram still is that probe's; only its identifier rests.
    assert codec.resolve(old, address(family, 2)) == probe.id


@every_kind
def test_nothing_is_kept_of_probes_that_are_gone(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    for trace in range(1, 30):
        probes = [make_probe(family, index, trace=trace) for index in range(20)]
        codec.encode_batch(probes, source(family), trace)
        if trace % 2:
            codec.release(ids(probes), trace)
        else:
            codec.withdraw(ids(probes))
    codec.release([], 100 + QUARANTINE_NS)
    assert codec.outstanding == 0
    state = {name: value for name, value in vars(codec).items() if isinstance(value, dict)}
    assert len(state) >= 4
    assert not any(state.values()), {name: len(value) for name, value in state.items()}


@every_kind
def test_who_has_seen_one_probe_has_to_guess_what_others_show(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    probes = [make_probe(family, index) for index in range(20)]
    segments = codec.encode_batch(probes, source(family), 0)
    seen = segments[0]
    number = identifier_of(codec, seen)
    place = seen.index(number)
    for step in (1, 2, 3, 0xFFFF):
        forged = bytearray(seen)
        guess = int.from_bytes(number, "big") + step
        forged[place : place + len(number)] = guess.to_bytes(len(number) + 1, "big")[-len(number) :]
        message = time_exceeded(codec, datagram(codec, bytes(forged), probes[0].destination))
        outcome = codec.resolve(message, address(family, 1))
        # A checksum alone that differs is what translators do; the probe is still the one that was seen.
        assert isinstance(outcome, Refusal) or outcome == probes[0].id


# --- what can't be sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "minimum"),
    list(
        zip(ALL_KINDS, [30, 28, 30, 30, 30, 30, 40, 40, 40, 50, 48, 50, 50, 50, 50, 60, 60, 60], strict=True)
    ),
    ids=ALL_KIND_IDS,
)
def test_sizes_have_bounds(kind: tuple[AddressFamily, Protocol, FlowStrategy], minimum: int) -> None:
    codec = make_codec(*kind)
    family = codec.family
    assert codec.minimum_size == minimum
    assert codec.default_size == (60 if family is AddressFamily.IPV4 else 80)
    words = f"from {minimum} to 65535 bytes for {kind[1].value.upper()} over IPv{int(family)}"
    for index, size in enumerate((minimum - 1, 65536)):
        with pytest.raises(ConfigError, match=words) as caught:
            codec.encode(make_probe(family, index, size=size), source(family), 0)
        assert caught.value.field == "packet_size"
    for index, size in enumerate((minimum, minimum + 1, 1501, 65535), 10):
        probe = make_probe(family, index, size=size)
        segment = codec.encode(probe, source(family), 0)
        assert len(segment) == size - codec.header_size
        assert checksum_is_right(codec, segment, probe.destination)
        message = time_exceeded(codec, datagram(codec, segment, probe.destination)[: codec.header_size + 8])
        assert codec.resolve(message, address(family, 2)) == probe.id
    assert codec.outstanding == 4


@every_kind
def test_a_batch_is_encoded_whole_or_not_at_all(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    good = [make_probe(family, index) for index in range(3)]
    with pytest.raises(ConfigError):
        codec.encode_batch([*good, make_probe(family, 3, size=5)], source(family), 0)
    assert codec.outstanding == 0
    with pytest.raises(UsageError, match="only once"):
        codec.encode_batch([*good, good[1]], source(family), 0)
    assert codec.outstanding == 0
    assert len(codec.encode_batch(good, source(family), 0)) == 3


def test_icmp_has_no_ports() -> None:
    codec = make_codec(AddressFamily.IPV4, Protocol.ICMP, FlowStrategy.PARIS)
    with pytest.raises(ConfigError, match="ICMP, which has no ports"):
        codec.encode(make_probe(AddressFamily.IPV4, port=80), None, 0)


@pytest.mark.parametrize(("flow", "port"), [(1, 65535), (40000, 33434)])
def test_a_flow_needs_a_port(flow: int, port: int) -> None:
    codec = make_codec(AddressFamily.IPV4, Protocol.UDP, FlowStrategy.PARIS)
    with pytest.raises(ConfigError, match="from 1 to 65535, the flow number included"):
        codec.encode(make_probe(AddressFamily.IPV4, flow=flow, port=port), source(AddressFamily.IPV4), 0)


@every_kind
@pytest.mark.parametrize("number", [-1, 2**32])
def test_flow_numbers_have_bounds(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy, number: int
) -> None:
    codec = make_codec(family, protocol, flow)
    with pytest.raises(ConfigError, match="flow"):
        codec.encode(make_probe(family, flow=number), source(family), 0)


def test_another_family_is_a_mistake() -> None:
    codec = make_codec(AddressFamily.IPV6, Protocol.ICMP, FlowStrategy.PARIS)
    with pytest.raises(UsageError, match=r"192\.0\.2\.9 is no IPv6 address"):
        codec.encode(make_probe(AddressFamily.IPV4), None, 0)


def test_a_constant_udp_flow_needs_the_source_address() -> None:
    codec = make_codec(AddressFamily.IPV4, Protocol.UDP, FlowStrategy.PARIS)
    with pytest.raises(UsageError, match="needs its source address"):
        codec.encode(make_probe(AddressFamily.IPV4), None, 0)
    classic = make_codec(AddressFamily.IPV4, Protocol.UDP, FlowStrategy.CLASSIC)
    assert parse_udp(classic.encode(make_probe(AddressFamily.IPV4), None, 0)).checksum == 0


# --- UDP answers -----------------------------------------------------------------------------------------


@both_families
def test_an_answer_to_a_classic_probe_is_known_by_its_port(family: AddressFamily) -> None:
    codec = make_codec(family, Protocol.UDP, FlowStrategy.CLASSIC)
    assert isinstance(codec, UdpCodec)
    probes = [make_probe(family, index) for index in range(3)]
    codec.encode_batch(probes, source(family), 0)
    answer = memoryview(b"what the service says")
    assert codec.resolve_answer(probes[1].destination, 33435, answer) == probes[1].id
    assert codec.resolve_answer(probes[1].destination, 33437, answer) is Refusal.UNMATCHED
    assert codec.resolve_answer(address(family, 99), 33435, answer) is Refusal.UNMATCHED


@both_families
def test_an_answer_in_a_constant_flow_is_known_if_it_brings_the_payload_back(family: AddressFamily) -> None:
    codec = make_codec(family, Protocol.UDP, FlowStrategy.PARIS)
    assert isinstance(codec, UdpCodec)
    probes = [make_probe(family, index) for index in range(50)]
    for probe, segment in zip(probes, codec.encode_batch(probes, source(family), 0), strict=True):
        payload = memoryview(segment)[8:]
        assert codec.resolve_answer(probe.destination, 33434, payload) == probe.id
        assert codec.resolve_answer(probe.destination, 33435, payload) is Refusal.REWRITTEN
        assert codec.resolve_answer(address(family, 99), 33434, payload) is Refusal.REWRITTEN
    other = memoryview(b"what the service says")
    assert codec.resolve_answer(probes[0].destination, 33434, other) is Refusal.AMBIGUOUS
    assert codec.resolve_answer(address(family, 99), 33434, other) is Refusal.FOREIGN
