"""The keyword options of a trace, as checkers of types see them.

A class of its own for as many fields takes longer to make than to check them; a trace doesn't need it.
"""

from __future__ import annotations

from typing import TypedDict

# Not for checkers alone: whoever resolves the annotations finds them here.
from traceprobe.config import (  # noqa: TC001
    AddressFamily,
    EnrichmentConfig,
    FlowStrategy,
    Mode,
    Protocol,
    TimingConfig,
)


class TraceOptions(TypedDict, total=False):
    """The keyword options of every ``trace`` function: the fields of both configuration classes, flat."""

    protocol: Protocol | str | None
    mode: Mode | str | None
    family: AddressFamily | int | None
    flow: FlowStrategy | str | None
    first_ttl: int
    max_ttl: int
    queries: int
    retries: int
    gap_limit: int | None
    stop_on_loop: bool
    max_in_flight: int | None
    packets_per_second: float | None
    max_in_flight_per_destination: int | None
    port: int | None
    source_port: int | None
    packet_size: int | None
    source: str | None
    interface: str | None
    mark: int | None
    dscp: int | None
    ecn: int | None
    flow_label: int | None
    payload_pattern: bytes | None
    dont_fragment: bool | None
    receive_all: bool | None
    receive_buffer: int
    timing: TimingConfig
    enrichment: EnrichmentConfig
    probe_timeout: float
    interior_floor: float
    interior_factor: float
    interior_jitter_factor: float
    tail_floor: float
    tail_factor: float
    send_interval: float
    pacing_burst: float
    overall_timeout: float | None
    enrichment_timeout: float
    dns_timeout: float
    dns_ttl_limit: float
    dns_negative_ttl_limit: float
    dns_failure_ttl: float
    stun_rto: float
    stun_last_wait_factor: float
    stun_next_server: float
    public_address_ttl: float
    identifier_quarantine: float
    clock_step_tolerance: float
