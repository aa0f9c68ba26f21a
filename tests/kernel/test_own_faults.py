"""Faults of our own process, over the loopback: fork, exit, stop, no descriptors left, privileges dropped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.require import missing_netns, require

ROOT = Path(__file__).parents[2]
STOPPED = 1.0
"""Seconds for which a process is stopped: longer than its probes may take."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the modes are those of Linux")


def start(program: str) -> subprocess.Popen[str]:
    prelude = """
        import asyncio, json, os, resource, signal, socket, sys
        import traceprobe
        from tests.kernel.holdings import check_given_back, holdings
        TARGET = "127.0.0.1"
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind((TARGET, 0))
        SILENT = {"mode": "linux_udp", "flow": "paris", "port": silent.getsockname()[1], "max_ttl": 1}
        def descriptors():
            return len(os.listdir("/proc/self/fd"))
        async def main_balanced():
            holdings()  # memory is watched from here on
            await main()
            before = holdings()
            told = json.dumps(await main())
            check_given_back(before, holdings())
            return told
    """
    text = textwrap.dedent(prelude) + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(program: str, status: int = 0) -> Any:
    process = start(program)
    out, talk = process.communicate()
    assert (process.returncode, talk) == (status, "")
    return json.loads(out) if out else None


def test_a_child_of_a_fork_takes_nothing_from_its_parent() -> None:
    told = run("""
        async def main():
            async with traceprobe.Tracer(mode="linux_udp", max_ttl=2) as tracer:
                await tracer.trace(TARGET)
                async with tracer.open_trace(TARGET, **SILENT, probe_timeout=0.3) as waiting:
                    child = os.fork()
                    if not child:
                        # A trace of its own, with sockets of its own; the parent's are left alone.
                        result = traceprobe.trace(TARGET, mode="linux_udp", max_ttl=2)
                        os._exit(0 if result.reached and result.hops[0].received == 3 else 1)
                    results = [await tracer.trace(TARGET) for _ in range(20)]
                    async for hop in waiting:
                        pass
                _, status = os.waitpid(child, 0)
                return {
                    "child": os.waitstatus_to_exitcode(status),
                    "received": [result.hops[0].received for result in results],
                    "silent": waiting.result.hops[0].received,
                }
        print(asyncio.run(main_balanced()))
    """)
    assert told == {"child": 0, "received": [3] * 20, "silent": 0}


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_tracer_that_a_fork_has_inherited_says_so(loop: str) -> None:
    told = run(f"""
        import anyio
        async def main():
            async with traceprobe.Tracer(mode="linux_udp", max_ttl=2) as tracer:
                await tracer.trace(TARGET)
                reader, writer = os.pipe()
                child = os.fork()
                if not child:
                    try:
                        # As somebody would who hands the tracer to a worker: on an event loop of its own.
                        tracer.trace(TARGET).send(None)
                        said = "nothing"
                    except traceprobe.UsageError as error:
                        said = str(error)
                    os.write(writer, said.encode())
                    os._exit(0)
                os.waitpid(child, 0)
                again = await tracer.trace(TARGET)
                return {{"said": os.read(reader, 4096).decode(), "here": os.getpid(), "again": again.reached}}
        print(json.dumps(anyio.run(main, backend={loop!r})))
    """)
    assert f"belongs to process {told['here']}, which has been forked" in told["said"]
    assert "make a tracer of its own in the child" in told["said"]
    assert told["again"]


@pytest.mark.parametrize("way", ["sys.exit(7)", "raise SystemExit(7)", "os._exit(7)"])
def test_an_exit_in_mid_trace_is_quiet(way: str) -> None:
    run(
        f"""
        async def main():
            async with traceprobe.open_trace(TARGET, **SILENT, probe_timeout=30) as trace:
                async for event in trace.events():
                    {way}
        asyncio.run(main())
        """,
        status=7,
    )


def test_an_exit_while_a_thread_traces_is_quiet() -> None:
    run(
        """
        import threading, traceprobe.sockets
        begun = threading.Event()
        class Factory(traceprobe.sockets.ProbeSocketFactory):
            async def open(self, *arguments):
                begun.set()
                return await super().open(*arguments)
        options = SILENT | {"socket_factory": Factory(), "probe_timeout": 30}
        threading.Thread(target=traceprobe.trace, args=(TARGET,), kwargs=options, daemon=True).start()
        begun.wait()
        sys.exit(7)
        """,
        status=7,
    )


def test_replies_that_came_while_the_process_was_stopped_count() -> None:
    process = start("""
        async def main():
            async with traceprobe.open_trace(TARGET, mode="linux_udp", max_ttl=1, probe_timeout=0.5) as trace:
                async for event in trace.events():
                    if isinstance(event, traceprobe.ProbeSent):
                        os.kill(os.getpid(), signal.SIGSTOP)
                        break
                async for hop in trace:
                    pass
                return [trace.result.hops[0].received, trace.result.hops[0].sent]
        print(asyncio.run(main_balanced()))
    """)
    for _ in range(2):
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        time.sleep(STOPPED)
        process.send_signal(signal.SIGCONT)
    out, talk = process.communicate()
    assert talk == ""
    assert json.loads(out) == [3, 3]


def test_no_descriptor_left_is_a_typed_error_and_passes() -> None:
    told = run("""
        async def main():
            traceprobe.trace  # everything is imported
            assert (await traceprobe.trace_async(TARGET, mode="linux_udp", max_ttl=1)).reached
            before = descriptors()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1, hard))
            try:
                await traceprobe.trace_async(TARGET, mode="linux_udp", max_ttl=1)
                caught = None
            except traceprobe.TraceprobeError as error:
                caught = [type(error).__name__, str(error)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            again = await traceprobe.trace_async(TARGET, mode="linux_udp", max_ttl=1)
            return {"caught": caught, "again": again.reached, "left": descriptors() - before}
        print(asyncio.run(main_balanced()))
    """)
    assert told["caught"] is not None
    assert told["caught"][0] in {"NoUsableSocketError", "ResourceLimitError", "PrivilegeError"}
    assert "file" in told["caught"][1] or "descriptor" in told["caught"][1]
    assert (told["again"], told["left"]) == (True, 0)


def test_raw_sockets_go_on_after_every_privilege_was_dropped() -> None:
    require("netns", missing_netns())
    told = run("""
        async def main():
            async with traceprobe.Tracer(mode="linux_raw", protocol="icmp", max_ttl=1) as tracer:
                assert (await tracer.trace(TARGET)).reached
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                status = open("/proc/self/status").read()
                capabilities = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
                try:
                    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
                    refused = False
                except PermissionError:
                    refused = True
                result = await tracer.trace(TARGET)
                return {"capabilities": int(capabilities[0], 16), "refused": refused, "mode": result.mode,
                        "received": result.hops[0].received}
        print(json.dumps(asyncio.run(main())))
    """)
    assert told == {"capabilities": 0, "refused": True, "mode": "linux_raw", "received": 3}
