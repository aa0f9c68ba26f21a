"""Resolvers against a name server of the tests' own, on every event loop: good answers, bad ones, none."""

from __future__ import annotations

import ssl
import subprocess
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.enrich.conftest import dns_settings
from tests.rigs.dns_server import DnsServer, Manner
from tests.rigs.require import missing_module, missing_program, require
from traceprobe import ResolverError, UnsupportedOption
from traceprobe._enrichment_config import NameServer
from traceprobe.enrich import _dnspython, _libraries, _resolver
from traceprobe.enrich._dnspython import DnspythonClient
from traceprobe.enrich._libraries import choose_library, event_loop
from traceprobe.enrich._resolver import DnsResolver, LateClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.rigs.dns_server import Forgery
    from traceprobe.enrich._dns import DnsClient

    MakeResolver = Callable[..., AbstractAsyncContextManager[DnsResolver]]

HOST = ip_address("192.0.2.1")
SIX = ip_address("2001:db8::1")


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def passes(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


async def outcome(made: DnsResolver, address: Any) -> str | None:
    """The name of an address, or the class of the failure."""
    try:
        return await made.reverse(address)
    except ResolverError as error:
        return type(error).__name__


# --- good answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, SIX], ids=str)
@pytest.mark.parametrize("listens_on", ["127.0.0.1", "::1"])
async def test_an_address_has_a_name(host: Any, listens_on: str, resolver: MakeResolver) -> None:
    with DnsServer(listens_on) as server:
        server.pointer(str(host), "gateway.example.")
        async with resolver(server) as made:
            assert await made.reverse(host) == "gateway.example"
        assert server.names("PTR") == [host.reverse_pointer]
        assert [asked.transport for asked in server.asked] == ["udp"]


async def test_the_library_is_that_of_the_event_loop(
    server: DnsServer, resolver: MakeResolver, anyio_backend_name: str
) -> None:
    assert event_loop() == anyio_backend_name
    async with resolver(server) as made:
        library = type(made._client).__name__
    assert library == {"asyncio": "AiodnsClient", "trio": "DnspythonClient"}[anyio_backend_name]


async def test_of_several_names_always_the_same_is_taken(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "beta.example.", "alpha.example.", "gamma.example.")
    server.pointer("192.0.2.2", "gamma.example.", "beta.example.", "alpha.example.")
    async with resolver(server) as made:
        assert await made.reverse(HOST) == "alpha.example"
        assert await made.reverse(ip_address("192.0.2.2")) == "alpha.example"


async def test_an_alias_is_followed(server: DnsServer, resolver: MakeResolver) -> None:
    # RFC 2317: delegation of less than an octet.
    manner = Manner(
        records=(
            "1.2.0.192.in-addr.arpa. 60 IN CNAME 1.0-63.2.0.192.in-addr.arpa.",
            "1.0-63.2.0.192.in-addr.arpa. 60 IN PTR classless.example.",
        )
    )
    server.on(HOST.reverse_pointer, "PTR", manner)
    async with resolver(server) as made:
        assert await made.reverse(HOST) == "classless.example"
        assert await made.reverse(HOST) == "classless.example"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "records",
    [
        ("1.2.0.192.in-addr.arpa. 60 IN CNAME 1.0-63.2.0.192.in-addr.arpa.",),
        (
            "1.2.0.192.in-addr.arpa. 60 IN CNAME a.example.",
            "a.example. 60 IN CNAME 1.2.0.192.in-addr.arpa.",
        ),
        ("2.2.0.192.in-addr.arpa. 60 IN PTR somebody.else.example.",),
    ],
    ids=["alias of nothing", "alias of itself", "another name"],
)
async def test_what_says_nothing_of_the_address_is_no_name(
    records: tuple[str, ...], server: DnsServer, resolver: MakeResolver
) -> None:
    server.on(HOST.reverse_pointer, "PTR", Manner(records=records))
    async with resolver(server, dns_attempts=1) as made:
        assert await outcome(made, HOST) in {None, "ResolverError"}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (".", None),
        ("xn--mnchen-3ya.example.", "xn--mnchen-3ya.example"),
        (r"\027[2J\226\128\174.exa\.mple.", r"\027[2J\226\128\174.exa\.mple"),
        ("-._-.example.", "-._-.example"),
        ("a" * 63 + ".example.", "a" * 63 + ".example"),
        ((("b" * 61) + ".") * 4, (("b" * 61) + ".") * 3 + "b" * 61),
    ],
    ids=["root", "international", "bytes", "punctuation", "long label", "long name"],
)
async def test_names_may_be_weird(
    target: str, name: str | None, server: DnsServer, resolver: MakeResolver
) -> None:
    server.pointer("192.0.2.1", target)
    async with resolver(server) as made:
        assert await made.reverse(HOST) == name


