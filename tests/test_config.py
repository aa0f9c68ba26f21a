"""The configuration: every bound of every field, what contradicts, what derives, and its typed options."""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprobe._enrichment_config import NameServer
from traceprobe.config import (
    AddressFamily,
    EnrichmentConfig,
    FlowStrategy,
    Mode,
    Protocol,
    TimingConfig,
    TraceOptions,
    TracerouteConfig,
)
from traceprobe.errors import ConfigError, FamilyMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

CLASSES = (TracerouteConfig, TimingConfig, EnrichmentConfig)

# Every number of seconds, with whether 0 is among its values.
SECONDS = {
    "probe_timeout": False,
    "interior_floor": True,
    "tail_floor": True,
    "send_interval": True,
    "overall_timeout": False,
    "enrichment_timeout": True,
    "dns_timeout": False,
    "dns_ttl_limit": True,
    "dns_negative_ttl_limit": True,
    "dns_failure_ttl": True,
    "stun_rto": False,
    "stun_next_server": True,
    "public_address_ttl": True,
    "identifier_quarantine": True,
    "clock_step_tolerance": False,
    "pacing_burst": False,
}
# Every factor, with its smallest value.
FACTORS = {
    "interior_factor": 1.0,
    "interior_jitter_factor": 0.0,
    "tail_factor": 1.0,
    "stun_last_wait_factor": 1.0,
}
# Every whole number, with its bounds; None is no upper bound.
WHOLE: dict[str, tuple[int, int | None]] = {
    "first_ttl": (1, 255),
    "max_ttl": (1, 255),
    "queries": (1, 100),
    "retries": (0, 10),
    "gap_limit": (1, 255),
    "max_in_flight": (1, None),
    "max_in_flight_per_destination": (1, None),
    "port": (1, 65535),
    "source_port": (1, 65535),
    "packet_size": (28, 65535),
    "mark": (0, 2**32 - 1),
    "dscp": (0, 63),
    "ecn": (0, 3),
    "flow_label": (0, 0xFFFFF),
    "receive_buffer": (2048, 2**30),
    "dns_attempts": (1, 10),
    "dns_cache_size": (0, None),
    "max_lookups": (1, None),
    "stun_requests": (1, 16),
}
FLAGS = {"stop_on_loop", "dont_fragment", "receive_all", "reverse_dns", "asn", "public_address", "segments"}
CHOICES: dict[str, type[Enum]] = {
    "protocol": Protocol,
    "mode": Mode,
    "family": AddressFamily,
    "flow": FlowStrategy,
}
ZONES = {"asn_zone", "asn_zone_ipv6", "asn_name_zone"}
OTHERS = {
    "packets_per_second",
    "payload_pattern",
    "source",
    "interface",
    "timing",
    "enrichment",
    "dns_servers",
    "databases",
    "exchange_snapshot",
    "own_addresses",
    "stun_servers",
} | ZONES
OPTIONAL = {
    "dont_fragment",
    "receive_all",
    "dscp",
    "ecn",
    "exchange_snapshot",
    "family",
    "flow",
    "flow_label",
    "gap_limit",
    "interface",
    "mark",
    "max_in_flight",
    "max_in_flight_per_destination",
    "mode",
    "overall_timeout",
    "packet_size",
    "packets_per_second",
    "payload_pattern",
    "port",
    "protocol",
    "source",
    "source_port",
}


def home_of(field: str) -> Callable[..., Any]:
    """The class that a field belongs to."""
    (home,) = [kind for kind in CLASSES if field in attrs.fields_dict(kind)]
    return home


def make(field: str, value: object, **others: object) -> Any:
    """A configuration with one field set, and no other in its way."""
    if field == "first_ttl":
        others["max_ttl"] = 255
    return home_of(field)(**{field: value}, **others)


def refused(field: str, value: object) -> ConfigError:
    """The error that a value is refused with; it names the field, the value and the bound."""
    with pytest.raises(ConfigError) as caught:
        make(field, value)
    error = caught.value
    assert error.field == field
    assert error.value is value
    assert str(error) == f"{field}={value!r}: must be {error.bound}"
    assert isinstance(error, ValueError)
    return error


