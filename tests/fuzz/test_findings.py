"""What fuzzing has found stays mended: each finding, as small as it could be made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.enrich.files import GEOLITE_ASN, write_database
from tests.model.samples import TYPICAL
from traceprobe._enrichment_config import NameServer
from traceprobe.cli._parser import parse
from traceprobe.enrich._database import DatabaseEnricher
from traceprobe.errors import DataFileError
from traceprobe.model import TraceResult
from traceprobe.sockets.linux._control import Control, read_control

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "control",
    [
        "14000000000000000100000025000000" + "00f15365" + "00000000",
        "10000000000000000100000025000000",
        "11000000000000000000000002000000" + "3f",
        "14000000000000000000000000000000",
        "18000000000000000000000b00000000" + "7100000002",
        "18000000000000000b00000000000000" + "0000000000000000",
    ],
)
def test_a_control_message_that_is_shorter_than_its_kind_is_skipped(control: str) -> None:
    assert read_control(memoryview(bytes.fromhex(control))) == Control(None, None, None)


def test_a_short_control_message_does_not_borrow_from_the_next() -> None:
    # A TTL of one byte; then a whole one, of 63.
    short = "11000000000000000000000002000000ff00000000000000"
    control = short + "140000000000000000000000020000003f00000000000000"
    assert read_control(memoryview(bytes.fromhex(control))).ttl == 63


def test_a_target_out_of_a_document_gives_no_orders_to_the_terminal() -> None:
    hostile = attrs.evolve(TYPICAL, target="\x1b]0;owned\x07www\u202e.example\n")
    assert str(hostile).startswith("?]0;owned?www?.example? (203.0.113.80): reached")
    assert str(hostile).isprintable()


def test_no_wrong_byte_in_a_database_ends_the_process(tmp_path: Path) -> None:
    # In a process of its own: the reader in C was led out of its memory by each of these values somewhere.
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.fuzz.targets import database\n"
        "whole = Path(sys.argv[1]).read_bytes()\n"
        "for place in range(whole.index(b'autonomous'), whole.index(b'MaxMind.com')):\n"
        "    for value in (24, 153, 193):\n"
        "        database(whole[:place] + bytes([value]) + whole[place + 1 :])\n"
    )
    path = write_database(tmp_path / "asn.mmdb", GEOLITE_ASN)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("content", [b"", b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe0"])
def test_a_file_without_metadata_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.mmdb"
    path.write_bytes(content)
    with pytest.raises(DataFileError):
        DatabaseEnricher._open(str(path))


def test_a_server_whose_zone_gives_orders_is_none() -> None:
    for text in ("::%\x1b", "[fe80::1%\n]:53", "tls://fe80::1%\x9b31m"):
        with pytest.raises(ValueError, match="%"):
            NameServer.parse(text)
    assert NameServer.parse("fe80::1%eth0").host == "fe80::1%eth0"


@pytest.mark.parametrize("words", [["host", "\x1b[2J"], ["host", "-\x00"], ["host", "two\nlines"]])
def test_a_wrong_command_line_is_quoted_harmlessly(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("traceprobe: error: ")
    assert first.isprintable()
    assert second == "try: traceprobe --help"


def test_the_zone_of_an_address_gives_no_orders_to_the_terminal() -> None:
    document: Any = TYPICAL.to_dict()
    document["address"] = document["hops"][0]["probes"][0]["address"] = "fe80::1%\x1b]0;owned\x07"
    result = TraceResult.from_dict(document)
    assert str(result).isprintable()
    assert all(str(hop).isprintable() for hop in result)
