"""A DNS server that answers as it is told to, well or badly, on real sockets of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import attrs
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

    from tests.rigs.namespaces import Namespace

Forgery: TypeAlias = Literal["wrong_id", "wrong_question", "wrong_source", "garbage"]

FORGED = "forged.example."
"""Where every forged answer points."""

Transport: TypeAlias = Literal["udp", "tcp", "tls", "https"]


@attrs.frozen(kw_only=True)
class Manner:
    """How a question is answered."""

    records: tuple[str, ...] = ()
    """The answer section, each record as in a master file: ``NAME TTL IN TYPE DATA``."""
    rcode: str = "NOERROR"
    minimum: int | None = None
    """Minimum of the zone's SOA record, which goes into the authority section; None: there is none."""
    delay: float = 0.0
    """Seconds before the answer goes out."""
    silent: int = 0
    """How many queries are ignored first; -1: all."""
    truncated: bool = False
    """Whether it fits into no datagram."""
    forgeries: tuple[Forgery, ...] = ()
    """What arrives before the answer, over UDP."""


@attrs.frozen
class Asked:
    """A query that came."""

    name: str
    kind: str
    transport: Transport


class DnsServer:
    """Listens on one port, with UDP and TCP, from ``with`` to its end.

    Args:
        host: Where to listen: a loopback address, or one of a namespace.
        namespace: The namespace that the address is in.
        port: 0 for any.
        tls: Speak DNS over TLS (or HTTPS) instead.
        https: Speak DNS over HTTPS; needs ``tls``.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        namespace: Namespace | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        https: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self._namespace = namespace
        self.asked: list[Asked] = []
        """Every query, in order."""
        self.default = Manner(rcode="NXDOMAIN", minimum=300)
        self._tls = tls
        self._https = https
        self._manners: dict[tuple[str, str], Manner] = {}
        self._seen: Counter[tuple[str, str]] = Counter()
        # On Windows, the other kind would meddle with signals, and trio minds.
        self._loop = asyncio.SelectorEventLoop() if sys.platform == "win32" else asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="DNS server")
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._other: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    # --- what it knows --------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it listens, as it stands in a configuration."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def names(self, kind: str | None = None) -> list[str]:
        """The names that were asked for, in order."""
        return [asked.name for asked in self.asked if kind is None or asked.kind == kind]

    def on(self, name: str, kind: str, manner: Manner) -> None:
        """Answer a question in some manner."""
        self._manners[name.casefold().removesuffix("."), kind] = manner

    def pointer(self, address: str, *targets: str, ttl: int = 60, **how: Any) -> None:
        """Give an address its names."""
        name = ipaddress.ip_address(address).reverse_pointer
        records = tuple(f"{name}. {ttl} IN PTR {target}" for target in targets)
        self.on(name, "PTR", attrs.evolve(Manner(records=records), **how))

    def text(self, name: str, *strings: str, ttl: int = 60, **how: Any) -> None:
        """Give a name its texts; one string is one record."""
        records = tuple(f'{name}. {ttl} IN TXT "{string}"' for string in strings)
        self.on(name, "TXT", attrs.evolve(Manner(records=records), **how))

    # --- its life -------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen(self) -> None:
        create = self._loop.create_datagram_endpoint
        self._other, _ = await create(asyncio.DatagramProtocol, sock=self._bound(socket.SOCK_DGRAM, 0))
        while self._tcp is None:
            stream = self._bound(socket.SOCK_STREAM, self.port)
            port = stream.getsockname()[1]
            try:
                datagrams = self._bound(socket.SOCK_DGRAM, port)
            except OSError:  # the port is somebody else's
                stream.close()
                continue
            self.port = port
            self._udp, _ = await create(lambda: _Datagrams(self), sock=datagrams)
            self._tcp = await asyncio.start_server(self._serve_stream, sock=stream, ssl=self._tls)

    def _bound(self, kind: int, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = (socket.socket if self._namespace is None else self._namespace.socket)(family, kind)
        made.setblocking(False)
        try:
            made.bind((self.host, port))
        except OSError:
            made.close()
            raise
        return made

    async def _stop(self) -> None:
        for transport in (self._udp, self._other):
            if transport is not None:
                transport.close()
        assert self._tcp is not None
        self._tcp.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._tcp.wait_closed()

    def start(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run something until the server stops."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- answering ------------------------------------------------------------------------------------

    async def serve_datagram(self, data: bytes, client: tuple[str, int]) -> None:
        """Answer a query that came over UDP."""
        query = dns.message.from_wire(data)
        manner = self._note(query, "udp")
        if manner is None:
            return
        await asyncio.sleep(manner.delay)
        assert self._udp is not None
        assert self._other is not None
        for forgery in manner.forgeries:
            sender = self._other if forgery == "wrong_source" else self._udp
            sender.sendto(_forge(query, forgery), client)
        answer = _answer(query, manner)
        if manner.truncated:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        self._udp.sendto(answer.to_wire(), client)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled when the server stops: asyncio's streams don't expect that of those who serve them.
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            while True:
                await (self._serve_http if self._https else self._serve_framed)(reader, writer)
        writer.close()

    async def _serve_framed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One query behind its length (RFC 1035 section 4.2.2)."""
        size = int.from_bytes(await reader.readexactly(2))
        answer = await self._answer_stream(
            await reader.readexactly(size), "tcp" if self._tls is None else "tls"
        )
        if answer is not None:
            writer.write(len(answer).to_bytes(2) + answer)
            await writer.drain()

    async def _serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One query as the body of a POST request (RFC 8484 section 4.1)."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        answer = await self._answer_stream(await reader.readexactly(int(fields["content-length"])), "https")
        if answer is not None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/dns-message\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(answer), answer)
            )
            await writer.drain()

    async def _answer_stream(self, data: bytes, transport: Transport) -> bytes | None:
        query = dns.message.from_wire(data)
        manner = self._note(query, transport)
        if manner is None:
            return None
        await asyncio.sleep(manner.delay)
        return _answer(query, manner).to_wire(max_size=65535)

    def _note(self, query: dns.message.Message, transport: Transport) -> Manner | None:
        """How to answer; None for not at all."""
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).casefold()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(Asked(name, kind, transport))
        manner = self._manners.get((name, kind), self.default)
        self._seen[name, kind] += 1
        return None if manner.silent < 0 or self._seen[name, kind] <= manner.silent else manner


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.start(self._server.serve_datagram(data, addr))


