"""DNS over TLS (RFC 7858) and over HTTPS (RFC 8484) for dnspython.

dnspython has both, but its resolver guesses the event loop for them, once for the whole process, and is
wrong in a process that runs asyncio and trio; nor does it wait for its connections to be closed. Over HTTPS
a connection is kept for the next question.
"""

from __future__ import annotations

import importlib.util
import ssl
from typing import TYPE_CHECKING

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    import dns.message
    import dns.nameserver
    import httpx2
    from dns._asyncbackend import Backend

_MEDIA_TYPE = "application/dns-message"


def https_client() -> httpx2.AsyncClient:
    """A client that believes the certificates the system believes, and reads no environment variables."""
    import httpx2

    return httpx2.AsyncClient(
        verify=ssl.create_default_context(),
        http2=importlib.util.find_spec("h2") is not None,
        trust_env=False,
        headers={"accept": _MEDIA_TYPE, "content-type": _MEDIA_TYPE},
    )


# dnspython is not loaded before it is needed, so its class is derived from in functions.


def tls_server(address: str, port: int, host: str) -> dns.nameserver.Nameserver:
    """A server at an address, whose certificate is made out to ``host``."""
    import dns.exception
    import dns.message
    import dns.nameserver
    import dns.query

    context = ssl.create_default_context()
    context.set_alpn_protocols(["dot"])  # RFC 7858 section 3.1

    class TlsNameserver(dns.nameserver.DoTNameserver):
        async def async_query(
            self,
            request: dns.message.QueryMessage,
            timeout: float,
            source: str | None,  # noqa: ARG002 - the routing table's choice
            source_port: int,  # noqa: ARG002
            max_size: bool,  # noqa: ARG002 - a stream has room for any answer
            backend: Backend,  # noqa: ARG002 - anyio knows the event loop
            one_rr_per_rrset: bool = False,
            ignore_trailing: bool = False,
        ) -> dns.message.Message:
            try:
                with anyio.fail_after(timeout):
                    answer = await _exchange(request.to_wire(), address, port, host, context)
            except TimeoutError as error:
                raise dns.exception.Timeout from error
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as error:
                raise OSError(f"the connection broke: {type(error).__name__}") from error
            message = dns.message.from_wire(
                answer, one_rr_per_rrset=one_rr_per_rrset, ignore_trailing=ignore_trailing
            )
            if not request.is_response(message):
                raise dns.query.BadResponse
            return message

    return TlsNameserver(address, port, hostname=host)


async def _exchange(query: bytes, address: str, port: int, host: str, context: ssl.SSLContext) -> bytes:
    """Ask over a connection of its own; messages stand behind their length (RFC 1035 section 4.2.2).

    The length says where an answer ends, so that nobody has to wait for the other side to close properly.
    """
    async with await anyio.connect_tcp(
        address, port, ssl_context=context, tls_hostname=host, tls_standard_compatible=False
    ) as stream:
        await stream.send(len(query).to_bytes(2) + query)
        received = BufferedByteReceiveStream(stream)
        size = int.from_bytes(await received.receive_exactly(2))
        return await received.receive_exactly(size)


def https_server(url: str, client: httpx2.AsyncClient) -> dns.nameserver.Nameserver:
    """A server at a URL, asked with a client that stays the caller's own and knows the event loop."""
    import dns.exception
    import dns.message
    import dns.nameserver
    import dns.query
    import httpx2

    class HttpsNameserver(dns.nameserver.DoHNameserver):
        async def async_query(
            self,
            request: dns.message.QueryMessage,
            timeout: float,
            source: str | None,  # noqa: ARG002
            source_port: int,  # noqa: ARG002
            max_size: bool,  # noqa: ARG002
            backend: Backend,  # noqa: ARG002
            one_rr_per_rrset: bool = False,
            ignore_trailing: bool = False,
        ) -> dns.message.Message:
            try:
                response = await client.post(url, content=request.to_wire(), timeout=timeout)
                response.raise_for_status()
            except httpx2.TimeoutException as error:
                raise dns.exception.Timeout from error
            except httpx2.HTTPError as error:
                raise OSError(str(error) or type(error).__name__) from error
            message = dns.message.from_wire(
                response.content, one_rr_per_rrset=one_rr_per_rrset, ignore_trailing=ignore_trailing
            )
            if not request.is_response(message):
                raise dns.query.BadResponse
            return message

    return HttpsNameserver(url)
