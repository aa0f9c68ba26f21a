"""The machine fails in mid-trace: the result is right or says why not, and nothing is left behind."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.kernel import inside_faults
from tests.kernel.holdings import check_given_back
from tests.kernel.inside import addresses
from tests.rigs.chain import RouterChain, far_address4, far_address6, mac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Watch: TypeAlias = "Callable[..., dict[str, Any]]"

pytestmark = pytest.mark.netns

QUICK = {"tail_floor": 0.05, "interior_floor": 0.05, "max_ttl": 5, "max_in_flight": 3}
"""Hop after hop, three probes each, so that it is certain which ones the fault comes before."""
N_ROUTERS = 3
MODES = [
    ("linux_raw", "icmp"),
    ("linux_raw", "udp"),
    ("linux_raw", "tcp"),
    ("linux_ping", "icmp"),
    ("linux_udp", "udp"),
    ("linux_tcp", "tcp"),
]
TOLD_BY_NOBODY = {
    "EPERM": {("linux_tcp", 4), ("linux_tcp", 6), ("linux_ping", 6)},
    "ENOBUFS": {("linux_raw", 4), ("linux_tcp", 4), ("linux_tcp", 6), ("linux_ping", 6)},
}
"""Where the kernel takes a probe and throws it away without a word: mode and version, by error."""

every_mode = pytest.mark.parametrize(("mode", "protocol"), MODES)
datagram_modes = pytest.mark.parametrize(
    ("mode", "protocol"), [(mode, protocol) for mode, protocol in MODES if protocol != "tcp"]
)
both_versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def machine() -> Iterator[RouterChain]:
    """A chain whose source lets everybody open ping sockets.

    What is called there is not measured for coverage, which keeps notes in the very memory that is watched.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            patch.delenv(name, raising=False)
        with RouterChain(N_ROUTERS) as built:
            built.source.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
            yield built


@pytest.fixture(scope="module")
def watch(machine: RouterChain) -> Watch:
    """What came of each scene; all scenes of a mode are played in one process, once."""

    @functools.cache
    def play(mode: str, protocol: str, version: int, loop: str = "asyncio") -> dict[str, Any]:
        scenes = scenes_of(machine, version, protocol)
        target = machine.target4 if version == 4 else machine.target6
        told: dict[str, Any] = machine.call(
            inside_faults.trace_with_faults,
            target,
            {**QUICK, "mode": mode, "protocol": protocol},
            list(scenes.values()),
            backend=loop,
        )
        return {
            "scenes": dict(zip(scenes, told["told"], strict=True)),
            "before": told["before"],
            "after": told["after"],
        }

    return play


def scene(
    *faults: tuple[int, str], afterwards: str = "", send_buffer: int | None = None, **options: Any
) -> inside_faults.Scene:
    return {
        "faults": list(faults),
        "afterwards": afterwards,
        "options": options,
        "send_buffer": send_buffer,
    }


