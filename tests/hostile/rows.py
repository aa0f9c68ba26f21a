"""The rows of the table: which kinds of forgeries are counted together, and what they are called.

Kinds of which everything is right that identifies a probe have no row: nobody can refuse those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.rigs.tun.forgeries import kinds_of

if TYPE_CHECKING:
    from tests.rigs.tun.forgeries import Kind

_EIGHT = "{}, eight bytes"

ROWS: Final[dict[str, tuple[str, ...]]] = {
    "wrong identifier or source port": ("wrong identifier", "wrong source port"),
    "wrong identifier or source port, eight bytes quoted": (
        "wrong identifier, eight bytes",
        "wrong source port, eight bytes",
    ),
    "wrong sequence number or destination port": ("wrong sequence", "wrong destination port"),
    "guessed from another probe": ("guessed sequence", "guessed checksum"),
    "guessed from another probe, eight bytes quoted": ("guessed sequence, eight bytes",),
    "altered payload": ("altered quote", "altered quote, first bit", "altered quote, last bit"),
    "another process's probe": ("other process's probe", "other process's probe, eight bytes"),
    "another destination quoted": ("other destination", "sent to the forger"),
    "another protocol quoted": ("other protocol",),
    "truncated quotes": (
        "truncated to 9",
        "truncated to 29",
        "truncated to 35",
        "truncated to 49",
        "truncated to 55",
    ),
    "absurd header lengths and chains": (
        "header length of 0",
        "header length of 4",
        "header length of 15",
        "header longer than the quote",
        "endless chain of headers",
        "header that is longer than all",
        "no next header",
        "authentication header",
    ),
    "lengths that lie": ("lengths that lie",),
    "garbage": ("garbage", "garbage behind the header", "garbage, long"),
    "bad ICMP checksum, all else right": ("bad checksum", "checksum of zero", "damaged on the way"),
    "redirect, source quench": ("redirect", "source quench"),
    "ICMP types that probes never cause": ("types that probes never cause", "reassembly timed out"),
    "packet too big, parameter problem": (
        "packet too big, wrong identity",
        "parameter problem, wrong identity",
    ),
    "echo reply, wrong identifier or sequence": (
        "echo reply: wrong identifier",
        "echo reply: wrong sequence",
    ),
    "echo reply, wrong payload": (
        "echo reply: wrong payload",
        "echo reply: without payload",
        "echo reply: one wrong bit",
    ),
    "echo requests of our own": ("echo requests of our own", "echo requests from ourselves"),
    "data from another address or port": ("data from another address", "data from another port"),
    "RST or SYN-ACK, wrong acknowledgement": (
        "RST: acknowledges one too many",
        "RST: acknowledges nothing",
        "SYN-ACK: acknowledges one too few",
        "SYN-ACK: acknowledges anything",
    ),
    "RST or SYN-ACK, wrong port": ("RST: from another port", "SYN-ACK: to another port"),
    "RST or SYN-ACK, bad checksum": ("RST: bad checksum", "SYN-ACK: bad checksum"),
    "RST or SYN-ACK from another address": ("RST: from another address", "SYN-ACK: from another address"),
    "answers that come twice, or late": (
        "once more at once",
        "once more from elsewhere",
        "after the trace has ended",
        "echo reply after the trace has ended",
    ),
}


def kinds_for(protocol: str, version: int) -> tuple[Kind, ...]:
    """All kinds that have a row."""
    wanted = {name for names in ROWS.values() for name in names}
    return tuple(kind for name, kind in kinds_of(protocol, version).items() if name in wanted)


def row_of(name: str) -> str:
    """The row of a kind."""
    return next(row for row, names in ROWS.items() if name in names)
