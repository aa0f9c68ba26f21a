"""Every kind of forgery that the hostile internet knows, for each protocol and IP version.

Whoever forges has seen the probe, so that everything is right but what the kind names. Each kind comes
from up to three addresses: the forger's own, that of the station that answers in truth, and that of the
destination, whose answer would end a trace. Knows nothing of who traces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.rigs.tun.forgery import (
    DATA,
    RST,
    STATION,
    SYN_ACK,
    TARGET,
    Edit,
    Forgery,
    add,
    cut,
    flip,
    insert,
    noise,
    put,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORGERS: Final = {4: "198.18.0.66", 6: "2001:db8:bad::66"}
"""The address of the forger, who lies on no path."""

BEFORE: Final = (0.5, 0.0)
AFTER: Final = (1.0, 0.0002)
"""Half a round trip ahead of the truth, and just behind it: share of the round trip, and seconds more."""
LATE: Final = (1.0, 0.4)
"""When the trace has ended."""

_ECHO_REQUEST: Final = {4: "08", 6: "80"}
_ECHO_REPLY: Final = {4: 0, 6: 129}
_EXPIRED: Final = {4: 11, 6: 3}
_UNREACHABLE: Final = {4: (3, 3), 6: (1, 4)}
_HEADER: Final = {4: 20, 6: 40}
_DESTINATION_AT: Final = {4: 16, 6: 24}
_PROTOCOL_AT: Final = {4: 9, 6: 6}
_PROTOCOLS: Final = {4: ("01", "06", "11", "84"), 6: ("3a", "06", "11", "84")}
_OTHERS: Final = {4: "c6120009", 6: "20010db8000000000000000000000bad"}
_QUOTE_AT: Final = 8
_TCP_HEADER: Final = 20


@dataclass(frozen=True)
class Kind:
    """One kind of forgery."""

    name: str
    forgeries: tuple[Forgery, ...]
    timings: tuple[tuple[float, float], ...] = (BEFORE, AFTER)
    flows: frozenset[str] = frozenset({"paris", "dublin", "classic"})
    """Where it is wrong: what differs may tell probes apart with some flows only."""
    is_guess: bool = False
    """Whether it may be right by chance, once in thousands of times."""

    def timed(self) -> tuple[Forgery, ...]:
        """Each forgery at each of its times."""
        return tuple(
            replace(forgery, share=share, delay=delay)
            for forgery in self.forgeries
            for share, delay in self.timings
        )


def kinds_of(protocol: str, version: int) -> dict[str, Kind]:
    """All kinds for ``icmp``, ``udp`` or ``tcp`` over an IP version, by name."""
    some = [*_quotes(protocol, version), *_headers(protocol, version), *_messages(protocol, version)]
    some += {"icmp": _echoes, "udp": _data, "tcp": _segments}[protocol](version)
    some += _late(protocol, version)
    found = {kind.name: kind for kind in some}
    assert len(found) == len(some), "two kinds have the same name"
    return found


def _errors(version: int, *edits: Edit) -> tuple[Forgery, ...]:
    """An ICMP error: two that show a hop, and one that would end the trace."""
    kind, code = _UNREACHABLE[version]
    return (
        Forgery(form=_EXPIRED[version], edits=edits, forger=FORGERS[version]),
        Forgery(form=_EXPIRED[version], edits=edits),
        Forgery(form=kind, code=code, edits=edits, forger=TARGET),
    )


def _from(
    forgers: Iterable[str], form: int, *edits: Edit, code: int = 0, rest: int = 0
) -> tuple[Forgery, ...]:
    return tuple(Forgery(form=form, code=code, rest=rest, edits=edits, forger=forger) for forger in forgers)


# --- what an ICMP error quotes -----------------------------------------------------------------------------


def _identity(protocol: str) -> Mapping[str, tuple[Edit, ...]]:
    """What is wrong of a quoted probe's identity, by what that is called."""
    if protocol == "icmp":
        return {
            "wrong identifier": (flip("quoted", 4, "a5a5"),),
            "wrong sequence": (flip("quoted", 6, "8000"),),
            "quoted echo reply": (flip("quoted", 0, "08"),),
            "wrong code quoted": (put("quoted", 1, "07"),),
        }
    if protocol == "udp":
        return {
            "wrong source port": (flip("quoted", 0, "2000"),),
            "wrong destination port": (flip("quoted", 2, "4000"),),
            "ports swapped": (flip("quoted", 0, "2000"), flip("quoted", 2, "4000")),
        }
    return {
        "wrong source port": (flip("quoted", 0, "8000"),),
        "wrong destination port": (flip("quoted", 2, "4000"),),
        "wrong sequence": (flip("quoted", 4, "80000000"),),
        "sequence off by one": (flip("quoted", 7, "01"),),
        "sequence of zero": (put("quoted", 4, "00000000"),),
    }