def scenes_of(machine: RouterChain, version: int, protocol: str) -> dict[str, inside_faults.Scene]:
    """Everything that happens, by name."""
    target = machine.target4 if version == 4 else machine.target6
    source = machine.source4 if version == 4 else machine.source6
    towards, at_ttl = (f"ip daddr {target}", "ip ttl 2")
    if version == 6:
        towards, at_ttl = (f"ip6 daddr {target}", "ip6 hoplimit 2")
    whole = "\n".join([
        "ip link set far up",
        f"ip address replace {machine.source4}/30 dev far",
        f"ip address replace {machine.source6}/64 dev far nodad",
        f"ip neigh replace {far_address4(0)} lladdr {mac(0, 2)} dev far nud permanent",
        f"ip neigh replace {far_address6(0)} lladdr {mac(0, 2)} dev far nud permanent",
        _route(4, "replace"),
        _route(6, "replace"),
        f"await {far_address4(0)}",
        f"await {far_address6(0)}",
    ])
    gone = f"ip address del {source}/{30 if version == 4 else 64} dev far"
    shaped = "tc qdisc replace dev far root tbf burst 1600 rate"
    scenes = {
        "firewall": scene((0, _forbid(towards)), afterwards=_ALLOW),
        "firewall, one hop": scene((0, _forbid(at_ttl)), afterwards=_ALLOW),
        "firewall, for a while": scene((3, _forbid(towards)), (6, _ALLOW)),
        "route, for a while": scene((3, _route(version, "del")), (6, _route(version, "add"))),
        "interface, for a while": scene((3, "ip link set far down"), (6, whole)),
        "interface": scene((3, "ip link set far down"), afterwards=whole, interface="far"),
        "source": scene((3, gone), afterwards=whole, source=source),
        "queue": scene((3, f"{shaped} 8kbit limit 1"), afterwards=_UNSHAPED),
    }
    for kind in REFUSING_ROUTES:
        refusing = f"ip -{version} route {{}} {kind} {target}"
        scenes[kind] = scene((3, refusing.format("add")), afterwards=refusing.format("del"))
    if protocol != "tcp":
        shrink, grow = (f"ip link set far mtu {mtu}" for mtu in (1300, 1500))
        scenes["mtu"] = scene((3, shrink), afterwards=grow, packet_size=1400, dont_fragment=True)
        slow = (0, f"{shaped} 1600kbit limit 1000000")
        scenes["buffer"] = scene(slow, afterwards=_UNSHAPED, send_buffer=1, queries=10, max_in_flight=30)
    return scenes


def _forbid(match: str) -> str:
    chain = f"chain output {{ type filter hook output priority 0; {match} drop; }};"
    return f"nft 'table inet fault {{ {chain} }}'"


def _route(version: int, command: str) -> str:
    via = far_address4(0) if version == 4 else far_address6(0)
    return f"ip -{version} route {command} default via {via} dev far"


_ALLOW = "nft delete table inet fault"
_UNSHAPED = "tc qdisc del dev far root"
REFUSING_ROUTES = {"unreachable": "EHOSTUNREACH", "prohibit": "EACCES", "blackhole": "EINVAL"}


def right_path(machine: RouterChain, version: int) -> list[str | None]:
    return list(machine.hops4 if version == 4 else machine.hops6)


def statuses(told: dict[str, Any]) -> list[set[str]]:
    """What became of the probes of each hop: the error, or the status."""
    return [
        {probe["error"] or probe["status"] for probe in hop["probes"]} for hop in told["document"]["hops"]
    ]


def expect_gap(
    told: dict[str, Any], machine: RouterChain, version: int, error: str, *, failed: int = 0
) -> None:
    """Hop 2 was not sent, for a reason; all others are right."""
    right = right_path(machine, version)
    assert addresses(told["document"]) == [right[0], None, *right[2:]]
    assert statuses(told) == [{"reply"}, {error}, {"reply"}, {"reply"}]
    assert told["document"]["reached"]
    assert told["document"]["hops"][1]["sent"] == (3 if error == "timeout" else 0)
    assert told["document"]["discarded"].get("failed", 0) == failed


def expect_end(
    told: dict[str, Any], machine: RouterChain, version: int, error: str, *, failed: int = 0
) -> None:
    """Hop 1 is right, nothing behind it was sent, for a reason."""
    assert addresses(told["document"]) == [right_path(machine, version)[0], None, None, None, None]
    assert statuses(told) == [{"reply"}, *[{error}] * 4]
    assert not told["document"]["reached"]
    assert told["document"]["discarded"].get("failed", 0) == failed


def silent(mode: str, version: int, error: str) -> str:
    """What becomes of a probe that is refused, where the kernel may tell so or not."""
    return "timeout" if (mode, version) in TOLD_BY_NOBODY[error] else error


def shows_by_stamps(mode: str, error: str) -> bool:
    """Whether a probe that was thrown away is known by the transmit stamp that it never got."""
    return error == "timeout" and mode != "linux_tcp"


# --- what is left behind -----------------------------------------------------------------------------------


@both_versions
@every_mode
def test_everything_is_given_back(watch: Watch, version: int, mode: str, protocol: str) -> None:
    """After all that happens below, one after the other."""
    played = watch(mode, protocol, version)
    check_given_back(played["before"], played["after"])


# --- a firewall --------------------------------------------------------------------------------------------