def test_the_tables_above_name_every_field() -> None:
    tables = [set(SECONDS), set(FACTORS), set(WHOLE), FLAGS, set(CHOICES), OTHERS]
    named = set[str]().union(*tables)
    assert sum(map(len, tables)) == len(named)
    assert named == {field.name for kind in CLASSES for field in attrs.fields(kind)}


# --- one field at a time -----------------------------------------------------------------------------

NO_NUMBERS = ["1", b"1", [1.0], 1j, object()]


@pytest.mark.parametrize("field", [*SECONDS, *FACTORS, "packets_per_second"])
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -1, -1e-9, True, False, *NO_NUMBERS], ids=repr
)
def test_a_number_must_be_finite_and_not_negative(field: str, value: object) -> None:
    assert "finite" in refused(field, value).bound


@pytest.mark.parametrize("field", [*SECONDS, *FACTORS, "packets_per_second"])
@given(value=st.floats(min_value=1.0, max_value=1e9) | st.integers(1, 10**9))
def test_a_finite_number_is_accepted(field: str, value: float) -> None:
    assert getattr(make(field, value), field) == value


@pytest.mark.parametrize("field", [*SECONDS, *FACTORS, "packets_per_second"])
@pytest.mark.parametrize(
    "value", [10**9 + 1, 1.1e9, 1e308, 10**400], ids=["int", "float", "1e308", "10**400"]
)
def test_a_number_has_a_largest_value(field: str, value: float) -> None:
    assert "1,000,000,000" in refused(field, value).bound


@pytest.mark.parametrize(("field", "zero"), [*SECONDS.items(), ("packets_per_second", False)])
def test_zero_seconds(field: str, *, zero: bool) -> None:
    if zero:
        assert getattr(make(field, 0.0), field) == 0.0
    else:
        assert "greater than 0" in refused(field, 0.0).bound
        assert "greater than 0" in refused(field, 0).bound


@pytest.mark.parametrize(("field", "low"), FACTORS.items())
def test_a_factor_has_a_smallest_value(field: str, low: float) -> None:
    assert getattr(make(field, low), field) == low
    assert f"from {low:g} to" in refused(field, math.nextafter(low, -math.inf)).bound


@pytest.mark.parametrize(("field", "bounds"), WHOLE.items())
def test_a_whole_number_has_bounds(field: str, bounds: tuple[int, int | None]) -> None:
    low, high = bounds
    assert getattr(make(field, low), field) == low
    assert str(low) in refused(field, low - 1).bound
    refused(field, -(10**30))
    if high is None:
        assert getattr(make(field, 10**12), field) == 10**12
    else:
        assert getattr(make(field, high), field) == high
        assert str(high) in refused(field, high + 1).bound


@pytest.mark.parametrize("field", WHOLE)
@pytest.mark.parametrize("value", [math.nan, math.inf, 100.0, True, False, *NO_NUMBERS], ids=repr)
def test_a_whole_number_is_an_int_and_nothing_like_it(field: str, value: object) -> None:
    assert "whole number" in refused(field, value).bound


@pytest.mark.parametrize("field", WHOLE)
@given(value=st.integers())
def test_a_whole_number_is_kept_or_refused(field: str, value: int) -> None:
    low, high = WHOLE[field]
    if low <= value and (high is None or value <= high):
        assert getattr(make(field, value), field) == value
    else:
        refused(field, value)


@pytest.mark.parametrize("field", sorted(FLAGS))
def test_a_flag_is_a_bool_and_nothing_like_it(field: str) -> None:
    for flag in (True, False):
        assert getattr(make(field, flag), field) is flag
    wrong: tuple[object, ...] = (0, 1, "true", "", 0.0, [])
    for value in wrong:
        assert "True or False" in refused(field, value).bound


