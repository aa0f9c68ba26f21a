"""Receives until there is no more, and decodes ICMP out of what comes, whichever system it is.

IPv4 datagrams of raw sockets come with their IP header, and its length field can be in either byte order,
with or without the header, even that of the header quoted in an ICMP error: only the size of the datagram
and the length of the header count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily
from traceprobe.ffi.bsd_arena import ReceiveArena
from traceprobe.packets import IcmpError, parse_icmp, parse_ip
from traceprobe.sockets._timestamps import read_clocks
from traceprobe.sockets.bsd._control import CONTROL_SIZE, ControlReader
from traceprobe.sockets.bsd._names import NAME_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.ffi.bsd import BsdAbi
    from traceprobe.ffi.bsd_arena import MessageCalls, ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.packets import EchoMessage, IcmpOther
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.bsd._control import Control

_SLOTS: Final = 64
_SLOT_SIZE: Final = 2048
_HEADROOM: Final = 128
"""Bytes that a reply may be longer than the probe that it brings back."""
_LARGEST_ARENA: Final = 4 << 20
_MOST_ROUNDS: Final = 64
"""Calls for one socket before others get their turn; what is left makes the socket ready again."""
_MOST_ERRORS: Final = 16
"""Errors in a row that a socket may tell: each pending one is told once and gone."""


def told_errors(abi: BsdAbi) -> frozenset[int]:
    """Errors that an ICMP message turns into on its way to a socket (``inetctlerrmap`` and its IPv6 twin).

    They say that something was heard about a probe, but neither of which one nor from whom: the ICMP socket
    hears the message itself. Each can also be the honest answer of the routing table when sending.
    """
    return frozenset({
        abi.eacces,
        abi.econnrefused,
        abi.econnreset,
        abi.ehostdown,
        abi.ehostunreach,
        abi.emsgsize,
        abi.enetdown,
        abi.enetunreach,
        abi.enoprotoopt,
    })


class DecodedIcmp(NamedTuple):
    """An ICMP message out of a datagram."""

    message: EchoMessage | IcmpError | IcmpOther
    ttl: int | None
    """TTL by the IP header, where there is one."""


def decode_icmp(family: AddressFamily, data: memoryview) -> DecodedIcmp:
    """Decode what a raw or datagram ICMP socket received.

    The kernel has checked the ICMP checksum, and some have changed the bytes under it since.

    Raises:
        PacketError: It is no whole ICMP message.
    """
    if family is AddressFamily.IPV6:
        return DecodedIcmp(parse_icmp(family, data), None)
    datagram = parse_ip(data, ignore_length=True)
    message = parse_icmp(family, datagram.payload)
    if isinstance(message, IcmpError):
        # In the wrong byte order "don't fragment" reads as an offset, and the probe as a later fragment.
        message = message._replace(quoted=message.quoted._replace(flags=0, fragment_offset=0))
    return DecodedIcmp(message, datagram.ttl)


class BsdReceiver:
    """Reads sockets into one arena.

    Args:
        abi: The system.
        calls: The system calls.
        clock: Read after each batch.
    """

    def __init__(self, abi: BsdAbi, calls: MessageCalls, clock: Clock) -> None:
        self._abi = abi
        self._calls = calls
        self._clock = clock
        self._told = told_errors(abi)
        self._reader = ControlReader(abi)
        self._arena = self._arena_for(_SLOTS, _SLOT_SIZE)

    def make_room(self, size: int) -> None:
        """Expect replies to probes of a size."""
        if size + _HEADROOM > self._arena.data_size:
            room = 1 << (size + _HEADROOM - 1).bit_length()
            self._arena = self._arena_for(max(1, min(_SLOTS, _LARGEST_ARENA // room)), room)

    def drain(
        self, descriptor: int, handle: Callable[[ReceivedMessage, Control, ClockReading], None]
    ) -> None:
        """Read a socket until there is no more.

        Raises:
            OSError: The socket is of no use any more.
        """
        arena, reader = self._arena, self._reader
        failures = 0
        for _ in range(_MOST_ROUNDS):
            count = arena.receive(self._calls, descriptor)
            if count < 0:
                if arena.drained:
                    return
                failures += 1
                if failures <= _MOST_ERRORS:
                    continue
                if -count in self._told:
                    return
                raise OSError(-count, "receiving from a probe socket")
            failures = 0
            now = read_clocks(self._clock)
            for message in arena.received():
                handle(message, reader.read(message.control), now)
            if arena.drained:
                return

    def _arena_for(self, slots: int, room: int) -> ReceiveArena:
        return ReceiveArena(self._abi, slots, room, NAME_SIZES[AddressFamily.IPV6], CONTROL_SIZE)
