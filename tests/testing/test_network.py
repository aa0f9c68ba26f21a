"""Whole traces over simulated networks: what routers and targets do, over every protocol and family."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import Any

import anyio
import pytest

import traceprobe
from traceprobe import (
    ConfigError,
    FlowStrategy,
    NameResolutionError,
    NoUsableSocketError,
    PrivilegeError,
    Protocol,
    ReplyKind,
    SendError,
    StopReason,
    TimestampSource,
    TraceResult,
    TracerouteConfig,
    UnsupportedOption,
)
from traceprobe.config import AddressFamily
from traceprobe.packets import IPv4Header, IPv6Header, parse_ip
from traceprobe.testing import (
    Balanced,
    Loop,
    Path,
    RateLimit,
    Router,
    SimulatedNetwork,
    Target,
    Topology,
    Unreachability,
)

V4, V6 = "192.0.2.9", "2001:db8::9"
PROTOCOLS = [Protocol.ICMP, Protocol.UDP, Protocol.TCP]
ANSWERS = {
    Protocol.ICMP: ReplyKind.ECHO_REPLY,
    Protocol.UDP: ReplyKind.PORT_UNREACHABLE,
    Protocol.TCP: ReplyKind.SYN_ACK,
}
FAMILIES = [4, 6]


def dual(*hops: Any, target: dict[str, Any] | None = None, **options: Any) -> SimulatedNetwork:
    """One path that is the same for both families."""
    path = Path(Target([V4, V6], **(target or {})), hops)
    return SimulatedNetwork(Topology(paths=[path], names={"both.example": [V4, V6]}), **options)


def router(number: int, **options: Any) -> Router:
    return Router([f"198.51.100.{number}", f"2001:db8:1::{number}"], **options)


def addresses(result: TraceResult) -> list[str]:
    """The last group of each hop's address, or a star."""
    return [
        "*" if hop.address is None else str(hop.address).replace(":", ".").rsplit(".", 1)[1] for hop in result
    ]


def target_of(family: int) -> str:
    return V4 if family == 4 else V6


async def trace(network: SimulatedNetwork, family: int = 4, **options: Any) -> TraceResult:
    return await traceprobe.trace_async(target_of(family), socket_factory=network, **options)


def test_a_test_takes_three_lines() -> None:
    network = SimulatedNetwork.path(V4, ["198.51.100.1", None, Router("198.51.100.3", rtt=0.02), V4], seed=1)
    result = traceprobe.trace(V4, socket_factory=network)
    assert [hop.address and str(hop.address) for hop in result] == ["198.51.100.1", None, "198.51.100.3", V4]


@pytest.mark.parametrize("flow", FlowStrategy)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_every_hop_is_right(family: int, protocol: Protocol, flow: FlowStrategy) -> None:
    network = dual(router(1), None, router(3, rtt=0.0203), router(4))
    result = await trace(network, family, protocol=protocol, flow=flow, max_ttl=5)
    assert result.stop_reason is StopReason.DESTINATION_REACHED
    assert (result.mode, result.protocol, result.flow) == ("simulated", protocol, flow)
    assert addresses(result) == ["1", "*", "3", "4", "9"]
    assert result.discarded == {"unmatched": 0}
    rtts = [[probe.rtt_ns for probe in hop.probes] for hop in result]
    assert rtts == [[1_000_000] * 3, [None] * 3, [20_300_000] * 3, [21_300_000] * 3, [22_300_000] * 3]
    for ttl, hop in enumerate(result, 1):
        for probe in hop.probes:
            if hop.address is not None:
                assert probe.timestamp_source is TimestampSource.SIMULATED
                assert probe.reply_ttl == (255 - ttl + 1 if ttl < 5 else 60)
    kind = ANSWERS[protocol]
    assert {probe.reply for probe in result.hops[-1].probes} == {kind}
    assert network.open_sockets == 0


