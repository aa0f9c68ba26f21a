"""Wire identifiers: ten thousand outstanding at once share none, and fields wrap around."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sockets.wire import (
    ALL_KIND_IDS,
    ALL_KINDS,
    QUARANTINE_NS,
    SECRET,
    SOURCE_PORT,
    address,
    datagram,
    identifier_of,
    ids,
    make_codec,
    make_probe,
    source,
    time_exceeded,
)
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.packets import TcpFlag, TcpSegment, parse_tcp
from traceprobe.sockets.codec import Refusal, TcpCodec, TokenUdpCodec
from traceprobe.sockets.codec._identifiers import RandomPool, SequencePool

if TYPE_CHECKING:
    from traceprobe.model import Probe

TRACES, PROBES = 100, 100
ROUTER = address(AddressFamily.IPV4, 77)
both_families = pytest.mark.parametrize("family", list(AddressFamily))


@pytest.mark.parametrize(("family", "protocol", "flow"), ALL_KINDS, ids=ALL_KIND_IDS)
def test_ten_thousand_outstanding_probes_share_no_identifier(
    family: AddressFamily, protocol: Protocol, flow: FlowStrategy
) -> None:
    codec = make_codec(family, protocol, flow)
    by_destination = (protocol, flow) == (Protocol.UDP, FlowStrategy.CLASSIC)
    keys: Counter[object] = Counter()
    sent: dict[int, tuple[Probe, bytes]] = {}
    for trace in range(1, TRACES + 1):
        probes = [
            make_probe(family, index, trace=trace, host=9 + trace % 5, flow=index % 3)
            for index in range(PROBES)
        ]
        for probe, segment in zip(probes, codec.encode_batch(probes, source(family), 0), strict=True):
            keys[identifier_of(codec, segment), probe.destination if by_destination else None] += 1
            sent[probe.id] = (probe, segment)
    assert codec.outstanding == len(sent) == len(keys) == TRACES * PROBES
    assert set(keys.values()) == {1}
    for probe, segment in list(sent.values())[::41]:
        quote = datagram(codec, segment, probe.destination)[: codec.header_size + 8]
        assert codec.resolve(time_exceeded(codec, quote), address(family, 77)) == probe.id


class Given(Random):
    """Chance that has been decided beforehand."""

    def __init__(self, *words: int) -> None:
        super().__init__()
        self.words = list(words)

    def randbytes(self, n: int) -> bytes:
        taken, self.words = self.words[: n // 4], self.words[n // 4 :]
        return b"".join(word.to_bytes(4, sys.byteorder) for word in taken)


@both_families
@pytest.mark.parametrize("flow", list(FlowStrategy))
def test_acknowledgements_of_tcp_wrap_around(family: AddressFamily, flow: FlowStrategy) -> None:
    edges = [0xFFFFFFFF, 0, 1, 0xFFFFFFFE, 0x80000000, 0x7FFFFFFF]
    codec = TcpCodec(
        family,
        flow,
        source_port=SOURCE_PORT,
        quarantine_ns=QUARANTINE_NS,
        random=Given(*edges),
        secret=SECRET,
    )
    probes = [make_probe(family, index) for index in range(len(edges))]
    segments = [parse_tcp(segment) for segment in codec.encode_batch(probes, source(family), 0)]
    assert [segment.sequence for segment in segments] == edges
    for probe, segment in zip(probes, segments, strict=True):
        for flags, size in ((TcpFlag.SYN | TcpFlag.ACK, 0), (TcpFlag.RST | TcpFlag.ACK, 0)):
            acknowledged = segment.sequence + 1 + size & 0xFFFFFFFF
            answer = TcpSegment(80, segment.source_port, 0, acknowledged, flags, 0, 0, b"", memoryview(b""))
            assert codec.resolve(answer, probe.destination) == probe.id
            elsewhere = answer._replace(acknowledgement=acknowledged + 5 & 0xFFFFFFFF)
            assert codec.resolve(elsewhere, probe.destination) is Refusal.UNMATCHED


@pytest.mark.parametrize("ahead", [0, 1, 0xFFFFFFF0])
def test_acknowledged_data_wraps_around_too(ahead: int) -> None:
    family = AddressFamily.IPV4
    codec = TcpCodec(
        family,
        FlowStrategy.PARIS,
        source_port=SOURCE_PORT,
        quarantine_ns=QUARANTINE_NS,
        random=Given(ahead),
        secret=SECRET,
    )
    probe = make_probe(family, size=400)
    segment = parse_tcp(codec.encode(probe, source(family), 0))
    assert (segment.sequence, len(segment.payload)) == (ahead, 340)
    acknowledged = ahead + 341 & 0xFFFFFFFF
    flags = TcpFlag.RST | TcpFlag.ACK
    reset = TcpSegment(80, segment.source_port, 0, acknowledged, flags, 0, 0, b"", memoryview(b""))
    assert codec.resolve(reset, probe.destination) == probe.id


def test_a_sequence_number_that_is_out_is_drawn_no_second_time() -> None:
    pool = SequencePool(Given(5, 5, 6, 5, 7, 5))
    assert pool.take(3) == [5, 6, 7]
    pool.give_back(5)
    assert pool.take(1) == [5]


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 300)), max_size=30), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_classic_ports_go_round(steps: list[tuple[bool, int]], seed: int) -> None:
    family = AddressFamily.IPV4
    codec = make_codec(family, Protocol.TCP, FlowStrategy.CLASSIC, seed=seed)
    index = 0
    out: list[Probe] = []
    for now, (sends, count) in enumerate(steps):
        if sends:
            probes = [make_probe(family, index + n) for n in range(count)]
            index += count
            segments = codec.encode_batch(probes, source(family), now)
            ports = [parse_tcp(segment).source_port for segment in segments]
            assert all(SOURCE_PORT <= port < SOURCE_PORT + 512 for port in ports)
            assert len(set(ports)) == min(count, 512)
            out += probes
        else:
            codec.release(ids(out[:count]), now)
            del out[:count]
        assert codec.outstanding == len(out)


# --- UDP that is told apart by its payload ---------------------------------------------------------------


def token_codec(family: AddressFamily, flow: FlowStrategy = FlowStrategy.PARIS) -> TokenUdpCodec:
    return TokenUdpCodec(
        family, flow, source_port=SOURCE_PORT, quarantine_ns=QUARANTINE_NS, random=Random(1), secret=SECRET
    )


@both_families
def test_ten_thousand_payloads_differ(family: AddressFamily) -> None:
    codec = token_codec(family)
    seen = set()
    for trace in range(1, TRACES + 1):
        probes = [make_probe(family, index, trace=trace) for index in range(PROBES)]
        segments = codec.encode_batch(probes, source(family), 0)
        for probe, segment in zip(probes, segments, strict=True):
            seen.add(segment[8:10])
            payload = memoryview(segment)[8:]
            for shown in (2, len(payload)) if probe.id % 17 == 0 else (10,):
                found = codec.resolve_quoted_payload(probe.destination, 33434, payload[:shown], ROUTER, 0)
                assert found == probe.id
        elsewhere, probe, payload = address(family, 99), probes[0], memoryview(segments[0])[8:]
        for ask in ((probe.destination, 33435, payload), (elsewhere, 33434, payload)):
            assert codec.resolve_quoted_payload(*ask, ROUTER, 0) is Refusal.REWRITTEN
    assert len(seen) == TRACES * PROBES


@both_families
def test_a_candidate_counts_as_long_as_it_is_awaited(family: AddressFamily) -> None:
    codec = token_codec(family)
    first, second = (make_probe(family, index) for index in range(2))
    empty = memoryview(b"")
    codec.encode(first, source(family), 0)
    codec.encode(second, source(family), QUARANTINE_NS // 2)
    ask = (first.destination, 33434, empty, ROUTER)
    assert codec.resolve_quoted_payload(*ask, QUARANTINE_NS - 1) is Refusal.AMBIGUOUS
    # These name no time-out of their own, so that the quarantine is as long as anybody waits.
    assert codec.resolve_quoted_payload(*ask, QUARANTINE_NS + 1) == second.id
    codec.take_note(second.id, empty, ROUTER)
    assert codec.resolve_quoted_payload(*ask, QUARANTINE_NS + 1) is Refusal.UNMATCHED


@both_families
def test_given_up_probes_stay_candidates_and_withdrawn_ones_do_not(family: AddressFamily) -> None:
    codec = token_codec(family)
    first, second, third = (make_probe(family, index) for index in range(3))
    codec.encode_batch([first, second, third], source(family), 0)
    ask = (first.destination, 33434, memoryview(bytes(72)), ROUTER)
    codec.withdraw([third.id])
    codec.release([first.id], 1)
    assert codec.resolve_quoted_payload(*ask, 2) is Refusal.AMBIGUOUS
    codec.withdraw([second.id])
    assert codec.resolve_quoted_payload(*ask, 3) is Refusal.RELEASED
    codec.release([], 2 * QUARANTINE_NS)
    assert codec.resolve_quoted_payload(*ask, 2 * QUARANTINE_NS) is Refusal.UNMATCHED
    state = {name: value for name, value in vars(codec).items() if isinstance(value, dict)}
    assert not any(state.values()), state


@given(payload=st.binary(max_size=60))
@settings(deadline=None)
def test_any_payload_is_refused(payload: bytes) -> None:
    codec = token_codec(AddressFamily.IPV4)
    probes = [make_probe(AddressFamily.IPV4, index) for index in range(2)]
    segments = codec.encode_batch(probes, source(AddressFamily.IPV4), 0)
    if any(segment[8:].startswith(payload.rstrip(b"\0")) for segment in segments) and any(payload):
        return
    found = codec.resolve_quoted_payload(probes[0].destination, 33434, memoryview(payload), ROUTER, 0)
    assert isinstance(found, Refusal)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_random_pool_hands_out_each_number_once(data: st.DataObject) -> None:
    pool = RandomPool(5, 30, Random(data.draw(st.integers(0, 9))))
    out: list[int] = []
    for _ in range(data.draw(st.integers(1, 30))):
        taken = pool.take(data.draw(st.integers(0, 12)))
        if taken is None:
            assert len(out) > 26 - 12
        else:
            out += taken
        assert len(set(out)) == len(out) == 26 - pool.free
        assert set(out) <= set(range(5, 31))
        for _ in range(data.draw(st.integers(0, len(out)))):
            pool.give_back(out.pop(data.draw(st.integers(0, len(out) - 1))))
    rest = pool.take(pool.free)
    assert rest is not None
    assert sorted([*out, *rest]) == list(range(5, 31))


def test_a_random_pool_never_grows() -> None:
    pool = RandomPool(0, 0xFFFF, Random(1))
    tracemalloc.start()
    try:
        for _ in range(8):
            taken = pool.take(0x8000)
            assert taken is not None
            while taken:
                pool.give_back(taken.pop())
            del taken
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()
