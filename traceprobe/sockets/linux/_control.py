"""What the kernel says about a received datagram or an entry of the error queue, out of its control messages.

An error queue (ip(7), ``IP_RECVERR``) holds ICMP errors about what its socket sent, local errors, and
transmit time stamps; each entry says which. Only the first are answers of the network.
"""

from __future__ import annotations

import errno
import socket
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.ffi.linux import (
    CONTROL_ALIGNMENT,
    CONTROL_HEADER,
    EXTENDED_ERROR,
    IP_RECVERR,
    IP_TTL,
    IPV6_HOPLIMIT,
    IPV6_RECVERR,
    SO_EE_ORIGIN_ICMP,
    SO_EE_ORIGIN_ICMP6,
    SO_EE_ORIGIN_TIMESTAMPING,
    SO_TIMESTAMPING,
    SO_TIMESTAMPNS,
    SOCKADDR_IN,
    SOCKADDR_IN6,
    TIMESPEC,
)
from traceprobe.sockets.linux._sockaddr import unpack_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

_HEADER_SIZE: Final = CONTROL_HEADER.size
_SOL_SOCKET: Final = 1
_SOL_IP: Final = 0
_SOL_IPV6: Final = 41
_INT: Final = Struct("=i")
_FAMILY: Final = Struct("=H")
_NS: Final = 1_000_000_000

_TIMESPECS: Final = 3
STAMP_SIZE: Final = _HEADER_SIZE + _TIMESPECS * TIMESPEC.size
"""Bytes of control messages where there is nothing but a stamp."""
CONTROL_SIZE: Final = 256
"""Bytes that all control messages asked for fit into: stamps, TTL, and an error with its offender."""
_STAMP_HEADER: Final = CONTROL_HEADER.pack(STAMP_SIZE, _SOL_SOCKET, SO_TIMESTAMPING)
_ARRIVAL: Final = Struct("=16sqq")
"""A control message with its first ``timespec``."""
_ARRIVAL_WITH_TTL: Final = Struct("=16sqq32x16si")
_HOP_LIMIT_HEADER: Final = CONTROL_HEADER.pack(_HEADER_SIZE + _INT.size, _SOL_IPV6, IPV6_HOPLIMIT)
_STAMP_AND_TTL: Final = _ARRIVAL_WITH_TTL.size + CONTROL_ALIGNMENT - _INT.size
_STAMP_AND_CAUSE: Final = STAMP_SIZE + _HEADER_SIZE + EXTENDED_ERROR.size
_STAMPS: Final = Struct(f"=16sqq32x8x8s4xB7xI{CONTROL_SIZE - _STAMP_AND_CAUSE}x")
"""Three ``timespec`` of which the first is filled (``SCM_TIMESTAMPING``), then ``sock_extended_err``."""
_WORD: Final = 8
_WORDS: Final = CONTROL_SIZE // _WORD
_SECONDS_AT: Final = _HEADER_SIZE // _WORD
_KIND_AT: Final = (STAMP_SIZE + _WORD) // _WORD
_CAUSE_AT: Final = (STAMP_SIZE + _HEADER_SIZE) // _WORD
_STAMP_CAUSE: Final = EXTENDED_ERROR.pack(errno.ENOMSG, SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, 0, 0)[:_WORD]
_NUMBER_AT: Final = (_STAMP_AND_CAUSE - _INT.size) // _INT.size
"""Where columns of stamps begin, in words of eight bytes; the numbers in words of four."""
_TTL_KINDS: Final = frozenset({(_SOL_IP, IP_TTL), (_SOL_IPV6, IPV6_HOPLIMIT)})
_ERROR_KINDS: Final = frozenset({(_SOL_IP, IP_RECVERR), (_SOL_IPV6, IPV6_RECVERR)})
_PACKED_ERROR_KINDS: Final = frozenset(Struct("=ii").pack(*kind) for kind in _ERROR_KINDS)


def _headers_of(size: int, level: int, ttl_kind: int, error_kind: int) -> tuple[bytes, bytes]:
    return (
        CONTROL_HEADER.pack(_HEADER_SIZE + _INT.size, level, ttl_kind),
        CONTROL_HEADER.pack(size, level, error_kind),
    )


