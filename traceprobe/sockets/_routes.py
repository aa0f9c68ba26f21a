"""How to reach each destination: its socket address and the source address that the kernel would use.

The routing table is asked once for each trace, not for each probe.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.errors import ConfigError, SendError
from traceprobe.model import PROBE_INDEX_BITS, trace_of
from traceprobe.sockets._modes import source_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.model import Probe

_ROUTES_KEPT: Final = 1024


class Route(NamedTuple):
    """The way to one destination."""

    destination: IPv4Address | IPv6Address
    name: bytes
    """Socket address of the destination, without a port."""
    source: IPv4Address | IPv6Address | None
    """None if it is not known; sending will then say why."""
    error: SendError | None
    """Why there is no source address, or no socket address."""


class Routes:
    """Looks routes up and remembers them for a while.

    Args:
        family: Address family of all destinations.
        config: Names the source address, if one was asked for.
        find_source: Asks the kernel for the source address towards a destination; raises OSError.
        pack_name: Makes the socket address of a destination; raises OSError.
    """

    def __init__(
        self,
        family: AddressFamily,
        config: TracerouteConfig,
        find_source: Callable[[IPv4Address | IPv6Address], IPv4Address | IPv6Address],
        pack_name: Callable[[IPv4Address | IPv6Address], bytes],
    ) -> None:
        self._find_source = find_source
        self._pack_name = pack_name
        self._source = source_address(family, config)
        self._routes: dict[int, Route] = {}

    def runs(self, probes: Sequence[Probe]) -> Iterator[tuple[Route, Sequence[Probe]]]:
        """Split probes, in their order, into runs that take one route; never raises for a route."""
        start, total = 0, len(probes)
        while start < total:
            first = probes[start]
            trace, destination = trace_of(first.id), first.destination
            stop = start + 1
            while stop < total:
                probe = probes[stop]
                other = probe.destination
                # The probes of a trace share one address object; comparing two costs ten times as much.
                if probe.id >> PROBE_INDEX_BITS != trace or (
                    other is not destination and other != destination
                ):
                    break
                stop += 1
            yield self.find(trace, destination), probes[start:stop]
            start = stop

    def find(self, trace: int, destination: IPv4Address | IPv6Address) -> Route:
        """The way of the probes of a trace; never raises."""
        route = self._routes.get(trace)
        if route is not None and route.destination == destination:
            return route
        route = self._look_up(destination)
        if route.error is not None:
            return route  # the next batch may find one
        if len(self._routes) >= _ROUTES_KEPT:
            del self._routes[next(iter(self._routes))]
        self._routes[trace] = route
        return route

    def _look_up(self, destination: IPv4Address | IPv6Address) -> Route:
        try:
            name = self._pack_name(destination)
        except OSError as error:
            refusal = SendError(error.errno or errno.ENXIO, f"no interface for {destination}")
            return Route(destination, b"", None, refusal)
        if self._source is not None:
            return Route(destination, name, self._source, None)
        try:
            source = self._find_source(destination)
        except ConfigError as error:  # what was checked when the socket was opened is gone by now
            return Route(destination, name, None, SendError(errno.ENODEV, str(error)))
        except OSError as error:
            if error.errno:
                return Route(destination, name, None, SendError(error.errno, str(destination)))
            # Nobody has said why: a number that suggests a reason would send people looking elsewhere.
            return Route(destination, name, None, SendError(errno.EIO, f"{destination}: {error}"))
        return Route(destination, name, source, None)
