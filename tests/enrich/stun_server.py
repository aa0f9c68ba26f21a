"""A STUN server on loopback that answers as the test says, with messages packed by hand from RFC 8489."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import anyio
import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

COOKIE = 0x2112A442
SUCCESS, ERROR, REQUEST, INDICATION = 0x0101, 0x0111, 0x0001, 0x0011


def message(kind: int, transaction_id: bytes, *attributes: tuple[int, bytes], cookie: int = COOKIE) -> bytes:
    """A message (section 5) with its attributes (section 14), each padded to four bytes."""
    body = b"".join(
        struct.pack("!HH", type_, len(value)) + value + bytes(-len(value) % 4) for type_, value in attributes
    )
    return struct.pack("!HHI12s", kind, len(body), cookie, transaction_id) + body


def mapped(address: str, port: int = 4711) -> tuple[int, bytes]:
    """MAPPED-ADDRESS (section 14.1)."""
    packed = ip_address(address).packed
    return 0x0001, struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, port) + packed


def xor_mapped(address: str, transaction_id: bytes, port: int = 4711) -> tuple[int, bytes]:
    """XOR-MAPPED-ADDRESS (section 14.2)."""
    packed = ip_address(address).packed
    mask = struct.pack("!I", COOKIE) + transaction_id
    hidden = bytes(byte ^ key for byte, key in zip(packed, mask, strict=False))
    return 0x0020, struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, port ^ (COOKIE >> 16)) + hidden


def refusal(code: int, reason: str) -> tuple[int, bytes]:
    """ERROR-CODE (section 14.8)."""
    return 0x0009, struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode()


def transaction_of(request: bytes) -> bytes:
    """The transaction of a Binding request, which is checked to be one."""
    kind, length, cookie, transaction_id = struct.unpack("!HHI12s", request[:20])
    assert (kind, cookie, length) == (REQUEST, COOKIE, len(request) - 20)
    return bytes(transaction_id)


@attrs.define
class Server:
    """What it has seen."""

    name: str
    requests: list[bytes] = attrs.field(factory=list)
    sources: list[IPv4Address | IPv6Address] = attrs.field(factory=list)


@asynccontextmanager
async def stun_server(
    answers: Callable[[bytes, int], list[bytes]], *, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Run a server; ``answers`` makes the datagrams for a transaction and the number of its request."""
    async with (
        await anyio.create_udp_socket(local_host=host) as udp,
        anyio.create_task_group() as tasks,
    ):
        port = udp.extra(anyio.abc.SocketAttribute.local_port)
        server = Server(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

        async def serve() -> None:
            async for request, (source, source_port) in udp:
                server.requests.append(request)
                server.sources.append(ip_address(source))
                for answer in answers(transaction_of(request), len(server.requests)):
                    await udp.sendto(answer, source, source_port)

        tasks.start_soon(serve)
        yield server
        tasks.cancel_scope.cancel()
