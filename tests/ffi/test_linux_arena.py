"""Batches go out and come in over loopback as they were put together."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("the C library of Linux", allow_module_level=True)

from traceprobe.ffi import linux
from traceprobe.ffi.linux_arena import LARGEST_BATCH, ReceiveArena, TransmitArena

if TYPE_CHECKING:
    from collections.abc import Iterator

TTL = (socket.IPPROTO_IP, linux.IP_TTL)
HOP_LIMIT = (socket.IPPROTO_IPV6, linux.IPV6_HOPLIMIT)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket, bytes]]:
    """A sender, a receiver that is told the TTL, and the receiver's packed address."""
    family = request.param
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sender,
        socket.socket(family, socket.SOCK_DGRAM) as taker,
    ):
        taker.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        port = taker.getsockname()[1].to_bytes(2, "big")
        if family == socket.AF_INET:
            taker.setsockopt(socket.IPPROTO_IP, linux.IP_RECVTTL, 1)
            name = linux.SOCKADDR_IN.pack(family, port, socket.inet_aton("127.0.0.1"))
        else:
            taker.setsockopt(socket.IPPROTO_IPV6, linux.IPV6_RECVHOPLIMIT, 1)
            name = linux.SOCKADDR_IN6.pack(family, port, 0, socket.inet_pton(family, "::1"), 0)
        yield sender, taker, name


def ttl_control(taker: socket.socket) -> tuple[int, int]:
    return TTL if taker.family == socket.AF_INET else HOP_LIMIT


def told_ttl(control: memoryview) -> int:
    header = linux.CONTROL_HEADER.size
    return int.from_bytes(control[header : header + 4], sys.byteorder)


