"""What the configuration of files, own addresses and STUN servers accepts, and what asks for nothing."""

from __future__ import annotations

import pytest

from traceprobe import ConfigError, EnrichmentConfig, TimingConfig
from traceprobe._enrichment_config import stun_server
from traceprobe.enrich._stun import waits

SERVERS = {
    "stun.example": ("stun.example", 3478),
    "stun.example:19302": ("stun.example", 19302),
    "192.0.2.1": ("192.0.2.1", 3478),
    "192.0.2.1:1": ("192.0.2.1", 1),
    "2001:db8::1": ("2001:db8::1", 3478),
    "[2001:db8::1]:65535": ("2001:db8::1", 65535),
}


@pytest.mark.parametrize(("text", "parts"), SERVERS.items())
def test_a_stun_server_is_a_host_and_perhaps_a_port(text: str, parts: tuple[str, int]) -> None:
    assert stun_server(text) == parts
    assert EnrichmentConfig(stun_servers=(text,)).stun_servers == (text,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stun_servers", ()),
        ("stun_servers", "stun.example"),
        ("stun_servers", ("stun.example:0",)),
        ("stun_servers", ("stun.example:65536",)),
        ("stun_servers", ("stun://stun.example",)),
        ("stun_servers", ("",)),
        ("stun_servers", (3478,)),
        ("own_addresses", "192.0.2.1"),
        ("own_addresses", ("192.0.2.0/24",)),
        ("own_addresses", (17,)),
        ("databases", "GeoLite2-ASN.mmdb"),
        ("databases", ("",)),
        ("databases", ("a\0b",)),
        ("databases", (None,)),
        ("exchange_snapshot", ""),
        ("exchange_snapshot", "a\0b"),
        ("exchange_snapshot", ("peeringdb.json",)),
    ],
)
def test_anything_else_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        EnrichmentConfig(**{field: value})  # type: ignore[arg-type]
    assert (caught.value.field, caught.value.value) == (field, value)


def test_nobody_is_asked_for_the_public_address_by_default() -> None:
    for config in (EnrichmentConfig(), EnrichmentConfig.off(), EnrichmentConfig.names()):
        assert not config.public_address
        assert not config.segments
    assert EnrichmentConfig.full().public_address


def test_a_request_is_repeated_as_rfc_8489_says() -> None:
    # The example of section 6.2.1: sent at 0, 500, 1500, 3500, 7500, 15500, 31500 ms; given up at 39500 ms.
    schedule = waits(EnrichmentConfig(), TimingConfig())
    assert schedule == (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 8.0)
    assert [sum(schedule[:count]) for count in range(8)] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 39.5]
    timing = TimingConfig(stun_rto=0.1, stun_last_wait_factor=2.0)
    assert waits(EnrichmentConfig(stun_requests=1), timing) == (0.2,)
