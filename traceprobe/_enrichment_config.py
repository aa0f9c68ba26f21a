"""What is looked up about addresses, where, and how much of it at once; times are in ``TimingConfig``.

Part of :mod:`traceprobe.config`, which is where to import it from. Knows no resolver.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import attr

from traceprobe._bounds import check_fields, checked_by, flag, whole
from traceprobe._frozen import frozen
from traceprobe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS: Final = {"dns": 53, "tls": 853, "https": 443}
"""RFC 1035 section 4.2, RFC 7858 section 3.1, RFC 8484 section 4.1."""

STUN_PORT: Final = 3478
"""RFC 8489 section 8."""

_SERVER_BOUND: Final = (
    "an address with an optional port ('192.0.2.53', '192.0.2.53:5353', '[2001:db8::53]:5353'), "
    "'tls://HOST[:PORT]' or 'https://HOST/PATH'"
)

_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@frozen
class NameServer:
    """One DNS server, and how to talk to it."""

    transport: Literal["dns", "tls", "https"]
    """Plain DNS (RFC 1035), DNS over TLS (RFC 7858) or DNS over HTTPS (RFC 8484)."""
    host: str
    """Address, or a host name where the transport authenticates one."""
    port: int
    url: str | None = None
    """Where DNS over HTTPS is spoken."""

    @classmethod
    def parse(cls, text: str) -> NameServer:
        """Read a server as it is written in a configuration.

        Raises:
            ValueError: It is none.
        """
        if not text.isprintable():  # the zone of an address may be anything
            raise ValueError(text)
        scheme, separator, rest = text.partition("://")
        if not separator:
            host, port = _split_port(text)
            ipaddress.ip_address(host)
            return cls("dns", host, _PORTS["dns"] if port is None else port)
        if scheme == "tls":
            host, port = _split_port(rest)
            _check_host(host)
            return cls("tls", host, _PORTS["tls"] if port is None else port)
        if scheme == "https":
            from urllib.parse import urlsplit

            parts = urlsplit(text)
            host = parts.hostname or ""
            _check_host(host)
            if parts.username is not None or parts.password is not None or parts.fragment:
                raise ValueError(text)
            if not text.isprintable() or parts.port == 0:
                raise ValueError(text)
            return cls("https", host, _PORTS["https"] if parts.port is None else parts.port, text)
        raise ValueError(text)


def _split_port(text: str) -> tuple[str, int | None]:
    """Split ``HOST``, ``HOST:PORT``, ``[HOST]:PORT`` or a bare IPv6 address."""
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::([0-9]{1,5}))?", text)
    if bracketed is not None:
        ipaddress.IPv6Address(bracketed[1])
        host, digits = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
        if re.fullmatch(r"[0-9]{1,5}", digits) is None:
            raise ValueError(text)
    else:
        host, digits = text, None
    if digits is None:
        return host, None
    port = int(digits)
    if not 1 <= port <= 65535:
        raise ValueError(text)
    return host, port


def _check_host(text: str) -> None:
    """Raise ValueError unless it is an address or a host name (RFC 1123 section 2.1)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise


def _check_servers(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    bound = f"a tuple of servers, each {_SERVER_BOUND}; empty for those of the system"
    _check_each(attribute.name, value, bound, NameServer.parse)


def stun_server(text: str) -> tuple[str, int]:
    """Host and port of a STUN server, as it is written in a configuration.

    Raises:
        ValueError: It is none.
    """
    host, port = _split_port(text)
    _check_host(host)
    return host, STUN_PORT if port is None else port


def _check_stun_servers(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    bound = "a tuple of servers, each a host name or an address with an optional port ('192.0.2.53:3478')"
    _check_each(attribute.name, value, bound, stun_server)
    if not value:
        raise ConfigError(attribute.name, value, bound + "; at least one")


def _check_addresses(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    _check_each(attribute.name, value, "a tuple of IPv4 and IPv6 addresses", ipaddress.ip_address)


def _check_paths(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    _check_each(attribute.name, value, "a tuple of paths, each a non-empty string", _check_is_path)


def _check_path(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    if value is not None and (not isinstance(value, str) or not _is_path(value)):
        raise ConfigError(attribute.name, value, "a path, as a non-empty string, or None")


def _is_path(text: str) -> bool:
    return text != "" and "\0" not in text


def _check_is_path(text: str) -> None:
    if not _is_path(text):
        raise ValueError(text)


def _check_each(field: str, value: Any, bound: str, check: Callable[[str], object]) -> None:  # noqa: ANN401
    """Refuse a value that is no tuple of strings that all pass a check."""
    try:
        if not isinstance(value, tuple):
            raise ValueError(value)
        for item in value:
            if not isinstance(item, str):
                raise ValueError(item)
            check(item)
    except ValueError:
        raise ConfigError(field, value, bound) from None


def _check_zone(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    labels = value.removesuffix(".").split(".") if isinstance(value, str) else []
    # The longest name asked for below it is that of an IPv6 address: 64 characters (RFC 3596 section 2.5).
    if not labels or len(value) > 253 - 64 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ConfigError(attribute.name, value, "the name of a DNS zone")


@frozen(kw_only=True)
class EnrichmentConfig:
    """What to look up about the addresses of a path. Off by default: nothing leaves the machine unasked.

    Raises:
        ConfigError: A value is out of its bounds.
    """

    reverse_dns: bool = attr.field(default=False, metadata=checked_by(flag))
    """Host name of each responder."""

    asn: bool = attr.field(default=False, metadata=checked_by(flag))
    """Autonomous system that announces each responder's address."""

    public_address: bool = attr.field(default=False, metadata=checked_by(flag))
    """Address under which the Internet sees this machine, asked of ``stun_servers``: it tells which network
    connects this machine, and so implies ``segments``. Nobody is asked for a family that ``own_addresses``
    has an address of."""

    segments: bool = attr.field(default=False, metadata=checked_by(flag))
    """Which part of the path each responder belongs to, and why. It follows from what the other look-ups
    tell; by itself it asks nobody but for the networks of both ends, if networks are looked up at all."""

    databases: tuple[str, ...] = attr.field(default=(), metadata=checked_by(_check_paths))
    """Files in MaxMind's format that networks and places are read from (extra ``geo``), most trusted first;
    what they know counts before what ``asn`` finds out."""

    exchange_snapshot: str | None = attr.field(default=None, metadata=checked_by(_check_path))
    """Snapshot of PeeringDB, a file or a directory, that Internet exchanges are recognised by."""

    own_addresses: tuple[str, ...] = attr.field(default=(), metadata=checked_by(_check_addresses))
    """Public addresses of this machine, if they are known; the first one of each family counts."""

    stun_servers: tuple[str, ...] = attr.field(
        default=("stun.cloudflare.com:3478", "stun.l.google.com:19302"),
        metadata=checked_by(_check_stun_servers),
    )
    """Whom to ask for the public address, in order of preference. Nobody is asked unless ``public_address``
    is set."""

    stun_requests: int = attr.field(default=7, metadata=checked_by(whole(1, 16)))
    """How often a STUN server is asked before it is given up (RFC 8489 section 6.2.1: Rc)."""

    dns_servers: tuple[str, ...] = attr.field(default=(), metadata=checked_by(_check_servers))
    """Whom to ask, in order of preference; empty asks whom the system asks. An address, with a port if it
    is not 53; ``tls://HOST`` for DNS over TLS; ``https://HOST/dns-query`` for DNS over HTTPS."""

    dns_attempts: int = attr.field(default=2, metadata=checked_by(whole(1, 10)))
    """How often each server is asked before a look-up has failed."""

    dns_cache_size: int = attr.field(default=10_000, metadata=checked_by(whole(0)))
    """Most answers of each kind that a ``Tracer`` remembers."""

    asn_zone: str = attr.field(default="origin.asn.cymru.com", metadata=checked_by(_check_zone))
    """Zone that tells the origin of IPv4 addresses, in the format of Team Cymru's service."""

    asn_zone_ipv6: str = attr.field(default="origin6.asn.cymru.com", metadata=checked_by(_check_zone))
    """Zone that tells the origin of IPv6 addresses."""

    asn_name_zone: str = attr.field(default="asn.cymru.com", metadata=checked_by(_check_zone))
    """Zone that tells the names of autonomous systems."""

    max_lookups: int = attr.field(default=64, metadata=checked_by(whole(1)))
    """Most look-ups of each kind that a ``Tracer`` has on their way at once; the others wait."""

    def __attrs_post_init__(self) -> None:
        """Check each field."""
        check_fields(self)

    @classmethod
    def off(cls) -> EnrichmentConfig:
        """Look nothing up."""
        return cls()

    @classmethod
    def names(cls) -> EnrichmentConfig:
        """Host names only."""
        return cls(reverse_dns=True)

    @classmethod
    def full(cls) -> EnrichmentConfig:
        """Everything that can be asked of somebody; files are named by their fields."""
        return cls(reverse_dns=True, asn=True, public_address=True, segments=True)