def _guess(protocol: str) -> tuple[Edit, ...]:
    """What the next probe would be, if they were counted."""
    if protocol == "icmp":  # with a constant flow the word behind the header keeps the checksum
        return (add("quoted", 6, 1), add("quoted", 8, -1))
    return (add("quoted", 2, 1),) if protocol == "udp" else (add("quoted", 6, 1),)


def _quotes(protocol: str, version: int) -> list[Kind]:
    short = cut("quoted", 8)
    padded = insert("quoted", 8, "00" * 100)
    some = []
    for name, edits in _identity(protocol).items():
        some += [
            Kind(name, _errors(version, *edits)),
            Kind(f"{name}, eight bytes", _errors(version, *edits, short)),
            Kind(f"{name}, padded", _errors(version, *edits, short, padded)),
        ]
    some += [
        Kind("guessed sequence", _errors(version, *_guess(protocol)), is_guess=True),
        Kind("guessed sequence, eight bytes", _errors(version, *_guess(protocol), short), is_guess=True),
    ]
    if protocol == "udp":
        # A translator changes checksums; what else tells such probes apart is the payload's first word.
        edits = (add("quoted", 6, 1), add("quoted", 8, -1))
        some.append(Kind("guessed checksum", _errors(version, *edits), flows=_CONSTANT, is_guess=True))
        some.append(Kind("wrong first word", _errors(version, flip("quoted", 8, "0100")), flows=_CONSTANT))
    if protocol != "tcp":
        some += [
            Kind("altered quote", _errors(version, noise("quoted", 8))),
            Kind("altered quote, first bit", _errors(version, flip("quoted", 8, "80"))),
            Kind("altered quote, middle bit", _errors(version, flip("quoted", 13, "10"))),
            # What is left at the end must not come out as zero, which would look like padding. So some bytes
            # of the token stay behind the altered one, even of the shortest, which ends with the 20th.
            Kind("altered quote, last bit", _errors(version, flip("quoted", 16, "01"))),
            Kind("altered quote, cut", _errors(version, flip("quoted", 12, "40"), cut("quoted", 16))),
        ]
    stranger = (flip("quoted", 4 if protocol == "icmp" else 0, "a0a0"), noise("quoted", 6))
    if protocol != "icmp":
        stranger = (flip("quoted", 0, "a0a0"), noise("quoted", 4))
    others = tuple(number for number in _PROTOCOLS[version] if number != _number(protocol, version))
    destination = put("header", _DESTINATION_AT[version], _OTHERS[version])
    return [
        *some,
        Kind("other process's probe", _errors(version, *stranger)),
        Kind("other process's probe, eight bytes", _errors(version, *stranger, short)),
        Kind("other destination", _errors(version, destination)),
        Kind("other destination, eight bytes", _errors(version, destination, short)),
        Kind(
            "sent to the forger", _errors(version, put("header", _DESTINATION_AT[version], _forger(version)))
        ),
        Kind(
            "other protocol",
            tuple(
                forgery
                for number in others
                for forgery in _errors(version, put("header", _PROTOCOL_AT[version], number))
            ),
        ),
    ]


_CONSTANT: Final = frozenset({"paris", "dublin"})


def _number(protocol: str, version: int) -> str:
    return _PROTOCOLS[version][("icmp", "tcp", "udp").index(protocol)]


def _forger(version: int) -> str:
    return {4: "c6120042", 6: "20010db80bad00000000000000000066"}[version]


# --- lengths and headers that make no sense ----------------------------------------------------------------


