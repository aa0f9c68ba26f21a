"""Whatever a message holds, it is an answer to the probe that was sent, or refused; nothing ever raises."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sockets.wire import ALL_KINDS, address, datagram, make_codec, make_probe, source
from traceprobe.errors import PacketError
from traceprobe.model import Change, ReplyKind
from traceprobe.packets import (
    LabelStackEntry,
    UnknownObject,
    build_extensions,
    build_icmp_error,
    parse_icmp,
    parse_tcp,
)
from traceprobe.sockets.codec import (
    NO_EXTENSION,
    Answer,
    Refusal,
    SentHeader,
    TcpCodec,
    connection_changes,
    read_answer,
    read_extension,
)

if TYPE_CHECKING:
    from traceprobe.config import AddressFamily, FlowStrategy, Protocol

kinds = st.sampled_from(ALL_KINDS)
STRUCTURE = build_extensions(mpls=[LabelStackEntry(7, 1, 1, 3)], unknown=[UnknownObject(9, 9, b"four")])


@given(
    kind=kinds,
    known=st.sampled_from([SentHeader(), SentHeader(0, True, 0), SentHeader(0, False, None)]),
    size=st.sampled_from([None, 75, 300]),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=6),
    cut=st.integers(0, 420),
    extension=st.sampled_from([b"", STRUCTURE]),
)
@settings(deadline=None, max_examples=400)
def test_flipped_and_cut_messages(
    kind: tuple[AddressFamily, Protocol, FlowStrategy],
    known: SentHeader,
    size: int | None,
    flips: list[tuple[int, int]],
    cut: int,
    extension: bytes,
) -> None:
    codec = make_codec(*kind)
    codec.sent_header = known
    family = codec.family
    probe = make_probe(family, **({} if size is None else {"size": size}))
    segment = codec.encode(probe, source(family), 0)
    error = build_icmp_error(
        int(family),
        type=11 if family == 4 else 3,
        code=0,
        quoted=datagram(codec, segment, probe.destination),
        extension=extension,
    )
    message = bytearray(error)
    for place, mask in flips:
        if place < len(message):
            message[place] ^= mask
    try:
        parsed = parse_icmp(int(family), bytes(message[: len(message) - cut]))
    except PacketError:
        return
    answer = read_answer(codec, parsed, address(family, 77))
    if isinstance(answer, Refusal):
        return
    assert answer.probe_id == probe.id
    assert all(isinstance(change, Change) for change in answer.changes)
    assert len({change.field for change in answer.changes}) == len(answer.changes)
    if not flips:
        assert answer.kind is ReplyKind.TIME_EXCEEDED
        # Nobody has touched the header, but what this test put it together of: bits and an identification.
        assert {change.field.value for change in answer.changes} <= {"dont_fragment", "identification"}


@given(data=st.binary(max_size=80), kind=kinds)
@settings(deadline=None)
def test_any_segment_is_refused(data: bytes, kind: tuple[AddressFamily, Protocol, FlowStrategy]) -> None:
    codec = make_codec(*kind)
    probe = make_probe(codec.family)
    codec.encode(probe, source(codec.family), 0)
    try:
        segment = parse_tcp(data)
    except PacketError:
        return
    assert isinstance(read_answer(codec, segment, probe.destination), Refusal)


@given(data=st.binary(max_size=80))
def test_any_quote_of_a_connection_is_survived(data: bytes) -> None:
    assert len(connection_changes(memoryview(data))) <= 1


@given(flips=st.lists(st.tuples(st.integers(0, len(STRUCTURE) - 1), st.integers(1, 255)), min_size=1))
def test_a_damaged_extension_says_nothing_or_something_else(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(STRUCTURE)
    for place, mask in flips:
        damaged[place] ^= mask
    assert len(read_extension(memoryview(bytes(damaged)))) == 3
    assert read_extension(memoryview(b"")) is NO_EXTENSION


def test_a_segment_that_is_no_answer_is_unexpected() -> None:
    kind = next(kind for kind in ALL_KINDS if kind[1].value == "tcp")
    codec = make_codec(*kind)
    assert isinstance(codec, TcpCodec)
    probe = make_probe(codec.family)
    syn = parse_tcp(codec.encode(probe, source(codec.family), 0))
    for flags, outcome in (
        (0x12, ReplyKind.SYN_ACK),
        (0x52, ReplyKind.SYN_ACK),
        (0x14, ReplyKind.RST),
        (0x10, Refusal.UNEXPECTED),
        (0x11, Refusal.UNEXPECTED),
        (0x02, Refusal.FOREIGN),
        (0x04, Refusal.FOREIGN),
    ):
        answer = read_answer(
            codec,
            syn._replace(
                source_port=80,
                destination_port=syn.source_port,
                acknowledgement=syn.sequence + 1 & 0xFFFFFFFF,
                flags=flags,
            ),
            probe.destination,
        )
        assert (answer.kind if isinstance(answer, Answer) else answer) is outcome


if sys.platform == "linux":
    from traceprobe.sockets.linux._control import ExtendedError
    from traceprobe.sockets.linux._errqueue import split_quote

    @given(
        data=st.binary(max_size=300),
        word=st.integers(0, 2**32 - 1),
        kind=kinds,
        hidden=st.sampled_from([20, 28, 40, 48]),
    )
    def test_any_entry_of_an_error_queue_is_split(
        data: bytes, word: int, kind: tuple[AddressFamily, Protocol, FlowStrategy], hidden: int
    ) -> None:
        error = ExtendedError(2, 11, 0, 0, word, None)
        quote, structure = split_quote(kind[0], memoryview(data), hidden, error)
        assert bytes(quote) + bytes(structure) == data

    @pytest.mark.parametrize(("version", "hidden"), [(4, 20), (4, 28), (6, 40), (6, 48)])
    @pytest.mark.parametrize("flags", [0, 1])
    def test_the_kernels_word_about_an_extension(version: int, hidden: int, flags: int) -> None:
        from traceprobe.config import AddressFamily

        # The kernel knows a place that is none of the fixed ones; if it says that it is none, nothing does.
        data = bytes(range(1, 161)) + STRUCTURE
        word = int.from_bytes((160).to_bytes(2, sys.byteorder) + bytes([flags, 0]), sys.byteorder)
        error = ExtendedError(2, 11, 0, 0, word, None)
        quote, structure = split_quote(AddressFamily(version), memoryview(data), hidden, error)
        assert bytes(structure) == (b"" if flags else STRUCTURE)
        assert len(quote) == len(data) - len(structure)
