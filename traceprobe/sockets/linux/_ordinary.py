"""Takes in what comes to a raw ICMP socket: the innermost loop of a trace by echo or UDP probes.

Ordinary replies, which nearly all are, become what the socket hands out without a detour; whatever is
different in anything goes the long way. Both kinds keep their order. One loop for each IP version: IPv4
datagrams come with their header, ICMPv6 messages without one, and what the header said beside them.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.model._reply import build_reply
from traceprobe.sockets._addresses import ipv4_address, ipv6_address
from traceprobe.sockets.linux._control import read_arrival_with_ttl, read_arrivals, read_control

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceprobe.ffi.linux_arena import ReceiveArena, ReceivedMessage
    from traceprobe.model import Reply
    from traceprobe.sockets._timestamps import ClockReading, RoundTrips
    from traceprobe.sockets.codec import IcmpCodec, UdpCodec
    from traceprobe.sockets.linux._control import Control

_IPV6_NAME: Final = Struct("=8x16sI")
"""Address and scope where they stand in a socket address."""


def take_in_ipv4(
    codec: IcmpCodec | UdpCodec,
    round_trips: RoundTrips,
    ready: list[Reply],
    arena: ReceiveArena,
    count: int,
    now: ClockReading,
    handle: Callable[[ReceivedMessage, Control, ClockReading], None],
) -> None:
    """Take in IPv4 datagrams.

    Args:
        codec: Knows the probes.
        round_trips: Knows when they were sent.
        ready: Where replies are put.
        arena: Where the datagrams stand.
        count: How many they are.
        now: Both clocks, read when they were fetched.
        handle: Called with those that are not ordinary; puts replies there as well.
    """
    control_lengths, lengths = zip(*arena.lengths(count), strict=True)
    found = codec.recognise_each(arena.data, arena.data_size, lengths)
    arrivals = read_arrivals(arena.controls, arena.control_size, control_lengths)
    probes = [None if one is None else one[0] for one in found]
    for slot, trip in enumerate(round_trips.measured_each(probes, arrivals, now)):
        one = found[slot]
        if one is None or trip is None:
            message = arena.message(slot)
            handle(message, read_control(message.control), now)
            continue
        probe, sender, reply_ttl, (kind, icmp_type, icmp_code, quoted_ttl) = one
        rtt_ns, received_ns, source, sent_at_ns = trip
        ready.append(
            build_reply(
                probe,
                kind,
                ipv4_address(sender),
                rtt_ns,
                received_ns,
                source,
                sent_at_ns,
                icmp_type,
                icmp_code,
                reply_ttl,
                quoted_ttl,
            )
        )


def take_in_ipv6(
    codec: IcmpCodec | UdpCodec,
    round_trips: RoundTrips,
    ready: list[Reply],
    arena: ReceiveArena,
    count: int,
    now: ClockReading,
    handle: Callable[[ReceivedMessage, Control, ClockReading], None],
) -> None:
    """Take in ICMPv6 messages; see :func:`take_in_ipv4`."""
    recognise, measured, unpack_name = codec.recognise_ipv6, round_trips.measured, _IPV6_NAME.unpack_from
    data, data_size, controls, control_size = arena.data, arena.data_size, arena.controls, arena.control_size
    names, name_size = arena.names, arena.name_size
    for slot, (control_length, length) in enumerate(arena.lengths(count)):
        arrival = read_arrival_with_ttl(controls, slot * control_size, control_length)
        found = None if arrival is None else recognise(data, slot * data_size, length)
        if arrival is not None and found is not None:
            probe, (kind, icmp_type, icmp_code, quoted_ttl) = found
            stamp_ns, reply_ttl = arrival
            trip = measured(probe, stamp_ns, now)
            if trip is not None:
                rtt_ns, received_ns, source, sent_at_ns = trip
                ready.append(
                    build_reply(
                        probe,
                        kind,
                        ipv6_address(*unpack_name(names, slot * name_size)),
                        rtt_ns,
                        received_ns,
                        source,
                        sent_at_ns,
                        icmp_type,
                        icmp_code,
                        reply_ttl,
                        quoted_ttl,
                    )
                )
                continue
        message = arena.message(slot)
        handle(message, read_control(message.control), now)
