"""The unit, the container file and the recipe for dropping privileges do what they say, and no more."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.house.package import ROOT
from tests.rigs.require import find_program, missing_netns, missing_program, require

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rigs.unprivileged import PortableInterpreter

DEPLOY: Final = ROOT / "examples" / "deploy"
UNIT: Final = DEPLOY / "traceprobe-agent.service"
CONTAINER: Final = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
DROP: Final = DEPLOY / "drop_privileges.py"
NET_RAW: Final = 1 << 13
"""CAP_NET_RAW in a set of capabilities (linux/capability.h)."""
SETS: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
EXPOSURE: Final = 1.5
"""What ``systemd-analyze security`` makes of the unit: 10 is a service without any restriction."""

HARDENING: Final = {
    "DynamicUser": "yes",
    "AmbientCapabilities": "CAP_NET_RAW",
    "CapabilityBoundingSet": "CAP_NET_RAW",
    "NoNewPrivileges": "yes",
    "LimitNOFILE": "8192",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateMounts": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectProc": "invisible",
    "LockPersonality": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service ~@privileged @resources",
    "SystemCallErrorNumber": "EPERM",
    "MemoryDenyWriteExecute": "yes",
    "UMask": "0077",
}

TRACE: Final = """
import json, sys
from pathlib import Path
import traceprobe
result = traceprobe.trace("127.0.0.1", max_ttl=2, **json.loads(sys.argv[1]))
tasks = [path.joinpath("status").read_text() for path in Path("/proc/self/task").iterdir()]
print(json.dumps({"mode": result.mode, "received": result.hops[0].received, "tasks": tasks}))
"""


def directives() -> dict[str, str]:
    """The unit's, those that stand in several lines joined."""
    found: dict[str, str] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found[name] = f"{found[name]} {value}" if name in found else value
    return found


def program(name: str) -> str:
    path = find_program(name)
    assert path is not None
    return path


