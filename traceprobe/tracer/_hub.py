"""One shared probe socket: its receiver task, the traces that use it, and their turns to send.

The receiver waits on the socket and on nothing else. Each reply goes straight into the engine of its
trace, found by the trace's number in the probe's identity; the trace's own task is woken only if the
reply changes what it waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from traceprobe.errors import ClosedError
from traceprobe.model import PROBE_INDEX_BITS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    from traceprobe.loops import Clock
    from traceprobe.model import Reply
    from traceprobe.sockets.protocol import AsyncProbeSocket
    from traceprobe.tracer._pacing import Window


class ReplySink(Protocol):
    """A trace, as the receiver sees it."""

    @property
    def trace_id(self) -> int:
        """The number in the identities of its probes."""
        ...

    def replies_came(self, replies: Sequence[Reply], now: int) -> None:
        """Take replies in; must not block."""
        ...

    def socket_failed(self, error: Exception) -> None:
        """The socket can't be used any more."""
        ...


class SocketHub:
    """A probe socket with everything that its traces share."""

    def __init__(self, key: Hashable, socket: AsyncProbeSocket, window: Window, clock: Clock) -> None:
        self.key = key
        self.socket = socket
        self.window = window
        self.clock = clock
        self.unclaimed = 0
        """Replies to traces that are over."""
        self.leases = 0
        """Traces that use the socket or are about to; with none it is idle."""
        self._sinks: dict[int, ReplySink] = {}
        self._failure: Exception | None = None

    @property
    def failed(self) -> bool:
        """Whether the socket can't be used any more."""
        return self._failure is not None

    def attach(self, sink: ReplySink) -> None:
        """Route the replies to a trace's probes to it from now on."""
        if self._failure is not None:
            raise self._failure
        self._sinks[sink.trace_id] = sink

    def detach(self, sink: ReplySink) -> None:
        """Forget a trace."""
        self._sinks.pop(sink.trace_id, None)

    async def receive_forever(self) -> None:
        """The receiver task: ends when the socket is closed or fails, and tells the traces which."""
        socket = self.socket
        try:
            # Told by the one method of `DirectReceiver`: to check for a protocol costs as much as to send.
            receive_into: Callable[[Callable[[Sequence[Reply]], None]], Awaitable[None]] | None
            receive_into = getattr(socket, "receive_into", None)
            if receive_into is not None:
                await receive_into(self._deliver)
            while True:
                self._deliver(await socket.receive())
        except ClosedError as error:
            self._fail(error)
        except Exception as error:
            self._fail(error)
            await self.socket.aclose()

    def drain(self) -> None:
        """Deliver what has already come; called before deadlines are judged."""
        try:
            self._deliver(self.socket.receive_nowait())
        except ClosedError as error:
            self._fail(error)

    def look(self) -> None:
        """Deliver what the nearest routers have answered already, where a socket can tell that sooner."""
        look: Callable[[], Sequence[Reply]] | None = getattr(self.socket, "receive_nearest", None)
        if look is None:
            self.drain()
            return
        try:
            self._deliver(look())
        except ClosedError as error:
            self._fail(error)

    def discarded(self) -> dict[str, int]:
        """Packets refused since the socket was opened, by reason."""
        return dict(self.socket.discarded)

    def _deliver(self, replies: Sequence[Reply]) -> None:
        if not replies:
            return
        now = self.clock.monotonic_ns()
        trace_id = replies[0].probe_id >> PROBE_INDEX_BITS
        for reply in replies:
            if reply.probe_id >> PROBE_INDEX_BITS != trace_id:
                break
        else:  # as mostly, all of them are one trace's
            sink = self._sinks.get(trace_id)
            if sink is None:
                self.unclaimed += len(replies)
            else:
                sink.replies_came(replies, now)
            return
        by_trace: dict[int, list[Reply]] = {}
        for reply in replies:
            trace_id = reply.probe_id >> PROBE_INDEX_BITS
            share = by_trace.get(trace_id)
            if share is None:
                by_trace[trace_id] = [reply]
            else:
                share.append(reply)
        for trace_id, share in by_trace.items():
            sink = self._sinks.get(trace_id)
            if sink is None:
                self.unclaimed += len(share)
            else:
                sink.replies_came(share, now)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        sinks: Iterable[ReplySink] = list(self._sinks.values())
        for sink in sinks:
            sink.socket_failed(error)
