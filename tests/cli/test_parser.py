"""Every option of the contract parses, sets its field, and hands bad numbers on to the configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import Page
from tests.golden import check_golden
from tests.house.package import ROOT
from traceprobe import (
    ConfigError,
    EnrichmentConfig,
    FlowStrategy,
    Mode,
    TimingConfig,
    TraceOptions,
    TracerouteConfig,
    UnsupportedOption,
)
from traceprobe.cli import _parser
from traceprobe.cli._trace import lookups_of, options_of
from traceprobe.cli._words import option_error

GOLDEN = Path(__file__).parent / "golden"

# DESIGN section 4, with an example of a value and what it has to become.
CONTRACT: list[tuple[list[str], dict[str, object]]] = [
    (["-4"], {"family": 4}),
    (["-6"], {"family": 6}),
    (["-I"], {"protocol": "icmp"}),
    (["--icmp"], {"protocol": "icmp"}),
    (["-U"], {"protocol": "udp"}),
    (["--udp"], {"protocol": "udp"}),
    (["-T"], {"protocol": "tcp"}),
    (["--tcp"], {"protocol": "tcp"}),
    (["-p", "53"], {"port": 53}),
    (["--port", "53"], {"port": 53}),
    (["-f", "2"], {"first_ttl": 2}),
    (["--first-ttl", "2"], {"first_ttl": 2}),
    (["-m", "12"], {"max_ttl": 12}),
    (["--max-ttl", "12"], {"max_ttl": 12}),
    (["-q", "1"], {"queries": 1}),
    (["--queries", "1"], {"queries": 1}),
    (["-w", "0.5"], {"probe_timeout": 0.5}),
    (["--timeout", "2"], {"probe_timeout": 2.0}),
    (["-N", "16"], {"max_in_flight": 16}),
    (["--max-in-flight", "16"], {"max_in_flight": 16}),
    (["-z", "0.01"], {"send_interval": 0.01}),
    (["--send-interval", "0"], {"send_interval": 0.0}),
    (["-s", "192.0.2.1"], {"source": "192.0.2.1"}),
    (["--source", "192.0.2.1"], {"source": "192.0.2.1"}),
    (["-i", "eth0"], {"interface": "eth0"}),
    (["--interface", "eth0"], {"interface": "eth0"}),
    (["-n"], {}),
    (["--numeric"], {}),
    (["--no-asn"], {}),
    (["--flow", "paris"], {"flow": "paris"}),
    (["--flow", "classic"], {"flow": "classic"}),
    (["--flow", "dublin"], {"flow": "dublin"}),
    (["--mode", "linux_raw"], {"mode": "linux_raw"}),
    (["--overall-timeout", "3"], {"overall_timeout": 3.0}),
    (["--retries", "2"], {"retries": 2}),
    (["--gap-limit", "5"], {"gap_limit": 5}),
    (["--past-loops"], {"stop_on_loop": False}),
    (["--fast"], {"timing": TimingConfig.fast()}),
    (["--patient"], {"timing": TimingConfig.patient()}),
    (["-r"], {}),
    (["--report"], {}),
    (["--report-wide"], {}),
    (["--json"], {}),
    (["--ndjson"], {}),
    (["--csv"], {}),
    (["--packet-size", "100"], {"packet_size": 100}),
    (["--source-port", "4000"], {"source_port": 4000}),
    (["--sport", "4000"], {"source_port": 4000}),
    (["-F"], {"dont_fragment": True}),
    (["--dont-fragment"], {"dont_fragment": True}),
    (["--receive-all"], {"receive_all": True}),
    (["--dscp", "46"], {"dscp": 46}),
    (["--ecn", "1"], {"ecn": 1}),
    (["--tos", "0xb9"], {"dscp": 46, "ecn": 1}),
    (["--tos", "0"], {"dscp": 0, "ecn": 0}),
    (["--flow-label", "0xabcde"], {"flow_label": 0xABCDE}),
    (["--payload-pattern", "00ff"], {"payload_pattern": b"\x00\xff"}),
    (["--mark", "0x10"], {"mark": 16}),
    (["-v"], {}),
    (["--verbose"], {}),
    (["--resolver", "192.0.2.53"], {}),
    (["--asn-db", "asn.mmdb"], {}),
    (["--ixp-db", "peeringdb.json"], {}),
    (["--public-address"], {}),
    (["--own-address", "192.0.2.1"], {}),
]

LOOKUPS: list[tuple[list[str], dict[str, object]]] = [
    ([], {"reverse_dns": True, "asn": True, "segments": True}),
    (["-n"], {"asn": True, "segments": True}),
    (["--no-asn"], {"reverse_dns": True}),
    (["-n", "--no-asn"], {}),
    (["--report"], {"reverse_dns": True}),
    (["-n", "--report-wide"], {}),
    (
        ["--resolver", "192.0.2.53:5353", "--resolver", "tls://dns.example"],
        {
            "reverse_dns": True,
            "asn": True,
            "segments": True,
            "dns_servers": ("192.0.2.53:5353", "tls://dns.example"),
        },
    ),
    (
        ["-n", "--asn-db", "asn.mmdb", "--asn-db", "city.mmdb"],
        {"databases": ("asn.mmdb", "city.mmdb"), "segments": True},
    ),
    (
        ["-n", "--no-asn", "--ixp-db", "peeringdb.json"],
        {"exchange_snapshot": "peeringdb.json", "segments": True},
    ),
    (["-n", "--no-asn", "--public-address"], {"public_address": True, "segments": True}),
    (
        ["-n", "--no-asn", "--own-address", "192.0.2.1", "--own-address", "2001:db8::1"],
        {"own_addresses": ("192.0.2.1", "2001:db8::1"), "segments": True},
    ),
]


BAD_NUMBERS = ["-1", "0x10", "1.5", "", "ten", "1e3", "\u0663", "9" * 5000, "nan", "1_0", " 7"]
BAD_TIMES = ["-1", "-.5", "-1e-3", "nan", "-nan", "inf", "-inf", "-Infinity", "soon", "1e999", ""]


def options(*arguments: str) -> TraceOptions:
    return options_of(_parser.parse(["host", *arguments]))


@pytest.mark.parametrize(("arguments", "expected"), CONTRACT, ids=lambda value: " ".join(value))
def test_an_option_sets_its_field_and_no_other(arguments: list[str], expected: dict[str, object]) -> None:
    assert options(*arguments) == expected
    TracerouteConfig().with_options(options(*arguments))


@pytest.mark.parametrize(("arguments", "expected"), LOOKUPS, ids=lambda value: " ".join(value) or "default")
def test_names_and_networks_are_looked_up_unless_an_option_says_no(
    arguments: list[str], expected: dict[str, Any]
) -> None:
    assert lookups_of(_parser.parse(["host", *arguments])) == EnrichmentConfig(**expected)


def test_without_options_everything_is_left_to_the_configuration() -> None:
    assert options() == {}
    assert TracerouteConfig().with_options(options()) == TracerouteConfig()


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("ef", 46), ("EF", 46), ("va", 44), ("le", 1), ("cs0", 0), ("CS6", 48), ("af11", 10), ("AF43", 38),
        ("0x2e", 46), ("63", 63),
    ],
)  # fmt: skip
def test_code_points_have_names(word: str, value: int) -> None:
    assert options("--dscp", word) == {"dscp": value}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--dscp", "64"), ("--dscp", "cs8"), ("--dscp", "af14"), ("--dscp", "af51"), ("--dscp", ""),
        ("--ecn", "4"), ("--ecn", "-1"), ("--mark", "0x100000000"), ("--mark", "0x"), ("--mark", "10h"),
        ("--flow-label", "0x100000"), ("--flow-label", "-1"), ("--payload-pattern", ""), ("--sport", "0"),
        ("--source-port", "http"),
    ],
)  # fmt: skip
def test_what_no_probe_can_look_like_is_refused_by_the_configuration(option: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TracerouteConfig().with_options(options(option, value))
    name = {"--sport": "source-port"}.get(option, option[2:])
    assert _parser.SPELLINGS[caught.value.field] == f"--{name}"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConfigError("max_ttl", 300, "a whole number from 1 to 255"),
            "--max-ttl 300: must be a whole number from 1 to 255",
        ),
        (
            ConfigError("first_ttl", 9, "at most max_ttl, which is 3"),
            "--first-ttl 9: must be at most --max-ttl, which is 3",
        ),
        (
            ConfigError("port", 80, "None for ICMP, which has no ports"),
            "--port 80: must be left out for ICMP, which has no ports",
        ),
        (
            ConfigError("mark", "x" * 99, "a whole number, or None"),
            f"--mark {'x' * 57}...: must be a whole number",
        ),
        (ConfigError("source", "a b", "an address"), "--source 'a b': must be an address"),
        (
            ConfigError("payload_pattern", b"", "non-empty bytes, or None"),
            "--payload-pattern '': must be pairs of hexadecimal digits, at least one",
        ),
        (
            UnsupportedOption(
                "flow",
                "paris",
                mode="linux_udp",
                remedy="choose 'classic', or mode 'linux_raw'",
            ),
            "--flow paris: mode linux_udp has no support for it; choose classic, or --mode linux_raw",
        ),
        (
            UnsupportedOption(
                "protocol", "tcp", mode="linux_ping", remedy="choose mode 'linux_raw' or 'linux_tcp'"
            ),
            "--tcp: mode linux_ping has no support for it; choose --mode linux_raw or linux_tcp",
        ),
        (
            UnsupportedOption("flow_label", 5, mode="linux_raw", remedy="IPv4 has none: choose family 6"),
            "--flow-label 5: mode linux_raw has no support for it; IPv4 has none: choose -6",
        ),
        (
            UnsupportedOption("public_address", True, mode=None, remedy="name the address in own_addresses"),
            "--public-address: this installation has no support for it; name the address in --own-address",
        ),
    ],
)
def test_an_error_of_the_configuration_speaks_of_options_and_says_nothing_twice(
    error: ConfigError, words: str
) -> None:
    assert option_error(error) == words


def test_fast_is_a_preset_that_other_options_refine() -> None:
    config = TracerouteConfig().with_options(options("--fast", "-w", "0.25", "-z", "0.001"))
    assert config.timing.tail_floor == TimingConfig.fast().tail_floor
    assert (config.timing.probe_timeout, config.timing.send_interval) == (0.25, 0.001)


def test_the_words_are_those_of_the_configuration() -> None:
    assert [flow.value for flow in FlowStrategy] == list(_parser.FLOWS)
    assert [mode.value for mode in Mode] == list(_parser.MODES)
    assert set(_parser.FIELDS.values()) <= set(TraceOptions.__annotations__)


def test_the_page_on_the_command_line_lists_every_option() -> None:
    described = "\n".join(row[0] for row in Page(ROOT / "docs" / "cli.md").table("option"))
    known = {name for arguments, _ in CONTRACT for name in arguments if name.startswith("-")}
    known |= {"--version", "--print-completion", "-h", "--help"}
    assert set(re.findall(r"(?<![\w-])--?[A-Za-z0-9][\w-]*", described)) == known


@pytest.mark.parametrize(
    ("arguments", "command", "target"),
    [
        (["example.com"], "trace", "example.com"),
        (["trace", "example.com"], "trace", "example.com"),
        (["trace", "doctor"], "trace", "doctor"),
        (["trace", "trace"], "trace", "trace"),
        (["trace", "-n", "demo"], "trace", "demo"),
        (["-n", "doctor"], "trace", "doctor"),
        (["--", "-h"], "trace", "-h"),
        (["demo"], "demo", None),
        (["demo", "-q", "1", "host"], "demo", "host"),
    ],
)
def test_the_first_word_may_be_a_command(arguments: list[str], command: str, target: str | None) -> None:
    namespace = _parser.parse(arguments)
    assert (namespace.command, namespace.target) == (command, target)


def test_the_doctor_takes_a_family_and_a_protocol() -> None:
    namespace = _parser.parse(["doctor", "-6", "--udp", "--json"])
    assert (namespace.command, namespace.family, namespace.protocol, namespace.json) == (
        "doctor",
        6,
        "udp",
        True,
    )


@pytest.mark.parametrize("option", ["-m", "--max-ttl", "-q", "-p", "-N", "--packet-size", "-f"])
@pytest.mark.parametrize(
    "value", ["-1", "0x10", "1.5", "", "ten", "1e3", "٣", "9" * 5000, "nan", "1_0", " 7"]
)
def test_what_is_no_good_whole_number_is_refused_by_the_configuration(option: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TracerouteConfig().with_options(options(option, value))
    assert caught.value.field in {_parser.FIELDS[name] for name in _parser.FIELDS}


@pytest.mark.parametrize("option", ["-w", "--timeout", "--overall-timeout", "-z", "--send-interval"])
@pytest.mark.parametrize(
    "value", ["-1", "-.5", "-1e-3", "nan", "-nan", "inf", "-inf", "-Infinity", "soon", "1e999", ""]
)
def test_what_is_no_good_time_is_refused_by_the_configuration(option: str, value: str) -> None:
    with pytest.raises(ConfigError):
        TracerouteConfig().with_options(options(option, value))


@pytest.mark.parametrize("option", ["-w", "--overall-timeout"])
def test_no_time_at_all_is_refused(option: str) -> None:
    with pytest.raises(ConfigError):
        TracerouteConfig().with_options(options(option, "0"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trace"],
        ["a", "b"],
        ["host", "-4", "-6"],
        ["host", "-I", "-U"],
        ["host", "--json", "--csv"],
        ["host", "--ndjson", "--json"],
        ["host", "-m"],
        ["host", "--max", "3"],
        ["host", "--flow", "new-york"],
        ["host", "--mode", "raw"],
        ["host", "--frobnicate"],
        ["host", "--tos", "256"],
        ["host", "--tos", "-1"],
        ["host", "--tos", "ef"],
        ["host", "--tos", "1", "--dscp", "0"],
        ["host", "--ecn", "0", "--tos", "1"],
        ["host", "--payload-pattern", "0"],
        ["host", "--payload-pattern", "0xff"],
        ["host", "-v", "--json"],
        ["host", "--report", "--csv"],
        ["host", "-r", "--report-wide"],
        ["host", "--fast", "--patient"],
        ["host", "--csv", "--verbose"],
        ["doctor", "-v"],
        ["doctor", "host"],
        ["doctor", "--csv"],
        ["--print-completion", "cmd"],
    ],
)
def test_wrong_usage_ends_with_status_2_and_says_why(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        _parser.parse(arguments)
    assert ending.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"traceprobe: error: .+\ntry: traceprobe --help\n", output.err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--querys", "2", "host"], "unknown option '--querys'; the nearest is --queries"),
        (["--maxttl=3", "host"], "unknown option '--maxttl'; the nearest is --max-ttl"),
        (["doctor", "--jsn"], "unknown option '--jsn'; the nearest is --json"),
        (["host", "--qwertyuiop"], "unknown option '--qwertyuiop'"),
        (["-c", "10", "host"], "unknown option '-c'; the nearest is --queries"),
        (["host", "--report-cycles=10"], "unknown option '--report-cycles'; the nearest is --queries"),
        (["host", "-Y"], "unknown option '-Y'"),
        (["doctor", "-c1"], "unknown option '-c'"),
        (["host", "--\x1b[2J"], r"unknown option '--\x1b[2J'"),
    ],
)
def test_an_unknown_option_is_told_the_nearest(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        _parser.parse(arguments)
    assert ending.value.code == 2
    assert capsys.readouterr().err == f"traceprobe: error: {words}\ntry: traceprobe --help\n"


def test_what_other_programs_call_an_option_is_none_here_and_means_one() -> None:
    options = {name for action in _parser._parser("trace")._actions for name in action.option_strings}
    assert not options & set(_parser.ELSEWHERE)
    assert set(_parser.ELSEWHERE.values()) <= options


def test_what_stands_behind_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert _parser.parse(["--", "--querys"]).target == "--querys"


def test_help_reads_well_and_fits_two_screens(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        _parser.parse(["--help"])
    assert ending.value.code == 0
    text = capsys.readouterr().out
    check_golden(GOLDEN / "help.txt", text)
    assert len(text.splitlines()) <= 72
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", ["demo", "doctor", "trace"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        _parser.parse([command, "-h"])
    assert ending.value.code == 0
    assert "exit status" in capsys.readouterr().out


@pytest.mark.parametrize("shell", _parser.SHELLS)
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        _parser.parse(["--print-completion", shell])
    assert ending.value.code == 0
    script = capsys.readouterr().out
    for word in ("doctor", "demo", "max-ttl", "overall-timeout", "classic", "linux_ping"):
        assert word in script


def test_without_shtab_completion_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['shtab'] = None\n"
        "from traceprobe.cli import main; sys.exit(main(['--print-completion', 'bash']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 2
    assert run.stdout == ""
    assert "python -m pip install shtab" in run.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_bash_completion_is_a_valid_script(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser.parse(["--print-completion", "bash"])
    script = capsys.readouterr().out
    run = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
