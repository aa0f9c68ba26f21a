"""Every default, bound and timing value of traceprobe: three frozen classes that validate themselves.

No other module holds a number that means time. A configuration flows through the socket factory into
every socket, engine and look-up; nothing is read from the environment or from module state.

This module knows no sockets and no event loops.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final

import attr

from traceprobe._bounds import (
    check_fields,
    checked_by,
    choice,
    factor,
    flag,
    instance,
    number,
    optional,
    pattern,
    seconds,
    text,
    whole,
)
from traceprobe._enrichment_config import EnrichmentConfig
from traceprobe._frozen import frozen
from traceprobe._late import import_when_asked
from traceprobe.errors import ConfigError, FamilyMismatchError

if TYPE_CHECKING:
    from traceprobe._trace_options import TraceOptions as TraceOptions

__all__ = [
    "AddressFamily",
    "EnrichmentConfig",
    "FlowStrategy",
    "Mode",
    "Protocol",
    "TimingConfig",
    "TraceOptions",
    "TracerouteConfig",
]

MAX_TTL: Final = 255
"""The TTL and the hop limit are eight bits wide (RFC 791 section 3.1, RFC 8200 section 3)."""

MAX_PACKET_SIZE: Final = 65535
"""The total length of an IPv4 datagram is sixteen bits wide (RFC 791 section 3.1)."""

MIN_PACKET_SIZE: Final = 28
"""An IPv4 header and the eight bytes that ICMP and UDP begin with; a mode may need more."""


class Protocol(StrEnum):
    """The transport that probes are made of."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"


class AddressFamily(IntEnum):
    """The version field of the IP header."""

    IPV4 = 4
    IPV6 = 6


class FlowStrategy(StrEnum):
    """What routers that balance load per flow get to see.

    ``PARIS`` keeps the flow identifier of all probes of a trace constant, so that they take one path;
    ``CLASSIC`` lets it vary with every probe as the first traceroute did; ``DUBLIN`` varies it on
    purpose, by the probe's flow number, to find parallel paths.
    """

    PARIS = "paris"
    CLASSIC = "classic"
    DUBLIN = "dublin"


class Mode(StrEnum):
    """The ways of probing that traceprobe brings along; one module in ``traceprobe.sockets`` each."""

    LINUX_RAW = "linux_raw"
    LINUX_PING = "linux_ping"
    LINUX_UDP = "linux_udp"
    LINUX_TCP = "linux_tcp"
    BSD_RAW = "bsd_raw"
    DARWIN_DGRAM = "darwin_dgram"
    WINDOWS_ICMP = "windows_icmp"
    WINDOWS_RAW = "windows_raw"


def _protocol(value: Protocol | str | None) -> Protocol | None:
    return choice(Protocol, "protocol", value)


def _mode(value: Mode | str | None) -> Mode | None:
    return choice(Mode, "mode", value)


def _family(value: AddressFamily | int | None) -> AddressFamily | None:
    return choice(AddressFamily, "family", value)


def _flow(value: FlowStrategy | str | None) -> FlowStrategy | None:
    return choice(FlowStrategy, "flow", value)


# --- the classes -------------------------------------------------------------------------------------