@pytest.mark.parametrize("family", FAMILIES)
async def test_thirty_silent_hops_take_exactly_the_configured_time(family: int) -> None:
    network = SimulatedNetwork.paths({V4: [], V6: []})
    before = network.clock.monotonic_ns()
    result = await trace(network, family, tail_floor=2.345678901, max_ttl=30)
    assert result.stop_reason is StopReason.MAX_TTL
    assert result.duration_ns == 2_345_678_901
    assert network.clock.monotonic_ns() - before == 2_345_678_901
    assert len(network.sent) == 90
    assert not network.received


async def test_nothing_passes_beyond_the_end_of_a_list_without_its_destination() -> None:
    network = SimulatedNetwork.path(V4, ["198.51.100.1"])
    result = await trace(network, max_ttl=4)
    assert addresses(result) == ["1", "*", "*", "*"]


# --- chance --------------------------------------------------------------------------------------------


async def test_the_same_seed_gives_the_same_packets_on_every_event_loop() -> None:
    def build(seed: int) -> SimulatedNetwork:
        return dual(router(1, jitter=0.01), router(2, loss=0.5, jitter=0.01), seed=seed)

    async def packets(seed: int) -> list[tuple[int, str, bytes]]:
        network = build(seed)
        await trace(network, queries=10, max_ttl=3)
        await trace(network, 6, queries=10, max_ttl=3, protocol="udp")
        return [(packet.at_ns, packet.direction, packet.datagram) for packet in network.packets]

    first = await packets(1)
    assert await packets(1) == first
    assert await packets(2) != first
    # As on every machine: this holds the seeds of chance in place.
    assert Counter(direction for _, direction, _ in first) == {"sent": 60, "received": 51, "lost": 9}


async def test_jitter_stays_within_its_bounds_and_uses_them() -> None:
    network = dual(router(1, rtt=0.01, jitter=0.004))
    result = await trace(network, queries=100, max_ttl=1)
    rtts = [probe.rtt_ns for probe in result.hops[0].probes if probe.rtt_ns is not None]
    assert len(rtts) == 100
    assert 10_000_000 <= min(rtts) < 10_400_000
    assert 13_600_000 < max(rtts) <= 14_000_000


async def test_replies_get_lost_as_often_as_they_should_and_what_passes_does_not() -> None:
    network = dual(router(1, loss=0.3), router(2))
    result = await trace(network, queries=100, max_ttl=3)
    assert 20 <= 100 - result.hops[0].received <= 40
    assert result.hops[1].received == result.hops[2].received == 100


async def test_packets_that_pass_get_lost_as_often_as_they_should() -> None:
    network = dual(router(1, forwarding_loss=0.3), router(2), seed=1)
    result = await trace(network, queries=100, max_ttl=3)
    assert result.hops[0].received == 100
    assert all(60 <= hop.received <= 80 for hop in result.hops[1:])
    assert "dropped by 198.51.100.1" in network.transcript()


