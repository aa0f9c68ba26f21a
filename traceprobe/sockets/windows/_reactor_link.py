"""Between a socket on its event loop and the reactor's thread: bursts go one way, what happened the other.

The reactor's thread sends, receives and reads the clocks. What it has done and what has come crosses over
to the event loop in the order in which it happened, as functions to call; so that no two threads touch what
a socket knows. A burst is sent probe by probe, each by a call of its own that asks for the next: what
completes meanwhile comes between.

Knows nothing of probes and protocols.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from traceprobe.sockets.windows._crossing import Crossing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from traceprobe.sockets.windows._reactor import Reactor

    Transmit: TypeAlias = Callable[[int], Callable[[], None] | None]


class ReactorLink:
    """What one socket has of the reactor.

    Args:
        reactor: The reactor, leased; :meth:`close` releases it.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.crossing: Crossing[Callable[[], None]] = Crossing()
        """What there is to wait on."""
        self._reactor = reactor
        self._bursts: set[_Burst] = set()
        self._failure: Exception | None = None

    # --- on the event loop --------------------------------------------------------------------------------

    async def send(self, count: int, transmit: Transmit, on_sent: Callable[[], None] | None = None) -> None:
        """Have probes sent one after the other; :meth:`give_up` ends the wait for that.

        Args:
            count: How many there are.
            transmit: Sends the one at a place; called on the reactor's thread. What it returns is called on
                the event loop, unless the burst has been given up.
            on_sent: Called on the reactor's thread when all have been sent.

        Raises:
            OSError: The reactor has failed.
            ClosedError: It has ended, with the process.
        """
        self.crossing.attach()
        burst = _Burst(count, transmit, on_sent)
        self._bursts.add(burst)
        try:
            if not self._reactor.call(partial(self._step, burst)):
                raise self._reactor.failure
            await burst.done.wait()
            if not burst.given_up:
                self.drain()
        finally:
            burst.given_up = True
            self._bursts.discard(burst)

    def drain(self) -> None:
        """Call everything that has crossed over.

        Raises:
            OSError: The reactor has failed, or nothing can be received any more.
        """
        for happened in self.crossing.take():
            happened()
        if self._failure is not None:
            raise self._failure

    def give_up(self) -> None:
        """Send nothing more of what is on its way out."""
        for burst in self._bursts:
            burst.given_up = True
            burst.done.set()

    def close(self, shut_down: Callable[[], None]) -> None:
        """Have the reactor's thread close what is open, and let go of the reactor."""
        self._reactor.call(shut_down)
        self._reactor.release()

    # --- on the reactor's thread --------------------------------------------------------------------------

    def put(self, happened: Callable[[], None]) -> None:
        """Have the event loop call something when it drains next, which it is told to."""
        self.crossing.put(happened)

    def fail(self, error: Exception) -> None:
        """Tell whoever receives or sends next that nothing more will come."""
        self.put(partial(self._failed, error))
        for burst in tuple(self._bursts):
            self.crossing.post(burst.done.set)

    def _failed(self, error: Exception) -> None:
        self._failure = error

    def _step(self, burst: _Burst) -> None:
        """Send one probe of a burst."""
        if burst.given_up:
            return
        if burst.next < burst.count:
            report = burst.transmit(burst.next)
            burst.next += 1
            if report is not None:
                self.put(partial(burst.tell, report))
            self._reactor.call(partial(self._step, burst))
            return
        if burst.on_sent is not None:
            burst.on_sent()
        self.crossing.post(burst.done.set)


class _Burst:
    """Probes on their way out."""

    __slots__ = ("count", "done", "given_up", "next", "on_sent", "transmit")

    def __init__(self, count: int, transmit: Transmit, on_sent: Callable[[], None] | None) -> None:
        self.count = count
        self.transmit = transmit
        self.on_sent = on_sent
        self.next = 0
        self.done: anyio.Event = anyio.Event()
        self.given_up = False

    def tell(self, report: Callable[[], None]) -> None:
        """Tell who sent the burst what became of a probe, if they still want to know."""
        if not self.given_up:
            report()
