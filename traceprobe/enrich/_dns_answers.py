"""Reads the answers to questions for PTR and TXT records, with dnspython; sans-IO.

Nearly every answer holds nothing but records of the question's own name and type. Those are read here,
in a fraction of the time: answers come many at once, and the last one waits for all the others. Whatever
else there is (aliases, refusals, no records at all, nonsense) is read by dnspython from one end to the other.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from traceprobe.enrich._dns import LONGEST_TTL, Records

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind: TypeAlias = Literal["PTR", "TXT"]

QUESTIONS: Final = {"PTR": b"\x00\x0c\x00\x01", "TXT": b"\x00\x10\x00\x01"}
"""Type and class of a question, which stand behind its name (RFC 1035 section 4.1.2)."""

_COUNTS: Final = Struct("!4xHH4x")
_RCODE_AT: Final = 3
_RCODE: Final = 0x0F
_RECORD: Final = Struct("!2s4sIH")  # owner, type and class, time to live, size of the data
_NAME_OF_QUESTION: Final = b"\xc0\x0c"  # a pointer behind the header (RFC 1035 section 4.1.4)


class FailureResponseError(Exception):
    """A server answered that it can't."""


def read_pointers(answer: bytes) -> Records[str]:
    """The targets of PTR records, in presentation format.

    Args:
        answer: A response with the question that was asked, and no other.

    Raises:
        FailureResponseError: It tells of a failure.
        DNSException: It makes no sense.
    """
    import dns.name

    plain = _plain_data(answer, "PTR")
    if plain is not None:
        places, ttl = plain
        found = [dns.name.from_wire(answer, place) for place, _ in places]
        if all(used == size for (_, used), (_, size) in zip(found, places, strict=True)):
            return Records(tuple(dict.fromkeys(name.to_text() for name, _ in found)), ttl)
    records, ttl = _read_all(answer)
    return Records(tuple(record.target.to_text() for record in records), ttl)


def read_texts(answer: bytes) -> Records[bytes]:
    """The texts of TXT records, the parts of each joined; as :func:`read_pointers`."""
    plain = _plain_data(answer, "TXT")
    if plain is not None:
        places, ttl = plain
        found = [_joined(answer[place : place + size]) for place, size in places]
        texts = [text for text in found if text is not None]
        if len(texts) == len(found):
            return Records(tuple(dict.fromkeys(texts)), ttl)
    records, ttl = _read_all(answer)
    return Records(tuple(b"".join(record.strings) for record in records), ttl)


def _plain_data(answer: bytes, kind: Kind) -> tuple[list[tuple[int, int]], int] | None:
    """Where the data of each record is, and for how long all of it holds; None if there is anything else."""
    questions, count = _COUNTS.unpack_from(answer)
    if answer[_RCODE_AT] & _RCODE or questions != 1 or not count:
        return None
    place = _COUNTS.size
    while answer[place]:
        place += 1 + answer[place]
    place += 1 + len(QUESTIONS[kind])
    places: list[tuple[int, int]] = []
    least = LONGEST_TTL
    for _ in range(count):
        if place + _RECORD.size > len(answer):
            return None
        owner, what, ttl, size = _RECORD.unpack_from(answer, place)
        place += _RECORD.size
        if (
            owner != _NAME_OF_QUESTION
            or what != QUESTIONS[kind]
            or ttl > LONGEST_TTL
            or place + size > len(answer)
        ):
            return None
        places.append((place, size))
        least = min(least, ttl)
        place += size
    return places, least


def _joined(data: bytes) -> bytes | None:
    """The parts of a text, each of which stands behind its length; None if they don't come out even."""
    parts = list(_parts(data))
    return b"".join(parts) if parts and sum(map(len, parts)) + len(parts) == len(data) else None


def _parts(data: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        end = place + 1 + data[place]
        yield data[place + 1 : end]
        place = end


def _read_all(answer: bytes) -> tuple[tuple[Any, ...], int]:
    """The records behind a name's aliases, and for how long they, or their absence, may be remembered."""
    import dns.exception
    import dns.message
    import dns.rcode

    message = dns.message.from_wire(answer)
    rcode = message.rcode()
    if rcode not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        raise FailureResponseError(dns.rcode.to_text(rcode))
    if not isinstance(message, dns.message.QueryMessage):
        raise dns.exception.FormError
    chain = message.resolve_chaining()
    return tuple(chain.answer or ()), chain.minimum_ttl
