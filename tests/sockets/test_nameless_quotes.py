"""Quotes that don't name their probe, on a constant flow without privileges: believed of one probe alone."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sockets.wire import QUARANTINE_NS, SECRET, SOURCE_PORT, address, make_probe, source
from traceprobe.config import AddressFamily, FlowStrategy
from traceprobe.sockets.codec import Refusal, TokenUdpCodec

if TYPE_CHECKING:
    from tests.sockets.wire import Address
    from traceprobe.model import Probe, ProbeId

FAMILY = AddressFamily.IPV4
PORT = 33434
NOTHING = memoryview(b"")
LONG_NS = 1000 * QUARANTINE_NS
NAMELESS = [b"", b"\0", bytes(72)]


def token_codec(quarantine_ns: int = QUARANTINE_NS) -> TokenUdpCodec:
    return TokenUdpCodec(
        FAMILY,
        FlowStrategy.PARIS,
        source_port=SOURCE_PORT,
        quarantine_ns=quarantine_ns,
        random=Random(1),
        secret=SECRET,
    )


def router(ttl: int) -> Address:
    return address(FAMILY, 100 + ttl)


def resolve(codec: TokenUdpCodec, probe: Probe, quote: bytes, sender: Address) -> ProbeId | Refusal:
    """Resolve a quote, and take note of it as the socket does with an answer."""
    payload = memoryview(quote)
    found = codec.resolve_quoted_payload(probe.destination, PORT, payload, sender, 1)
    if not isinstance(found, Refusal):
        codec.take_note(found, payload, sender)
    return found


@pytest.mark.parametrize("quote", NAMELESS, ids=["empty", "one byte", "padded"])
def test_an_answer_that_comes_twice_is_not_taken_for_the_next_hops(quote: bytes) -> None:
    codec = token_codec()
    first, second = (make_probe(FAMILY, index) for index in range(2))
    codec.encode(first, source(FAMILY), 0)
    assert resolve(codec, first, quote, router(1)) == first.id
    codec.encode(second, source(FAMILY), 0)
    assert resolve(codec, first, quote, router(1)) is Refusal.AMBIGUOUS
    assert resolve(codec, second, quote, router(2)) == second.id


def test_a_hop_may_answer_as_many_probes_as_went_to_it() -> None:
    codec = token_codec()
    for index in (0, 255, 510):  # three probes of one TTL
        probe = make_probe(FAMILY, index)
        assert probe.ttl == 1
        codec.encode(probe, source(FAMILY), 0)
        assert resolve(codec, probe, b"", router(1)) == probe.id


def test_who_has_answered_is_forgotten_with_the_probe() -> None:
    codec = token_codec()
    first, second = (make_probe(FAMILY, index) for index in range(2))
    codec.encode(first, source(FAMILY), 0)
    assert resolve(codec, first, b"", router(1)) == first.id
    codec.release([first.id], 1)
    codec.release([], 1 + QUARANTINE_NS)
    state = {name: value for name, value in vars(codec).items() if isinstance(value, dict)}
    assert not any(state.values()), state
    codec.encode(second, source(FAMILY), 0)
    assert resolve(codec, second, b"", router(1)) == second.id


def test_asking_changes_nothing() -> None:
    codec = token_codec()
    first, second = (make_probe(FAMILY, index) for index in range(2))
    (segment, _) = codec.encode_batch([first, second], source(FAMILY), 0)
    quote = memoryview(segment)[8:]
    ask = (first.destination, PORT, quote, router(1), 1)
    # As of an error that says nothing about the path: its probe waits for an answer as before.
    assert codec.resolve_quoted_payload(*ask) == codec.resolve_quoted_payload(*ask) == first.id
    assert resolve(codec, first, b"", router(2)) is Refusal.AMBIGUOUS
    codec.take_note(first.id, quote, router(1))
    assert resolve(codec, first, b"", router(2)) == second.id


def test_a_single_byte_must_be_right() -> None:
    codec = token_codec()
    probe = make_probe(FAMILY)
    segment = codec.encode(probe, source(FAMILY), 0)
    right = segment[8]
    for byte in range(256):
        ask = (probe.destination, PORT, memoryview(bytes([byte])), router(1), 1)
        expected = probe.id if byte in {0, right} else Refusal.UNMATCHED  # a zero may be padding
        assert codec.resolve_quoted_payload(*ask) == expected


def test_who_has_seen_a_probe_has_sixteen_bits_to_guess_of_another() -> None:
    """What is left where all else is known: one number of 65 535 names the other probe that waits."""
    codec = token_codec()
    first, second = (make_probe(FAMILY, index) for index in range(2))
    seen, hidden = codec.encode_batch([first, second], source(FAMILY), 0)
    quote = bytearray(seen[8:])
    believed = {}
    for number in range(1, 1 << 16):
        quote[:2] = number.to_bytes(2)
        found = codec.resolve_quoted_payload(first.destination, PORT, memoryview(quote), router(9), 1)
        if not isinstance(found, Refusal):
            believed[number] = found
    words = {probe.id: int.from_bytes(segment[8:10]) for probe, segment in ((first, seen), (second, hidden))}
    assert believed == {word: probe for probe, word in words.items()}


@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 6),
            st.booleans(),
            st.lists(st.tuples(st.integers(0, 40), st.sampled_from(NAMELESS)), max_size=3),
            st.sampled_from(NAMELESS),
        ),
        max_size=20,
    )
)
@settings(deadline=None)
def test_no_answer_that_comes_again_becomes_a_hop_whenever_it_comes(
    steps: list[tuple[int, bool, list[tuple[int, bytes]], bytes]],
) -> None:
    """One probe at a time, routers that quote nothing, and a network that repeats what they said."""
    codec = token_codec(LONG_NS)
    said: list[tuple[Probe, Address]] = []
    ttl_of: dict[ProbeId, int] = {}
    for index, (ttl, is_released, again, quote) in enumerate(steps):
        probe = make_probe(FAMILY, 255 * index + ttl - 1)
        ttl_of[probe.id] = ttl
        codec.encode(probe, source(FAMILY), 0)
        taken = None
        for number, repeated in again if said else ():
            of, sender = said[number % len(said)]
            found = resolve(codec, of, repeated, sender)
            if not isinstance(found, Refusal):
                taken = found
                assert router(ttl_of[found]) == sender
        if taken is None:
            assert resolve(codec, probe, quote, router(ttl)) == probe.id
        said.append((probe, router(ttl)))
        if is_released:
            codec.release([probe.id], 1)