_EXPIRIES: Final = {
    # Stamp, TTL, error and offender: the kernel's order (ip_recv_error and its IPv6 twin).
    136: (
        Struct("=16sqq32x16si4x16s16s2s2x4sI4x").unpack_from,
        (
            _STAMP_HEADER,
            *_headers_of(_HEADER_SIZE + EXTENDED_ERROR.size + SOCKADDR_IN.size, _SOL_IP, IP_TTL, IP_RECVERR),
            EXTENDED_ERROR.pack(errno.EHOSTUNREACH, SO_EE_ORIGIN_ICMP, 11, 0, 0, 0, 0),
            _FAMILY.pack(socket.AF_INET),
        ),
    ),
    152: (
        Struct("=16sqq32x16si4x16s16s2s6x16sI4x").unpack_from,
        (
            _STAMP_HEADER,
            *_headers_of(
                _HEADER_SIZE + EXTENDED_ERROR.size + SOCKADDR_IN6.size, _SOL_IPV6, IPV6_HOPLIMIT, IPV6_RECVERR
            ),
            EXTENDED_ERROR.pack(errno.EHOSTUNREACH, SO_EE_ORIGIN_ICMP6, 3, 0, 0, 0, 0),
            _FAMILY.pack(socket.AF_INET6),
        ),
    ),
}
"""Bytes of the control messages of an ordinary time-exceeded: what takes them apart, what they must be."""


class ExtendedError(NamedTuple):
    """One entry of an error queue (``struct sock_extended_err``)."""

    origin: int
    type: int
    code: int
    info: int
    """Next-hop MTU of a packet that was too big; unused otherwise."""
    data: int
    """Number of a transmit stamp; where an RFC 4884 extension begins in an ICMP error."""
    offender: IPv4Address | IPv6Address | None
    """Who sent the error."""


class Control(NamedTuple):
    """The control messages of one datagram; None for what there was none of."""

    stamp_ns: int | None
    """The kernel's time stamp, wall clock."""
    ttl: int | None
    """TTL or hop limit on arrival."""
    error: ExtendedError | None


