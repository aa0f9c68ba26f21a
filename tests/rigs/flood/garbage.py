"""Garbage ICMP of every kind, as a host gets it whose address somebody floods.

Every datagram is sound as far as IP goes, so that it gets as far as ICMP. What is random is the same for the
same seed.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict

from traceprobe.packets import (
    build_icmp_echo,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    build_tcp,
    build_udp_with_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Callable

IPAddress: TypeAlias = IPv4Address | IPv6Address

STRANGERS: Final = {4: int(IPv4Address("192.0.2.0")), 6: int(IPv6Address("2001:db8:bad::"))}
"""Where the senders are: the first address of a network of 256 or more."""
_ICMP: Final = {4: 1, 6: 58}
_EXPIRED: Final = {4: (11, 0), 6: (3, 0)}
_UNREACHABLE: Final = {4: (3, 3), 6: (1, 4)}
_TOO_BIG: Final = {4: (3, 4), 6: (2, 0)}
_MTU: Final = 1400
_PARAMETER: Final = {4: (12, 0), 6: (4, 0)}
_UDP, _TCP = 17, 6


def garbage(here: str, target: str, count: int, seed: int = 1) -> list[bytes]:
    """Datagrams that have nothing to do with a trace that is under way.

    Random bytes (with a right checksum and with a wrong one), errors about probes of other processes to the
    same target over ICMP, UDP and TCP, about packets to anybody, about packets with absurd header lengths and
    cut short, echo replies of strangers and of the target itself that nobody asked for.

    Args:
        here: The address that is flooded.
        target: What is being traced.
        count: How many.
        seed: Makes the random numbers.
    """
    mill = _Mill(ip_address(here), ip_address(target), random.Random(seed))
    kinds: list[Callable[[], bytes]] = [
        mill.random_bytes,
        mill.random_bytes_with_checksum,
        mill.error_about_an_echo_request,
        mill.error_about_a_udp_probe,
        mill.error_about_a_tcp_probe,
        mill.error_about_anything,
        mill.error_with_absurd_header,
        mill.error_cut_short,
        mill.echo_reply_of_a_stranger,
        mill.echo_reply_of_the_target,
    ]
    return [kinds[number % len(kinds)]() for number in range(count)]


def aimed(here: str, target: str, port: int, count: int, seed: int = 1) -> list[bytes]:
    """Errors about UDP datagrams from one port of ours to the target's usual ports, that we never sent.

    They get through to whoever holds that port; only the token tells that they are forged.

    Args:
        here: The address that is flooded.
        target: What is being traced.
        port: The source port.
        count: How many.
        seed: Makes the random numbers.
    """
    mill = _Mill(ip_address(here), ip_address(target), random.Random(seed))
    return [mill.error_about_a_udp_probe(port) for _ in range(count)]


class _Ends(TypedDict, total=False):
    source: IPAddress
    destination: IPAddress


class _Mill:
    def __init__(self, here: IPAddress, target: IPAddress, chance: random.Random) -> None:
        self._here = here
        self._target = target
        self._version = here.version
        self._chance = chance

    def random_bytes(self) -> bytes:
        return self._from_stranger(self._chance.randbytes(self._chance.randrange(4, 120)))

    def random_bytes_with_checksum(self) -> bytes:
        kind = self._chance.choice([_EXPIRED, _UNREACHABLE, _PARAMETER])[self._version]
        return self._error(kind, self._chance.randbytes(self._chance.randrange(0, 120)))

    def error_about_an_echo_request(self) -> bytes:
        return self._error(_EXPIRED[self._version], self._quote(_ICMP[self._version], self._echo_request()))

    def error_about_a_udp_probe(self, port: int | None = None) -> bytes:
        segment = build_udp_with_checksum(
            source_port=self._chance.randrange(1024, 65536) if port is None else port,
            destination_port=self._chance.randrange(33434, 33534) if port is None else 33434,
            payload=self._chance.randbytes(32),
            checksum=self._chance.randrange(1, 65536),
            source=self._here,
            destination=self._target,
        )
        kind = self._chance.choice([_EXPIRED, _UNREACHABLE])[self._version]
        return self._error(kind, self._quote(_UDP, segment))

    def error_about_a_tcp_probe(self) -> bytes:
        segment = build_tcp(
            source_port=self._chance.randrange(1024, 65536),
            destination_port=self._chance.choice([80, 443]),
            sequence=self._chance.randrange(2**32),
            flags=2,
            window=64240,
            source=self._here,
            destination=self._target,
        )
        return self._error(_EXPIRED[self._version], self._quote(_TCP, segment))

    def error_about_anything(self) -> bytes:
        kind = self._chance.choice([_EXPIRED, _UNREACHABLE, _TOO_BIG, _PARAMETER])[self._version]
        quote = self._quote(self._chance.randrange(256), self._chance.randbytes(40))
        return self._error(kind, quote, _MTU if kind == _TOO_BIG[self._version] else 0)

    def error_with_absurd_header(self) -> bytes:
        quote = bytearray(self._quote(_ICMP[self._version], self._echo_request()))
        if self._version == 4:
            quote[0] = 0x40 | self._chance.choice([0, 1, 4, 15])
        else:
            quote[6] = self._chance.choice([0, 43, 44, 60])  # extension headers that aren't there
        return self._error(_EXPIRED[self._version], bytes(quote))

    def error_cut_short(self) -> bytes:
        quote = self._quote(_ICMP[self._version], self._echo_request())
        return self._error(_EXPIRED[self._version], quote[: self._chance.randrange(len(quote))])

    def echo_reply_of_a_stranger(self) -> bytes:
        return self._echo_reply(self._stranger())

    def echo_reply_of_the_target(self) -> bytes:
        return self._echo_reply(self._target)

    def _echo_reply(self, sender: IPAddress) -> bytes:
        return self._datagram(
            sender,
            build_icmp_echo(
                self._version,
                identifier=self._chance.randrange(65536),
                sequence=self._chance.randrange(65536),
                payload=self._chance.randbytes(32),
                request=False,
                **self._ends(sender),
            ),
        )

    def _echo_request(self) -> bytes:
        return build_icmp_echo(
            self._version,
            identifier=self._chance.randrange(65536),
            sequence=self._chance.randrange(65536),
            payload=self._chance.randbytes(32),
            source=self._here if self._version == 6 else None,
            destination=self._target if self._version == 6 else None,
        )

    def _quote(self, protocol: int, transport: bytes) -> bytes:
        return _ip(self._here, self._target, protocol, transport, ttl=1)

    def _error(self, kind: tuple[int, int], quoted: bytes, rest: int = 0) -> bytes:
        sender = self._stranger()
        message = build_icmp_error(
            self._version, type=kind[0], code=kind[1], rest=rest, quoted=quoted, **self._ends(sender)
        )
        return self._datagram(sender, message)

    def _from_stranger(self, message: bytes) -> bytes:
        return self._datagram(self._stranger(), message)

    def _datagram(self, sender: IPAddress, message: bytes) -> bytes:
        return _ip(sender, self._here, _ICMP[self._version], message, ttl=60)

    def _stranger(self) -> IPAddress:
        number = STRANGERS[self._version] + self._chance.randrange(1, 255)
        return IPv4Address(number) if self._version == 4 else IPv6Address(number)

    def _ends(self, sender: IPAddress) -> _Ends:
        """What the checksum of ICMPv6 is also about."""
        return {"source": sender, "destination": self._here} if self._version == 6 else {}


def _ip(source: IPAddress, destination: IPAddress, protocol: int, payload: bytes, *, ttl: int) -> bytes:
    if source.version == 4:
        return build_ipv4(payload, source=source, destination=destination, protocol=protocol, ttl=ttl)
    return build_ipv6(payload, source=source, destination=destination, next_header=protocol, hop_limit=ttl)