def ran(
    command: list[str], *, cwd: Path | str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def told_by(command: list[str], interpreter: PortableInterpreter) -> Any:
    """What the program says that is run in the folder of an interpreter."""
    done = ran(command, cwd=interpreter.directory, env=interpreter.environment)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def status_of(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


# --- systemd ---------------------------------------------------------------------------------------------


def test_the_unit_restricts_all_that_it_can() -> None:
    found = directives()
    service = {name: value for name, value in found.items() if name in HARDENING}
    assert service == HARDENING
    others = {"Description", "Wants", "After", "ExecStart", "WantedBy"}
    assert found.keys() - HARDENING.keys() == others, "a directive that nobody has thought about"


def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    require("systemd", missing_program("systemd-analyze"))
    copy = tmp_path / UNIT.name
    interpreter = directives()["ExecStart"].split()[0]
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(interpreter, "/bin/true"), encoding="utf-8")
    verified = ran([program("systemd-analyze"), "verify", "--man=no", str(copy)])
    # It also reads what the machine has beside it.
    assert [line for line in verified.stderr.splitlines() if UNIT.name in line] == []
    assert verified.returncode == 0
    judged = ran([program("systemd-analyze"), "security", "--offline=true", "--no-pager", str(copy)])
    exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", judged.stdout)
    assert exposure
    assert float(exposure[1]) <= EXPOSURE


@pytest.mark.unprivileged
def test_what_the_unit_runs_traces_with_one_capability(portable_interpreter: PortableInterpreter) -> None:
    command = [
        *(program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"),
        *("--bounding-set=-all,+net_raw", "--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--"),
        *(portable_interpreter.executable, "-c", TRACE, '{"mode": "linux_raw"}'),
    ]
    told = told_by(command, portable_interpreter)
    assert (told["mode"], told["received"]) == ("linux_raw", 3)
    for task in told["tasks"]:
        status = status_of(task)
        assert {int(status[name], 16) for name in SETS} == {NET_RAW}
        assert (status["NoNewPrivs"], status["Uid"].split()) == ("1", ["65534"] * 4)


def test_no_system_call_is_made_that_the_unit_refuses(tmp_path: Path) -> None:
    require("systemd", missing_program("systemd-analyze"))
    require("strace", missing_program("strace"))
    require("netns", missing_netns())
    allowed = system_calls("@system-service")
    refused = system_calls("@privileged") | system_calls("@resources")
    log = tmp_path / "calls"
    traced = [sys.executable, "-c", TRACE, '{"mode": "linux_raw"}']
    assert ran([program("strace"), "-f", "-qq", "-o", str(log), *traced], cwd=ROOT).returncode == 0
    text = log.read_text(encoding="utf-8", errors="replace")
    made = set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    assert {"socket", "sendmmsg", "recvmmsg"} <= made
    assert made & refused == set()
    assert made - allowed == set()
    families = set(re.findall(r"\bsocket\((\w+),", text))
    assert families <= set(HARDENING["RestrictAddressFamilies"].split())
    # MemoryDenyWriteExecute
    assert not re.search(r"\b(mmap|mprotect)\(.*PROT_WRITE\|PROT_EXEC", text)


def system_calls(name: str) -> set[str]:
    """The system calls of a set of systemd's."""
    listed = ran([program("systemd-analyze"), "syscall-filter", "--no-pager", name]).stdout
    lines = [line.strip() for line in listed.splitlines()[1:]]
    words = {line for line in lines if line and not line.startswith("#")}
    sets = {word for word in words if word.startswith("@")}
    return (words - sets).union(*(system_calls(inner) for inner in sets))


# --- containers ------------------------------------------------------------------------------------------

INSTRUCTIONS: Final = [
    (line.partition(" ")[0], line.partition(" ")[2])
    for line in CONTAINER.splitlines()
    if line and not line.startswith("#")
]
UNBROKEN: Final = re.sub(r"\\\n#\s*", "", CONTAINER).splitlines()
RUNS: Final = [shlex.split(line) for line in UNBROKEN if "podman run" in line]


def test_the_container_file_is_of_two_stages_and_ends_as_somebody_without_privileges() -> None:
    stages = [place for place, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM"]
    assert [INSTRUCTIONS[place][1].split()[0] for place in stages] == [
        "docker.io/library/python:3.13-slim"
    ] * 2
    last = INSTRUCTIONS[stages[-1] :]
    assert [word for word, _ in last] == ["FROM", "RUN", "COPY", "USER", "ENTRYPOINT"]
    uid = dict(last)["USER"]
    # By number, so that Kubernetes can tell that it is not root.
    assert dict(last)["RUN"] == f"useradd --system --uid {uid} prober"
    built = [argument for word, argument in INSTRUCTIONS[: stages[-1]] if word == "RUN"]
    assert built == [
        "python -m venv /opt/traceprobe",
        '/opt/traceprobe/bin/pip install --no-cache-dir "/source[cli]"',
    ]
    assert json.loads(dict(last)["ENTRYPOINT"]) == ["/opt/traceprobe/bin/python", "-m", "traceprobe"]


def test_the_user_of_the_container_can_be_made(tmp_path: Path) -> None:
    require("unprivileged", missing_netns() or missing_program("useradd"))
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (etc / name).touch()
    command = shlex.split(dict(INSTRUCTIONS[-4:])["RUN"])
    made = ran([program(command[0]), "--prefix", str(tmp_path), *command[1:]])
    assert made.returncode == 0, made.stderr
    assert (etc / "passwd").read_text(encoding="utf-8").startswith("prober:x:10001:")


def test_both_ways_to_run_the_container_are_those_of_the_guide() -> None:
    assert len(RUNS) == 2
    for run in RUNS:
        assert {"--rm", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"} <= set(run)
        assert run[-1] == "www.example.net"
    added = [option for run in RUNS for option in run if option.startswith("--cap-add")]
    assert added == ["--cap-add=net_raw"]


@pytest.mark.unprivileged
def test_root_of_the_container_has_one_capability_and_gets_no_other(
    portable_interpreter: PortableInterpreter,
) -> None:
    # --user 0 --cap-drop=all --cap-add=net_raw --security-opt=no-new-privileges
    command = [
        *(program("setpriv"), "--no-new-privs", "--bounding-set=-all,+net_raw", "--inh-caps=-all", "--"),
        *(portable_interpreter.executable, "-c", TRACE, '{"mode": "linux_raw"}'),
    ]
    told = told_by(command, portable_interpreter)
    assert (told["mode"], told["received"]) == ("linux_raw", 3)
    for task in told["tasks"]:
        status = status_of(task)
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {NET_RAW}
        assert (status["NoNewPrivs"], status["Uid"].split()) == ("1", ["0"] * 4)


@pytest.mark.unprivileged
def test_without_any_capability_the_container_has_ping_sockets(
    portable_interpreter: PortableInterpreter,
) -> None:
    require("netns", missing_netns())
    # --cap-drop=all --security-opt=no-new-privileges --sysctl net.ipv4.ping_group_range="0 2147483647"
    (setting,) = [run[run.index("--sysctl") + 1] for run in RUNS if "--sysctl" in run]
    name, value = setting.split("=")
    python = [portable_interpreter.executable, "-c", TRACE, '{"protocol": "icmp"}']
    drop = [
        *(program("setpriv"), "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs"),
        *("--bounding-set=-all", "--inh-caps=-all", "--"),
    ]
    setting_file = f"/proc/sys/{name.replace('.', '/')}"
    script = (
        f"{program('ip')} link set lo up && echo {shlex.quote(value)} > {setting_file} && "
        f"exec {shlex.join([*drop, *python])}"
    )
    told = told_by([program("unshare"), "--net", "--", "/bin/sh", "-c", script], portable_interpreter)
    assert (told["mode"], told["received"]) == ("linux_ping", 3)
    for task in told["tasks"]:
        assert {int(status_of(task)[name], 16) for name in SETS} == {0}


# --- sockets first, then nothing -------------------------------------------------------------------------


@pytest.mark.unprivileged
@pytest.mark.parametrize("start", ["root", "one capability"])
def test_raw_sockets_are_opened_first_and_every_privilege_is_given_up(
    start: str, portable_interpreter: PortableInterpreter, tmp_path: Path
) -> None:
    script = portable_interpreter.directory / DROP.name
    script.write_text(DROP.read_text(encoding="utf-8"), encoding="utf-8")
    script.chmod(0o644)
    before = [
        *(program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"),
        *("--bounding-set=-all,+net_raw", "--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--"),
    ]
    done = ran(
        [*(before if start != "root" else ()), portable_interpreter.executable, str(script), "127.0.0.1"],
        cwd=portable_interpreter.directory,
        env=portable_interpreter.environment,
    )
    assert done.returncode == 0, done.stderr
    status = status_of(done.stdout)
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Uid"].split()) == ("1", ["65534"] * 4)
    assert status["Groups"].strip() == ""
    (line,) = [line for line in done.stdout.splitlines() if "reached" in line]
    assert line.startswith("127.0.0.1 (127.0.0.1): reached in 1 hop")
    assert line.endswith("by linux_raw")


@pytest.mark.parametrize(
    ("guide", "shown"),
    [("without-root", DROP), ("monitoring", UNIT), ("container", DEPLOY / "Containerfile")],
)
def test_the_guides_show_these_very_files(guide: str, shown: Path) -> None:
    text = (ROOT / "docs" / "howto" / f"{guide}.md").read_text(encoding="utf-8")
    assert f"```{{literalinclude}} ../../examples/deploy/{shown.name}\n" in text