async def test_what_does_not_fit_into_a_datagram_is_asked_for_again_by_tcp(
    server: DnsServer, resolver: MakeResolver
) -> None:
    server.pointer("192.0.2.1", "long.example.", truncated=True)
    server.text("big.example", *(f"{number:03} {'x' * 250}" for number in range(40)), truncated=True)
    async with resolver(server) as made:
        assert await made.reverse(HOST) == "long.example"
        answer = await made.text("big.example")
    assert sorted(string[:3] for string in answer.strings) == [b"%03d" % number for number in range(40)]
    assert [asked.transport for asked in server.asked] == ["udp", "tcp"] * 2


async def test_texts_are_bytes_and_their_parts_are_joined(server: DnsServer, resolver: MakeResolver) -> None:
    name = "1.2.0.192.origin.asn.example"
    server.on(
        name,
        "TXT",
        Manner(
            records=(
                f'{name}. 90 IN TXT "64500 64501 | 192.0.2.0/24 " "| US | arin | 2001-01-01"',
                f'{name}. 90 IN TXT "64502 | 192.0.0.0/16 |||"',
                rf'{name}. 90 IN TXT "\000\255"',
            )
        ),
    )
    async with resolver(server) as made:
        answer = await made.text(name)
    assert set(answer.strings) == {
        b"64500 64501 | 192.0.2.0/24 | US | arin | 2001-01-01",
        b"64502 | 192.0.0.0/16 |||",
        b"\0\xff",
    }
    assert 80 < answer.ttl <= 90


# --- bad answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgery", ["wrong_id", "wrong_question", "wrong_source"])
async def test_forged_answers_are_not_believed(
    forgery: Forgery, server: DnsServer, resolver: MakeResolver
) -> None:
    server.pointer("192.0.2.1", "right.example.", forgeries=(forgery, forgery))
    server.text("text.example", "right", forgeries=(forgery,))
    async with resolver(server) as made:
        assert await made.reverse(HOST) == "right.example"
        assert (await made.text("text.example")).strings == (b"right",)


async def test_damaged_answers_are_not_believed(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "right.example.", forgeries=("garbage",))
    async with resolver(server) as made:
        assert await outcome(made, HOST) in {"right.example", "ResolverError"}


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
async def test_a_failure_of_the_server_is_told(rcode: str, server: DnsServer, resolver: MakeResolver) -> None:
    server.default = Manner(rcode=rcode)
    async with resolver(server) as made:
        with pytest.raises(ResolverError) as caught:
            await made.reverse(HOST)
    assert caught.value.question == HOST.reverse_pointer
    assert rcode in caught.value.reason
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("minimum", [None, 300])
@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
async def test_no_such_name_is_an_answer(
    rcode: str, minimum: int | None, server: DnsServer, resolver: MakeResolver
) -> None:
    server.default = Manner(rcode=rcode, minimum=minimum)
    async with resolver(server) as made:
        assert await made.reverse(HOST) is None
        assert (await made.text("nothing.example")).strings == ()


async def test_a_silent_server_is_asked_again_and_given_up(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "patient.example.", silent=1)
    server.pointer("192.0.2.2", "never.example.", silent=-1)
    async with resolver(server, dns_timeout=0.2, dns_attempts=3) as made:
        assert await made.reverse(HOST) == "patient.example"
        with pytest.raises(ResolverError, match=r"no server answered within 0\.6 s"):
            await made.reverse(ip_address("192.0.2.2"))
    assert server.names().count(HOST.reverse_pointer) == 2


async def test_the_next_server_answers_for_a_broken_one(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "second.example.")
    with DnsServer() as broken:
        broken.default = Manner(rcode="SERVFAIL")
        async with resolver(broken, server) as made:
            assert await made.reverse(HOST) == "second.example"
        assert broken.names() == server.names() == [HOST.reverse_pointer]