# --- what routers do -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_rate_limit_is_a_bucket_that_refills(family: int) -> None:
    network = dual(router(1, rate_limit=RateLimit(2.0, burst=3)), router(2))
    first = await trace(network, family, queries=5)
    assert (first.hops[0].received, first.hops[1].received) == (3, 5)
    await network.clock.pass_time(1.0)
    second = await trace(network, family, queries=5)
    assert second.hops[0].received == 2
    assert second.reached
    assert "over its rate limit" in network.transcript()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_echo_replies_are_not_limited_and_port_unreachables_are(protocol: Protocol) -> None:
    network = dual(target={"rate_limit": RateLimit(0.0, burst=2)})
    result = await trace(network, protocol=protocol, queries=5)
    assert result.hops[0].received == (2 if protocol is Protocol.UDP else 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_eight_quoted_bytes_are_enough(family: int, protocol: Protocol) -> None:
    result = await trace(dual(router(1, quote=8)), family, protocol=protocol)
    assert addresses(result) == ["1", "9"]


@pytest.mark.parametrize(("family", "longest"), [(4, 576), (6, 1280)])
async def test_quotes_are_as_long_as_the_rfcs_allow(family: int, longest: int) -> None:
    network = dual(router(1), router(2, quote=100))
    await trace(network, family, packet_size=1400, queries=1)
    sizes = [len(packet.datagram) for packet in network.received[:2]]
    header = 20 if family == 4 else 40
    assert sizes == [longest, header + 8 + header + 100]


async def test_a_quote_without_a_transport_header_is_refused() -> None:
    network = dual(router(1, quote=0))
    result = await trace(network, max_ttl=2)
    assert addresses(result) == ["*", "9"]
    assert result.discarded == {"unmatched": 0, "malformed": 3}


async def test_replies_whose_ttl_does_not_suffice_never_arrive() -> None:
    network = dual(router(1, reply_ttl=1), router(2, reply_ttl=1), router(3, reply_ttl=3))
    result = await trace(network)
    assert addresses(result) == ["1", "*", "3", "9"]
    assert [hop.probes[0].reply_ttl for hop in result] == [1, None, 1, 61]


@pytest.mark.parametrize("kind", list(Unreachability))
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_router_may_refuse_to_forward(family: int, kind: Unreachability) -> None:
    network = dual(router(1), router(2, refuses=kind))
    # A router that says that the port is unreachable is no destination: the address tells.
    result = await trace(network, family, max_ttl=5)
    assert addresses(result)[:3] == ["1", "2", "2"]
    probe = result.hops[2].probes[0]
    assert (probe.icmp_type, probe.icmp_code) == kind.icmp(family)
    assert not result.reached or kind in {Unreachability.PORT, Unreachability.PROTOCOL}


@pytest.mark.parametrize(
    ("family", "dont_fragment", "refused"), [(4, True, True), (4, False, False), (6, None, True)]
)
async def test_too_large_packets_are_refused_where_they_may_not_be_fragmented(
    family: int, dont_fragment: bool | None, refused: bool
) -> None:
    network = dual(router(1), router(2, mtu=1300), router(3))
    fits = await trace(network, family, packet_size=1300, dont_fragment=dont_fragment)
    assert fits.reached
    result = await trace(network, family, packet_size=1301, dont_fragment=dont_fragment, max_ttl=4)
    assert result.reached is not refused
    if refused:
        probe = result.hops[2].probes[0]
        assert (probe.reply, probe.mtu) == (ReplyKind.PACKET_TOO_BIG, 1300)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_loop_is_gone_round_until_the_packet_expires(protocol: Protocol) -> None:
    network = dual(router(1), Loop([router(2), router(3)]))
    result = await trace(network, protocol=protocol, max_ttl=9, stop_on_loop=False)
    assert addresses(result) == list("123232323")
    assert (await trace(network, protocol=protocol)).stop_reason is StopReason.LOOP


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_constant_flow_takes_one_branch_and_a_varying_one_both(
    family: int, protocol: Protocol
) -> None:
    balanced = Balanced([[router(2)], [router(3)]])
    paris = await trace(
        dual(router(1), balanced), family, protocol=protocol, flow="paris", queries=20, max_ttl=3
    )
    assert len(paris.hops[1].addresses) == 1
    classic = await trace(
        dual(router(1), balanced), family, protocol=protocol, flow="classic", queries=20, max_ttl=3
    )
    assert len(classic.hops[1].addresses) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_each_dublin_flow_is_one_path(family: int, protocol: Protocol) -> None:
    diamond = Balanced([[router(2), router(3)], [router(4), router(5)]])
    result = await trace(
        dual(router(1), diamond, router(6)), family, protocol=protocol, flow="dublin", queries=20, max_ttl=5
    )
    assert result.flow is FlowStrategy.DUBLIN
    near, far = result.hops[1:3]
    assert len(near.addresses) == len(far.addresses) == 2
    assert [probe.flow for probe in near.probes] == list(range(20))
    branches = {str(address): branch for branch in ((2, 3), (4, 5)) for address in ends(branch)}
    for first, second in zip(near.probes, far.probes, strict=True):
        assert first.flow == second.flow
        assert branches[str(first.address)] == branches[str(second.address)], "a flow on two branches"


def ends(branch: tuple[int, int]) -> list[str]:
    """The addresses of the routers of a branch."""
    return [str(address) for number in branch for address in router(number).addresses]


async def test_a_balancer_may_choose_for_every_packet() -> None:
    result = await trace(dual(Balanced([[router(1)], [router(2)]], per="packet")), queries=40, max_ttl=2)
    assert min(responder.replies for responder in result.hops[0].responders) >= 10


async def test_branches_of_different_lengths_show_the_target_at_two_distances() -> None:
    network = dual(Balanced([[router(1)], [router(2), router(3)]], per="packet"))
    result = await trace(network, queries=30, max_ttl=3)
    assert result.hops[1].addresses != (ip_address(V4),)
    assert ip_address(V4) in result.hops[1].addresses


async def test_a_route_changes_while_the_network_runs() -> None:
    network = SimulatedNetwork.path(
        V4, ["198.51.100.1", V4], changes={10.0: ["198.51.100.2", "198.51.100.3", V4]}
    )
    assert addresses(await trace(network)) == ["1", "9"]
    await network.clock.pass_time(10.0)
    assert addresses(await trace(network)) == ["2", "3", "9"]


async def test_a_router_with_the_destinations_address_is_but_a_hop() -> None:
    network = SimulatedNetwork.path(V4, [Router(V4), "198.51.100.2", V4])
    result = await trace(network)
    assert addresses(result) == ["9", "2", "9"]
    assert result.reached


# --- what targets do -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_target_may_ignore_echo_requests_and_still_answer_udp(family: int) -> None:
    network = dual(router(1), target={"echo": False})
    assert not (await trace(network, family, max_ttl=3)).reached
    assert (await trace(network, family, protocol="udp")).reached


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_open_port_may_answer_with_data_or_not_at_all(family: int) -> None:
    result = await trace(dual(router(1), target={"udp": "data"}), family, protocol="udp")
    assert {probe.reply for probe in result.hops[1].probes} == {ReplyKind.UDP_DATA}
    result = await trace(dual(router(1), target={"udp": "silent"}), family, protocol="udp", max_ttl=3)
    assert addresses(result) == ["1", "*", "*"]


# --- names and look-ups ----------------------------------------------------------------------------------


async def test_target_names_are_resolved_in_order_and_by_family() -> None:
    network = dual(router(1))
    assert str((await traceprobe.trace_async("both.example", socket_factory=network)).address) == V4
    result = await traceprobe.trace_async("BOTH.example.", socket_factory=network, family=6)
    assert str(result.address) == V6
    with pytest.raises(NameResolutionError):
        await traceprobe.trace_async("none.example", socket_factory=network)
    only_v4 = SimulatedNetwork.path(V4, [V4], names={"v4.example": V4})
    with pytest.raises(NameResolutionError):
        await traceprobe.trace_async("v4.example", socket_factory=only_v4, family=6)
    assert [str(address) for address in await network.lookup(V6, None)] == [V6]


async def test_host_names_come_after_their_delay_in_virtual_time() -> None:
    network = dual(
        router(1, hostname="one.example"), router(2), target={"hostname": "host.example"}, resolver_delay=0.05
    )
    result = await trace(network, queries=1, resolver=network.resolver)
    assert [hop.hostname for hop in result] == ["one.example", None, "host.example"]
    assert {str(address) for address in network.resolver.asked} == {"198.51.100.1", "198.51.100.2", V4}
    # The last one was asked for when the target had answered, after 3 ms.
    assert network.clock.monotonic_ns() == 53_000_000


async def test_a_name_service_that_is_too_slow_is_not_waited_for() -> None:
    network = dual(router(1, hostname="one.example"), resolver_delay=9.0)
    result = await trace(network, resolver=network.resolver, enrichment_timeout=0.25)
    assert result.hops[0].hostname is None
    assert network.clock.monotonic_ns() == 252_000_000


# --- opening ---------------------------------------------------------------------------------------------


async def test_permission_can_be_denied() -> None:
    no_icmp = SimulatedNetwork.path(V4, [V4], denied=["icmp"])
    assert (await trace(no_icmp)).protocol is Protocol.UDP
    with pytest.raises(PrivilegeError) as caught:
        await trace(no_icmp, protocol="icmp")
    assert caught.value.remedies
    nothing = SimulatedNetwork.paths({V4: [V4]}, denied=["icmp", "udp"])
    with pytest.raises(PrivilegeError):
        await trace(nothing)


async def test_a_port_rules_icmp_out() -> None:
    result = await trace(dual(), port=5000)
    assert (result.protocol, result.port) == (Protocol.UDP, 5000)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "linux_raw"},
        {"interface": "eth0"},
        {"mark": 1},
        {"flow_label": 1},
    ],
)
async def test_options_that_a_simulation_has_no_use_for_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOption):
        await trace(dual(), **options)


