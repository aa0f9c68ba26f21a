"""Fixtures for tests on the real kernel."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.chain import RouterChain

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # nothing in here can even be imported elsewhere

SO_TIMESTAMPNS = 35  # socket(7), <asm-generic/socket.h>


@pytest.fixture(scope="session")
def kernel_stamps() -> Iterator[None]:
    """Keep the kernel stamping what it receives.

    Linux switches stamping on when the first socket of the whole machine asks for it, and does so in a
    work queue: for some milliseconds on a busy machine, packets arrive without a stamp. Who insists on
    stamps from the first packet on must not be that first socket.
    """
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.bind(("127.0.0.1", 0))
        stamp = taken = 0
        while stamp >= taken:  # a packet without a stamp is given that of its reading
            sender.sendto(b"", receiver.getsockname())
            while not select.select([receiver], [], [], 0)[0]:
                pass
            taken = time.time_ns()
            _, ancillary, _, _ = receiver.recvmsg(1, socket.CMSG_SPACE(16))
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            stamp = seconds * 1_000_000_000 + nanoseconds
        yield


@pytest.fixture(scope="module")
def open_chain() -> Iterator[RouterChain]:
    """A chain whose source lets everybody open ping sockets."""
    from tests.rigs.chain import RouterChain

    with RouterChain(10) as built:
        built.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield built