@both_versions
@every_mode
def test_a_firewall_that_forbids_everything_is_named(
    watch: Watch, version: int, mode: str, protocol: str
) -> None:
    told = watch(mode, protocol, version)["scenes"]["firewall"]
    if silent(mode, version, "EPERM") == "timeout":
        assert statuses(told) == [{"timeout"}] * 5
        return
    name, text, number = told["error"]
    assert (name, number) == ("SendError", 1)
    assert "look at the rules of this machine's firewall" in text


@pytest.mark.parametrize("name", ["firewall, one hop", "firewall, for a while"])
@both_versions
@every_mode
def test_a_firewall_that_forbids_some_costs_them(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str, name: str
) -> None:
    told = watch(mode, protocol, version)["scenes"][name]
    error = silent(mode, version, "EPERM")
    expect_gap(told, machine, version, error, failed=3 * shows_by_stamps(mode, error))


# --- routes, interfaces, addresses -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["route, for a while", "interface, for a while"])
@both_versions
@every_mode
def test_what_goes_and_comes_back_costs_what_was_due_meanwhile(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str, name: str
) -> None:
    expect_gap(watch(mode, protocol, version)["scenes"][name], machine, version, "ENETUNREACH")


@pytest.mark.parametrize(("name", "error"), [*REFUSING_ROUTES.items(), ("interface", "ENETUNREACH")])
@both_versions
@every_mode
def test_what_takes_the_route_for_good_is_told_by_its_kind(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str, name: str, error: str
) -> None:
    expect_end(watch(mode, protocol, version)["scenes"][name], machine, version, error)


@both_versions
@every_mode
def test_a_source_address_that_is_taken_away(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str
) -> None:
    # The kernel goes on sending from an IPv6 address that is gone; nobody can answer to it then.
    error = "ENETUNREACH" if version == 4 else "timeout"
    if mode == "linux_tcp":
        error = "EADDRNOTAVAIL"
    expect_end(watch(mode, protocol, version)["scenes"]["source"], machine, version, error)


# --- sizes, queues and buffers -----------------------------------------------------------------------------


@both_versions
@datagram_modes
def test_an_mtu_that_shrinks_is_no_loss(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str
) -> None:
    expect_end(watch(mode, protocol, version)["scenes"]["mtu"], machine, version, "EMSGSIZE")


@both_versions
@every_mode
def test_a_queue_without_room_is_no_loss(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str
) -> None:
    told = watch(mode, protocol, version)["scenes"]["queue"]
    error = silent(mode, version, "ENOBUFS")
    expect_end(told, machine, version, error, failed=4 * 3 * shows_by_stamps(mode, error))


@both_versions
@datagram_modes
def test_room_in_the_buffer_of_a_socket_is_waited_for(
    machine: RouterChain, watch: Watch, version: int, mode: str, protocol: str
) -> None:
    told = watch(mode, protocol, version)["scenes"]["buffer"]
    assert addresses(told["document"]) == right_path(machine, version)
    assert statuses(told) == [{"reply"}] * 4


# --- descriptors -------------------------------------------------------------------------------------------


@both_versions
def test_descriptors_that_run_out_are_named(machine: RouterChain, version: int) -> None:
    options = {**QUICK, "mode": "linux_tcp", "protocol": "tcp"}
    target = machine.target4 if version == 4 else machine.target6
    played = machine.call(inside_faults.trace_without_descriptors, target, options, 3)
    check_given_back(played["before"], played["after"])
    expect_end(played["told"][0], machine, version, "EMFILE")


# --- event loops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
@pytest.mark.parametrize(("mode", "protocol", "version"), [("linux_raw", "icmp", 4), ("linux_udp", "udp", 6)])
def test_all_of_it_is_the_same_on_every_event_loop(
    watch: Watch, mode: str, protocol: str, version: int, loop: str
) -> None:
    played, usual = watch(mode, protocol, version, loop), watch(mode, protocol, version)
    check_given_back(played["before"], played["after"])
    for name, told in played["scenes"].items():
        if "error" in told:
            assert told == usual["scenes"][name]
        else:
            assert addresses(told["document"]) == addresses(usual["scenes"][name]["document"]), name
            assert statuses(told) == statuses(usual["scenes"][name]), name
