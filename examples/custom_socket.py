"""Put a probe socket of your own between traceprobe and the network: this one keeps a ledger of each packet.

``python examples/custom_socket.py [TARGET]``
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs
from network import choose

import traceprobe

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address


@attrs.frozen
class CountingSocket:
    """An ``AsyncProbeSocket``: leaves the work to another, and counts what goes out and comes back."""

    inner: traceprobe.AsyncProbeSocket
    ledger: Counter[str]

    @property
    def capabilities(self) -> traceprobe.SocketCapabilities:
        return self.inner.capabilities

    @property
    def discarded(self) -> Mapping[str, int]:
        return self.inner.discarded

    async def send_probes(self, probes: Sequence[traceprobe.Probe]) -> Sequence[traceprobe.SentProbe]:
        sent = await self.inner.send_probes(probes)
        self.ledger.update("sent" if probe.error is None else "refused" for probe in sent)
        return sent

    async def receive(self) -> Sequence[traceprobe.Reply]:
        return self._counted(await self.inner.receive())

    def receive_nowait(self) -> Sequence[traceprobe.Reply]:
        return self._counted(self.inner.receive_nowait())

    def release(self, probes: Sequence[traceprobe.ProbeId]) -> None:
        self.inner.release(probes)

    async def aclose(self) -> None:
        await self.inner.aclose()

    def _counted(self, replies: Sequence[traceprobe.Reply]) -> Sequence[traceprobe.Reply]:
        self.ledger.update(reply.kind.value for reply in replies)
        return replies


@attrs.frozen
class CountingFactory:
    """A ``SocketFactory``: hands out counting sockets; clock and names are those of the factory within."""

    inner: traceprobe.SocketFactory
    ledger: Counter[str] = attrs.field(factory=Counter)

    @property
    def clock(self) -> traceprobe.Clock:
        return self.inner.clock

    async def lookup(
        self, host: str, family: traceprobe.AddressFamily | None
    ) -> Sequence[IPv4Address | IPv6Address]:
        return await self.inner.lookup(host, family)

    def socket_key(self, config: traceprobe.TracerouteConfig, family: traceprobe.AddressFamily) -> Hashable:
        return self.inner.socket_key(config, family)

    async def open(
        self, config: traceprobe.TracerouteConfig, family: traceprobe.AddressFamily
    ) -> traceprobe.AsyncProbeSocket:
        return CountingSocket(await self.inner.open(config, family), self.ledger)


targets, network = choose()
factory = CountingFactory(traceprobe.ProbeSocketFactory() if network is None else network)
print(traceprobe.trace(targets[0], socket_factory=factory))
for what, count in factory.ledger.items():
    print(f"{count:>4}  {what}")
