"""STUN: what is sent, which answers count, when it is sent again, and who is asked next."""

from __future__ import annotations

import builtins
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.enrich.stun_server import (
    ERROR,
    INDICATION,
    REQUEST,
    SUCCESS,
    mapped,
    message,
    refusal,
    stun_server,
    transaction_of,
    xor_mapped,
)
from traceprobe.config import EnrichmentConfig, TimingConfig
from traceprobe.enrich._public_address import PublicAddressError, PublicAddressFinder
from traceprobe.enrich._stun import BindingRequest, StunRefusedError
from traceprobe.errors import UnsupportedOption

if TYPE_CHECKING:
    from collections.abc import Callable

    Answers = Callable[[bytes, int], list[bytes]]

OWN, OWN_V6 = "5.1.0.7", "2a00:1:2:3::7"
OTHER = b"another one!"
QUICK = TimingConfig(stun_rto=0.02, stun_last_wait_factor=2.0, stun_next_server=0.05)
"""Nothing in these tests depends on how long it takes, only on what comes first."""
PATIENT = TimingConfig(stun_rto=60.0, stun_next_server=60.0)


def honest(transaction_id: bytes, number: int) -> list[bytes]:
    return [message(SUCCESS, transaction_id, xor_mapped(OWN, transaction_id))]


def deaf(transaction_id: bytes, number: int) -> list[bytes]:
    return []


class Time:
    now = 0

    def ns(self) -> int:
        return self.now


async def finder(
    *servers: str, timing: TimingConfig = PATIENT, time: Time | None = None, **fields: Any
) -> PublicAddressFinder:
    config = EnrichmentConfig(public_address=True, stun_servers=servers, **fields)
    return await PublicAddressFinder.open(config, timing, (time or Time()).ns)


# --- one answer, without sockets -------------------------------------------------------------------------


def test_the_request_is_a_binding_request_with_a_transaction_of_its_own() -> None:
    first, second = BindingRequest(4), BindingRequest(4)
    assert transaction_of(bytes(first)) == first.transaction_id
    assert len(first.transaction_id) == 12
    assert first.transaction_id != second.transaction_id
    assert bytes(first) == bytes(first)


@pytest.mark.parametrize("own", [OWN, OWN_V6])
def test_the_mapped_address_is_read(own: str) -> None:
    request = BindingRequest(ip_address(own).version)
    transaction = request.transaction_id
    hidden, open_ = xor_mapped(own, transaction), mapped(own)
    assert request.mapped_address(message(SUCCESS, transaction, hidden)) == ip_address(own)
    assert request.mapped_address(message(SUCCESS, transaction, open_)) == ip_address(own)
    # What a translator on the way may have rewritten does not count against what it can't see through.
    rewritten = mapped("10.0.0.1" if own == OWN else "fd00::1")
    assert request.mapped_address(message(SUCCESS, transaction, rewritten, hidden)) == ip_address(own)
    # Attributes that nobody knows are skipped (section 14), padding included.
    assert request.mapped_address(message(SUCCESS, transaction, (0x8ABC, b"12345"), hidden)) == ip_address(
        own
    )


def test_what_does_not_answer_the_request_is_none() -> None:
    request = BindingRequest(4)
    transaction = request.transaction_id
    attribute = xor_mapped(OWN, transaction)
    good = message(SUCCESS, transaction, attribute)
    for datagram in (
        b"",
        b"x",
        good[:-1],
        good + b"x",
        message(SUCCESS, OTHER, xor_mapped(OWN, OTHER)),
        message(SUCCESS, transaction, attribute, cookie=0x2112A443),
        message(REQUEST, transaction, attribute),
        message(INDICATION, transaction, attribute),
        message(0x0103, transaction, attribute),  # Allocate
        message(SUCCESS, transaction, (0x0020, attribute[1][:-1])),
        message(SUCCESS, transaction, (0x8028, b"\0")),
    ):
        assert request.mapped_address(datagram) is None
    assert request.mapped_address(good) == ip_address(OWN)


