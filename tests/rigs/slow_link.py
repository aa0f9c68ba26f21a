"""A link that takes its time: a TUN device at either end, and a thread that holds every packet back.

What stands at its ends are kernels, so that a test sees what hosts really do with packets that are on their
way at the same time. The order of packets is kept.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import threading
import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.rigs.namespaces import Namespace

_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_REQUEST = struct.Struct("16sH22x")
_LARGEST = 65536


def _open_device(name: str) -> int:
    """Make a TUN device where the calling thread is."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, _REQUEST.pack(name.encode(), _IFF_TUN | _IFF_NO_PI))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class SlowLink:
    """Joins two namespaces; use it as a context manager.

    Args:
        ends: Each end's namespace, and the name of its interface there.
        delay: One way, seconds.
    """

    def __init__(self, ends: tuple[tuple[Namespace, str], tuple[Namespace, str]], delay: float) -> None:
        self._ends = ends
        self._delay = delay
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            devices = []
            for namespace, name in self._ends:
                devices.append(namespace.inside(_open_device, name))
                stack.callback(os.close, devices[-1])
            stop, stopper = os.pipe2(os.O_CLOEXEC)
            stack.callback(os.close, stop)
            carrier = threading.Thread(target=self._carry, args=(devices, stop))
            carrier.start()
            stack.callback(carrier.join)
            stack.callback(os.close, stopper)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _carry(self, devices: list[int], stop: int) -> None:
        other = {devices[0]: devices[1], devices[1]: devices[0]}
        held: deque[tuple[float, int, bytes]] = deque()
        while True:
            patience = max(0.0, held[0][0] - time.monotonic()) if held else None
            readable, _, _ = select.select([*devices, stop], [], [], patience)
            if stop in readable:
                return
            now = time.monotonic()
            for device in readable:
                try:
                    while True:
                        held.append((now + self._delay, other[device], os.read(device, _LARGEST)))
                except BlockingIOError:
                    pass
            while held and held[0][0] <= now:
                _, device, packet = held.popleft()
                try:
                    os.write(device, packet)
                except OSError:
                    continue  # the interface is down: the packet is lost
