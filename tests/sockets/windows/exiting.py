"""A process that ends while requests are pending: ``python -m tests.sockets.windows.exiting``."""

from __future__ import annotations

import atexit
import sys
import threading

import anyio

from tests.rigs.under_wine import mend_trio, under_wine
from tests.sockets.windows.fake import FakeWindows
from tests.sockets.windows.test_windows_icmp import make_probes, opened
from tests.sockets.windows.winsock import FakeWinsock
from traceprobe.sockets.windows._reactor import ReactorHolder


def main() -> None:
    system = FakeWindows()
    FakeWinsock(system)
    holder = ReactorHolder(system.libraries)

    def look() -> None:
        print(system.violations, holder.counters[:2], sorted(system.open_handles), len(system.requests))
        sys.stdout.flush()

    atexit.register(look)  # functions of atexit run last in, first out: this one after the reactor's

    async def leave() -> None:
        socket = opened(holder)
        await socket.send_probes(make_probes(20))
        # Neither closed nor released: an interpreter may end at any moment.

    anyio.run(leave, backend=sys.argv[1])
    assert holder.counters.pending == 20

    def time_out() -> None:
        system.wait_until(lambda: bool(system.cancelled))  # the process is on its way out
        system.time_out()

    threading.Thread(target=time_out, daemon=True).start()


if __name__ == "__main__":
    if under_wine():
        mend_trio()
    main()
