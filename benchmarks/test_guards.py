"""The short form, ``pytest benchmarks``: guards that hold on any machine, however busy.

What is asserted are counts, and ratios to the reference loop that is measured in the same run, with bounds
far from what is measured; times are recorded by ``pytest-benchmark`` (``--benchmark-json``,
``--benchmark-compare``), and nothing depends on them. The goals are for ``python -m benchmarks --check``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import inside
from benchmarks.bare import bare_repeatedly
from benchmarks.costs import RAW, SILENT, beside_reference
from benchmarks.crowds import take_in_queued
from benchmarks.system_calls import allocations, count_calls
from benchmarks.traces import LOOPS
from benchmarks.worlds import InternetWorld, many_targets, missing_worlds
from tests.rigs.require import missing_module, missing_program, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_benchmark.fixture import BenchmarkFixture

PROBES = 90
MOST_CALLS, MOST_CALLS_PER_WAKE = 110, 5
"""Of a trace from nothing: for opening and sending, and for each time that it is woken."""
MOST_PEAK_BYTES, MOST_KEPT_BLOCKS = 500_000, 2_500
MOST_TIMES_REFERENCE = 12.0
MOST_SOCKETS, MOST_DESCRIPTORS = 4, 8
MOST_MODULES = 30
"""What ``import traceprobe`` may load beyond a bare interpreter."""

pytestmark = pytest.mark.tun
EACH_LOOP = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture(scope="module")
def world() -> Iterator[InternetWorld]:
    require("tun", missing_worlds("tun"))
    with InternetWorld("thirty_hops", "") as built:
        yield built


@pytest.fixture(autouse=True)
def _loop_is_there(request: pytest.FixtureRequest) -> None:
    if "loop" in request.fixturenames and (loop := request.getfixturevalue("loop")) != "asyncio":
        require(loop, missing_module(loop))


def recorded(
    benchmark: BenchmarkFixture,
    function: Callable[..., dict[str, Any]],
    *arguments: object,
    **options: object,
) -> dict[str, Any]:
    """Call a function once, and keep what it found with the time that it took."""
    fixture: Any = benchmark  # its methods have no types
    found: dict[str, Any] = fixture.pedantic(function, arguments, options, rounds=1)
    benchmark.extra_info.update(found)
    return found


# --- counts ------------------------------------------------------------------------------------------


@EACH_LOOP
def test_a_trace_enters_the_kernel_seldom(world: InternetWorld, loop: str) -> None:
    require("strace", missing_program("strace"))
    counted = count_calls(world, loop, RAW)
    assert counted["by_name"]["sendmmsg"] == 1
    assert counted["waits"] <= PROBES + 10
    assert counted["total"] <= MOST_CALLS + MOST_CALLS_PER_WAKE * counted["waits"], counted


@EACH_LOOP
def test_no_probe_is_sent_in_vain(world: InternetWorld, loop: str) -> None:
    world.begin()
    (run,) = world.call(inside.trace_repeatedly, world.target, RAW, 1, backend=loop)["runs"]
    assert world.count() == 2 * PROBES  # with the one that warms up
    assert run["hops"] == world.truth


def test_a_trace_allocates_little(world: InternetWorld) -> None:
    found = world.call(allocations, world.target, RAW, backend="asyncio")
    assert found["peak_bytes"] <= MOST_PEAK_BYTES
    assert found["kept_blocks"] <= MOST_KEPT_BLOCKS


@EACH_LOOP
def test_waiting_is_one_system_call(loop: str) -> None:
    require("tun", missing_worlds("tun"))
    require("strace", missing_program("strace"))
    with InternetWorld("silent_target", "") as silent:
        counted = count_calls(silent, loop, {**SILENT, "tail_floor": 0.3})
    assert counted["waits"] == 1, counted


def test_a_hundred_traces_share_their_sockets() -> None:
    require("tun", missing_worlds("tun"))
    topology, targets = many_targets(100)
    truths = {
        str(path.target.address(4)): [
            str(station.responder.address(4)) for station in path.stations(0.0, lambda *_: 0)
        ]
        for path in topology.paths
    }
    with InternetWorld("crowd", "", topology, target=targets[0]) as crowd:
        found = crowd.call(inside.trace_at_once, targets, {**RAW, "queries": 1}, truths, backend="asyncio")
    assert found["right"] == len(targets)
    assert found["sockets"] <= MOST_SOCKETS
    assert found["descriptors"] <= MOST_DESCRIPTORS


def test_importing_loads_next_to_nothing() -> None:
    program = """if True:
        import json, sys
        before = set(sys.modules)
        import traceprobe
        print(json.dumps([*set(sys.modules) - before]))
    """
    run = inside.run_program([sys.executable, "-c", program])
    loaded = json.loads(run["output"])
    assert len(loaded) <= MOST_MODULES, sorted(loaded)


# --- ratios ------------------------------------------------------------------------------------------


@EACH_LOOP
def test_a_trace_costs_not_much_more_than_it_must(
    world: InternetWorld, loop: str, benchmark: BenchmarkFixture
) -> None:
    found = recorded(benchmark, beside_reference, world, loop, 3, held=False)
    assert found["least_ratio"] <= MOST_TIMES_REFERENCE


# --- times, for the record ---------------------------------------------------------------------------


def test_record_the_reference_loop(world: InternetWorld, benchmark: BenchmarkFixture) -> None:
    arguments = ("asyncio", world.target, len(world.truth), 3, 3)
    found = recorded(benchmark, world.call, bare_repeatedly, *arguments, backend="asyncio")
    assert all(run["replies"] == PROBES for run in found["runs"])


def test_record_the_receive_path(world: InternetWorld, benchmark: BenchmarkFixture) -> None:
    found = recorded(benchmark, world.call, take_in_queued, world.target, "linux_raw", backend="asyncio")
    assert found["replies"] > 0
