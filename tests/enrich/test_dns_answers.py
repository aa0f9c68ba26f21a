"""What is believed to be an answer, and what is read out of one: the short way and the long one agree."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from traceprobe.enrich import _dns_answers
from traceprobe.enrich._dns_answers import FailureResponseError, read_pointers, read_texts
from traceprobe.enrich._dns_servers import is_answer
from traceprobe.enrich._dnspython import _on_the_wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.enrich._dns import Records

NAME = "1.2.0.192.in-addr.arpa."
READERS: dict[str, Callable[[bytes], Records[Any]]] = {"PTR": read_pointers, "TXT": read_texts}


def answer_of(kind: str, *records: str, rcode: str = "NOERROR", authority: str | None = None) -> bytes:
    """The answer to a question about ``NAME``; each record is ``OWNER TTL TYPE DATA``."""
    answer = dns.message.make_response(dns.message.make_query(NAME, kind))
    answer.set_rcode(dns.rcode.from_text(rcode))
    for record in records:
        owner, ttl, type_of_record, data = record.split(" ", 3)
        answer.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", type_of_record, data))
    if authority is not None:
        answer.authority.append(dns.rrset.from_text("0.192.in-addr.arpa.", 900, "IN", "SOA", authority))
    return answer.to_wire()


def read_both_ways(kind: str, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the reader makes of an answer, and what with dnspython alone; failures by their class."""
    outcomes: list[object] = []
    for _ in range(2):
        try:
            records = READERS[kind](answer)
            outcomes.append((sorted(records.values), records.ttl))
        except (FailureResponseError, dns.exception.DNSException) as error:
            outcomes.append(type(error))
        monkeypatch.setattr(_dns_answers, "_plain_data", lambda *_: None)
    monkeypatch.undo()
    return outcomes


PLAIN = {
    "one name": ("PTR", [f"{NAME} 60 PTR one.example."]),
    "several names": ("PTR", [f"{NAME} 60 PTR one.example.", f"{NAME} 30 PTR two.example."]),
    "a strange name": ("PTR", [rf"{NAME} 60 PTR \027[2J\226.exa\.mple."]),
    "a name within the question's": ("PTR", [f"{NAME} 60 PTR one.{NAME}"]),
    "one text": ("TXT", [f'{NAME} 60 TXT "64500 | 192.0.2.0/24 | US | arin |"']),
    "a text in parts": ("TXT", [f'{NAME} 60 TXT "645" "00 | " "" "192.0.2.0/24"']),
    "an empty text": ("TXT", [f'{NAME} 60 TXT ""']),
    "several texts": ("TXT", [f'{NAME} 60 TXT "a"', f'{NAME} 60 TXT "b"', f'{NAME} 60 TXT "a"']),
    "held for no time": ("PTR", [f"{NAME} 0 PTR one.example."]),
}
OTHER = {
    "an alias": ("PTR", [f"{NAME} 60 CNAME a.example.", "a.example. 30 PTR one.example."]),
    "somebody else's name": ("PTR", ["2.2.0.192.in-addr.arpa. 60 PTR one.example."]),
    "another type as well": ("TXT", [f'{NAME} 60 TXT "a"', f"{NAME} 60 PTR one.example."]),
    "nothing": ("PTR", []),
}


@pytest.mark.parametrize(("kind", "records"), PLAIN.values(), ids=PLAIN)
def test_plain_answers_are_read_alike_in_a_shorter_way(
    kind: str, records: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = answer_of(kind, *records)
    short, long = read_both_ways(kind, answer, monkeypatch)
    assert isinstance(short, tuple)
    assert short == long
    monkeypatch.setattr(dns.message, "from_wire", lambda _: pytest.fail("this is the long way"))
    READERS[kind](answer)


@pytest.mark.parametrize(("kind", "records"), OTHER.values(), ids=OTHER)
def test_everything_else_is_left_to_the_library(
    kind: str, records: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = read_both_ways(kind, answer_of(kind, *records), monkeypatch)
    assert isinstance(short, tuple)
    assert short == long


def test_what_there_is_not_is_remembered_as_the_zone_says() -> None:
    answer = answer_of("PTR", rcode="NXDOMAIN", authority="ns.example. nobody.example. 1 2 3 4 300")
    assert read_pointers(answer).values == ()
    assert read_pointers(answer).ttl == 300


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "YXDOMAIN"])
def test_a_failure_is_told_even_if_records_come_with_it(rcode: str) -> None:
    with pytest.raises(FailureResponseError, match=rcode):
        read_pointers(answer_of("PTR", f"{NAME} 60 PTR one.example.", rcode=rcode))