def _answer(query: dns.message.Message, manner: Manner) -> dns.message.Message:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(dns.rcode.from_text(manner.rcode))
    for record in manner.records:
        owner, ttl, klass, kind, data = record.split(" ", 4)
        rrset = dns.rrset.from_text(owner, int(ttl), klass, kind, data)
        known = answer.get_rrset(answer.answer, rrset.name, rrset.rdclass, rrset.rdtype)
        if known is None:
            answer.answer.append(rrset)
        else:
            known.update(rrset)  # type: ignore[no-untyped-call]
    if manner.minimum is not None:
        zone = query.question[0].name.parent()
        soa = f"ns.example. nobody.example. 1 3600 600 86400 {manner.minimum}"
        answer.authority.append(dns.rrset.from_text(zone, 3600, "IN", "SOA", soa))
    return answer


def _forge(query: dns.message.Message, forgery: Forgery) -> bytes:
    if forgery == "garbage":
        return query.id.to_bytes(2) + b"\x81\x80\xff\xff" + b"\xc0" * 40
    name = query.question[0].name
    if forgery == "wrong_question":
        other = dns.message.make_query("somebody.else.example.", query.question[0].rdtype)
        other.id = query.id
        query, name = other, other.question[0].name
    forged = dns.message.make_response(query)
    if forgery == "wrong_id":
        forged.id = (query.id + 1) % 65536
    kind = dns.rdatatype.to_text(query.question[0].rdtype)
    forged.answer.append(dns.rrset.from_text(name, 60, "IN", kind, FORGED if kind == "PTR" else '"forged"'))
    return forged.to_wire()
