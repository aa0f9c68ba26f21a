"""Traces through an internet that forges: no false hop, no missed one, in every protocol, family and mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel import hostile, inside
from tests.kernel.hostile import HOPS, MAX_TTL, QUERIES, Hostile, explain, judge, probes_to
from tests.rigs.tun.forgeries import FORGERS, kinds_of
from tests.rigs.tun.forgery import Forgery, cut, put
from traceprobe.testing.topology import Path, Router, Target, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.tun import SimulatedInternet
    from tests.rigs.tun.log import Log

pytestmark = pytest.mark.tun

MODES = [
    ("linux_raw", "icmp", "paris"),
    ("linux_raw", "icmp", "classic"),
    ("linux_ping", "icmp", "paris"),
    ("linux_ping", "icmp", "classic"),
    ("linux_raw", "udp", "paris"),
    ("linux_raw", "udp", "dublin"),
    ("linux_raw", "udp", "classic"),
    ("linux_udp", "udp", "paris"),
    ("linux_udp", "udp", "classic"),
    ("linux_raw", "tcp", "paris"),
    ("linux_raw", "tcp", "classic"),
    ("linux_tcp", "tcp", "classic"),
]
every_mode = pytest.mark.parametrize(("mode", "protocol", "flow"), MODES)
both_versions = pytest.mark.parametrize("version", [4, 6])

_NEXT_NUMBERS = (
    "sequence off by one",
    "sequence off by one, eight bytes",
    "sequence off by one, padded",
    "guessed sequence",
    "guessed sequence, eight bytes",
)


def beyond_defence(mode: str, protocol: str, flow: str, version: int) -> dict[str, str]:
    """The kinds that a mode can't refuse, and why: all of them come from somebody who has seen probes."""
    found = {}
    if mode != "linux_raw":
        # Everything that identifies the probe is right; the error queue does not show the header around it.
        hidden = {4: {"quoted fragment"}, 6: {"quote of IPv4", "version of zero"}}
        found.update(dict.fromkeys(hidden[version], "believed"))
    if protocol == "udp" and flow == "classic":
        # Eight bytes hold nothing but the ports, and the next port is another probe's.
        found["guessed sequence, eight bytes"] = "believed"
    if mode == "linux_tcp":
        # The kernel takes the sequence number of the SYN and the one behind it.
        found.update(dict.fromkeys(_NEXT_NUMBERS, "believed"))
        if version == 6:
            # It also gives the connection up for errors that it knows nothing of.
            found.update(dict.fromkeys(("reassembly timed out", "types that probes never cause"), "silent"))
    return found


def guesses(mode: str, protocol: str, flow: str, version: int) -> frozenset[str]:
    """The kinds that name a probe by a number of sixteen bits, all else right: it may be another probe's."""
    found = {kind.name for kind in kinds_of(protocol, version).values() if kind.is_guess}
    if protocol == "icmp":
        found |= {"wrong sequence, eight bytes", "wrong sequence, padded"}
        if flow == "classic":  # no word behind the header depends on the number
            found |= {"wrong sequence", "echo reply: wrong sequence"}
    if mode == "linux_udp" and flow == "paris":  # the first word is the number
        found |= {"wrong first word", "altered quote, first bit"}
    return frozenset(found)


@pytest.fixture(scope="module", autouse=True)
def _open_ping_sockets(internet: SimulatedInternet) -> None:
    internet.namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")


def options_of(mode: str, protocol: str, flow: str) -> dict[str, Any]:
    return {"mode": mode, "protocol": protocol, "flow": flow, "queries": QUERIES, "max_ttl": MAX_TTL}


def trace_all_kinds(
    internet: SimulatedInternet, network: Hostile, options: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], Log]:
    """The result of each kind, by its name, and the truth."""
    network.load(internet)
    documents = internet.call(hostile.trace_each, network.targets, options, backend="asyncio")
    return dict(zip((kind.name for kind in network.kinds), documents, strict=True)), internet.log()