@frozen(kw_only=True)
class TimingConfig:
    """Every timing value, in seconds as ``float`` unless it is called a factor.

    How long silence is waited for (``docs/explanation/silence.md`` explains the two estimators):

    * an *interior* probe, one behind which something has answered, is given up after
      ``max(interior_floor, interior_factor * R + interior_jitter_factor * J)``, where ``R`` is the
      slowest round trip seen at its TTL or farther on, and ``J`` is how much slower a hop has been
      than itself or something behind it;
    * a probe in the *tail*, behind which nothing has answered yet, after
      ``max(tail_floor, tail_factor * S)``, where ``S`` is the slowest round trip of the trace;
    * ``probe_timeout`` caps both.

    Raises:
        ConfigError: A value is out of its bounds; the error names field, value and bound.
    """

    probe_timeout: float = attr.field(default=5.0, metadata=checked_by(seconds()))
    """Longest wait for one reply, whatever the estimators say."""

    interior_floor: float = attr.field(default=0.0175, metadata=checked_by(seconds(zero=True)))
    """Shortest wait for a silent hop behind which something has answered."""

    interior_factor: float = attr.field(default=1.4, metadata=checked_by(factor(1.0)))
    """Factor on the slowest round trip seen farther on."""

    interior_jitter_factor: float = attr.field(default=2.0, metadata=checked_by(factor(0.0)))
    """Factor on the jitter that the path has shown."""

    tail_floor: float = attr.field(default=1.0, metadata=checked_by(seconds(zero=True)))
    """Shortest wait for hops behind which nothing has answered."""

    tail_factor: float = attr.field(default=3.0, metadata=checked_by(factor(1.0)))
    """Factor on the slowest round trip of the trace."""

    send_interval: float = attr.field(default=0.0, metadata=checked_by(seconds(zero=True)))
    """Time between two probes of a trace; 0 sends all that is due at once."""

    pacing_burst: float = attr.field(default=0.01, metadata=checked_by(seconds()))
    """How much unused sending time ``packets_per_second`` lets be made up for at once."""

    overall_timeout: float | None = attr.field(default=None, metadata=checked_by(seconds(optional=True)))
    """The whole trace ends after this time with what it knows then; None sets no such bound."""

    enrichment_timeout: float = attr.field(default=2.0, metadata=checked_by(seconds(zero=True)))
    """How long a finished trace waits for look-ups that are still on their way."""

    dns_timeout: float = attr.field(default=1.0, metadata=checked_by(seconds()))
    """How long one DNS server is waited for before it, or the next one, is asked again."""

    dns_ttl_limit: float = attr.field(default=86400.0, metadata=checked_by(seconds(zero=True)))
    """Longest time that an answer is remembered, whatever its TTL says."""

    dns_negative_ttl_limit: float = attr.field(default=3600.0, metadata=checked_by(seconds(zero=True)))
    """Longest time that the absence of a name is remembered, whatever its zone says (RFC 2308 section 5)."""

    dns_failure_ttl: float = attr.field(default=5.0, metadata=checked_by(seconds(zero=True)))
    """How long a question is not asked again after it could not be answered (RFC 9520 section 3.2)."""

    stun_rto: float = attr.field(default=0.5, metadata=checked_by(seconds()))
    """How long a STUN server is waited for before the first repetition; then twice as long each time
    (RFC 8489 section 6.2.1: RTO)."""

    stun_last_wait_factor: float = attr.field(default=16.0, metadata=checked_by(factor(1.0)))
    """How many times ``stun_rto`` the last repetition is waited for (RFC 8489 section 6.2.1: Rm)."""

    stun_next_server: float = attr.field(default=1.0, metadata=checked_by(seconds(zero=True)))
    """How long a STUN server is waited for before the next one is asked as well."""

    public_address_ttl: float = attr.field(default=3600.0, metadata=checked_by(seconds(zero=True)))
    """How long the public address of this machine is remembered."""

    identifier_quarantine: float = attr.field(default=10.0, metadata=checked_by(seconds(zero=True)))
    """How long the wire identifier of a probe that was given up rests before another probe gets it."""

    clock_step_tolerance: float = attr.field(default=0.001, metadata=checked_by(seconds()))
    """How far the system clock may move against the monotonic clock within one round trip before the
    kernel's time stamps of that round trip are not believed."""

    def __attrs_post_init__(self) -> None:
        """Check each field."""
        check_fields(self)

    @classmethod
    def fast(cls) -> TimingConfig:
        """The impatient preset: a silent tail costs a fifth of a second instead of a whole one."""
        return cls(
            probe_timeout=1.0,
            interior_floor=0.01,
            interior_factor=1.25,
            interior_jitter_factor=1.0,
            tail_floor=0.2,
            tail_factor=2.0,
        )

    @classmethod
    def patient(cls) -> TimingConfig:
        """For routers that are slow to answer: finds a hop four times slower than what lies behind it."""
        return cls(probe_timeout=10.0, interior_floor=0.1, interior_factor=4.0, tail_floor=3.0)


