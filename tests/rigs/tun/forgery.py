"""What others put on the wire about probes: true answers, edited byte by byte.

A forgery begins as the answer that a station would give, or another that makes sense to the probe, and is
edited then. Whoever sends it has seen the probe: so it can be wrong in one thing, and right in all others.
``forgery.c`` reads what :meth:`Forgery.words` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DATA: Final = -1
SYN_ACK: Final = -2
RST: Final = -3
"""Forms of forgeries beside the types of ICMP; as in ``packet.h``."""

STATION: Final = "station"
TARGET: Final = "target"
"""Forgers that take the address of who answers in truth, or of the destination."""


@dataclass(frozen=True)
class Edit:
    """One change.

    ``place`` says what the offset is counted from: the ICMP, UDP or TCP header (``message``), the IP header
    that is quoted in it (``header``), what is quoted behind that (``quoted``), the message once its checksum
    has been computed (``after``), or the IP header in front (``outer``).
    """

    place: str
    kind: str
    offset: int
    data: bytes = b""

    def words(self) -> str:
        """What ``forgery.c`` reads."""
        return f"{self.place} {self.kind} {self.offset} {self.data.hex() or '-'}"


def put(place: str, offset: int, data: str) -> Edit:
    """Write bytes, which are given in hexadecimal."""
    return Edit(place, "set", offset, bytes.fromhex(data))


def flip(place: str, offset: int, data: str) -> Edit:
    """Change bits (exclusive or)."""
    return Edit(place, "xor", offset, bytes.fromhex(data))


def add(place: str, offset: int, summand: int) -> Edit:
    """Add to a word of 16 bits, in ones' complement."""
    return Edit(place, "add", offset, (summand if summand >= 0 else summand + 0xFFFF).to_bytes(2))


def insert(place: str, offset: int, data: str) -> Edit:
    """Put bytes in."""
    return Edit(place, "insert", offset, bytes.fromhex(data))


def noise(place: str, offset: int, length: int = 0xFFFF) -> Edit:
    """Replace bytes by random ones, to the end at most."""
    return Edit(place, "noise", offset, length.to_bytes(2))


def cut(place: str, offset: int) -> Edit:
    """End there."""
    return Edit(place, "cut", offset)


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """What somebody sends for every probe on one path."""

    form: int
    """Type of ICMP, or one of the constants above."""
    code: int = 0
    rest: int = 0
    """The last four bytes of the header of an ICMP error."""
    edits: tuple[Edit, ...] = ()
    forger: str = STATION
    """Whose address it bears: ``STATION``, ``TARGET``, or any address."""
    share: float = 1.0
    """When it comes, as a share of the true round trip,"""
    delay: float = 0.0
    """and seconds more."""
    ttls: tuple[int, int] = (0, 255)
    """The probes that it answers, by the first and last of their TTLs."""

    def words(self, version: int) -> str:
        """What ``forgery.c`` reads."""
        named = self.forger not in {STATION, TARGET}
        assert not named or (":" in self.forger) is (version == 6), self.forger
        return " ".join(
            str(word)
            for word in (
                *self.ttls,
                self.form,
                self.code,
                self.rest,
                repr(float(self.share)),
                round(self.delay * 1_000_000_000),
                f"address {self.forger}" if named else f"{self.forger} -",
                len(self.edits),
                *(edit.words() for edit in self.edits),
            )
        )