async def test_nobody_listens(resolver: MakeResolver) -> None:
    with DnsServer() as server:
        gone = server.address
    async with resolver(gone, dns_timeout=0.2) as made:
        with pytest.raises(ResolverError, match="no server"):
            await made.reverse(HOST)


# --- what is remembered ---------------------------------------------------------------------------------


async def test_an_answer_is_good_for_its_time_to_live(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "short.example.", ttl=2)
    clock = HandClock()
    # c-ares remembers too, by a clock of its own; two seconds of its time don't pass in here.
    async with resolver(server, now_ns=clock) as made:
        for _ in range(50):
            assert await made.reverse(HOST) == "short.example"
        clock.passes(1.999)
        assert await made.reverse(HOST) == "short.example"
        assert made._pointers._known.get(HOST.reverse_pointer) is not None
        clock.passes(0.002)
        assert made._pointers._known.get(HOST.reverse_pointer) is None
    assert len(server.asked) == 1


async def test_the_configuration_bounds_what_is_remembered(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "long.example.", ttl=86400)
    clock = HandClock()
    async with resolver(server, now_ns=clock, dns_ttl_limit=10.0, dns_cache_size=3) as made:
        await made.reverse(HOST)
        known = made._pointers._known.get(HOST.reverse_pointer)
        assert known is not None
        assert known[1] == 10.0
        for last in range(2, 12):
            server.pointer(f"192.0.2.{last}", "other.example.")
            await made.reverse(ip_address(f"192.0.2.{last}"))
        assert len(made._pointers._known) == 3


async def test_what_does_not_exist_is_remembered_as_long_as_its_zone_says(
    server: DnsServer, resolver: MakeResolver, anyio_backend_name: str
) -> None:
    server.default = Manner(rcode="NXDOMAIN", minimum=300)
    clock = HandClock()
    async with resolver(server, now_ns=clock, dns_negative_ttl_limit=200.0) as made:
        for _ in range(20):
            assert await made.reverse(HOST) is None
        assert len(server.asked) == 1
        clock.passes(201.0)
        assert await made.reverse(HOST) is None
    # c-ares keeps such answers itself, by its own clock.
    assert len(server.asked) == {"asyncio": 1, "trio": 2}[anyio_backend_name]


async def test_a_time_to_live_of_zero_is_not_remembered(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "now.example.", ttl=0)
    async with resolver(server) as made:
        for _ in range(3):
            assert await made.reverse(HOST) == "now.example"
    assert len(server.asked) == 3


async def test_a_failure_is_remembered_for_a_short_while(server: DnsServer, resolver: MakeResolver) -> None:
    server.on(HOST.reverse_pointer, "PTR", Manner(rcode="REFUSED"))
    clock = HandClock()
    async with resolver(server, now_ns=clock, dns_failure_ttl=4.0, dns_attempts=1) as made:
        for _ in range(5):
            with pytest.raises(ResolverError, match="REFUSED"):
                await made.reverse(HOST)
        asked = len(server.asked)
        server.pointer("192.0.2.1", "better.example.")
        clock.passes(4.1)
        assert await made.reverse(HOST) == "better.example"
    assert len(server.asked) == asked + 1


async def test_a_question_on_its_way_is_not_asked_again(server: DnsServer, resolver: MakeResolver) -> None:
    server.pointer("192.0.2.1", "shared.example.", ttl=0, delay=0.05)
    names: list[str | None] = []

    async def ask(made: DnsResolver) -> None:
        names.append(await made.reverse(HOST))

    async with resolver(server) as made, anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask, made)
    assert names == ["shared.example"] * 50
    assert len(server.asked) == 1


async def test_a_failure_is_shared_too(server: DnsServer, resolver: MakeResolver) -> None:
    server.on(HOST.reverse_pointer, "PTR", Manner(rcode="REFUSED", delay=0.05))
    failures: list[str] = []

    async def ask(made: DnsResolver) -> None:
        with pytest.raises(ResolverError) as caught:
            await made.reverse(HOST)
        failures.append(caught.value.reason)

    async with (
        resolver(server, dns_attempts=1, dns_failure_ttl=0.0) as made,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(10):
            tasks.start_soon(ask, made)
    assert len(failures) == 10
    assert len(server.asked) == 1


async def test_the_others_go_on_when_the_first_to_ask_is_cancelled(
    server: DnsServer, resolver: MakeResolver
) -> None:
    server.pointer("192.0.2.1", "shared.example.", silent=1)
    names: list[str | None] = []

    async with resolver(server, dns_timeout=30.0) as made:
        first = anyio.CancelScope()

        async def ask_first() -> None:
            with first:
                await made.reverse(HOST)

        async def ask() -> None:
            names.append(await made.reverse(HOST))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_first)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            while not server.asked:
                await anyio.lowlevel.checkpoint()
            first.cancel()
    assert names == ["shared.example"]
    assert len(server.asked) == 2


