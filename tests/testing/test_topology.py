"""The topology model: validation, walking a path, and JSON documents both ways."""

from __future__ import annotations

import json
from ipaddress import ip_address
from itertools import islice
from typing import Any

import pytest

from traceprobe.config import Protocol
from traceprobe.errors import ConfigError
from traceprobe.model import ExtensionObject, InterfaceInformation, InterfaceRole, MplsLabel
from traceprobe.packets import IcmpUnreachableCode, Icmpv6UnreachableCode
from traceprobe.testing.topology import (
    Balanced,
    Balancing,
    Fault,
    FaultKind,
    Loop,
    Path,
    RateLimit,
    RouteChange,
    Router,
    Target,
    Topology,
    UdpAnswer,
    Unreachability,
    branch_of,
)


def first_branch(index: int, balanced: Balanced) -> int:
    return 0


def everything() -> Topology:
    return Topology(
        paths=(
            Path(
                Target(
                    ["192.0.2.9", "2001:db8::9"],
                    rtt=0.05,
                    udp="data",
                    tcp="closed",
                    hostname="target.example",
                    rate_limit=RateLimit(1.0, 6),
                    faults=[Fault("duplicate", share=0.5, delay=0.25), "corrupt"],
                ),
                [
                    "198.51.100.1",
                    None,
                    Router(
                        ["198.51.100.2", "2001:db8:1::2"],
                        rtt=0.02,
                        jitter=0.001,
                        loss=0.1,
                        quote=8,
                        reply_ttl=128,
                        hostname="two.example",
                        forwarding_loss=0.25,
                        refuses="admin",
                        mtu=1400,
                        mpls=[16001, MplsLabel(24005, 1, 1, 254)],
                        interfaces=[
                            InterfaceInformation(
                                InterfaceRole.INCOMING, 7, ip_address("198.51.100.2"), "eth0", 1500
                            ),
                            InterfaceInformation(InterfaceRole.NEXT_HOP, address=ip_address("2001:db8::1")),
                        ],
                        extensions=[ExtensionObject(3, 2, b"\x00\x2a")],
                        legacy_extensions=True,
                        ttl_zero_forwarding=True,
                        nat=["203.0.113.77", "2001:db8:77::1"],
                        dscp=46,
                        ecn=1,
                    ),
                    Balanced([["198.51.100.3"], [None, "198.51.100.4"]], per="packet"),
                    Loop(["198.51.100.5", Router("198.51.100.6", rtt=0.09)]),
                ],
                changes=[RouteChange(2.5, [None, "198.51.100.7"])],
                hop_rtt=0.002,
            ),
            Path("203.0.113.9"),
        ),
        sources=("192.0.2.1",),
        names={"example.com": ["192.0.2.9", "2001:db8::9"], "example.org": "203.0.113.9"},
        denied={"icmp"},
    )


def test_a_document_survives_json_and_gives_the_same_topology() -> None:
    topology = everything()
    document = json.loads(json.dumps(topology.to_dict()))
    assert Topology.from_dict(document) == topology
    assert Topology.from_dict(document).to_dict() == topology.to_dict()