def read_stamp_columns(controls: memoryview, lengths: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Read transmit stamps where every entry of the error queue is one: whole columns at once.

    There are as many of these as probes, all between the sending and the first reply; a batch of them is
    hardly ever anything else.

    Args:
        controls: Control messages of many entries, :data:`CONTROL_SIZE` bytes each.
        lengths: How many bytes each entry has of them.

    Returns:
        Numbers and times (wall clock, nanoseconds); None for :func:`read_stamps` to tell.
    """
    count, words = len(lengths), controls.cast("q")
    kind = words[_KIND_AT : _KIND_AT + 1].tobytes()
    if (
        kind not in _PACKED_ERROR_KINDS
        or min(lengths) < _STAMP_AND_CAUSE
        or words[::_WORDS].tobytes() != _STAMP_HEADER[:_WORD] * count
        or words[1::_WORDS].tobytes() != _STAMP_HEADER[_WORD:] * count
        or words[_KIND_AT::_WORDS].tobytes() != kind * count
        or words[_CAUSE_AT::_WORDS].tobytes() != _STAMP_CAUSE * count
    ):
        return None
    seconds = words[_SECONDS_AT::_WORDS].tolist()
    if 0 in seconds:
        return None
    nanoseconds = words[_SECONDS_AT + 1 :: _WORDS].tolist()
    times: list[int]
    if seconds.count(seconds[0]) == count:
        times = list(map((seconds[0] * _NS).__add__, nanoseconds))
    else:
        times = [second * _NS + rest for second, rest in zip(seconds, nanoseconds, strict=True)]
    return controls.cast("I")[_NUMBER_AT :: 2 * _WORDS].tolist(), times


def read_stamps(controls: memoryview, lengths: Sequence[tuple[int, int]]) -> list[tuple[int, int] | None]:
    """Read transmit stamps, and nothing else, where each stands alone in its entry of the error queue.

    For entries that stand beside others; whatever looks different is for :func:`read_control`.

    Args:
        controls: Control messages of many entries, :data:`CONTROL_SIZE` bytes each.
        lengths: How many bytes each entry has of them; and of data, which don't matter here.

    Returns:
        Number and time (wall clock, nanoseconds) of each entry's stamp; None for an entry that is something
        else.
    """
    stamps: list[tuple[int, int] | None] = []
    entries = zip(lengths, _STAMPS.iter_unpack(controls), strict=True)
    for (length, _), (header, seconds, nanoseconds, error_kind, origin, number) in entries:
        if (
            length >= _STAMP_AND_CAUSE
            and header == _STAMP_HEADER
            and error_kind in _PACKED_ERROR_KINDS
            and origin == SO_EE_ORIGIN_TIMESTAMPING
            and (seconds or nanoseconds)
        ):
            stamps.append((number, seconds * _NS + nanoseconds))
        else:
            stamps.append(None)
    return stamps


def read_expiry(controls: memoryview, place: int, length: int) -> tuple[int, int, bytes, int] | None:
    """Read an entry of the error queue that says that a probe's TTL ran out, and nothing else.

    On a path that answers nearly all entries are of this kind; whatever looks different is for
    :func:`read_control`.

    Args:
        controls: Control messages of many entries.
        place: Where those of this entry begin.
        length: How many bytes they have.

    Returns:
        The kernel's stamp (wall clock, nanoseconds), the TTL of the message, who sent it (packed), and the
        index of the interface if that is part of the address; None if it is something else.
    """
    layout = _EXPIRIES.get(length)
    if layout is None:
        return None
    unpack, expected = layout
    stamp, seconds, nanoseconds, ttl_header, ttl, error, cause, family, offender, index = unpack(
        controls, place
    )
    if (stamp, ttl_header, error, cause, family) != expected or not seconds:
        return None
    return seconds * _NS + nanoseconds, ttl, offender, index


def read_arrival(controls: memoryview, place: int, length: int) -> int | None:
    """The kernel's stamp of a datagram's arrival, if it has one; see :func:`read_control`.

    The kernel puts the stamp in front of everything else, and where nothing else was asked for this is all
    there is to read.

    Args:
        controls: Control messages of many datagrams.
        place: Where those of this one begin.
        length: How many bytes they have.
    """
    if length >= STAMP_SIZE:
        header, seconds, nanoseconds = _ARRIVAL.unpack_from(controls, place)
        if header == _STAMP_HEADER:
            return seconds * _NS + nanoseconds or None
    return read_control(controls[place : place + length]).stamp_ns


def read_arrivals(controls: memoryview, step: int, lengths: Sequence[int]) -> list[int | None]:
    """What :func:`read_arrival` finds for each of some datagrams.

    Args:
        controls: Their control messages.
        step: How far apart those of two datagrams begin.
        lengths: How many bytes each has.
    """
    unpack = _ARRIVAL.unpack_from
    arrivals: list[int | None] = []
    place = 0
    for length in lengths:
        header, seconds, nanoseconds = unpack(controls, place)
        if header == _STAMP_HEADER and length >= STAMP_SIZE and seconds:
            arrivals.append(seconds * _NS + nanoseconds)
        else:
            arrivals.append(read_arrival(controls, place, length))
        place += step
    return arrivals


def read_arrival_with_ttl(controls: memoryview, place: int, length: int) -> tuple[int, int] | None:
    """The kernel's stamp of a datagram's arrival, and its hop limit, where there is nothing else (IPv6).

    Args:
        controls: Control messages of many datagrams.
        place: Where those of this one begin.
        length: How many bytes they have.

    Returns:
        Stamp (wall clock, nanoseconds) and hop limit; None for :func:`read_control` to tell.
    """
    if length != _STAMP_AND_TTL:
        return None
    header, seconds, nanoseconds, ttl_header, ttl = _ARRIVAL_WITH_TTL.unpack_from(controls, place)
    if header != _STAMP_HEADER or ttl_header != _HOP_LIMIT_HEADER or not seconds:
        return None
    return seconds * _NS + nanoseconds, ttl


def read_control(control: memoryview) -> Control:
    """Read the control messages of one datagram (cmsg(3)); what is unknown or cut short is skipped."""
    stamp_ns = ttl = error = None
    place, end = 0, len(control)
    while end - place >= _HEADER_SIZE:
        length, level, kind = CONTROL_HEADER.unpack_from(control, place)
        if not _HEADER_SIZE <= length <= end - place:
            break  # cut short
        start, size = place + _HEADER_SIZE, length - _HEADER_SIZE
        if level == _SOL_SOCKET and kind in {SO_TIMESTAMPING, SO_TIMESTAMPNS} and size >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(control, start)
            # Zero means that only other kinds of stamps were made.
            stamp_ns = seconds * _NS + nanoseconds or None
        elif (level, kind) in _TTL_KINDS and size >= _INT.size:
            (ttl,) = _INT.unpack_from(control, start)
        elif (level, kind) in _ERROR_KINDS and size >= EXTENDED_ERROR.size:
            _, origin, type_, code, _, info, number = EXTENDED_ERROR.unpack_from(control, start)
            offender = unpack_name(control[start + EXTENDED_ERROR.size : place + length])
            error = ExtendedError(origin, type_, code, info, number, offender[0] if offender else None)
        place += -(-length // CONTROL_ALIGNMENT) * CONTROL_ALIGNMENT
    return Control(stamp_ns, ttl, error)