def test_a_time_to_live_with_its_first_bit_set_is_none() -> None:
    # RFC 2181 section 8.
    answer = bytearray(answer_of("PTR", f"{NAME} 60 PTR one.example."))
    place = answer.index((60).to_bytes(4))
    answer[place] = 0x80
    assert read_pointers(bytes(answer)).ttl == 0


def test_no_damage_is_read_as_something_else_or_ends_in_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(6)
    for kind, records in [*PLAIN.values(), *OTHER.values()]:
        whole = answer_of(kind, *records)
        behind = len(dns.message.make_query(NAME, kind).to_wire())  # the question is checked before
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 3)):
                if len(damaged) > behind:
                    damaged[chance.randrange(behind, len(damaged))] = chance.choice([0, 1, 63, 0xC0, 255])
            damaged[6:8] = chance.choice([whole[6:8], b"\0\0", b"\0\x09", b"\xff\xff"])
            answer = bytes(damaged[: chance.choice([len(damaged), chance.randint(behind, len(damaged))])])
            short, long = read_both_ways(kind, answer, monkeypatch)
            # What stands behind the records may be damaged: the short way does not look there.
            assert short == long or isinstance(long, type), answer.hex()


# --- what is an answer ----------------------------------------------------------------------------------


def query_and_answer() -> tuple[bytes, bytearray]:
    query = dns.message.make_query(NAME, "PTR")
    return query.to_wire(), bytearray(dns.message.make_response(query).to_wire())


def test_an_answer_repeats_number_and_question() -> None:
    query, answer = query_and_answer()
    assert is_answer(query, bytes(answer))
    answer[12:-4] = answer[12:-4].upper()
    assert is_answer(query, bytes(answer))


@pytest.mark.parametrize("place", [0, 1, 2, 5, 13, 20, -1, -3], ids=str)
def test_whatever_differs_is_no_answer(place: int) -> None:
    query, answer = query_and_answer()
    answer[place] ^= 0x88
    assert not is_answer(query, bytes(answer))


def test_fragments_are_no_answers() -> None:
    query, answer = query_and_answer()
    assert not any(is_answer(query, bytes(answer[:size])) for size in range(len(answer)))
    assert not is_answer(query, query)


def test_only_failures_may_leave_the_question_out() -> None:
    query, answer = query_and_answer()
    del answer[12:]
    answer[4:6] = bytes(2)
    assert not is_answer(query, bytes(answer))
    answer[3] |= dns.rcode.FORMERR
    assert is_answer(query, bytes(answer))


# --- questions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "1.2.0.192.in-addr.arpa",
        "1.2.0.192.in-addr.arpa.",
        "AS64500.names.example",
        "_dns.x-y.example",
        r"a\.b.exam\255ple",
        "a" * 63 + ".example",
        ".".join(["b" * 49] * 5),
        ".",
    ],
)
def test_names_are_written_as_the_library_writes_them(name: str) -> None:
    assert _on_the_wire(name) == dns.name.from_text(name).to_wire()


@pytest.mark.parametrize("name", ["a..example", "c" * 64 + ".example", ".".join(["d" * 63] * 4)])
def test_names_that_can_not_be_are_refused(name: str) -> None:
    with pytest.raises(dns.exception.DNSException):
        _on_the_wire(name)