def _headers(protocol: str, version: int) -> list[Kind]:
    header = _HEADER[version]
    truncated = (0, 1, 3, 4, 7, 8, 9, 8 + header - 1, 8 + header, 8 + header + 1, 8 + header + 7)
    some = [Kind(f"truncated to {length}", _errors(version, cut("message", length))) for length in truncated]
    if version == 4:
        lengths = {f"header length of {words}": f"4{words:x}" for words in (0, 1, 2, 3, 4, 6, 7, 15)}
        some += [Kind(name, _errors(version, put("header", 0, first))) for name, first in lengths.items()]
        some += [
            Kind("header longer than the quote", _errors(version, put("header", 0, "4f"), cut("header", 28))),
            Kind("quoted fragment", _errors(version, put("header", 6, "0007"))),
            Kind("quote of IPv6", _errors(version, put("header", 0, "60"))),
        ]
    else:
        number = _number(protocol, version)
        chain = {
            "endless chain of headers": (
                put("header", 6, "00"),
                insert("header", 40, "0000000000000000" * 30),
            ),
            "header that is longer than all": (
                put("header", 6, "3c"),
                insert("header", 40, f"{number}ff000000000000"),
            ),
            "header without end": (put("header", 6, "2b"), cut("header", 41)),
            "no next header": (put("header", 6, "3b"),),
            "quoted fragment": (put("header", 6, "2c"), insert("header", 40, f"{number}00003800000001")),
            "authentication header": (
                put("header", 6, "33"),
                insert("header", 40, f"{number}ff0000000000000000000000"),
            ),
            "transport taken for options": (put("header", 6, "00"),),
            "quote of IPv4": (put("header", 0, "45"),),
        }
        some += [Kind(name, _errors(version, *edits)) for name, edits in chain.items()]
    some.append(Kind("version of zero", _errors(version, put("header", 0, "00"))))
    identity = next(iter(_identity(protocol).values()))
    length_at = 2 if version == 4 else 4
    quoted_length_at = 5 if version == 4 else 4
    some += [
        Kind(
            "lengths that lie",
            tuple(
                forgery
                for lie in (
                    put("header", length_at, "0000"),
                    put("header", length_at, "ffff"),
                    put("message", quoted_length_at, "ff"),
                    put("message", quoted_length_at, "01"),
                )
                for forgery in _errors(version, *identity, lie)
            ),
        ),
        Kind("outer length that lies", _errors(version, put("outer", length_at, "ffff"))),
        Kind(
            "outer length too short",
            _errors(version, put("outer", length_at, "0018" if version == 4 else "0004")),
        ),
    ]
    return some


# --- whole messages ----------------------------------------------------------------------------------------


def _messages(protocol: str, version: int) -> list[Kind]:
    forgers = (FORGERS[version], STATION, TARGET)
    never: tuple[tuple[int, int], ...] = (
        (9, 0), (10, 0), (13, 0), (14, 0), (15, 0), (16, 0), (17, 0), (18, 0), (30, 0), (42, 0), (255, 0),
    )  # fmt: skip
    if version == 6:
        never = (
            (0, 0),
            (5, 0),
            (100, 0),
            (101, 0),
            (127, 0),
            (130, 0),
            (139, 0),
            (140, 0),
            (200, 0),
            (255, 0),
        )
    gateway = 0xC6120042 if version == 4 else 0
    redirects = ((5, 0), (5, 1), (5, 3)) if version == 4 else ((137, 0),)
    expired = _EXPIRED[version]
    identity = next(iter(_identity(protocol).values()))
    lies = ((3, 4, 0), (3, 4, 40), (3, 4, 1400)) if version == 4 else ((2, 0, 0), (2, 0, 40), (2, 0, 1400))
    problems = (
        ((12, 0, 0), (12, 1, 0xFF000000)) if version == 4 else ((4, 0, 0), (4, 1, 6), (4, 2, 0xFFFFFFFF))
    )
    some = [
        Kind(
            "redirect", sum((_from(forgers, kind, code=code, rest=gateway) for kind, code in redirects), ())
        ),
        Kind("reassembly timed out", _from(forgers, expired, code=1)),
        Kind("types that probes never cause", sum((_from(forgers, *one) for one in _as_edits(never)), ())),
        Kind("packet too big, wrong identity", _lies(forgers, lies, identity)),
        Kind("parameter problem, wrong identity", _lies(forgers, problems, identity)),
        Kind("garbage", _errors(version, noise("message", 4))),
        Kind("garbage of every type", _errors(version, noise("message", 0))),
        Kind("garbage behind the header", _errors(version, noise("message", 8))),
        Kind("garbage, short", _errors(version, noise("message", 4), cut("message", 40))),
        Kind("garbage, long", _errors(version, insert("message", 8, "a5" * 256), noise("message", 8))),
        Kind("bad checksum", _errors(version, flip("after", 2, "5555"))),
        Kind("checksum of zero", _errors(version, put("after", 2, "0000"))),
        Kind("damaged on the way", _errors(version, flip("after", 9, "01"))),
    ]
    if version == 4:
        some.append(Kind("source quench", _from(forgers, 4)))
    return some


def _as_edits(some: Iterable[tuple[int, int]]) -> Iterable[tuple[int]]:
    return ((kind,) for kind, _ in some)


def _lies(
    forgers: Iterable[str], some: Iterable[tuple[int, int, int]], edits: tuple[Edit, ...]
) -> tuple[Forgery, ...]:
    return tuple(
        forgery for kind, code, rest in some for forgery in _from(forgers, kind, *edits, code=code, rest=rest)
    )