async def test_the_simulated_machine_has_its_own_addresses() -> None:
    network = dual()
    result = await trace(network, source="192.0.2.77")
    assert str(result.source) == "192.0.2.77"
    with pytest.raises(ConfigError, match=r"192\.0\.2\.77"):
        await trace(network, source="192.0.2.78")
    no_v6 = SimulatedNetwork(Topology(paths=[Path(V6)], sources=["192.0.2.77"]))
    with pytest.raises(NoUsableSocketError):
        await trace(no_v6, 6)


async def test_a_size_that_no_probe_can_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="packet_size"):
        await trace(dual(), packet_size=29)


async def test_a_destination_that_no_path_leads_to_can_not_be_sent_to() -> None:
    with pytest.raises(SendError, match="Network is unreachable"):
        await traceprobe.trace_async("203.0.113.5", socket_factory=dual())


def test_a_network_is_made_of_a_topology() -> None:
    with pytest.raises(ConfigError):
        SimulatedNetwork([V4])  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
async def test_socket_options_are_in_the_packets(family: int) -> None:
    network = dual(router(1))
    await trace(network, family, protocol="udp", dscp=46, dont_fragment=True, source_port=40000, port=7000)
    for packet in network.sent:
        header = parse_ip(packet.datagram).header
        assert header.traffic_class == 46 << 2
        assert parse_ip(packet.datagram).payload[:4] == bytes([0x9C, 0x40, 0x1B, 0x58])
        if family == 4:
            assert isinstance(header, IPv4Header)
            assert header.flags == 2
        else:
            assert isinstance(header, IPv6Header)