def test_answers_without_a_usable_address_are_refusals() -> None:
    request = BindingRequest(4)
    transaction = request.transaction_id
    with pytest.raises(StunRefusedError, match="another family: 2a00:1:2:3::7"):
        request.mapped_address(message(SUCCESS, transaction, xor_mapped(OWN_V6, transaction)))
    with pytest.raises(StunRefusedError, match="no address"):
        request.mapped_address(message(SUCCESS, transaction))
    with pytest.raises(StunRefusedError, match="420 'what'"):
        request.mapped_address(message(ERROR, transaction, refusal(420, "what")))
    with pytest.raises(StunRefusedError, match="refused"):
        request.mapped_address(message(ERROR, transaction))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_an_answer_or_none(data: bytes, headed: bool) -> None:
    request = BindingRequest(4)
    datagram = message(SUCCESS, request.transaction_id) + data if headed else data
    if headed:
        datagram = datagram[:2] + len(data).to_bytes(2, "big") + datagram[4:]
    try:
        address = request.mapped_address(datagram)
    except StunRefusedError:
        return
    assert address is None or address.version == 4


# --- asking servers on loopback --------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", OWN), ("::1", OWN_V6)])
async def test_a_server_tells_the_address_and_is_asked_once(host: str, own: str) -> None:
    def answers(transaction_id: bytes, number: int) -> list[bytes]:
        return [message(SUCCESS, transaction_id, xor_mapped(own, transaction_id))]

    version = ip_address(host).version
    async with stun_server(answers, host=host) as server:
        found = await finder(server.name)
        assert await found.find(version, None) == ip_address(own)
        assert await found.find(version, None) == ip_address(own)
        assert len(server.requests) == 1


async def test_forged_answers_do_not_count(anyio_backend: object) -> None:
    def answers(transaction_id: bytes, number: int) -> list[bytes]:
        lie = xor_mapped("6.6.6.6", transaction_id)
        return [
            message(SUCCESS, OTHER, xor_mapped("6.6.6.6", OTHER)),
            message(SUCCESS, transaction_id, lie, cookie=0x2112A443),
            message(REQUEST, transaction_id, lie),
            b"",
            *honest(transaction_id, number),
        ]

    async with stun_server(answers) as server:
        assert await (await finder(server.name)).find(4, None) == ip_address(OWN)


async def test_a_lost_request_is_sent_again_and_is_the_same() -> None:
    def answers(transaction_id: bytes, number: int) -> list[bytes]:
        return honest(transaction_id, number) if number == 3 else []

    async with stun_server(answers) as server:
        assert await (await finder(server.name, timing=QUICK)).find(4, None) == ip_address(OWN)
        assert len(server.requests) >= 3
        assert len(set(server.requests)) == 1


async def test_a_silent_server_is_given_up_after_its_requests() -> None:
    async with stun_server(deaf) as server:
        asking = await finder(server.name, timing=QUICK, stun_requests=3)
        with pytest.raises(PublicAddressError, match=r"no answer") as caught:
            await asking.find(4, None)
        assert server.name in str(caught.value)
        assert len(server.requests) == 3


async def test_the_next_server_is_asked_once_the_first_has_taken_its_time_or_failed() -> None:
    def refusing(transaction_id: bytes, number: int) -> list[bytes]:
        return [message(ERROR, transaction_id, refusal(500, "Server Error"))]

    async with stun_server(refusing) as first, stun_server(honest) as second:
        # With nothing but time-outs of a minute this would not end.
        assert await (await finder(first.name, second.name)).find(4, None) == ip_address(OWN)
        assert (len(first.requests), len(second.requests)) == (1, 1)
    async with stun_server(deaf) as first, stun_server(honest) as second:
        asking = await finder(
            first.name, second.name, timing=TimingConfig(stun_rto=60.0, stun_next_server=0.01)
        )
        assert await asking.find(4, None) == ip_address(OWN)