def _check_source(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    if value is None:
        return
    try:
        if not isinstance(value, str):
            raise ValueError(value)
        ipaddress.ip_address(value)
    except ValueError:
        raise ConfigError(attribute.name, value, "an IPv4 or IPv6 address of this machine, or None") from None


@frozen(kw_only=True)
class TracerouteConfig:
    """How to trace. Immutable; derive another with :func:`attrs.evolve` or :meth:`with_options`.

    Raises:
        ConfigError: A value is out of its bounds, or two values contradict each other.
        FamilyMismatchError: ``source`` is not of the ``family`` asked for.
    """

    protocol: Protocol | None = attr.field(default=None, converter=_protocol)
    """Transport of the probes; None takes the best of ICMP (raw), ICMP (ping socket) and UDP. An
    explicit protocol never turns into another."""

    mode: Mode | None = attr.field(default=None, converter=_mode)
    """Way of probing; None takes the best that platform and privileges allow."""

    family: AddressFamily | None = attr.field(default=None, converter=_family)
    """Address family (4 or 6); None takes the first address that the target resolves to."""

    flow: FlowStrategy | None = attr.field(default=None, converter=_flow)
    """Flow strategy; None takes the steadiest that the mode can hold, and the result says which."""

    first_ttl: int = attr.field(default=1, metadata=checked_by(whole(1, MAX_TTL)))
    """TTL or hop limit of the nearest hop to probe."""

    max_ttl: int = attr.field(default=30, metadata=checked_by(whole(1, MAX_TTL)))
    """TTL or hop limit of the farthest hop to probe."""

    queries: int = attr.field(default=3, metadata=checked_by(whole(1, 100)))
    """Probes per hop."""

    retries: int = attr.field(default=0, metadata=checked_by(whole(0, 10)))
    """How often a silent hop is probed once more, one probe at a time."""

    gap_limit: int | None = attr.field(default=None, metadata=checked_by(whole(1, MAX_TTL, optional=True)))
    """End after this many silent hops in a row with nothing behind them; None: only at ``max_ttl``."""

    stop_on_loop: bool = attr.field(default=True, metadata=checked_by(flag))
    """End when the same cycle of addresses has been seen twice in full."""

    max_in_flight: int | None = attr.field(default=None, metadata=checked_by(whole(1, optional=True)))
    """Most probes of a trace that may be outstanding at once; None sends all that is due at once."""

    packets_per_second: float | None = attr.field(
        default=None,
        metadata=checked_by(number("packets per second", optional=True)),
    )
    """Most probes that a ``Tracer`` sends in a second, over all its traces; None: no such limit."""

    max_in_flight_per_destination: int | None = attr.field(
        default=None, metadata=checked_by(whole(1, optional=True))
    )
    """Most probes that a ``Tracer`` has outstanding towards one destination, over all its traces."""

    port: int | None = attr.field(default=None, metadata=checked_by(whole(1, 65535, optional=True)))
    """Destination port of UDP and TCP probes (the first one where the flow varies by port); None is
    33434 for UDP and 80 for TCP."""

    source_port: int | None = attr.field(default=None, metadata=checked_by(whole(1, 65535, optional=True)))
    """Source port of UDP and TCP probes; None lets the kernel choose."""

    packet_size: int | None = attr.field(
        default=None, metadata=checked_by(whole(MIN_PACKET_SIZE, MAX_PACKET_SIZE, optional=True))
    )
    """Size of each probe in bytes, IP header included; None is 60 for IPv4 and 80 for IPv6."""

    source: str | None = attr.field(default=None, metadata=checked_by(_check_source))
    """Source address of the probes; None lets the routing table choose."""

    interface: str | None = attr.field(default=None, metadata=checked_by(text))
    """Network interface that the probes leave by; None lets the routing table choose."""

    mark: int | None = attr.field(default=None, metadata=checked_by(whole(0, 0xFFFFFFFF, optional=True)))
    """Firewall mark of the probes (``SO_MARK``, Linux)."""

    dscp: int | None = attr.field(default=None, metadata=checked_by(whole(0, 63, optional=True)))
    """Differentiated services code point of the probes (RFC 2474); None is 0."""

    ecn: int | None = attr.field(default=None, metadata=checked_by(whole(0, 3, optional=True)))
    """Explicit congestion notification bits of the probes (RFC 3168); None is 0, not ECN-capable."""

    flow_label: int | None = attr.field(default=None, metadata=checked_by(whole(0, 0xFFFFF, optional=True)))
    """IPv6 flow label of the probes (RFC 6437), the first one where the flow varies; None lets the mode
    choose one and hold it constant within a flow."""

    payload_pattern: bytes | None = attr.field(default=None, metadata=checked_by(pattern))
    """Bytes that the payload behind what identifies a probe is filled with, over and over; None is zeros."""

    dont_fragment: bool | None = attr.field(default=None, metadata=checked_by(optional(flag)))
    """Set the don't-fragment bit (IPv4) or forbid local fragmentation (IPv6); None: as the mode does."""

    receive_all: bool | None = attr.field(default=None, metadata=checked_by(optional(flag)))
    """Have Windows hand over every packet of the interface (``SIO_RCVALL``), for networks where a raw socket
    gets no answers otherwise; None and False do without."""

    receive_buffer: int = attr.field(default=4 * 1024 * 1024, metadata=checked_by(whole(2048, 2**30)))
    """Bytes of receive buffer asked for on each socket; the kernel may grant less."""

    timing: TimingConfig = attr.field(
        factory=TimingConfig, metadata=checked_by(instance(TimingConfig, "a TimingConfig"))
    )
    """Every timing value."""

    enrichment: EnrichmentConfig = attr.field(
        factory=EnrichmentConfig, metadata=checked_by(instance(EnrichmentConfig, "an EnrichmentConfig"))
    )
    """What to look up about each address."""

    def __attrs_post_init__(self) -> None:
        """Check each field, and then what concerns more than one."""
        check_fields(self)
        if self.first_ttl > self.max_ttl:
            raise ConfigError("first_ttl", self.first_ttl, f"at most max_ttl, which is {self.max_ttl}")
        for name in ("port", "source_port"):
            value = getattr(self, name)
            if value is not None and self.protocol is Protocol.ICMP:
                raise ConfigError(name, value, "None for ICMP, which has no ports; choose UDP or TCP")
        if self.source is not None and self.family is not None:
            version = ipaddress.ip_address(self.source).version
            if version != self.family:
                raise FamilyMismatchError("source", self.source, f"an IPv{self.family.value} address")

    def with_options(self, options: TraceOptions) -> TracerouteConfig:
        """Return a copy with some fields replaced; leaf fields of ``timing`` may be named directly.

        Args:
            options: Fields of this class and of :class:`TimingConfig` by name.

        Raises:
            ConfigError: A name is unknown, or a value is out of its bounds.
        """
        if not options:
            return self
        own: dict[str, Any] = {}
        timing: dict[str, Any] = {}
        for name, value in options.items():
            if name in _CONFIG_FIELDS:
                own[name] = value
            elif name in _TIMING_FIELDS:
                timing[name] = value
            else:
                known = ", ".join(sorted((*_CONFIG_FIELDS, *_TIMING_FIELDS)))
                raise ConfigError(name, value, f"an option that exists; these do: {known}")
        if timing:
            base = own.get("timing", self.timing)
            if not isinstance(base, TimingConfig):
                raise ConfigError("timing", base, "a TimingConfig")
            own["timing"] = attr.evolve(base, **timing)
        return attr.evolve(self, **own)


_CONFIG_FIELDS: Final = frozenset(field.name for field in attr.fields(TracerouteConfig))
_TIMING_FIELDS: Final = frozenset(field.name for field in attr.fields(TimingConfig))


if not TYPE_CHECKING:
    # What only checkers of types need.
    __getattr__ = import_when_asked(__name__, {"TraceOptions": "traceprobe._trace_options"})
