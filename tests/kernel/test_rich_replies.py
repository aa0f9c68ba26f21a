"""What replies tell beyond who and when, through the kernel: with privileges and without.

Scenarios of the simulated internet say what its answers hold, traces what was read of them. Without
privileges the kernel shows less of a quote; what each way of probing says that it sees, it must see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import inside
from tests.rigs.namespaces import Privileges
from tests.rigs.tun import Manner, Translation
from tests.rigs.tun.simulated import load_manners, load_scenario
from traceprobe.config import Mode
from traceprobe.model import ChangedField
from traceprobe.sockets._catalogue import LINUX, ModeFacts
from traceprobe.testing.topology import Path, Router, Target, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.tun import SimulatedInternet
    from tests.rigs.unprivileged import PortableInterpreter

pytestmark = [pytest.mark.tun, pytest.mark.unprivileged]

TARGETS = {4: "203.0.113.9", 6: "2001:db8:9::9"}
QUICK = {"tail_floor": 0.1}

both_versions = pytest.mark.parametrize("version", [4, 6])
every_way = pytest.mark.parametrize("facts", LINUX, ids=lambda facts: f"{facts.mode}-{facts.protocol}")


@pytest.fixture(scope="module", autouse=True)
def _open_ping_sockets(internet: SimulatedInternet) -> None:
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")


class Tracing:
    """Traces through the simulated internet, each mode with no more privileges than it needs."""

    def __init__(self, internet: SimulatedInternet, interpreter: PortableInterpreter) -> None:
        self.internet = internet
        self._interpreter = interpreter

    def load(self, scenario: str) -> None:
        """Follow a scenario file."""
        self.internet.load(load_scenario(scenario), manners=load_manners(scenario))

    def trace(self, version: int, facts: ModeFacts, **options: Any) -> dict[str, Any]:
        """Trace; the document, which names the mode."""
        target = options.pop("target", TARGETS[version])
        choice = {"mode": facts.mode.value, "protocol": facts.protocol.value, **options}
        document: dict[str, Any] = self._call(facts, inside.trace, target, choice)
        assert (document["mode"], document["protocol"]) == (facts.mode.value, facts.protocol.value)
        return document

    def trace_all(self, facts: ModeFacts, targets: list[str], **options: Any) -> list[dict[str, Any]]:
        """Trace many targets at once."""
        choice = {"mode": facts.mode.value, "protocol": facts.protocol.value, **options}
        documents: list[dict[str, Any]] = self._call(facts, inside.trace_all, targets, choice)
        return documents

    def _call(self, facts: ModeFacts, *arguments: Any) -> Any:
        if facts.mode is Mode.LINUX_RAW:
            return self.internet.call(*arguments)
        return self.internet.call(*arguments, privileges=Privileges.NOBODY, interpreter=self._interpreter)


@pytest.fixture
def tracing(internet: SimulatedInternet, portable_interpreter: PortableInterpreter) -> Tracing:
    return Tracing(internet, portable_interpreter)


def first_probes(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [hop["probes"][0] for hop in document["hops"]]


def changes_of(probe: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change["field"]: (change["sent"], change["seen"]) for change in probe["changes"]}


# --- extensions --------------------------------------------------------------------------------------------


def _said(manner: Manner | None) -> dict[str, Any]:
    """What a probe's document has to say of a router's extension."""
    if manner is None or manner.spoil in {"checksum", "version", "object"}:
        manner = Manner()
    return {
        "mpls": [dict(zip(("label", "tc", "s", "ttl"), entry, strict=True)) for entry in manner.mpls],
        "interfaces": [
            {name: getattr(one, name) for name in ("role", "index", "address", "name", "mtu")}
            for one in manner.interfaces
        ],
        "extensions": [
            {"class_num": number, "c_type": kind, "payload": payload}
            for number, kind, payload in manner.objects
        ],
    }


@both_versions
@every_way
def test_extensions_of_every_kind_and_form_are_read(tracing: Tracing, version: int, facts: ModeFacts) -> None:
    assert facts.sees_extensions
    tracing.load("extensions")
    manners = load_manners("extensions")
    document = tracing.trace(version, facts)
    assert document["reached"]
    assert [hop["received"] for hop in document["hops"]] == [3] * 13
    for hop in document["hops"]:
        for probe in hop["probes"]:
            expected = _said(manners.get(probe["address"]))
            if probe["reply"] in {"echo_reply", "syn_ack"}:
                expected = _said(None)
            assert {name: probe[name] for name in expected} == expected, hop["ttl"]
            assert probe["changes"] == []


@both_versions
@every_way
def test_extensions_behind_short_and_long_quotes_are_read(
    tracing: Tracing, version: int, facts: ModeFacts
) -> None:
    """Zeros that fill a short quote up to the extension are no payload that somebody has changed."""
    tracing.load("quotes")
    for size in (None, 1300) if "packet_size" in facts.options else (None,):
        document = tracing.trace(version, facts, packet_size=size, port=None, **QUICK)
        labels = [[entry["label"] for entry in probe["mpls"]] for probe in first_probes(document)]
        expected: list[list[int]] = [[], [], [16003], [16004], [16005], [16006], [], [16008], []]
        assert labels == expected
        # The seventh router quotes nothing of the transport header, so nobody can tell whose probe it was.
        received = [hop["received"] for hop in document["hops"]]
        assert received == [3, 3, 3, 3, 3, 3, 0, 3, 3]
        assert all(probe["changes"] == [] for hop in document["hops"] for probe in hop["probes"])
        assert not any(hop["nat"] for hop in document["hops"])


@both_versions
@pytest.mark.parametrize("flow", ["paris", "dublin"])
def test_a_constant_flow_without_privileges_needs_more_than_eight_quoted_bytes(
    tracing: Tracing, version: int, flow: str
) -> None:
    """With less, only one probe at a time can be told for certain; many at once are never guessed at."""
    (facts,) = (facts for facts in LINUX if facts.mode is Mode.LINUX_UDP)
    assert facts.flows[0] == "classic"  # for this reason
    routers = [Router([f"198.51.100.{number}", f"2001:db8:1::{number}"], quote=8) for number in (1, 2, 3)]
    routers[1] = Router(routers[1].addresses)
    target = Target(list(TARGETS.values()), quote=8)
    tracing.internet.load(Topology(paths=[Path(target, routers)]))
    for options, expected in (({}, [0, 3, 0, 0]), ({"max_in_flight": 1}, [3, 3, 3, 3])):
        document = tracing.trace(version, facts, flow=flow, max_ttl=4, **options, **QUICK)
        assert [hop["received"] for hop in document["hops"]] == expected
        assert document["discarded"].get("ambiguous", 0) == expected.count(0) * 3


# --- what the path did -------------------------------------------------------------------------------------


def _sees(facts: ModeFacts, version: int, field: ChangedField) -> bool:
    from traceprobe.config import AddressFamily

    return field in facts.changes_seen(AddressFamily(version))


@both_versions
@every_way
def test_what_the_path_changed_is_reported_where_it_is_seen(
    tracing: Tracing, version: int, facts: ModeFacts
) -> None:
    tracing.load("path_changes")
    document = tracing.trace(version, facts, dont_fragment=True, **QUICK)
    inside_address = "100.64.0.9" if version == 4 else "2001:db8:4e41:54::9"
    own_address = "192.0.2.77" if version == 4 else "2001:db8::77"
    probes = first_probes(document)
    changes = [changes_of(probe) for probe in probes]
    size = {(4, "tcp"): 60, (6, "tcp"): 80}.get((version, facts.protocol.value), 60 if version == 4 else 80)
    expected: list[dict[str, tuple[Any, Any]]] = [{} for _ in range(11)]
    if facts.mode is Mode.LINUX_RAW:
        expected[1] = {"dscp": (0, 10)}
        expected[2] = {"ecn": (0, 3)}
        expected[5] = {"total_length": (size, 56 if version == 4 else 52)}
        expected[7] = {"source": (own_address, inside_address)}
        if version == 4:
            expected[3] = {"identification": (0, 0x1234)}
    for number, one in enumerate(expected):
        seen = changes[number]
        assert {name: value for name, value in seen.items() if name in one} == one, number + 1
    if facts.mode is Mode.LINUX_RAW:
        assert changes[0] == changes[10] == {}
        assert set(changes[1]) == {"dscp"}
        assert set(changes[2]) == {"ecn"}
        if version == 4:
            assert set(changes[6]) == {"ip_checksum"}
        else:
            assert set(changes[3]) == {"flow_label"}
            assert changes[3]["flow_label"][1] == 0xABCDE
            assert set(changes[4]) == {"dscp", "ecn", "flow_label"}
        summed = set() if (version, facts.protocol) == (4, "icmp") else {"transport_checksum"}
        assert set(changes[7]) == {"source"} | summed
        assert set(changes[8]) == summed
        assert [hop["nat"] for hop in document["hops"][:8]] == [False] * 7 + [True]
        assert document["hops"][8]["nat"] is bool(summed)
        # A changed port, or identifier, makes it somebody else's probe.
        assert document["hops"][9]["received"] == 0
        assert document["discarded"]["rewritten"] == 3
    else:
        seen_fields = {ChangedField(name) for one in changes for name in one}
        assert all(_sees(facts, version, field) for field in seen_fields)
        if _sees(facts, version, ChangedField.TRANSPORT_CHECKSUM) and version == 6:
            assert set(changes[7]) == set(changes[8]) == {"transport_checksum"}
        assert document["hops"][9]["received"] == 0
        assert {hop["nat"] for hop in document["hops"]} == {None}
    for number in (0, 1, 2, 3, 4, 5, 6, 8, 10):
        assert probes[number]["status"] == "reply", number + 1


def test_a_dont_fragment_bit_that_was_set_on_the_way_is_seen(tracing: Tracing) -> None:
    tracing.load("path_changes")
    for facts in LINUX:
        if facts.mode is Mode.LINUX_RAW:
            document = tracing.trace(4, facts, dont_fragment=False, **QUICK)
            assert changes_of(document["hops"][4]["probes"][0]) == {"dont_fragment": (0, 1)}


@both_versions
@every_way
def test_changed_transport_headers_and_payloads_are_seen(
    tracing: Tracing, version: int, facts: ModeFacts
) -> None:
    """Bytes of the transport header and the payload; sequence, ports and the token are left alone."""
    patches = {
        "icmp": [("payload", ((24, "ff"),))],
        "udp": [("payload", ((24, "ff"),))],
        "tcp": [
            ("tcp_flags", ((13, "0a"),)),
            ("tcp_window", ((14, "1000"),)),
            ("tcp_options", ((22, "0550"),)),
        ],
    }[facts.protocol.value]
    routers = [
        Router([f"198.51.100.{number}", f"2001:db8:1::{number}"]) for number in range(1, len(patches) + 1)
    ]
    manners = {
        str(router.address(version)): Manner(patches=patch, checksum_stale=True)
        for router, (_, patch) in zip(routers, patches, strict=True)
    }
    manners[TARGETS[version]] = Manner(tcp={80: "open"})
    tracing.internet.load(Topology(paths=[Path(Target(list(TARGETS.values())), routers)]), manners=manners)
    document = tracing.trace(version, facts)
    assert [hop["received"] for hop in document["hops"]] == [3] * (len(patches) + 1)
    for hop, (field, _) in zip(document["hops"], patches, strict=False):
        visible = _sees(facts, version, ChangedField(field))
        for probe in hop["probes"]:
            assert set(changes_of(probe)) == ({field} if visible else set())


@both_versions
def test_a_translator_between_two_routers_begins_where_it_stands(tracing: Tracing, version: int) -> None:
    routers = [Router([f"198.51.100.{number}", f"2001:db8:1::{number}"]) for number in range(1, 6)]
    source = "100.64.0.9" if version == 4 else "2001:db8:4e41:54::9"
    behind = Manner(translation=Translation(source=source, back="addresses"))
    manners = {str(router.address(version)): behind for router in routers[2:]}
    tracing.internet.load(Topology(paths=[Path(Target(list(TARGETS.values())), routers)]), manners=manners)
    for facts in LINUX:
        if facts.mode is Mode.LINUX_RAW and facts.protocol in {"udp", "tcp"}:
            document = tracing.trace(version, facts)
            assert [hop["nat"] for hop in document["hops"][:5]] == [False, False, True, True, True]


# --- odd TTLs and path lengths -----------------------------------------------------------------------------


@both_versions
@every_way
def test_routers_that_forward_a_ttl_of_zero_are_recognised(
    tracing: Tracing, version: int, facts: ModeFacts
) -> None:
    tracing.load("ttl_zero")
    document = tracing.trace(version, facts)
    last = [int(hop["address"].rsplit("." if version == 4 else ":", 1)[1]) for hop in document["hops"]]
    assert last == [1, 2, 4, 4, 5, 9]
    recognised = [hop["ttl_zero_forwarding"] for hop in document["hops"]]
    assert recognised == [False, False, facts.sees_quoted_ttl, False, False, False]
    if facts.sees_quoted_ttl:
        assert [probe["quoted_ttl"] for probe in document["hops"][2]["probes"]] == [0, 0, 0]
        assert changes_of(document["hops"][2]["probes"][0]) == {"ttl": (3, 0)}


@both_versions
@every_way
def test_lengths_of_the_ways_there_and_back_are_told(
    tracing: Tracing, version: int, facts: ModeFacts
) -> None:
    routers = [
        Router([f"198.51.100.{number}", f"2001:db8:1::{number}"], reply_ttl=ttl)
        for number, ttl in ((1, 255), (2, 64), (3, 128), (4, 64))
    ]
    target = Target(list(TARGETS.values()), reply_ttl=64)
    manners = {address: Manner(tcp={80: "open"}) for address in TARGETS.values()}
    tracing.internet.load(Topology(paths=[Path(target, routers)]), manners=manners)
    document = tracing.trace(version, facts, max_ttl=12)
    lengths = [probe["return_path_length"] for probe in first_probes(document)]
    if facts.sees_reply_ttl:
        assert lengths == [1, 2, 3, 4, 5]
    else:
        assert set(lengths) <= {1, 2, 3, 4, 5, None}
    forward = [hop["forward_path_length"] for hop in document["hops"]]
    told = facts.sees_quoted_ttl and facts.protocol == "udp"
    assert forward == [None] * 4 + ([5] if told else [None])


# --- codes -------------------------------------------------------------------------------------------------


@every_way
def test_every_code_of_unreachable_is_told(tracing: Tracing, facts: ModeFacts) -> None:
    tracing.load("unreachables")
    manners = load_manners("unreachables")
    for version in (4, 6):
        truth = {
            str(path.target.addresses[0]): manners[str(path.hops[1].addresses[0])].refusal
            for path in load_scenario("unreachables").paths
            if isinstance(path.hops[1], Router) and path.target.addresses[0].version == version
        }
        documents = tracing.trace_all(facts, list(truth), queries=1, max_ttl=4, **QUICK)
        for document in documents:
            refusal = truth[document["address"]]
            assert refusal is not None
            kind, code, rest = refusal
            if (version, kind, code) in _kept_by_the_kernel(facts):
                assert document["hops"][2]["received"] == 0
                continue
            probe = document["hops"][2]["probes"][0]
            assert document["hops"][1]["probes"][0]["reply"] == "time_exceeded"
            assert (probe["icmp_type"], probe["icmp_code"]) == (kind, code), refusal
            assert probe["reply"] == _kind(version, kind, code)
            too_big = probe["reply"] == "packet_too_big"
            assert probe["mtu"] == (rest if too_big else None)
            assert not document["reached"]


def _kept_by_the_kernel(facts: ModeFacts) -> set[tuple[int, int, int]]:
    """What Linux keeps from sockets without privileges: codes that it doesn't know; from TCP, path MTUs."""
    if facts.mode is Mode.LINUX_RAW:
        return set()
    return {(4, 3, 200)} | ({(4, 3, 4), (6, 2, 0)} if facts.protocol == "tcp" else set())