async def test_the_first_server_that_answers_is_enough() -> None:
    async with stun_server(honest) as first, stun_server(honest) as second:
        assert await (await finder(first.name, second.name)).find(4, None) == ip_address(OWN)
        assert (len(first.requests), len(second.requests)) == (1, 0)


async def test_the_reasons_of_all_servers_are_told() -> None:
    def refusing(transaction_id: bytes, number: int) -> list[bytes]:
        return [message(ERROR, transaction_id, refusal(500, "Server Error"))]

    async with stun_server(refusing) as first, stun_server(refusing) as second:
        with pytest.raises(PublicAddressError) as caught:
            await (await finder(first.name, second.name)).find(4, None)
        assert str(caught.value).count("500 'Server Error'") == 2
        assert first.name in str(caught.value)
        assert second.name in str(caught.value)


async def test_a_server_without_an_address_of_the_family_fails() -> None:
    async with stun_server(honest) as server:
        with pytest.raises(PublicAddressError):
            await (await finder(server.name)).find(6, None)
        assert server.requests == []


async def test_where_nobody_listens_the_next_server_is_asked() -> None:
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as unused:
        closed = f"127.0.0.1:{unused.extra(anyio.abc.SocketAttribute.local_port)}"
    with pytest.raises(PublicAddressError, match=closed):
        await (await finder(closed, timing=QUICK, stun_requests=2)).find(4, None)
    async with stun_server(honest) as server:
        asking = await finder(closed, server.name, timing=QUICK, stun_requests=2)
        assert await asking.find(4, None) == ip_address(OWN)


async def test_a_source_that_is_not_of_this_machine_fails() -> None:
    async with stun_server(honest) as server:
        with pytest.raises(PublicAddressError, match=server.name):
            await (await finder(server.name)).find(4, ip_address("198.51.100.7"))
        assert server.requests == []


async def test_it_is_asked_from_the_source_of_the_probes() -> None:
    async with stun_server(honest) as server:
        await (await finder(server.name)).find(4, ip_address("127.0.0.9"))
        assert server.sources == [ip_address("127.0.0.9")]


async def test_answers_and_failures_expire() -> None:
    time = Time()
    silent = False

    def answers(transaction_id: bytes, number: int) -> list[bytes]:
        return [message(ERROR, transaction_id)] if silent else honest(transaction_id, number)

    async with stun_server(answers) as server:
        asking = await finder(
            server.name, timing=TimingConfig(public_address_ttl=60.0, dns_failure_ttl=5.0), time=time
        )
        await asking.find(4, None)
        time.now = 59_999_999_999
        await asking.find(4, None)
        assert len(server.requests) == 1
        silent, time.now = True, 60_000_000_000
        for _ in range(2):
            with pytest.raises(PublicAddressError):
                await asking.find(4, None)
        assert len(server.requests) == 2
        silent, time.now = False, 65_000_000_000
        assert await asking.find(4, None) == ip_address(OWN)
        assert len(server.requests) == 3


async def test_those_who_ask_at_once_share_one_request() -> None:
    found = []

    async def ask(asking: PublicAddressFinder) -> None:
        found.append(await asking.find(4, None))

    async with stun_server(honest) as server:
        asking = await finder(server.name)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask, asking)
        assert found == [ip_address(OWN)] * 10
        assert len(server.requests) == 1


async def test_cancelling_leaves_nothing_behind_and_the_next_can_ask() -> None:
    replies: list[Answers] = [deaf]

    async with stun_server(lambda *request: replies[0](*request)) as server:
        asking = await finder(server.name)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asking.find, 4, None)
            while not server.requests:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        replies[0] = honest
        assert await asking.find(4, None) == ip_address(OWN)


async def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "aioice":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedOption) as caught:
        await finder("127.0.0.1:1")
    assert "pip install 'traceprobe[stun]'" in str(caught.value)