def test_each_datagram_has_its_own_bytes_and_ttl(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, taker, name = pair
    data = [bytes([i]) * (i + 1) for i in range(20)]
    ttls = [200 - i for i in range(20)]
    outgoing = TransmitArena(32, 64, 28, [ttl_control(taker)])
    outgoing.fill(data, [name] * 20, ttls)
    assert outgoing.send(sender.fileno(), 0, 20) == 20
    incoming = ReceiveArena(32, 64, 28, 64)
    assert incoming.receive(taker.fileno()) == 20
    messages = list(incoming.received())
    assert [bytes(message.data) for message in messages] == data
    assert [told_ttl(message.control) for message in messages] == ttls
    senders_port = sender.getsockname()[1].to_bytes(2, "big")
    assert {bytes(message.name[2:4]) for message in messages} == {senders_port}
    assert incoming.receive(taker.fileno()) == -errno.EAGAIN
    assert list(incoming.received()) == []


def test_an_arena_can_be_used_again_with_other_sizes(
    pair: tuple[socket.socket, socket.socket, bytes],
) -> None:
    sender, taker, name = pair
    outgoing = TransmitArena(4, 64, 28, [ttl_control(taker)])
    incoming = ReceiveArena(4, 64, 28, 64)
    for size in (40, 3, 64, 0, 17):
        payload = os.urandom(size)
        outgoing.fill([payload], [name], [64])
        assert outgoing.send(sender.fileno(), 0, 1) == 1
        assert incoming.receive(taker.fileno()) == 1
        (message,) = incoming.received()
        assert bytes(message.data) == payload
        assert told_ttl(message.control) == 64


def test_more_than_fits_comes_with_the_next_call(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, taker, name = pair
    outgoing = TransmitArena(8, 64, 28, [ttl_control(taker)])
    outgoing.fill([b"%d" % i for i in range(8)], [name] * 8, [64] * 8)
    assert outgoing.send(sender.fileno(), 0, 5) == 5
    assert outgoing.send(sender.fileno(), 5, 3) == 3
    incoming = ReceiveArena(3, 64, 28, 64)
    seen = []
    while incoming.receive(taker.fileno()) > 0:
        seen += [bytes(message.data) for message in incoming.received()]
    assert seen == [b"%d" % i for i in range(8)]


def test_a_long_datagram_is_cut_and_says_so(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, taker, _ = pair
    sender.sendto(b"x" * 100 + b"y" * 100, taker.getsockname())
    sender.sendto(b"short", taker.getsockname())
    incoming = ReceiveArena(4, 100, 28, 64)
    assert incoming.receive(taker.fileno()) == 2
    first, second = incoming.received()
    assert bytes(first.data) == b"x" * 100
    assert first.flags & linux.MSG_TRUNC
    assert bytes(second.data) == b"short"
    assert not second.flags & linux.MSG_TRUNC


def test_control_messages_without_room_are_left_out(
    pair: tuple[socket.socket, socket.socket, bytes],
) -> None:
    sender, taker, _ = pair
    sender.sendto(b"x", taker.getsockname())
    incoming = ReceiveArena(1, 8, 28, 8)
    assert incoming.receive(taker.fileno()) == 1
    (message,) = incoming.received()
    assert message.flags & linux.MSG_CTRUNC
    assert bytes(message.data) == b"x"


def test_what_the_kernel_refuses_is_a_negative_number(
    pair: tuple[socket.socket, socket.socket, bytes],
) -> None:
    sender, taker, name = pair
    port_zero = name[:2] + b"\0\0" + name[4:]
    outgoing = TransmitArena(4, 64, 28, [ttl_control(taker)])
    outgoing.fill([b"a", b"b", b"c"], [name, port_zero, name], [64] * 3)
    assert outgoing.send(sender.fileno(), 0, 3) == 1
    assert outgoing.send(sender.fileno(), 1, 2) == -errno.EINVAL
    assert outgoing.send(sender.fileno(), 2, 1) == 1
    assert outgoing.send(-1, 0, 1) == -errno.EBADF
    assert ReceiveArena(1, 8, 28, 8).receive(-1) == -errno.EBADF


@pytest.mark.parametrize("first", [1000, 2**32 - 2])
def test_a_second_number_is_counted_up(pair: tuple[socket.socket, socket.socket, bytes], first: int) -> None:
    sender, taker, name = pair
    # The kernel hands it back as the number of a transmit time stamp.
    sender.setsockopt(
        socket.SOL_SOCKET,
        linux.SO_TIMESTAMPING,
        linux.SOF_TIMESTAMPING_TX_SOFTWARE
        | linux.SOF_TIMESTAMPING_SOFTWARE
        | linux.SOF_TIMESTAMPING_OPT_ID
        | linux.SOF_TIMESTAMPING_OPT_TSONLY,
    )
    number = (socket.SOL_SOCKET, linux.SCM_TS_OPT_ID)
    outgoing = TransmitArena(4, 64, 28, [ttl_control(taker), number])
    outgoing.fill([b"a", b"b", b"c"], [name] * 3, [10, 20, 30], first)
    if outgoing.send(sender.fileno(), 0, 3) == -errno.EINVAL:
        pytest.skip("this kernel has no SCM_TS_OPT_ID: it is older than 6.13")
    stamps = ReceiveArena(8, 64, 28, 256)
    assert stamps.receive(sender.fileno(), linux.MSG_ERRQUEUE) == 3
    errors = []
    for message in stamps.received():
        length, _, _ = linux.CONTROL_HEADER.unpack_from(message.control)
        errors.append(
            linux.EXTENDED_ERROR.unpack_from(message.control, -(-length // 8) * 8 + linux.CONTROL_HEADER.size)
        )
    assert {error[1] for error in errors} == {linux.SO_EE_ORIGIN_TIMESTAMPING}
    assert [error[-1] for error in errors] == [(first + i) % 2**32 for i in range(3)]


@pytest.mark.parametrize("slots", [0, LARGEST_BATCH + 1])
def test_no_arena_is_larger_than_a_call_may_be(slots: int) -> None:
    with pytest.raises(ValueError, match="must be from 1 to 1024"):
        ReceiveArena(slots, 8, 28, 8)