def _kind(version: int, kind: int, code: int) -> str:
    if version == 4:
        named = {2: "protocol_unreachable", 3: "port_unreachable", 4: "packet_too_big"}
        return "parameter_problem" if kind == 12 else named.get(code, "unreachable")
    if kind == 4:
        return "protocol_unreachable" if code == 1 else "parameter_problem"
    return "packet_too_big" if kind == 2 else "port_unreachable" if code == 4 else "unreachable"


MARKS = {
    (4, 3, 0): "!N",
    (4, 3, 1): "!H",
    (4, 3, 2): "!P",
    (4, 3, 4): "!F-1400",
    (4, 3, 5): "!S",
    (4, 3, 13): "!X",
    (4, 3, 14): "!V",
    (4, 3, 15): "!C",
    (4, 3, 200): "!<200>",
    (6, 1, 0): "!N",
    (6, 1, 1): "!X",
    (6, 1, 3): "!H",
    (6, 1, 200): "!<200>",
    (6, 2, 0): "!F-1280",
    (6, 4, 1): "!P",
}
"""What traceroute(8) prints."""


def test_text_has_the_marks_of_traceroute(tracing: Tracing) -> None:
    tracing.load("unreachables")
    manners = load_manners("unreachables")
    seen = {}
    for path in load_scenario("unreachables").paths:
        hop, address = path.hops[1], path.target.addresses[0]
        assert isinstance(hop, Router)
        refusal = manners[str(hop.addresses[0])].refusal
        assert refusal is not None
        key = (address.version, *refusal[:2])
        if key in MARKS:
            arguments = ["-n", "-q", "1", "-m", "3", "--fast", str(address)]
            seen[key] = tracing.internet.call(inside.show, arguments)
    assert set(seen) == set(MARKS)
    for key, text in seen.items():
        (line,) = (line for line in text.splitlines() if line.startswith("  3 "))
        assert MARKS[key] in line.split(), (key, text)