# --- several traces --------------------------------------------------------------------------------------


async def test_traces_share_a_socket_and_keep_their_replies_apart() -> None:
    hosts = [f"203.0.113.{number}" for number in range(1, 21)]
    network = SimulatedNetwork.paths({
        host: [f"198.51.100.{number}", "192.0.2.1", host] for number, host in enumerate(hosts, 1)
    })
    results: dict[str, TraceResult] = {}

    async def one(tracer: traceprobe.Tracer, host: str) -> None:
        results[host] = await tracer.trace(host)

    async with traceprobe.Tracer(socket_factory=network) as tracer, anyio.create_task_group() as tasks:
        for host in hosts:
            tasks.start_soon(one, tracer, host)
    for number, host in enumerate(hosts, 1):
        assert addresses(results[host]) == [str(number), "1", str(number)]
    assert network.open_sockets == 0
    identifiers = {parse_ip(packet.datagram).payload[4:6].tobytes() for packet in network.sent}
    assert len(identifiers) == 1  # one socket


async def test_options_of_the_socket_keep_traces_apart() -> None:
    network = dual()
    base = TracerouteConfig()
    v4 = AddressFamily.IPV4
    key = network.socket_key(base, v4)
    assert network.socket_key(base.with_options({"queries": 7, "max_ttl": 3}), v4) == key
    others: list[dict[str, Any]] = [
        {"dscp": 1},
        {"flow": "classic"},
        {"protocol": "udp"},
        {"port": 5},
        {"source_port": 5},
        {"receive_buffer": 4096},
        {"identifier_quarantine": 1.0},
    ]
    keys = {network.socket_key(base.with_options(options), v4) for options in others}  # type: ignore[arg-type]
    assert len(keys) == len(others)
    assert key not in keys
    assert network.socket_key(base, AddressFamily.IPV6) != key


