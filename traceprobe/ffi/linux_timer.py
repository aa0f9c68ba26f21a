"""A timer that is a descriptor: readable from a moment on, exact to what the kernel's clocks are.

``epoll_wait(2)`` counts its time-outs in milliseconds, and with it every event loop of Linux. A descriptor
wakes it in time. Knows nothing of event loops.
"""

from __future__ import annotations

import io
import os
from typing import Any, Final

from traceprobe.ffi._generated_linux import ffi

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
"""``TFD_NONBLOCK | TFD_CLOEXEC``, which are these by definition."""
_NS: Final = 1_000_000_000
_libc: Any = ffi.dlopen(None)


class LinuxTimer:
    """One timer of ``CLOCK_MONOTONIC`` (timerfd_create(2)).

    Raises:
        OSError: There is none to be had: too many open files, or a kernel without them.
    """

    __slots__ = ("_file", "_setting", "_value")

    def __init__(self) -> None:
        descriptor = _libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if descriptor < 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        self._file = io.FileIO(descriptor)  # who forgets to close it is told
        self._setting: Any = ffi.new("struct itimerspec *")
        self._value: Any = self._setting.it_value

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def set(self, deadline_ns: int | None) -> None:
        """Be readable from a moment on, and not before; what it was set to is forgotten.

        Args:
            deadline_ns: ``CLOCK_MONOTONIC``, nanoseconds, more than 0; None for never.
        """
        value = self._value
        value.tv_sec, value.tv_nsec = (0, 0) if deadline_ns is None else divmod(deadline_ns, _NS)
        # Setting it takes back that it has expired (timerfd_create(2)), so that it need not be read.
        if _libc.timerfd_settime(self.fileno(), _TFD_TIMER_ABSTIME, self._setting, ffi.NULL) < 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))

    def close(self) -> None:
        """Give it back."""
        self._file.close()