def test_a_document_leaves_defaults_out_and_writes_plain_hops_short() -> None:
    topology = Topology(paths=(Path.to("192.0.2.9", ["198.51.100.1", None, "192.0.2.9"]),))
    assert topology.to_dict() == {
        "paths": [{"target": {"addresses": ["192.0.2.9"]}, "hops": ["198.51.100.1", None]}]
    }
    assert Topology().to_dict() == {}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"path": []}, "path"),
        ({"paths": {}}, "paths"),
        ({"paths": [{"hops": []}]}, "paths[0].target"),
        ({"paths": [{"target": "nowhere"}]}, "paths[0].target"),
        ({"paths": [{"target": {"addresses": []}}]}, "paths[0].target.addresses"),
        (
            {"paths": [{"target": "192.0.2.9", "hops": [None, {"addresses": "192.0.2.1", "loss": 2}]}]},
            "paths[0].hops[1].loss",
        ),
        (
            {"paths": [{"target": "192.0.2.9", "hops": [{"branches": [["192.0.2.1"]]}]}]},
            "paths[0].hops[0].branches",
        ),
        (
            {"paths": [{"target": "192.0.2.9", "hops": [{"branches": [["192.0.2.1"], ["x"]]}]}]},
            "paths[0].hops[0].branches[1][0]",
        ),
        (
            {"paths": [{"target": "192.0.2.9", "hops": [{"routers": []}]}]},
            "paths[0].hops[0].routers",
        ),
        (
            {"paths": [{"target": "192.0.2.9", "hops": [{"faults": ["odd"]}]}]},
            "paths[0].hops[0].faults[0].kind",
        ),
        (
            {"paths": [{"target": "192.0.2.9", "hops": [{"rate_limit": {"per_second": 1}}]}]},
            "paths[0].hops[0].rate_limit.burst",
        ),
        ({"paths": [{"target": "192.0.2.9", "hops": [7]}]}, "paths[0].hops[0]"),
        ({"paths": [{"target": "192.0.2.9", "changes": [{"at": -1, "hops": []}]}]}, "paths[0].changes[0].at"),
        ({"paths": [{"target": "192.0.2.9"}, {"target": "192.0.2.9"}]}, "paths[1].target"),
        ({"names": ["x"]}, "names"),
        ({"denied": ["smoke"]}, "denied"),
        ({"sources": ["192.0.2.1", "192.0.2.2"]}, "addresses"),
        ([], "topology"),
    ],
)
def test_a_bad_document_is_refused_with_the_place(document: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Topology.from_dict(document)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "build",
    [
        lambda: Router("192.0.2.300"),
        lambda: Router("fe80::1%eth0"),
        lambda: Router(["192.0.2.1", "192.0.2.2"]),
        lambda: Router("192.0.2.1", rtt=-1.0),
        lambda: Router("192.0.2.1", rtt=float("nan")),
        lambda: Router("192.0.2.1", rtt=True),
        lambda: Router("192.0.2.1", jitter=float("inf")),
        lambda: Router("192.0.2.1", loss=1.5),
        lambda: Router("192.0.2.1", silent=1),  # type: ignore[arg-type]
        lambda: Router("192.0.2.1", quote=-1),
        lambda: Router("192.0.2.1", reply_ttl=0),
        lambda: Router("192.0.2.1", hostname=""),
        lambda: Router("192.0.2.1", refuses="whim"),
        lambda: Router("192.0.2.1", mtu=67),
        lambda: Router("192.0.2.1", rate_limit=3),  # type: ignore[arg-type]
        lambda: RateLimit(-1.0, 1),
        lambda: RateLimit(1.0, 0),
        lambda: Fault("late", delay=-1.0),
        lambda: Target(),
        lambda: Target("192.0.2.9", udp="song"),
        lambda: Balanced([["192.0.2.1"]]),
        lambda: Balanced([["192.0.2.1"], ["192.0.2.2"]], per="moon"),
        lambda: Balanced([["192.0.2.1"], "192.0.2.2"]),
        lambda: Balanced([["192.0.2.1"], [Loop(["192.0.2.2"])]]),  # type: ignore[list-item]
        lambda: Loop([]),
        lambda: Path("192.0.2.9", "192.0.2.1"),
        lambda: Path("192.0.2.9", [Loop(["192.0.2.1"]), "192.0.2.2"]),
        lambda: Path("192.0.2.9", changes=["soon"]),  # type: ignore[list-item]
        lambda: Path.to("192.0.2.9", [Target("192.0.2.8")]),
        lambda: Path.to("192.0.2.9", [Target("192.0.2.9"), "192.0.2.9"]),
        lambda: Path.to("192.0.2.9", "192.0.2.9"),
        lambda: Topology(paths=("192.0.2.9",)),  # type: ignore[arg-type]
    ],
)
def test_a_value_out_of_its_bounds_is_refused(build: Any) -> None:
    with pytest.raises(ConfigError):
        build()