async def test_leaving_a_trace_early_gives_everything_back_and_leaves_the_network_usable() -> None:
    network = dual(*(router(number) for number in range(1, 9)))
    async with traceprobe.open_trace(V4, socket_factory=network) as opened:
        async for hop in opened:
            assert hop.ttl == 1
            break
    assert network.open_sockets == 0
    assert (await trace(network)).reached


async def test_time_does_not_pass_when_nobody_cares() -> None:
    network = dual(router(1, rtt=5.0), router(2, rtt=0.001), target={"rtt": 0.002})
    await trace(network, interior_floor=0.01)
    ended_ns = network.clock.monotonic_ns()
    assert ended_ns < 100_000_000
    await anyio.wait_all_tasks_blocked()
    assert network.clock.monotonic_ns() == ended_ns


async def test_a_transcript_tells_of_every_packet() -> None:
    network = SimulatedNetwork.path(
        V4,
        [Router("198.51.100.1"), None, Router("198.51.100.3", mtu=1000, quote=3), Target(V4, udp="data")],
        seed=5,
    )
    await trace(network, protocol="udp", source_port=40000, queries=1, max_ttl=4)
    await trace(network, queries=1, first_ttl=4, packet_size=1001, dont_fragment=True, max_ttl=4)
    assert [line.strip() for line in network.transcript().splitlines()] == EXPECTED
    assert [packet.probe.ttl for packet in network.sent if packet.probe] == [1, 2, 3, 4, 4]
    assert all(packet.reply is not None for packet in (network.received[0], network.received[2]))


EXPECTED = [
    "0.000000 ms  ->  192.0.2.77 > 192.0.2.9  ttl 1  60 bytes  udp 40000 > 33434 checksum 0xffb3",
    "0.000000 ms  ->  192.0.2.77 > 192.0.2.9  ttl 2  60 bytes  udp 40000 > 33434 checksum 0xca65",
    "0.000000 ms  ->  192.0.2.77 > 192.0.2.9  ttl 3  60 bytes  udp 40000 > 33434 checksum 0xe04f",
    "0.000000 ms  ->  192.0.2.77 > 192.0.2.9  ttl 4  60 bytes  udp 40000 > 33434 checksum 0xe024",
    (
        "1.000000 ms  --  192.0.2.77 > 192.0.2.9  ttl 1  60 bytes  udp 40000 > 33434 checksum 0xca65"
        "  [a router without an address is silent]"
    ),
    (
        "1.000000 ms  <-  198.51.100.1 > 192.0.2.77  ttl 255  88 bytes  time exceeded (11/0)"
        " quoting 192.0.2.9 ttl 1 udp 40000 > 33434 checksum 0xffb3"
    ),
    (
        "3.000000 ms  <-  198.51.100.3 > 192.0.2.77  ttl 253  51 bytes  time exceeded (11/0)"
        " quoting 192.0.2.9 ttl 1 3 bytes of protocol 17  [refused: malformed]"
    ),
    "4.000000 ms  <-  192.0.2.9 > 192.0.2.77  ttl 61  60 bytes  udp 33434 > 40000 checksum 0xe024",
    "17.500000 ms  ->  192.0.2.77 > 192.0.2.9  ttl 4  1001 bytes  echo request id 0x6d68 seq 0xe9cd",
    (
        "20.500000 ms  <-  198.51.100.3 > 192.0.2.77  ttl 253  51 bytes  packet too big (3/4) mtu 1000"
        " quoting 192.0.2.9 ttl 2 3 bytes of protocol 1  [refused: malformed]"
    ),
]
