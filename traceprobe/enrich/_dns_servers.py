"""Carries DNS messages to servers and back: by UDP and TCP (RFC 1035), TLS (RFC 7858) and HTTPS (RFC 8484).

A message by UDP has a socket, and so a port, of its own, and is believed only from where it was sent to,
with the number and the question of the query (RFC 5452 section 9); it is asked again by TCP if it was cut.
Over HTTPS a connection is kept for the next question. What messages say is known elsewhere, and so is how
long to wait.
"""

from __future__ import annotations

import importlib.util
import socket
import ssl
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    import httpx2

_MEDIA_TYPE: Final = "application/dns-message"

# RFC 1035 section 4.1.1
_HEADER_SIZE: Final = 12
_COUNT: Final = slice(4, 6)
_IS_RESPONSE: Final = 0x80
_OPCODE: Final = 0x78
_TRUNCATED: Final = 0x02
_RCODE: Final = 0x0F
_NO_FAILURE: Final = frozenset({0, 3})  # NOERROR, NXDOMAIN

_LARGEST: Final = 4096
"""Bytes that an answer by UDP may have; without EDNS none has more than 512."""


class DnsServer(Protocol):
    """Somebody who answers queries."""

    async def ask(self, query: bytes) -> bytes:
        """Send a message, and wait for the one that answers it.

        Raises:
            OSError: The server can't be reached, or answered with something else.
        """
        ...


class PlainServer:
    """A server without secrets.

    Args:
        host: Its address; a link-local one with its zone.
        port: Its port, for UDP and TCP.

    Raises:
        OSError: There is no such zone here.
    """

    def __init__(self, host: str, port: int) -> None:
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=numeric)
        self._family = found[0][0]
        self._name = found[0][4]
        self._host = host
        self._port = port

    async def ask(self, query: bytes) -> bytes:
        """Ask by UDP, and by TCP for an answer that does not fit."""
        answer = await self._by_datagram(query)
        if answer[2] & _TRUNCATED:
            return await _by_stream(query, self._host, self._port)
        return answer

    async def _by_datagram(self, query: bytes) -> bytes:
        with socket.socket(self._family, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.connect(self._name)  # so that the kernel drops whatever another address sends
            udp.send(query)
            while True:
                await anyio.wait_readable(udp)
                try:
                    answer = udp.recv(_LARGEST)
                except BlockingIOError:
                    continue  # it was damaged, and the kernel has dropped it
                if is_answer(query, answer):
                    return answer


class TlsServer:
    """A server at an address, whose certificate is made out to ``host``."""

    def __init__(self, address: str, port: int, host: str) -> None:
        self._address = address
        self._port = port
        self._host = host
        self._context = ssl.create_default_context()
        self._context.set_alpn_protocols(["dot"])  # RFC 7858 section 3.1

    async def ask(self, query: bytes) -> bytes:
        """Ask over a connection of its own."""
        return await _by_stream(query, self._address, self._port, self._context, self._host)


class HttpsServer:
    """A server at a URL, asked with a client that stays the caller's own."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._url = url
        self._client = client

    async def ask(self, query: bytes) -> bytes:
        """Ask by POST, with the number 0: it is the connection that tells whose answer it is."""
        import httpx2

        plain = bytes(2) + query[2:]  # RFC 8484 section 4.1
        try:
            response = await self._client.post(self._url, content=plain)
            response.raise_for_status()
        except httpx2.HTTPError as error:
            raise OSError(str(error) or type(error).__name__) from error
        return _checked(plain, response.content)


def https_client() -> httpx2.AsyncClient:
    """A client that believes the certificates the system believes, and reads no environment variables."""
    import httpx2

    return httpx2.AsyncClient(
        verify=ssl.create_default_context(),
        http2=importlib.util.find_spec("h2") is not None,
        trust_env=False,
        timeout=None,  # who asks says how long
        headers={"accept": _MEDIA_TYPE, "content-type": _MEDIA_TYPE},
    )


def is_answer(query: bytes, answer: bytes) -> bool:
    """Whether a message answers a query: same number, same kind, same question, letter case aside."""
    if len(answer) < _HEADER_SIZE or answer[:2] != query[:2]:
        return False
    if not answer[2] & _IS_RESPONSE or (answer[2] ^ query[2]) & _OPCODE:
        return False
    if answer[_COUNT] == bytes(2):  # a server that could not read the question can't repeat it
        return answer[3] & _RCODE not in _NO_FAILURE
    question = slice(_HEADER_SIZE, len(query))
    return answer[_COUNT] == query[_COUNT] and answer[question].lower() == query[question].lower()


async def _by_stream(
    query: bytes, address: str, port: int, context: ssl.SSLContext | None = None, host: str | None = None
) -> bytes:
    """Ask over a connection; messages stand behind their length (RFC 1035 section 4.2.2).

    The length says where an answer ends, so that nobody has to wait for the other side to close properly.
    """
    try:
        async with await (
            anyio.connect_tcp(address, port)
            if context is None
            else anyio.connect_tcp(
                address, port, ssl_context=context, tls_hostname=host, tls_standard_compatible=False
            )
        ) as stream:
            await stream.send(len(query).to_bytes(2) + query)
            received = BufferedByteReceiveStream(stream)
            size = int.from_bytes(await received.receive_exactly(2))
            return _checked(query, await received.receive_exactly(size))
    except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as error:
        raise OSError(f"the connection broke: {type(error).__name__}") from error


def _checked(query: bytes, answer: bytes) -> bytes:
    if not is_answer(query, answer):
        raise OSError("the server answered another question")
    return answer