def _echoes(version: int) -> list[Kind]:
    form, forgers = _ECHO_REPLY[version], (FORGERS[version], STATION, TARGET)

    def kind(name: str, *edits: Edit) -> Kind:
        is_guess = name.startswith("guessed")
        return Kind(f"echo reply: {name}", _from(forgers, form, *edits), is_guess=is_guess)

    return [
        kind("wrong identifier", flip("message", 4, "a5a5")),
        kind("wrong sequence", flip("message", 6, "8000")),
        kind("guessed sequence", add("message", 6, 1), add("message", 8, -1)),
        kind("wrong payload", noise("message", 8)),
        kind("payload of zeros", put("message", 8, "00" * 16)),
        kind("one wrong bit", flip("message", 19, "01")),
        kind("half the token", cut("message", 14)),
        kind("without payload", cut("message", 8)),
        kind("half a header", cut("message", 6)),
        kind("bad checksum", flip("after", 2, "5555")),
        Kind("echo requests of our own", _from(forgers, form, put("message", 0, _ECHO_REQUEST[version]))),
        Kind(
            "echo requests from ourselves",
            _from((TARGET,), form, put("message", 0, _ECHO_REQUEST[version]), put("outer", *_own(version))),
        ),
    ]


def _own(version: int) -> tuple[int, str]:
    """Where the source address of a datagram stands, and that of the prober."""
    return (12, "c000024d") if version == 4 else (8, "20010db8000000000000000000000077")


def _data(version: int) -> list[Kind]:
    forger = FORGERS[version]
    some = [
        Kind("data from another address", _from((forger, STATION), DATA), timings=(BEFORE, AFTER)),
        Kind("data from another port", _from((TARGET,), DATA, flip("message", 0, "4000"))),
        Kind("data to another port", _from((TARGET,), DATA, flip("message", 2, "2000"))),
        Kind("data with a bad checksum", _from((TARGET,), DATA, flip("after", 6, "5555"))),
        Kind("data whose length lies", _from((TARGET,), DATA, put("message", 4, "ffff"))),
        Kind("half a header of data", _from((TARGET,), DATA, cut("message", 4))),
        Kind("data that is not the probe's", _from((TARGET,), DATA, noise("message", 8)), flows=_CONSTANT),
        Kind(
            "data without a byte",
            _from((TARGET,), DATA, cut("message", 8), put("message", 4, "0008")),
            flows=_CONSTANT,
        ),
    ]
    # The station that answers in truth is the destination itself, at the end.
    return [
        replace(kind, forgeries=tuple(replace(one, ttls=(0, 4)) for one in kind.forgeries))
        if kind.name == "data from another address"
        else kind
        for kind in some
    ]


def _segments(version: int) -> list[Kind]:
    def kind(name: str, form: int, *edits: Edit) -> Kind:
        return Kind(name, _from((TARGET,), form, *edits))

    some = []
    for name, form in (("RST", RST), ("SYN-ACK", SYN_ACK)):
        some += [
            kind(f"{name}: acknowledges one too many", form, add("message", 10, 1)),
            kind(f"{name}: acknowledges one too few", form, add("message", 10, -1)),
            kind(f"{name}: acknowledges nothing", form, put("message", 8, "00000000")),
            kind(f"{name}: acknowledges anything", form, noise("message", 8, 4)),
            kind(f"{name}: from another port", form, flip("message", 0, "0100")),
            kind(f"{name}: to another port", form, flip("message", 2, "8000")),
            kind(f"{name}: bad checksum", form, flip("after", 16, "5555")),
            kind(f"{name}: without ACK", form, flip("message", 13, "10")),
            kind(f"{name}: half a header", form, cut("message", 12)),
            kind(f"{name}: header length of 4", form, put("message", 12, "40")),
            kind(f"{name}: header longer than all", form, put("message", 12, "f0")),
            Kind(f"{name}: from another address", _from((FORGERS[version],), form)),
        ]
    return [
        *some,
        kind("SYN of our own", SYN_ACK, put("message", 13, "02")),
        kind("ACK alone", RST, put("message", 13, "10")),
        kind("FIN", RST, put("message", 13, "11")),
        kind("every flag", RST, put("message", 13, "ff"), add("message", 10, 1)),
        kind("no flag", RST, put("message", 13, "00")),
    ]


# --- true answers that come once more ----------------------------------------------------------------------


def _late(protocol: str, version: int) -> list[Kind]:
    expired = _EXPIRED[version]
    true = Forgery(form=expired, ttls=(0, 4))
    return [
        Kind("once more at once", (true,), timings=(AFTER, (1.0, 0.0005))),
        Kind("once more from elsewhere", (replace(true, forger=FORGERS[version]),), timings=(AFTER,)),
        Kind("after the trace has ended", _errors(version), timings=(LATE,)),
        *(
            [
                Kind(
                    "echo reply after the trace has ended",
                    _from((TARGET, FORGERS[version]), _ECHO_REPLY[version]),
                    timings=(LATE,),
                )
            ]
            if protocol == "icmp"
            else []
        ),
    ]