# --- which library, which servers -----------------------------------------------------------------------


async def test_a_missing_library_is_made_up_for_or_said(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"aiodns", "dns", "httpx2"}
    monkeypatch.setattr(_libraries, "_installed", lambda module: module in there)
    plain, secure = NameServer.parse("192.0.2.53"), NameServer.parse("https://dns.example/dns-query")
    assert choose_library("asyncio", [plain]) == choose_library("asyncio", []) == "aiodns"
    assert choose_library("asyncio", [plain, secure]) == "dnspython"
    assert choose_library("trio", [plain]) == "dnspython"
    there.remove("aiodns")
    assert choose_library("asyncio", [plain]) == "dnspython"
    there.remove("httpx2")
    with pytest.raises(UnsupportedOption, match=r"traceprobe\[doh\]"):
        choose_library("trio", [secure])
    there.remove("dns")
    with pytest.raises(UnsupportedOption, match="install aiodns or dnspython"):
        choose_library("asyncio", [plain])
    with pytest.raises(UnsupportedOption, match="install dnspython"):
        choose_library("trio", [])


async def test_dnspython_answers_on_asyncio_too(
    server: DnsServer, resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_libraries, "_installed", lambda module: module != "aiodns")
    server.pointer("192.0.2.1", "without.example.", truncated=True)
    async with resolver(server) as made:
        assert type(made._client).__name__ == "DnspythonClient"
        assert await made.reverse(HOST) == "without.example"


