"""The receiver of Linux sockets while the kernel tells errors faster than they can be taken."""

from __future__ import annotations

import errno
from typing import Any, cast

import pytest

from traceprobe.loops import SystemClock
from traceprobe.sockets._linux_receive import LinuxReceiver


class FailingArena:
    """Stands in for the arena: every call fails."""

    slots = 128

    def __init__(self, code: int) -> None:
        self._code = code
        self.calls = 0

    def receive(self, descriptor: int, flags: int) -> int:
        self.calls += 1
        return -self._code


def receiver_of(arena: FailingArena) -> LinuxReceiver:
    receiver = LinuxReceiver(SystemClock())
    cast("Any", receiver)._arena = arena
    return receiver


def nothing_comes(*_: object) -> None:
    pytest.fail("nothing has come")


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EMSGSIZE])
def test_errors_that_keep_coming_are_left_for_the_next_wake_up(code: int) -> None:
    arena = FailingArena(code)
    receiver_of(arena).drain(0, nothing_comes)
    assert 1 < arena.calls < 64


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOTSOCK, errno.ENOMEM])
def test_a_failure_of_the_socket_is_raised(code: int) -> None:
    with pytest.raises(OSError, match="receiving from a probe socket") as caught:
        receiver_of(FailingArena(code)).drain(0, nothing_comes)
    assert caught.value.errno == code


def test_an_empty_queue_costs_one_call() -> None:
    arena = FailingArena(errno.EAGAIN)
    receiver_of(arena).drain(0, nothing_comes)
    assert arena.calls == 1