def test_a_path_is_walked_with_round_trips_that_grow_unless_they_are_named() -> None:
    path = Path.to("192.0.2.9", ["198.51.100.1", Router("198.51.100.2", rtt=0.03), None, "192.0.2.9"])
    stations = list(path.stations(0.0, first_branch))
    assert [s.responder.address(4) for s in stations] == [
        ip_address("198.51.100.1"),
        ip_address("198.51.100.2"),
        None,
        ip_address("192.0.2.9"),
    ]
    assert [s.rtt for s in stations] == pytest.approx([0.001, 0.03, 0.031, 0.032])
    assert isinstance(stations[-1].responder, Target)


def test_a_list_that_does_not_end_with_its_destination_leads_into_silence() -> None:
    *_, last = Path.to("192.0.2.9", ["198.51.100.1", None]).stations(0.0, first_branch)
    assert last.responder.silent


def test_branches_may_differ_in_length() -> None:
    path = Path("192.0.2.9", [Balanced([["198.51.100.1"], ["198.51.100.2", "198.51.100.3"]])])
    assert len(list(path.stations(0.0, lambda *_: 0))) == 2
    assert len(list(path.stations(0.0, lambda *_: 1))) == 3


def test_a_loop_goes_round_for_ever_and_each_turn_takes_as_long_as_the_first() -> None:
    path = Path("192.0.2.9", [Router("198.51.100.1", rtt=0.01), Loop(["198.51.100.2", "198.51.100.3"])])
    stations = list(islice(path.stations(0.0, first_branch), 7))
    assert [str(s.responder.address(4))[-1] for s in stations] == list("1232323")
    assert [s.rtt for s in stations] == pytest.approx([0.010, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016])


def test_a_loop_whose_routers_are_nearer_than_the_hop_before_still_gets_farther_away() -> None:
    path = Path("192.0.2.9", [Router("198.51.100.1", rtt=0.5), Loop([Router("198.51.100.2", rtt=0.1)])])
    assert [s.rtt for s in islice(path.stations(0.0, first_branch), 4)] == pytest.approx([
        0.5,
        0.1,
        0.101,
        0.102,
    ])


def test_a_route_changes_at_its_time() -> None:
    path = Path.to(
        "192.0.2.9",
        ["198.51.100.1", "192.0.2.9"],
        changes={2.0: ["198.51.100.3", "192.0.2.9"], 1.0: ["198.51.100.2", "192.0.2.9"]},
    )
    seen = [next(path.stations(at, first_branch)).responder.address(4) for at in (0.0, 0.999, 1.0, 2.0, 9.0)]
    assert [str(address)[-1] for address in seen] == list("11233")


@pytest.mark.parametrize("branches", [2, 3, 5])
def test_branches_are_chosen_evenly_and_each_balancer_on_its_own(branches: int) -> None:
    counts: dict[tuple[int, int], int] = {}
    for flow in range(3000):
        key = b"\xc0\x00\x02\x01\xc0\x00\x02\x09\x11" + flow.to_bytes(2, "big") + b"\x82\x9a"
        pair = branch_of(key, 1, branches), branch_of(key, 2, branches)
        counts[pair] = counts.get(pair, 0) + 1
    expected = 3000 / branches**2
    assert len(counts) == branches**2
    assert all(0.7 * expected < count < 1.3 * expected for count in counts.values())


def test_the_branch_of_a_flow_is_fixed_for_all_implementations() -> None:
    # Ground truth for the other implementations of the model; a change here breaks them.
    assert [branch_of(b"flow", index, 4) for index in range(8)] == [2, 1, 1, 3, 1, 0, 2, 3]


def test_names_and_routes_are_found() -> None:
    topology = everything()
    assert topology.routes[ip_address("2001:db8::9")] is topology.paths[0]
    assert topology.hostnames == {
        ip_address("198.51.100.2"): "two.example",
        ip_address("2001:db8:1::2"): "two.example",
        ip_address("192.0.2.9"): "target.example",
        ip_address("2001:db8::9"): "target.example",
    }
    assert topology.names["example.org"] == (ip_address("203.0.113.9"),)
    assert topology.source(4) == ip_address("192.0.2.1")
    assert topology.source(6) is None
    assert topology.denied == {Protocol.ICMP}


