"""No sleeping, no polling, and no number that means a time outside the configuration."""

from __future__ import annotations

import ast

import pytest

from tests.house.package import Module, listed, modules
from tests.house.time_rules import polling_loops, sleeps, speaks_of_time, timeouts

EVERY_MODULE = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)


def _may_hold_times(module: Module) -> bool:
    return module.name == "traceprobe.config" or module.name.startswith("traceprobe.testing")


@EVERY_MODULE
def test_nothing_sleeps(module: Module) -> None:
    assert not listed(module, sleeps(module.tree))


@EVERY_MODULE
def test_nothing_polls(module: Module) -> None:
    assert not listed(module, polling_loops(module.tree))


@pytest.mark.parametrize(
    "module", [m for m in modules() if not _may_hold_times(m)], ids=lambda module: module.name
)
def test_only_the_configuration_holds_times(module: Module) -> None:
    assert not listed(module, timeouts(module.tree))


def test_the_whole_package_is_looked_at() -> None:
    names = {module.name for module in modules()}
    rooms = {"cli", "config", "engine", "enrich", "errors", "ffi", "loops", "model", "packets", "render"}
    rooms |= {"sockets", "testing", "tracer"}
    assert {f"traceprobe.{room}" for room in rooms} <= names


def test_the_times_of_the_configuration_are_seen() -> None:
    (config,) = [module for module in modules() if module.name == "traceprobe.config"]
    found = {finding.what.split()[0] for finding in timeouts(config.tree)}
    assert {"probe_timeout", "enrichment_timeout", "identifier_quarantine", "clock_step_tolerance"} <= found


SLEEPY = [
    "time.sleep(1)",
    "from time import sleep",
    "from asyncio import sleep as pause",
    "from anyio import sleep_until",
    "import trio\nasync def f():\n    await trio.sleep_forever()",
    "nap = anyio.sleep",
    "getattr(time, 'sleep')(1)",
    "def sleep(seconds): ...",
    "f(sleep=1)",
    "ffi.cdef('int usleep(unsigned int);')",
    "ffi.cdef('''\nint nanosleep (const struct timespec *, struct timespec *);\n''')",
    "kernel32.SleepEx(0, True)",
    "def f(sleep): sleep(1)",
]


@pytest.mark.parametrize("snippet", SLEEPY)
def test_a_sleep_is_found(snippet: str) -> None:
    assert sleeps(ast.parse(snippet))


@pytest.mark.parametrize("snippet", ["sleeper.cell()", "x = 'never sleep while waiting'", "asleep = True"])
def test_what_only_sounds_like_sleep_is_left_alone(snippet: str) -> None:
    assert not sleeps(ast.parse(snippet))


NUMERIC_TIMES = [
    "timeout = 3",
    "DELAY: float = 0.5",
    "self.retry_interval = 1e-3",
    "receive(timeout=2)",
    "def f(wait=1.5): ...",
    "def f(a, *, poll_interval=1): ...",
    "def f(a, deadline=10, /, b=0): ...",
    "async def f(quarantine: float = 10.0): ...",
    "lambda delay=1: delay",
    "class C:\n    period: float = 2.5",
    "class C:\n    timeout: float = attrs.field(default=2.0)",
    "options = {'timeout': 5}",
    "options['timeout'] = 5",
    "timeout = 2 * 60",
    "timeout = given or 5.0",
    "timeout = 5.0 if given is None else given",
    "timeout = max(given, 0.1)",
    "deadline = now() + 5",
    "deadline += 5",
    "deadline_ns = now_ns + 5_000_000 + jitter_ns",
    "(timeout := 3)",
    "host, timeout = 'x', 3",
    "timeout = config.get('timeout', 3)",
    "timeout = float(3)",
    "POLL_MS = 50",
    "settle_ns = 20_000_000",
    "retryDelay = 1",
    "timeouts = 4",
    "with anyio.move_on_after(0.2): pass",
    "with anyio.fail_after(1): pass",
    "select.select([fd], [], [], 0.05)",
    "poller.poll(100)",
    "event.wait(0.1)",
    "thread.join(2)",
    "loop.call_later(0.01, f)",
    "loop.call_at(loop.time() + 0.01, f)",
    "asyncio.wait_for(f(), 5)",
    "sock.settimeout(1)",
    "parser.add_argument('-w', '--timeout', type=float, default=5.0)",
]


@pytest.mark.parametrize("snippet", NUMERIC_TIMES)
def test_a_number_that_means_a_time_is_found(snippet: str) -> None:
    assert timeouts(ast.parse(snippet))


HARMLESS = [
    "timeout = 0",
    "timeout = None",
    "timeout = config.timing.probe_timeout",
    "timeout_ns = round(timeout * 1_000_000_000)",
    "deadline_ns = started_ns + timeout_ns",
    "deadline = None if timeout is None else now + timeout",
    "timeout = max(floor, factor * slowest)",
    "NS_PER_SECOND = 1_000_000_000",
    "packets_per_second = 100",
    "default_ttl = 64",
    "max_ttl = 30",
    "select.select([fd], [], [], 0)",
    "ns = 1000",
    "sock.settimeout(0.0)",
    "', '.join(names)",
    "def f(timeout=None, wait=False): ...",
    "parser.add_argument('-m', '--max-ttl', type=int, default=30)",
    "awaiting = 3",
]


@pytest.mark.parametrize("snippet", HARMLESS)
def test_other_numbers_are_left_alone(snippet: str) -> None:
    assert not timeouts(ast.parse(snippet))


@pytest.mark.parametrize(
    "snippet",
    [
        "async def f():\n    while not done:\n        await anyio.lowlevel.checkpoint()",
        "async def f():\n    while True:\n        look()\n        await checkpoint()",
    ],
)
def test_a_polling_loop_is_found(snippet: str) -> None:
    assert polling_loops(ast.parse(snippet))


@pytest.mark.parametrize(
    "snippet",
    [
        "async def f():\n    while True:\n        await alarm.wait(None)",
        "async def f():\n    while work:\n        work.pop()\n    await checkpoint()",
        "while True:\n    read()",
    ],
)
def test_a_loop_that_waits_is_left_alone(snippet: str) -> None:
    assert not polling_loops(ast.parse(snippet))


@pytest.mark.parametrize(
    "name", ["probe_timeout", "POLL_MS", "retryDelay", "deadlines", "identifier_quarantine"]
)
def test_names_that_speak_of_time(name: str) -> None:
    assert speaks_of_time(name)


@pytest.mark.parametrize(
    "name", ["ttl", "max_ttl", "NS_PER_SECOND", "awaited", "ns", "attempts", "columns", ""]
)
def test_names_that_do_not(name: str) -> None:
    assert not speaks_of_time(name)
