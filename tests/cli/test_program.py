"""The program as a process: the same by either name, polite to pipes, and interruptible."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import pytest

import traceprobe
from tests.house.package import ROOT
from tests.render.test_programs import EVENTS
from tests.rigs.namespaces import Namespace, NamespaceGroup, Privileges
from traceprobe import Knowledge, StopReason, TraceResult
from traceprobe.cli import main
from traceprobe.cli._exit import ExitStatus
from traceprobe.testing import Router, SimulatedNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from traceprobe import AddressFamily

    Run = Callable[..., Outcome]
    UseNetwork = Callable[..., None]

PROGRAM = [sys.executable, "-m", "traceprobe"]


def environment(**variables: str) -> dict[str, str]:
    """The environment of the tests with the package in reach and the terminal as told."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM", "COLUMNS"}}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


def program(*arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
    )


# --- one program --------------------------------------------------------------------------------------


def test_the_version_is_printed() -> None:
    done = program("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"traceprobe {traceprobe.__version__}\n", "")


def test_the_module_is_the_same_as_the_function(run: Run) -> None:
    inside, outside = run("demo", "--csv"), program("demo", "--csv")
    assert (outside.returncode, outside.stdout, outside.stderr) == (inside.status, inside.out, inside.err)


def test_without_arguments_it_says_what_is_missing() -> None:
    done = program()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "traceprobe: error: the following arguments are required: TARGET\ntry: traceprobe --help\n"
    )