def test_words_are_accepted_for_members() -> None:
    assert Balanced([["192.0.2.1"], [None]], per="packet").per is Balancing.PACKET
    assert Fault("late").kind is FaultKind.LATE
    assert Target("192.0.2.9", udp="silent").udp is UdpAnswer.SILENT
    assert Router("192.0.2.1", refuses="host").refuses is Unreachability.HOST


def test_numbers_are_labels_with_the_last_at_the_bottom() -> None:
    assert Router("192.0.2.1", mpls=[16001, 24005]).mpls == (
        MplsLabel(16001, 0, 0, 1),
        MplsLabel(24005, 0, 1, 1),
    )


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("mpls", 16001, "mpls"),
        ("mpls", "16001", "mpls"),
        ("mpls", [1 << 20], "mpls[0].label"),
        ("mpls", [True], "mpls[0]"),
        ("mpls", [1, MplsLabel(1, 8, 0, 0)], "mpls[1].tc"),
        ("mpls", [MplsLabel(1, 0, 2, 0)], "mpls[0].s"),
        ("mpls", [MplsLabel(1, 0, 0, 256)], "mpls[0].ttl"),
        ("interfaces", ["eth0"], "interfaces[0]"),
        ("interfaces", [InterfaceInformation(InterfaceRole.INCOMING, -1)], "interfaces[0].index"),
        ("interfaces", [InterfaceInformation(InterfaceRole.INCOMING, mtu=1 << 32)], "interfaces[0].mtu"),
        ("interfaces", [InterfaceInformation(InterfaceRole.INCOMING, name="x" * 64)], "interfaces[0].name"),
        ("extensions", [b"bytes"], "extensions[0]"),
        ("extensions", [ExtensionObject(256, 0, b"")], "extensions[0].class_num"),
        ("extensions", [ExtensionObject(0, -1, b"")], "extensions[0].c_type"),
        ("extensions", [ExtensionObject(0, 0, bytes(256))], "extensions[0].payload"),
        ("nat", "nowhere", "addresses"),
        ("dscp", 64, "dscp"),
        ("ecn", 4, "ecn"),
        ("ttl_zero_forwarding", 1, "ttl_zero_forwarding"),
        ("legacy_extensions", None, "legacy_extensions"),
    ],
)
def test_what_no_router_can_say_is_refused(field: str, value: object, place: str) -> None:
    options: Any = {field: value}
    with pytest.raises(ConfigError) as caught:
        Router("192.0.2.1", **options)
    assert caught.value.field == place


@pytest.mark.parametrize(
    ("hop", "place"),
    [
        ({"mpls": [{"label": 1}]}, "mpls[0].s"),
        ({"mpls": [{"label": 1 << 20, "tc": 0, "s": 0, "ttl": 0}]}, "mpls[0].label"),
        ({"interfaces": [{"role": "sideways"}]}, "interfaces[0].role"),
        ({"interfaces": [{"role": "incoming", "address": "nowhere"}]}, "interfaces[0].address"),
        ({"extensions": [{"class_num": 1, "c_type": 1, "payload": "0"}]}, "extensions[0].payload"),
        ({"extensions": [{"class_num": 1, "c_type": 1, "payload": 0}]}, "extensions[0].payload"),
    ],
)
def test_a_document_is_told_where_it_is_wrong(hop: object, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Topology.from_dict({"paths": [{"target": "192.0.2.9", "hops": [hop]}]})
    assert caught.value.field == f"paths[0].hops[0].{place}"


@pytest.mark.parametrize("version", [4, 6])
def test_every_unreachability_has_a_code(version: int) -> None:
    codes = {kind.icmp(version) for kind in Unreachability}
    unreachable = {4: (3, IcmpUnreachableCode), 6: (1, Icmpv6UnreachableCode)}[version]
    every = {(unreachable[0], int(code)) for code in unreachable[1]}
    # One has a type of its own, a packet too big; in IPv6, so does an unknown protocol.
    assert codes == {4: every - {(3, 4)}, 6: every | {(4, 1)}}[version]