@pytest.mark.parametrize(("field", "kind"), CHOICES.items())
def test_a_choice_is_a_member_or_its_value(field: str, kind: type[Enum]) -> None:
    for member in kind:
        assert getattr(make(field, member), field) is member
        assert getattr(make(field, member.value), field) is member
    wrong: tuple[object, ...] = ("nothing", "ICMP", 5, 0, True, 4.5, math.nan, b"udp", [], {})
    for value in wrong:
        bound = refused(field, value).bound
        assert all(repr(member.value) in bound for member in kind)


@pytest.mark.parametrize("field", sorted({field.name for kind in CLASSES for field in attrs.fields(kind)}))
def test_none_is_for_optional_fields(field: str) -> None:
    if field in OPTIONAL:
        assert getattr(make(field, None), field) is None
    else:
        refused(field, None)


@pytest.mark.parametrize("value", ["192.0.2.1", "2001:db8::1", "0.0.0.0", "::ffff:192.0.2.1"])
def test_a_source_is_an_address(value: str) -> None:
    assert TracerouteConfig(source=value).source == value


@pytest.mark.parametrize(
    "value", ["", "example.com", "192.0.2", "192.0.2.256", "192.0.2.1/24", 3221225985, b"\0" * 4]
)
def test_a_source_is_nothing_else(value: object) -> None:
    assert "address" in refused("source", value).bound


@given(value=st.text())
def test_an_interface_is_a_name(value: str) -> None:
    if value and "\0" not in value:
        assert TracerouteConfig(interface=value).interface == value
    else:
        assert "NUL" in refused("interface", value).bound


@pytest.mark.parametrize("value", [1, b"eth0", True, ["eth0"]])
def test_an_interface_is_nothing_else(value: object) -> None:
    refused("interface", value)


@given(value=st.binary(max_size=40))
def test_a_payload_pattern_is_some_bytes(value: bytes) -> None:
    if value:
        assert TracerouteConfig(payload_pattern=value).payload_pattern == value
    else:
        assert "non-empty" in refused("payload_pattern", value).bound


@pytest.mark.parametrize(
    "value",
    ["ab", "", 0xAB, bytearray(b"ab"), memoryview(b"ab"), [0xAB]],
    ids=lambda value: type(value).__name__,
)
def test_a_payload_pattern_is_nothing_else(value: object) -> None:
    assert "bytes" in refused("payload_pattern", value).bound


@pytest.mark.parametrize("value", [None, {}, "fast", 5.0, EnrichmentConfig, TimingConfig])
@pytest.mark.parametrize("field", ["timing", "enrichment"])
def test_the_parts_are_of_their_class(field: str, value: object) -> None:
    refused(field, value)


SERVERS = {
    "192.0.2.53": ("dns", "192.0.2.53", 53),
    "192.0.2.53:5353": ("dns", "192.0.2.53", 5353),
    "2001:db8::53": ("dns", "2001:db8::53", 53),
    "[2001:db8::53]": ("dns", "2001:db8::53", 53),
    "[2001:db8::53]:5353": ("dns", "2001:db8::53", 5353),
    "[fe80::53%eth0]:53": ("dns", "fe80::53%eth0", 53),
    "tls://192.0.2.53": ("tls", "192.0.2.53", 853),
    "tls://dns.example:8853": ("tls", "dns.example", 8853),
    "tls://[2001:db8::53]:853": ("tls", "2001:db8::53", 853),
    "https://dns.example/dns-query": ("https", "dns.example", 443),
    "https://[2001:db8::53]:8443/dns-query": ("https", "2001:db8::53", 8443),
}


