"""Put a probe socket of your own between traceprobe and the network: this one keeps a ledger of each packet.

``python examples/custom_socket.py [TARGET]``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from network import choose

import traceprobe

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe import (
        AddressFamily,
        AsyncProbeSocket,
        Clock,
        Probe,
        ProbeId,
        Reply,
        SentProbe,
        SocketCapabilities,
        SocketFactory,
        TracerouteConfig,
    )


@attrs.define
class Ledger:
    """What went out and what came back, over all sockets of a factory."""

    sent: int = 0
    refused: int = 0
    answered: int = 0
    given_up: int = 0


@attrs.define
class CountingSocket:
    """An ``AsyncProbeSocket`` that leaves the work to another one and counts."""

    inner: AsyncProbeSocket
    ledger: Ledger

    @property
    def capabilities(self) -> SocketCapabilities:
        return self.inner.capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        return self.inner.discarded

    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        sent = await self.inner.send_probes(probes)
        refused = sum(probe.error is not None for probe in sent)
        self.ledger.refused += refused
        self.ledger.sent += len(sent) - refused
        return sent

    async def receive(self) -> Sequence[Reply]:
        return self._count(await self.inner.receive())

    def receive_nowait(self) -> Sequence[Reply]:
        return self._count(self.inner.receive_nowait())

    def release(self, probes: Sequence[ProbeId]) -> None:
        self.ledger.given_up += len(probes)
        self.inner.release(probes)

    async def aclose(self) -> None:
        await self.inner.aclose()

    def _count(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        self.ledger.answered += len(replies)
        return replies


@attrs.frozen
class CountingFactory:
    """A ``SocketFactory`` that hands out counting sockets; clock and names are those of the inner one."""

    inner: SocketFactory
    ledger: Ledger = attrs.field(factory=Ledger)

    @property
    def clock(self) -> Clock:
        return self.inner.clock

    async def lookup(self, host: str, family: AddressFamily | None) -> Sequence[IPv4Address | IPv6Address]:
        return await self.inner.lookup(host, family)

    def socket_key(self, config: TracerouteConfig, family: AddressFamily) -> Hashable:
        return self.inner.socket_key(config, family)

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        return CountingSocket(await self.inner.open(config, family), self.ledger)


def main() -> None:
    """Trace over counting sockets, and print what they counted."""
    targets, network = choose()
    factory = CountingFactory(traceprobe.ProbeSocketFactory() if network is None else network)
    print(traceprobe.trace(targets[0], socket_factory=factory))
    ledger = factory.ledger
    print(f"{ledger.sent} probes sent, {ledger.refused} refused, {ledger.answered} answered")


if __name__ == "__main__":
    main()
