"""The address under which the Internet sees this machine: asked of STUN servers, and remembered.

Only who asks for it gets here. Servers are asked one after the other, the next one once the one before has
failed or taken its time; the first answer counts. Traces share an answer until it has expired.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from traceprobe._enrichment_config import stun_server
from traceprobe._frozen import frozen
from traceprobe.enrich._memory import TtlCache
from traceprobe.enrich._stun import BindingRequest, load_codec, waits
from traceprobe.loops import connected_udp_socket

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from traceprobe.config import EnrichmentConfig, TimingConfig
    from traceprobe.enrich._prefixes import IPAddress

_MOST_REMEMBERED = 64
"""Sources of probes whose public address is remembered; a machine has a handful."""


class PublicAddressError(OSError):
    """No server told an address."""


@frozen
class _Failure:
    reason: str


class PublicAddressFinder:
    """Finds public addresses. Made by :meth:`open`.

    Args:
        config: Whom to ask, and how often.
        timing: How long to wait.
        now_ns: The monotonic clock that memory goes by.
    """

    def __init__(self, config: EnrichmentConfig, timing: TimingConfig, now_ns: Callable[[], int]) -> None:
        self._config = config
        self._timing = timing
        self._known: TtlCache[tuple[int, IPAddress | None], IPAddress | _Failure] = TtlCache(
            _MOST_REMEMBERED, now_ns
        )
        self._asking: dict[tuple[int, IPAddress | None], anyio.Lock] = {}

    @classmethod
    async def open(cls, config: EnrichmentConfig, timing: TimingConfig, now_ns: Callable[[], int]) -> Self:
        """Load what is needed, in a thread; nobody is asked yet.

        Raises:
            UnsupportedOption: The codec is not installed.
        """
        await anyio.to_thread.run_sync(load_codec)
        return cls(config, timing, now_ns)

    async def find(self, version: int, source: IPAddress | None) -> IPAddress:
        """The public address of one IP version.

        Args:
            version: 4 or 6.
            source: Address of this machine to ask from; None leaves it to the routing table.

        Raises:
            PublicAddressError: No server told it.
        """
        key = version, source
        async with self._asking.setdefault(key, anyio.Lock()):
            known = self._known.get(key)
            found = await self._ask(version, source) if known is None else known[0]
            if known is None:
                failed = isinstance(found, _Failure)
                ttl = self._timing.dns_failure_ttl if failed else self._timing.public_address_ttl
                self._known.put(key, found, ttl)
        if isinstance(found, _Failure):
            raise PublicAddressError(found.reason)
        return found

    async def _ask(self, version: int, source: IPAddress | None) -> IPAddress | _Failure:
        """Ask server after server until one has answered."""
        found: list[IPAddress] = []
        failures: list[str] = []
        async with anyio.create_task_group() as tasks:
            for server in self._config.stun_servers:
                ended = anyio.Event()
                tasks.start_soon(self._ask_one, server, version, source, found, failures, ended, tasks)
                with anyio.move_on_after(self._timing.stun_next_server):
                    await ended.wait()
        return found[0] if found else _Failure("; ".join(failures))

    async def _ask_one(
        self,
        server: str,
        version: int,
        source: IPAddress | None,
        found: list[IPAddress],
        failures: list[str],
        ended: anyio.Event,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        try:
            address = await self._exchange(server, version, source)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            failures.append(f"{server}: {str(error) or type(error).__name__}")
        else:
            found.append(address)
            tasks.cancel_scope.cancel()
        finally:
            ended.set()

    async def _exchange(self, server: str, version: int, source: IPAddress | None) -> IPAddress:
        host, port = stun_server(server)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        found = await anyio.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        async with await connected_udp_socket(found[0][4][0], port, source) as udp:
            request = BindingRequest(version)
            for wait in waits(self._config, self._timing):
                await udp.send(bytes(request))
                with anyio.move_on_after(wait):
                    while True:
                        address = request.mapped_address(await udp.receive())
                        if address is not None:
                            return address
        raise PublicAddressError("no answer")
