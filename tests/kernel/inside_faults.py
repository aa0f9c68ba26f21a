"""Traces in which the machine fails half-way, called through ``Namespace.call``; with plain values."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import tempfile
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypedDict

import anyio.lowlevel

import traceprobe
from tests.kernel.holdings import holdings
from traceprobe import TraceprobeError
from traceprobe.sockets import ProbeSocketFactory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.model import Probe, SentProbe
    from traceprobe.sockets import AsyncProbeSocket


_KNOCK_INTERVAL = 0.02
_MOST_KNOCKS = 500
_CLOSED_PORT = 9


class FaultyFactory(ProbeSocketFactory):
    """Lets something happen to the machine just before a certain probe is sent.

    Args:
        happenings: Before which probe, counted from 0, and what.
        send_buffer: ``SO_SNDBUF`` of the sockets that send, None for what they have.
    """

    def __init__(self, happenings: Sequence[tuple[int, Callable[[], None]]], send_buffer: int | None) -> None:
        super().__init__()
        self._happenings = list(happenings)
        self._send_buffer = send_buffer
        self._sent = 0

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        opened: Any = await super().open(config, family)
        if self._send_buffer is not None:
            outgoing = opened._outgoing if hasattr(opened, "_outgoing") else opened._opened
            outgoing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        send = opened.send_probes

        async def send_probes(probes: Sequence[Probe]) -> Sequence[SentProbe]:
            reports: list[SentProbe] = []
            rest = list(probes)
            while rest:
                while self._happenings and self._happenings[0][0] <= self._sent:
                    self._happenings.pop(0)[1]()
                until = self._happenings[0][0] - self._sent if self._happenings else len(rest)
                reports += await send(rest[:until])
                self._sent += len(rest[:until])
                rest = rest[until:]
            return reports

        opened.send_probes = send_probes
        result: AsyncProbeSocket = opened
        return result


def _shell(command: str) -> None:
    """Carry a command out; lines like ``await ADDRESS`` at its end wait until a neighbour is heard again."""
    lines = command.splitlines()
    awaited = [line.removeprefix("await ") for line in lines if line.startswith("await ")]
    script = "\n".join(line for line in lines if not line.startswith("await "))
    finished = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{command}\n{finished.stderr}"
    for address in awaited:
        _await_neighbour(address)


def _await_neighbour(address: str) -> None:
    """Knock at a closed port until it says so: behind a link that comes up, both ends take their time."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as knocker:
        knocker.settimeout(_KNOCK_INTERVAL)
        knocker.connect((address, _CLOSED_PORT))
        for _ in range(_MOST_KNOCKS):
            try:
                knocker.send(b"")
                knocker.recv(1)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                return
    raise AssertionError(f"{address} stays silent")


class Scene(TypedDict):
    """One trace, and what happens to the machine in it."""

    faults: list[tuple[int, str]]
    """Before which probe, counted from 0, and which shell command does it."""
    afterwards: str
    """The command that makes everything whole again."""
    options: dict[str, Any]
    """Of this trace."""
    send_buffer: int | None
    """As for :class:`FaultyFactory`."""


async def trace_with_faults(target: str, options: dict[str, Any], scenes: list[Scene]) -> dict[str, Any]:
    """Trace once for each scene, in one process.

    Returns:
        ``told``: of each scene the ``document`` or the ``error``; and what the process held ``before`` and
        ``after`` all of them.
    """
    return await _all_of([partial(_scene, target, options, scene) for scene in scenes])


async def _scene(target: str, options: dict[str, Any], scene: Scene) -> traceprobe.TraceResult:
    happenings = [(place, partial(_shell, command)) for place, command in scene["faults"]]
    factory = FaultyFactory(happenings, scene["send_buffer"])
    try:
        return await traceprobe.trace_async(target, socket_factory=factory, **{**options, **scene["options"]})
    finally:
        if scene["afterwards"]:
            _shell(scene["afterwards"])


async def trace_without_descriptors(target: str, options: dict[str, Any], at: int) -> dict[str, Any]:
    """Trace over connections, and let there be no descriptor left from a certain probe on; as above."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    none_left = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (3, hard))

    async def once() -> traceprobe.TraceResult:
        try:
            factory = FaultyFactory([(at, none_left)], None)
            return await traceprobe.trace_async(target, socket_factory=factory, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    return await _all_of([once])


async def _all_of(traces: list[Callable[[], Awaitable[traceprobe.TraceResult]]]) -> dict[str, Any]:
    """Make traces, the first two once more in front of all, since they fill caches; see above."""
    with tempfile.TemporaryFile("w+") as notes:  # outside of the memory that is watched
        holdings()  # which is from here on
        for one in traces[:2]:
            await _note(one, notes)
        notes.seek(0)
        notes.truncate()
        await anyio.lowlevel.checkpoint()  # what a task was cancelled with lives until its loop goes round
        before = holdings()
        for one in traces:
            await _note(one, notes)
        await anyio.lowlevel.checkpoint()
        after = holdings()
        notes.seek(0)
        return {"told": [json.loads(line) for line in notes], "before": before, "after": after}


async def _note(one: Callable[[], Awaitable[traceprobe.TraceResult]], notes: IO[str]) -> None:
    try:
        told: dict[str, Any] = {"document": (await one()).to_dict()}
    except TraceprobeError as error:
        told = {"error": [type(error).__name__, str(error), getattr(error, "errno", None)]}
    notes.write(json.dumps(told) + "\n")