async def test_a_server_without_an_address_fails_every_question(
    resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nowhere(*_: object, **__: object) -> list[object]:
        raise OSError("Name or service not known")

    monkeypatch.setattr(anyio, "getaddrinfo", nowhere)
    async with resolver("tls://nowhere.example") as made:
        with pytest.raises(ResolverError, match="has no address"):
            await made.reverse(HOST)
        with pytest.raises(ResolverError, match="has no address"):
            await made.text("text.example")


async def test_who_is_cancelled_while_a_name_is_looked_up_leaves_no_client_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = anyio.Event()
    made: list[object] = []

    async def for_ever(*_: object, **__: object) -> list[object]:
        looked_up.set()
        await anyio.sleep_forever()
        return []

    monkeypatch.setattr(anyio, "getaddrinfo", for_ever)
    monkeypatch.setattr(_dnspython, "https_client", lambda: made.append("a client"))
    servers = [NameServer.parse(text) for text in ("https://192.0.2.53/dns-query", "tls://name.example")]
    async with anyio.create_task_group() as group:
        group.start_soon(DnspythonClient.open, servers, dns_settings())
        await looked_up.wait()
        group.cancel_scope.cancel()
    assert made == []


async def test_servers_are_asked_in_the_order_given(monkeypatch: pytest.MonkeyPatch) -> None:
    require("doh", missing_module("httpx2"))

    async def found(host: str, port: int, **_: object) -> list[object]:
        if host == "nowhere.example":
            raise OSError("Name or service not known")
        return [(0, 0, 0, "", ("192.0.2.7", port))]

    monkeypatch.setattr(anyio, "getaddrinfo", found)
    texts = ("192.0.2.1", "https://192.0.2.53/q", "tls://nowhere.example", "tls://name.example", "192.0.2.2")
    made = await DnspythonClient.open([NameServer.parse(text) for text in texts], dns_settings())
    kinds = ["PlainServer", "HttpsServer", "TlsServer", "PlainServer"]
    assert [type(server).__name__ for server in made._servers] == kinds
    await made.aclose()
    assert made._https is not None
    assert made._https.is_closed


async def test_a_system_without_name_servers_fails_every_question(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def read(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", read)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ResolverError, match="the system names none"):
        await DnspythonClient.open([], dns_settings())


async def test_what_could_not_be_made_at_first_is_made_later(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pointer("192.0.2.1", "late.example.")
    is_up = False
    made = 0

    async def make() -> DnsClient:
        nonlocal made
        made += 1
        await anyio.lowlevel.checkpoint()
        if not is_up:
            raise ResolverError("servers", "the network is down")
        return await _resolver.open_client(dns_settings(server.address))

    client = LateClient(make)
    with pytest.raises(ResolverError, match=r"text\.example: servers: the network is down"):
        await client.texts("text.example")
    is_up = True
    names: list[str] = []

    async def ask() -> None:
        names.extend((await client.pointers(HOST.reverse_pointer)).values)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    await client.aclose()
    assert [name.removesuffix(".") for name in names] == ["late.example"] * 5
    assert made == 2


async def test_a_server_without_an_address_leaves_the_others(
    server: DnsServer, resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nowhere(*_: object, **__: object) -> list[object]:
        raise OSError("Name or service not known")

    monkeypatch.setattr(anyio, "getaddrinfo", nowhere)
    server.pointer("192.0.2.1", "plain.example.")
    async with resolver("tls://nowhere.example", server) as made:
        assert await made.reverse(HOST) == "plain.example"


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        ("192.0.2.53:5353", "192.0.2.53:5353"),
        ("2001:db8::53", "[2001:db8::53]:53"),
        ("[fe80::53%lo]:5353", "[fe80::53]:5353%lo"),
    ],
)
async def test_servers_are_told_to_c_ares_as_it_wants_them(
    text: str, told: str, resolver: MakeResolver
) -> None:
    async with resolver(text) as made:
        assert made._client._resolver._channel.servers == [told]  # type: ignore[attr-defined]


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_an_interface_that_does_not_exist_is_told(resolver: MakeResolver) -> None:
    async with resolver("fe80::53%nonsense0") as made:
        with pytest.raises(ResolverError):
            await made.reverse(HOST)


# --- secure transports ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    require("openssl", missing_program("openssl"))
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(folder / "key"), "-out", str(folder / "certificate"), "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "certificate").read_text() + (folder / "key").read_text())
    return both


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have OpenSSL believe the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture(params=["tls", "https"])
def secure_server(request: pytest.FixtureRequest, certificate: Path) -> Iterator[tuple[DnsServer, str]]:
    """A server that speaks DNS over TLS or HTTPS, and how it is written."""
    if request.param == "https":
        require("doh", missing_module("httpx2"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with DnsServer(tls=context, https=request.param == "https") as server:
        path = "/dns-query" if request.param == "https" else ""
        yield server, f"{request.param}://{server.address}{path}"


@pytest.mark.usefixtures("trusted")
async def test_secure_servers_answer(secure_server: tuple[DnsServer, str], resolver: MakeResolver) -> None:
    server, written = secure_server
    server.pointer("192.0.2.1", "secret.example.")
    async with resolver(written) as made:
        assert await made.reverse(HOST) == "secret.example"
        assert (await made.text("nothing.example")).strings == ()
    assert {asked.transport for asked in server.asked} == {written.partition(":")[0]}


async def test_a_server_that_can_not_prove_who_it_is_is_told_nothing(
    secure_server: tuple[DnsServer, str], resolver: MakeResolver
) -> None:
    server, written = secure_server
    async with resolver(written, dns_timeout=1.0, dns_attempts=1) as made:
        with pytest.raises(ResolverError):
            await made.reverse(HOST)
    assert not server.asked


# --- lazy -----------------------------------------------------------------------------------------------


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = """
import sys
import traceprobe
from traceprobe.testing import SimulatedNetwork
network = SimulatedNetwork.path("192.0.2.9", ["198.51.100.1", "192.0.2.9"])
traceprobe.trace("192.0.2.9", socket_factory=network)
traceprobe.trace("192.0.2.9", socket_factory=network, enrichment=traceprobe.EnrichmentConfig.names())
assert not {"dns", "aiodns", "pycares", "maxminddb"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_are_those_of_the_configuration() -> None:
    made = dns_settings("192.0.2.53", dns_timeout=0.7, dns_attempts=4, dns_cache_size=9, dns_failure_ttl=3.0)
    assert made.servers == ("192.0.2.53",)
    assert (made.timeout, made.attempts, made.cache_size, made.failure_ttl) == (0.7, 4, 9, 3.0)