@pytest.mark.parametrize(("text", "parts"), SERVERS.items())
def test_a_name_server_is_an_address_or_a_url(text: str, parts: tuple[str, str, int]) -> None:
    server = NameServer.parse(text)
    assert (server.transport, server.host, server.port) == parts
    assert server.url == (text if server.transport == "https" else None)
    assert EnrichmentConfig(dns_servers=(text, "192.0.2.1")).dns_servers == (text, "192.0.2.1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns.example",
        "192.0.2.53:",
        "192.0.2.53:0",
        "192.0.2.53:65536",
        "192.0.2.53:port",
        "192.0.2.53 ",
        "[192.0.2.53]:53",
        "[2001:db8::53]53",
        "tls://",
        "tls://-.example",
        "tls://a..example",
        "udp://192.0.2.53",
        "http://dns.example/dns-query",
        "https:///dns-query",
        "https://user:word@dns.example/dns-query",
        "https://dns.example:0x1bb/dns-query",
        "https://dns.example:70000/dns-query",
        "https://dns.example:0/dns-query",
        "https://dns.example/dns\x01query",
        "x" * 64 + "://192.0.2.53",
        "tls://" + "a." * 127 + "example",
    ],
)
def test_a_name_server_is_nothing_else(text: str) -> None:
    assert "https://HOST/PATH" in refused("dns_servers", (text,)).bound


@pytest.mark.parametrize("value", ["192.0.2.53", ["192.0.2.53"], (53,), (b"192.0.2.53",), (None,), {}])
def test_name_servers_are_a_tuple_of_text(value: object) -> None:
    assert "a tuple of servers" in refused("dns_servers", value).bound


@pytest.mark.parametrize("field", sorted(ZONES))
def test_a_zone_is_the_name_of_one(field: str) -> None:
    for value in ("origin.asn.example", "_asn.example.", "local"):
        assert getattr(make(field, value), field) == value
    for wrong in ("", ".", "a..b", "-a.example", "a b", "a." * 100 + "b", "x" * 64, b"asn.example", 5):
        assert "zone" in refused(field, wrong).bound


# --- several fields ----------------------------------------------------------------------------------


@given(first=st.integers(1, 255), last=st.integers(1, 255))
def test_the_first_ttl_is_not_beyond_the_last(first: int, last: int) -> None:
    if first <= last:
        assert TracerouteConfig(first_ttl=first, max_ttl=last).first_ttl == first
    else:
        with pytest.raises(
            ConfigError, match=rf"first_ttl={first}: must be at most max_ttl, which is {last}"
        ):
            TracerouteConfig(first_ttl=first, max_ttl=last)


@pytest.mark.parametrize("field", ["port", "source_port"])
def test_icmp_has_no_ports(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=53: must be None for ICMP"):
        make(field, 53, protocol=Protocol.ICMP)
    for protocol in (None, Protocol.UDP, Protocol.TCP):
        assert getattr(make(field, 53, protocol=protocol), field) == 53


@pytest.mark.parametrize(("source", "family"), [("192.0.2.1", 6), ("2001:db8::1", 4)])
def test_the_source_is_of_the_family(source: str, family: int) -> None:
    with pytest.raises(FamilyMismatchError) as caught:
        TracerouteConfig(source=source, family=family)
    assert caught.value.field == "source"
    assert TracerouteConfig(source=source, family=10 - family).source == source
    assert TracerouteConfig(source=source).family is None


# --- what all of them are ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_frozen_and_keyword_only(kind: type[Any]) -> None:
    config = kind()
    for field in attrs.fields(kind):
        assert field.kw_only
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(config, field.name, getattr(config, field.name))
    with pytest.raises(TypeError):
        kind(1)
    with pytest.raises((AttributeError, TypeError)):
        config.something_new = 1


@pytest.mark.parametrize("kind", CLASSES)
def test_equal_hashable_and_picklable(kind: type[Any]) -> None:
    config = kind()
    assert config == kind()
    assert hash(config) == hash(kind())
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(config, protocol)) == config


def test_a_copy_is_checked_like_a_new_one() -> None:
    with pytest.raises(ConfigError, match="max_ttl=0"):
        attrs.evolve(TracerouteConfig(), max_ttl=0)


def test_every_field_is_documented() -> None:
    import inspect

    for kind in CLASSES:
        source = inspect.getsource(kind)
        for field in attrs.fields(kind):
            _, _, after = source.partition(f"    {field.name}: ")
            declaration, _, _ = after.partition('"""')
            assert "\n\n" not in declaration, f"{kind.__name__}.{field.name} has no docstring"


