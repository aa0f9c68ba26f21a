"""Conveniences on top of a probe socket that any implementation can mix in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import anyio

from traceprobe.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceprobe.loops import Clock
    from traceprobe.model import Probe, ProbeId, Reply, SentProbe


class SendAndReceive(ABC):
    """Adds :meth:`send_probe_and_recv` to a probe socket."""

    @property
    @abstractmethod
    def clock(self) -> Clock:
        """The clock that replies are timed by."""

    @property
    @abstractmethod
    def receiving(self) -> bool:
        """Whether a task waits in ``receive``."""

    @abstractmethod
    async def send_probes(self, probes: Sequence[Probe]) -> Sequence[SentProbe]:
        """See :meth:`AsyncProbeSocket.send_probes`."""

    @abstractmethod
    async def receive(self) -> Sequence[Reply]:
        """See :meth:`AsyncProbeSocket.receive`."""

    @abstractmethod
    def receive_nowait(self) -> Sequence[Reply]:
        """See :meth:`AsyncProbeSocket.receive_nowait`."""

    @abstractmethod
    def release(self, probes: Sequence[ProbeId]) -> None:
        """See :meth:`AsyncProbeSocket.release`."""

    @abstractmethod
    def put_back(self, replies: Iterable[Reply]) -> None:
        """Hand replies out again, to whoever receives next."""

    async def send_probe_and_recv(self, probe: Probe, deadline_ns: int) -> Reply | None:
        """Send one probe and wait for its reply; then give the probe up.

        Replies to other probes that come meanwhile are handed out by the next ``receive``.

        Args:
            probe: The probe.
            deadline_ns: Until when to wait, on the clock of this socket.

        Returns:
            The reply; None if none had arrived by the deadline.

        Raises:
            BusyError: Another task receives from this socket.
            SendError: The kernel refused the probe.
        """
        if self.receiving:
            raise BusyError("another task is receiving from this socket")
        (report,) = await self.send_probes([probe])
        try:
            if report.error is not None:
                raise report.error
            return await self._reply_to(probe.id, deadline_ns)
        finally:
            self.release([probe.id])

    async def _reply_to(self, probe: ProbeId, deadline_ns: int) -> Reply | None:
        alarm = self.clock.alarm()
        others: list[Reply] = []
        found: Reply | None = None
        failure: Exception | None = None

        async def wait_for_reply() -> None:
            nonlocal found, failure
            try:
                while found is None:
                    found = _pick(probe, await self.receive(), others)
            except Exception as error:
                # Raised inside the group it would come out wrapped.
                failure = error
            alarm.wake()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(wait_for_reply)
                await alarm.wait(deadline_ns)
                group.cancel_scope.cancel()
            if failure is not None:
                raise failure
            if found is None:
                found = _pick(probe, self.receive_nowait(), others)
        finally:
            alarm.close()
            self.put_back(others)
        return found if found is not None and found.received_ns <= deadline_ns else None


def _pick(probe: ProbeId, replies: Sequence[Reply], others: list[Reply]) -> Reply | None:
    found = None
    for reply in replies:
        if reply.probe_id == probe:
            found = found or reply
        else:
            others.append(reply)
    return found