def test_text_shows_labels_and_changes(tracing: Tracing) -> None:
    tracing.load("extensions")
    brief = tracing.internet.call(inside.show, ["-n", "-U", TARGETS[4]])
    assert "16001" in brief
    assert "24017" in brief
    full = tracing.internet.call(inside.show, ["-n", "-U", "-v", TARGETS[4]])
    assert "ge-0/0/1.420" in full
    tracing.load("path_changes")
    full = tracing.internet.call(inside.show, ["-n", "-U", "-v", "--fast", TARGETS[4]])
    assert "100.64.0.9" in full
    tracing.load("ttl_zero")
    lines = tracing.internet.call(inside.show, ["-n", "-U", TARGETS[4]]).splitlines()
    assert sum("198.51.100.4" in line for line in lines) == 1


# --- ports -------------------------------------------------------------------------------------------------


@both_versions
@pytest.mark.parametrize(
    "facts", [one for one in LINUX if one.protocol == "tcp"], ids=lambda facts: str(facts.mode)
)
def test_tcp_ports_are_told_apart(tracing: Tracing, version: int, facts: ModeFacts) -> None:
    tracing.load("ports")
    prohibited = (3, 13) if version == 4 else (1, 1)
    for port, reached, reply in (
        (80, True, "syn_ack"),
        (9, True, "rst"),
        (8080, False, None),
        (8081, False, "unreachable"),
        (8082, False, "unreachable"),
        (8083, False, None),
    ):
        document = tracing.trace(version, facts, port=port, max_ttl=6, **QUICK)
        last = document["hops"][-1]["probes"][0]
        assert (document["reached"], last["reply"]) == (reached, reply), port
        if reply == "unreachable":
            assert (last["icmp_type"], last["icmp_code"]) == prohibited
            assert document["stop_reason"] == "unreachable"


@both_versions
@pytest.mark.parametrize(
    "facts", [one for one in LINUX if one.protocol == "udp"], ids=lambda facts: str(facts.mode)
)
def test_udp_ports_are_told_apart(tracing: Tracing, version: int, facts: ModeFacts) -> None:
    tracing.load("ports")
    for port, reply in ((53, "udp_data"), (123, None), (161, "unreachable"), (33434, "port_unreachable")):
        document = tracing.trace(version, facts, port=port, flow="paris", first_ttl=5, max_ttl=5, **QUICK)
        assert document["hops"][0]["probes"][0]["reply"] == reply
        assert document["reached"] is (reply in {"udp_data", "port_unreachable"})