def test_presets() -> None:
    ordinary, fast, patient = TimingConfig(), TimingConfig.fast(), TimingConfig.patient()
    for field in ("probe_timeout", "interior_floor", "interior_factor", "tail_floor"):
        assert getattr(fast, field) < getattr(ordinary, field) < getattr(patient, field)
    assert EnrichmentConfig.off() == EnrichmentConfig()
    lookups: dict[str, Any] = dict.fromkeys(("reverse_dns", "asn", "public_address", "segments"), True)
    off, full = EnrichmentConfig.off(), EnrichmentConfig.full()
    assert not any(getattr(off, name) for name in lookups)
    assert EnrichmentConfig.names() == EnrichmentConfig(reverse_dns=True)
    assert attrs.evolve(off, **lookups) == full


def test_the_promised_defaults() -> None:
    config = TracerouteConfig()
    assert (config.first_ttl, config.max_ttl, config.queries) == (1, 30, 3)
    assert config.timing.send_interval == 0
    assert config.max_in_flight is None
    assert {config.protocol, config.mode, config.flow, config.family} == {None}
    assert config.enrichment == EnrichmentConfig.off()


# --- options -----------------------------------------------------------------------------------------


def test_options_replace_fields_of_both_classes() -> None:
    config = TracerouteConfig(queries=5, timing=TimingConfig.patient())
    changed = config.with_options({"max_ttl": 9, "protocol": "udp", "probe_timeout": 0.5})
    assert (changed.max_ttl, changed.protocol, changed.queries) == (9, Protocol.UDP, 5)
    assert changed.timing == attrs.evolve(TimingConfig.patient(), probe_timeout=0.5)
    assert config == TracerouteConfig(queries=5, timing=TimingConfig.patient())


def test_leaf_fields_refine_a_timing_that_is_given_with_them() -> None:
    changed = TracerouteConfig().with_options({"timing": TimingConfig.fast(), "tail_floor": 2.0})
    assert changed.timing == attrs.evolve(TimingConfig.fast(), tail_floor=2.0)


def test_no_options_no_copy() -> None:
    config = TracerouteConfig()
    assert config.with_options({}) is config


@pytest.mark.parametrize("timing", [None, 3.0, "fast"])
def test_a_timing_that_is_none(timing: Any) -> None:
    with pytest.raises(ConfigError, match="timing="):
        TracerouteConfig().with_options({"timing": timing, "probe_timeout": 1.0})


def test_an_unknown_option_is_named_with_those_that_exist() -> None:
    unknown: Any = {"max_hops": 9}
    with pytest.raises(ConfigError, match="max_hops=9: must be an option that exists") as caught:
        TracerouteConfig().with_options(unknown)
    assert "max_ttl" in caught.value.bound
    assert "probe_timeout" in caught.value.bound


def test_an_option_out_of_bounds_is_refused_like_a_field() -> None:
    with pytest.raises(ConfigError, match="probe_timeout=-1"):
        TracerouteConfig().with_options({"probe_timeout": -1})
    with pytest.raises(ConfigError, match="first_ttl=31: must be at most max_ttl"):
        TracerouteConfig().with_options({"first_ttl": 31})


def accepted_type(kind: type[Any], field: str) -> object:
    """What may be passed for a field: what its converter takes, or what it is declared as."""
    converter = getattr(attrs.fields_dict(kind)[field], "converter", None)
    if converter is None:
        return get_type_hints(kind)[field]
    hints = get_type_hints(converter)
    del hints["return"]
    (hint,) = hints.values()
    return hint


def test_trace_options_are_in_step_with_the_fields() -> None:
    options = get_type_hints(TraceOptions)
    fields = {
        field.name: accepted_type(kind, field.name)
        for kind in (TracerouteConfig, TimingConfig)
        for field in attrs.fields(kind)
    }
    assert list(options) == list(fields)
    for name, hint in fields.items():
        assert set(get_args(options[name]) or [options[name]]) == set(get_args(hint) or [hint]), name
    assert TraceOptions.__required_keys__ == frozenset()