def test_the_arguments_of_the_process_are_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["traceprobe", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("traceprobe ")


# --- where the output goes ----------------------------------------------------------------------------


@pytest.fixture
def nobody_reads() -> Iterator[int]:
    """The end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


COMMANDS = [
    ["demo"],
    ["demo", "--json"],
    ["demo", "--ndjson"],
    ["demo", "--csv"],
    ["doctor"],
    ["doctor", "--json"],
    ["--print-completion", "bash"],
    ["--help"],
    ["--version"],
]
EVERY_COMMAND = pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)


@EVERY_COMMAND
def test_a_reader_that_has_gone_is_no_reason_to_talk(arguments: list[str], nobody_reads: int) -> None:
    done = program(*arguments, stdout=nobody_reads)
    assert (done.returncode, done.stderr) == (ExitStatus.FAILURE, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@EVERY_COMMAND
def test_a_full_disk_is_an_error_in_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = program(*arguments, stdout=full)
    assert done.returncode == ExitStatus.FAILURE
    assert done.stderr == "traceprobe: error: cannot write the results: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes descriptors")
def test_without_any_output_the_status_still_tells() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *PROGRAM, "demo"], env=environment(), check=False
    )
    assert done.returncode == ExitStatus.REACHED


def test_names_that_the_encoding_lacks_are_shown_as_well_as_can_be(
    use_network: UseNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_network(
        SimulatedNetwork.path("203.0.113.9", [Router("10.0.0.1", hostname="münchen.example"), "203.0.113.9"]),
        names=True,
    )
    raw = io.BytesIO()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # or it would be UTF-8 on Windows
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["203.0.113.9"]) == ExitStatus.REACHED
    assert b"m?nchen.example (10.0.0.1)" in raw.getvalue()


def on_a_terminal(*command: str, **variables: str) -> str:
    """What a program shows on a terminal."""
    pytest.importorskip("pty", reason="pseudo-terminals are a Unix thing", exc_type=ImportError)
    master, slave = os.openpty()
    with subprocess.Popen(
        command, stdout=slave, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment(**variables)
    ) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # Linux: nobody holds the other end any more
                break
            if not piece:
                break
            shown += piece
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(master)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_colours_and_the_same_words() -> None:
    shown = on_a_terminal(*PROGRAM, "demo", TERM="xterm-256color")
    assert "\x1b[" in shown
    plain = program("demo").stdout
    assert "\x1b" not in plain
    for word in ("Reached ", " ms  ", "traceprobe to "):
        assert word in shown
        assert word in plain


def test_a_dumb_terminal_gets_the_plain_view() -> None:
    assert on_a_terminal(*PROGRAM, "demo", TERM="dumb") == program("demo").stdout


def test_whoever_wants_no_colours_gets_none() -> None:
    shown = on_a_terminal(*PROGRAM, "demo", TERM="xterm-256color", NO_COLOR="1")
    assert "Reached " in shown
    assert not re.search(r"\x1b\[[\d;]*m", shown)


def test_without_rich_a_terminal_shows_plain_text() -> None:
    code = "import sys; sys.modules['rich'] = None; from traceprobe.cli import main; sys.exit(main(['demo']))"
    assert on_a_terminal(sys.executable, "-c", code, TERM="xterm") == program("demo").stdout


# --- interrupted --------------------------------------------------------------------------------------


class PressesCtrlC:
    """Looks nothing up, but interrupts the program when the first hop has answered."""

    async def enrich(self, address: IPv4Address | IPv6Address) -> Knowledge:
        signal.raise_signal(signal.SIGINT)
        return Knowledge()


@pytest.mark.parametrize("form", ["", "--json", "--ndjson", "--csv"])
def test_what_is_known_when_somebody_interrupts_is_printed(
    form: str, run: Run, use_network: UseNetwork
) -> None:
    slow = Router("10.0.0.2", rtt=0.9)
    use_network(
        SimulatedNetwork.path("203.0.113.9", [Router("10.0.0.1", rtt=0.001), slow, "203.0.113.9"]),
        enrichers=(PressesCtrlC(),),
    )
    outcome = run("203.0.113.9", "-m", "3", *filter(None, [form]))
    assert (outcome.status, outcome.err) == (ExitStatus.INTERRUPTED, "traceprobe: interrupted\n")
    if not form:
        assert "  1    1.000     1.000     1.000  ms  10.0.0.1\n" in outcome.out
        assert "the trace was cut short; the last to answer was hop 1, 10.0.0.1." in outcome.out
    elif form == "--csv":
        assert outcome.out.count(",reply,false,10.0.0.1,") == 3
        assert outcome.out.count(",cancelled,") == 6
    else:
        result = only_result(form, outcome.out)
        assert result.stop_reason is StopReason.CANCELLED
        assert [str(hop.address) for hop in result] == ["10.0.0.1", "None", "None"]


@pytest.mark.parametrize("form", ["", "--json", "--ndjson"])
def test_whoever_interrupts_before_there_is_anything_to_know_gets_nothing(
    form: str, run: Run, use_network: UseNetwork
) -> None:
    class SlowNames(SimulatedNetwork):
        async def lookup(
            self, host: str, family: AddressFamily | None
        ) -> Sequence[IPv4Address | IPv6Address]:
            signal.raise_signal(signal.SIGINT)
            return await super().lookup(host, family)

    use_network(SlowNames.path("203.0.113.9", ["203.0.113.9"], names={"example.net": "203.0.113.9"}))
    outcome = run("example.net", *filter(None, [form]))
    assert outcome.status == ExitStatus.INTERRUPTED
    assert (outcome.out, outcome.err) == ("", "traceprobe: interrupted\n")


def only_result(form: str, out: str) -> TraceResult:
    """The result in what was printed."""
    if form == "--json":
        return TraceResult.from_json(out)
    events = [json.loads(line) for line in out.splitlines()]
    for event in events:
        EVENTS.validate(event)
    (result,) = [event["result"] for event in events if event["event"] == "trace_finished"]
    assert events[-1]["event"] == "trace_finished"
    return TraceResult.from_dict(result)


@pytest.fixture(scope="module")
def silence() -> Iterator[Namespace]:
    """A namespace whose only way out swallows everything."""
    with NamespaceGroup("silence") as (namespace,):
        namespace.run(["ip", "link", "set", "lo", "up"])
        namespace.run(["ip", "link", "add", "hole", "type", "veth", "peer", "name", "bottom"])
        namespace.run(["ip", "address", "add", "192.0.2.1/24", "dev", "hole"])
        # Without ARP, frames leave addressed to nobody at the other end.
        namespace.run(["ip", "link", "set", "hole", "arp", "off", "up"])
        namespace.run(["ip", "link", "set", "bottom", "up"])
        yield namespace


@pytest.mark.netns
@pytest.mark.parametrize("form", ["--json", "--ndjson", None])
def test_a_silent_trace_ends_at_ctrl_c(form: str | None, silence: Namespace, tmp_path: Path) -> None:
    # Says that it is about to wait; from then on, SIGINT finds it waiting for replies that never come.
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import sys, traceprobe\n"
        "from traceprobe.cli import main\n"
        "entered = traceprobe.Trace.__aenter__\n"
        "async def enter(self):\n"
        "    trace = await entered(self)\n"
        "    print('entered', file=sys.stderr, flush=True)\n"
        "    return trace\n"
        "traceprobe.Trace.__aenter__ = enter\n"
        "sys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    command = [sys.executable, str(script), "192.0.2.9", "-m", "3", "-w", "60", *([form] if form else [])]
    with subprocess.Popen(
        silence.command(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "entered\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (ExitStatus.INTERRUPTED, "traceprobe: interrupted\n")
    if form is None:
        assert "Did not reach 192.0.2.9: the trace was cut short; nothing has answered." in out
        return
    result = only_result(form, out)
    assert result.stop_reason is StopReason.CANCELLED
    assert [probe.status.value for hop in result for probe in hop.probes] == ["cancelled"] * 9


# --- on a kernel --------------------------------------------------------------------------------------


@pytest.mark.netns
def test_a_silent_target_is_not_reached(silence: Namespace) -> None:
    done = silence.run(["python", "-m", "traceprobe", "192.0.2.9", "-m", "2", "-w", "0.05"], check=False)
    assert (done.returncode, done.stderr) == (ExitStatus.NOT_REACHED, "")


@pytest.mark.netns
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["192.0.2.9", "-i", "eth99"], 2, "--interface eth99: must be"),
        (["192.0.2.9", "-s", "192.0.2.7"], 2, "--source 192.0.2.7: must be"),
        (["192.0.2.9", "--flow-label", "5"], 2, "--flow-label 5: mode linux_raw has no support"),
        (["192.0.2.9", "--mode", "windows_icmp"], 2, "--mode windows_icmp: this installation has no support"),
        (["192.0.2.9", "-6"], 2, "TARGET 192.0.2.9: must be an IPv6 address"),
        (["192.0.2.9", "--packet-size", "28"], 2, "--packet-size 28: must be"),
        (["192.0.2.9", "-I", "--mode", "linux_ping"], 3, "net.ipv4.ping_group_range"),
        (["nowhere.invalid"], 4, "cannot resolve 'nowhere.invalid'"),
        (["a..b"], 4, "cannot resolve 'a..b'"),
        (["x" * 64 + ".example"], 4, "cannot resolve"),
        ([""], 2, "TARGET '': must be a host name or an IP address"),
        (["198.51.100.1"], 5, "not a single probe to 198.51.100.1 could be sent"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_can_not_be_done_has_its_status(
    arguments: list[str], status: int, words: str, silence: Namespace
) -> None:
    done = silence.run(["python", "-m", "traceprobe", *arguments], check=False)
    assert done.returncode == status
    assert words in done.stderr
    assert done.stderr.startswith("traceprobe: error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.unprivileged
@pytest.mark.parametrize(
    "arguments", [["-I"], ["--mode", "linux_raw"], ["-U", "--mode", "linux_raw"]], ids=" ".join
)
def test_without_the_privilege_an_explicit_wish_ends_with_status_3(
    arguments: list[str], silence: Namespace
) -> None:
    command = ["python", "-m", "traceprobe", "-n", "--no-asn", "127.0.0.1", *arguments]
    done = silence.run(command, check=False, privileges=Privileges.NO_CAPABILITIES)
    assert (done.returncode, done.stdout) == (ExitStatus.NO_SOCKET, "")
    assert "CAP_NET_RAW" in done.stderr
    assert "to mend it, one of:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.unprivileged
def test_without_the_privilege_a_plain_trace_finds_another_way(silence: Namespace) -> None:
    command = ["python", "-m", "traceprobe", "-n", "--no-asn", "127.0.0.1", "--json"]
    done = silence.run(command, privileges=Privileges.NO_CAPABILITIES)
    assert json.loads(done.stdout)["mode"] == "linux_udp"
    doctor = silence.run(["python", "-m", "traceprobe", "doctor"], privileges=Privileges.NO_CAPABILITIES)
    assert "A plain trace takes linux_udp with UDP over IPv4 and IPv6." in doctor.stdout


@pytest.mark.unprivileged
def test_why_a_way_was_chosen_is_told_to_those_who_ask(silence: Namespace) -> None:
    command = ["python", "-m", "traceprobe", "-n", "--no-asn", "127.0.0.1", "--verbose"]
    done = silence.run(command, privileges=Privileges.NO_CAPABILITIES)
    assert re.search(
        r"\n  way            linux_udp with UDP, the best that is left; refused before it:"
        r"\n +linux_raw \(icmp, IPv4\): raw sockets need CAP_NET_RAW, which this process does not have"
        r"\n +linux_ping \(icmp, IPv4\): ping sockets are open to no group",
        done.stdout,
    )