def all_kinds(protocol: str, flow: str, version: int) -> Hostile:
    return Hostile(version, tuple(k for k in kinds_of(protocol, version).values() if flow in k.flows))


def complaints(internet: SimulatedInternet, network: Hostile, options: Mapping[str, Any]) -> dict[str, str]:
    """What was wrong of each kind that something was wrong of, told so that nobody need see it again."""
    documents, log = trace_all_kinds(internet, network, options)
    found = {}
    for kind in network.kinds:
        probes = probes_to(log, network.target(kind.name))
        assert any(probe.forgeries for probe in probes), f"nobody forged for {kind.name!r}"
        verdict = judge(documents[kind.name], probes, network.version)
        if verdict:
            told = explain(documents[kind.name], probes, network, kind.name)
            found[kind.name] = f"{options}, IPv{network.version}: {verdict}\n{told}"
    return found


@both_versions
@every_mode
def test_no_forgery_becomes_a_hop_and_none_hides_one(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    network = all_kinds(protocol, flow, version)
    options = options_of(mode, protocol, flow)
    expected = beyond_defence(mode, protocol, flow, version)
    defended = Hostile(version, tuple(kind for kind in network.kinds if kind.name not in expected))
    found = complaints(internet, defended, options)
    by_chance = guesses(mode, protocol, flow, version)
    again = tuple(kind for kind in defended.kinds if kind.name in found and kind.name in by_chance)
    if again:
        # Who guesses sixteen bits is right once in a while; not twice running.
        for kind in again:
            del found[kind.name]
        found.update(complaints(internet, Hostile(version, again), options))
    assert not found, "\n\n".join(found.values())


@both_versions
@every_mode
def test_what_a_mode_cannot_refuse_is_what_the_threat_model_says(
    internet: SimulatedInternet, mode: str, protocol: str, flow: str, version: int
) -> None:
    expected = beyond_defence(mode, protocol, flow, version)
    kinds = kinds_of(protocol, version)
    network = Hostile(version, tuple(kinds[name] for name in expected))
    found = {}
    if expected:
        documents, log = trace_all_kinds(internet, network, options_of(mode, protocol, flow))
        for name, document in documents.items():
            verdict = judge(document, probes_to(log, network.target(name)), version)
            found[name] = "believed" if verdict.false_hops else "silent" if verdict.missed else "refused"
    assert found == expected


@both_versions
@pytest.mark.parametrize(
    ("mode", "flow", "is_believed"),
    [("linux_raw", "paris", False), ("linux_udp", "classic", False), ("linux_udp", "paris", True)],
)
def test_who_has_seen_one_probe_of_a_flow_that_names_none_can_answer_the_next(
    internet: SimulatedInternet, mode: str, flow: str, version: int, is_believed: bool
) -> None:
    """The limit of a constant flow without privileges: eight quoted bytes are the same of all its probes."""
    target, forger = hostile.TARGETS[version].format(1), FORGERS[version]
    routers = [Router(hostile.ROUTERS[version].format(number)) for number in range(1, HOPS)]
    expired = 11 if version == 4 else 3
    repeated = [
        Forgery(form=expired, forger=forger, edits=(cut("quoted", 8),), ttls=(1, 1), delay=delay)
        for delay in (0.0005, 0.001, 0.002, 0.004)
    ]
    internet.load(Topology(paths=[Path(Target(target), routers)]), forgeries={target: repeated})
    options = {**options_of(mode, "udp", flow), "queries": 1, "max_in_flight": 1}
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    verdict = judge(document, probes_to(internet.log(), target), version, last=None)
    assert bool(verdict.false_hops) is is_believed
    assert any(forger in hop["addresses"] for hop in document["hops"][1:]) is is_believed


@both_versions
def test_an_error_that_says_nothing_does_not_end_the_wait_of_its_probe(
    internet: SimulatedInternet, version: int
) -> None:
    """Routers quote too little to name a probe: their answers are believed as long as it waits."""
    target = hostile.TARGETS[version].format(1)
    routers = [Router(hostile.ROUTERS[version].format(number), quote=8) for number in range(1, HOPS)]
    forged = kinds_of("udp", version)["reassembly timed out"].timed()
    internet.load(Topology(paths=[Path(Target(target, quote=8), routers)]), forgeries={target: forged})
    options = {**options_of("linux_udp", "udp", "paris"), "max_in_flight": 1}
    (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
    assert not judge(document, probes_to(internet.log(), target), version)
    # Linux keeps such errors to itself over IPv4.
    assert ("unexpected" in document["discarded"]) is (version == 6)


# --- the tests can fail ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weakness", "mode", "protocol", "flow", "names"),
    [
        ("token", "linux_raw", "icmp", "paris", ["altered quote", "altered quote, last bit"]),
        ("token", "linux_raw", "icmp", "paris", ["echo reply: wrong payload", "echo reply: without payload"]),
        ("token", "linux_ping", "icmp", "classic", ["altered quote", "echo reply: one wrong bit"]),
        ("token", "linux_raw", "udp", "paris", ["altered quote, middle bit", "altered quote, cut"]),
        ("token", "linux_raw", "udp", "classic", ["altered quote", "guessed sequence"]),
        ("token", "linux_udp", "udp", "classic", ["altered quote, first bit", "guessed sequence"]),
        ("destination", "linux_raw", "icmp", "paris", ["other destination", "sent to the forger"]),
        ("destination", "linux_ping", "icmp", "paris", ["other destination, eight bytes"]),
        ("exact number", "linux_raw", "tcp", "paris", ["sequence off by one", "guessed sequence"]),
        ("exact number", "linux_raw", "tcp", "paris", ["RST: acknowledges one too many"]),
        ("exact number", "linux_raw", "tcp", "classic", ["SYN-ACK: acknowledges one too few"]),
        ("checksum", "linux_raw", "tcp", "paris", ["RST: bad checksum", "SYN-ACK: bad checksum"]),
    ],
)
@both_versions
def test_a_matcher_that_leaves_something_out_is_caught(
    internet: SimulatedInternet,
    weakness: str,
    mode: str,
    protocol: str,
    flow: str,
    names: list[str],
    version: int,
) -> None:
    kinds = kinds_of(protocol, version)
    network = Hostile(version, tuple(kinds[name] for name in names))
    network.load(internet)
    options = options_of(mode, protocol, flow)
    documents = internet.call(
        hostile.trace_each_weakly, weakness, network.targets, options, backend="asyncio"
    )
    log = internet.log()
    for name, document in zip(names, documents, strict=True):
        probes = probes_to(log, network.target(name))
        assert judge(document, probes, version), name
        told = explain(document, probes, network, name)
        assert told.startswith(f"{name}: to {network.target(name)}")
        assert all(word in told for word in ("shown at 1", "sent at", "answered at", "forged at"))


# --- what is counted ---------------------------------------------------------------------------------------

_BY_TOKEN = {
    "wrong sequence": "rewritten",
    "wrong sequence, eight bytes": "unmatched",
    "altered quote, middle bit": "bad_token",
    "altered quote, last bit": "bad_token",
    "altered quote, cut": "bad_token",
    "other destination": "rewritten",
    "other destination, eight bytes": "unmatched",
}
_ECHOES = {
    "echo reply: wrong sequence": "rewritten",
    "echo reply: wrong payload": "bad_token",
    "echo reply: payload of zeros": "bad_token",
    "echo reply: one wrong bit": "bad_token",
    "echo reply: half the token": "bad_token",
    "echo reply: without payload": "bad_token",
}
_PORTS = {
    "wrong destination port": "rewritten",
    "wrong destination port, eight bytes": "unmatched",
    "altered quote, middle bit": "bad_token",
    "altered quote, last bit": "bad_token",
    "other destination": "rewritten",
    "other destination, eight bytes": "unmatched",
}
_WHOLE = {"reassembly timed out": "unexpected", "lengths that lie": "rewritten"}
_SUMS = {"bad checksum": "bad_checksum", "damaged on the way": "bad_checksum"}
REASONS: dict[tuple[str, str], dict[str, str]] = {
    ("linux_raw", "icmp"): {**_BY_TOKEN, **_ECHOES, **_WHOLE, "wrong identifier": "rewritten"},
    ("linux_ping", "icmp"): {**_BY_TOKEN, **_ECHOES},
    ("linux_raw", "udp"): {**_PORTS, **_WHOLE, "wrong source port": "rewritten"},
    ("linux_udp", "udp"): _PORTS,
    ("linux_raw", "tcp"): {
        **_WHOLE,
        "wrong source port": "rewritten",
        "wrong destination port": "rewritten",
        "wrong sequence": "rewritten",
        "wrong sequence, eight bytes": "unmatched",
        "other destination": "rewritten",
        "RST: acknowledges one too many": "unmatched",
        "RST: acknowledges anything": "unmatched",
        "SYN-ACK: acknowledges one too few": "unmatched",
        "RST: bad checksum": "bad_checksum",
        "SYN-ACK: bad checksum": "bad_checksum",
        "RST: from another address": "rewritten",
    },
}


@both_versions
@pytest.mark.parametrize(("mode", "protocol"), list(REASONS))
def test_what_is_refused_is_counted_by_its_reason(
    internet: SimulatedInternet, mode: str, protocol: str, version: int
) -> None:
    reasons = dict(REASONS[mode, protocol])
    if mode == "linux_raw" and version == 4:
        reasons |= _SUMS  # raw sockets of IPv6 get nothing that the kernel has not verified
    kinds = kinds_of(protocol, version)
    network = Hostile(version, tuple(kinds[name] for name in reasons))
    flow = "classic" if mode == "linux_udp" else "paris"
    documents, log = trace_all_kinds(internet, network, options_of(mode, protocol, flow))
    missing = {}
    for name, reason in reasons.items():
        probes = probes_to(log, network.target(name))
        # What came before the answer that ended the trace; what came later may have been counted elsewhere.
        forged = sum(
            forgery.monotonic_ns < probe.replies[0].monotonic_ns
            for probe in probes
            if probe.ttl <= HOPS
            for forgery in probe.forgeries
        )
        counted = documents[name]["discarded"].get(reason, 0)
        if not 0 < forged <= counted:
            missing[name] = (reason, forged, documents[name]["discarded"])
    assert missing == {}


# --- aliases -----------------------------------------------------------------------------------------------


@both_versions
@pytest.mark.parametrize("mode", ["linux_raw", "linux_ping"])
def test_an_echo_reply_from_elsewhere_is_an_alias_only_with_the_token(
    internet: SimulatedInternet, mode: str, version: int
) -> None:
    target, alias = hostile.TARGETS[version].format(1), FORGERS[version]
    routers = [Router(hostile.ROUTERS[version].format(number)) for number in range(1, HOPS)]
    topology = Topology(paths=[Path(Target(target, echo=False), routers)])
    reply = Forgery(form=0 if version == 4 else 129, forger=alias, ttls=(HOPS, 255))
    shown: dict[str, object] = {}
    for name, edits in {"right": (), "wrong": (put("message", 12, "00000000"),)}.items():
        forged = Forgery(form=reply.form, forger=alias, ttls=reply.ttls, edits=edits)
        internet.load(topology, forgeries={target: [forged]})
        options = {**options_of(mode, "icmp", "paris"), "max_ttl": HOPS, "tail_floor": 0.2}
        (document,) = internet.call(hostile.trace_each, [target], options, backend="asyncio")
        last = document["hops"][-1]
        shown[name] = (last["address"], last["received"], document["reached"], document["address"])
        arguments = ["-n", "--no-asn", "--icmp", "--mode", mode, "-m", str(HOPS), target]
        shown[f"{name}, in words"] = f"{alias} answered in place of {target}" in internet.call(
            inside.show, arguments
        )
    assert shown["right"] == (alias, QUERIES, True, target)
    assert shown["wrong"] == (None, 0, False, target)
    assert (shown["right, in words"], shown["wrong, in words"]) == (True, False)
