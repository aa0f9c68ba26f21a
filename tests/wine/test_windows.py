"""Runs the tests of Windows, and those that concern no kernel, on a Windows CPython under Wine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rigs.require import require
from tests.wine.lab import WineLab
from tests.wine.setup import SetupError, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.wine.lab import Finished

pytestmark = pytest.mark.wine

PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-q")


@pytest.fixture(scope="module")
def lab() -> Iterator[WineLab]:
    """Windows CPython behind ten routers."""
    try:
        environment = set_up()
    except SetupError as error:
        require("wine", str(error))
        raise
    with WineLab(environment) as built:
        yield built


def passed(finished: Finished) -> int:
    """How many tests passed; none may have failed."""
    assert finished.status == 0, str(finished)
    summary = finished.out.decode(errors="replace").strip().splitlines()[-1]
    words = summary.replace(",", "").split()
    return int(words[words.index("passed") - 1])


@pytest.mark.parametrize(
    ("files", "fewest"),
    [
        (["tests/windows/test_icmp.py"], 40),
        (["tests/windows/test_reactor.py"], 10),
        (["tests/windows/test_raw.py"], 30),
        (["tests/windows/test_program.py"], 10),
    ],
    ids=["icmp", "reactor", "raw", "program"],
)
def test_real_traces(lab: WineLab, tmp_path: Path, files: list[str], fewest: int) -> None:
    finished = lab.run([*PYTEST, f"--basetemp={lab.path(tmp_path / 'windows')}", *files])
    assert passed(finished) >= fewest
    # Nothing that these tests need is missing here.
    assert "skipped" not in finished.out.decode(errors="replace"), str(finished)


QUICK = [
    *("tests/ffi", "tests/loops", "tests/model", "tests/packets", "tests/render", "tests/tracer"),
    # tests/windows/test_program.py runs the program. tests/cli/test_program.py starts a process for each of
    # its many tests, which Wine now and then refuses (error 1359).
    *("tests/cli/test_parser.py", "tests/engine/test_settling.py"),
    *("tests/engine/test_states.py", "tests/sockets/test_codec.py", "tests/sockets/test_factory.py"),
    *("tests/sockets/test_helpers.py", "tests/test_api.py", "tests/test_config.py", "tests/test_errors.py"),
    *("tests/enrich/test_resolver.py", "tests/enrich/test_ends.py"),
    # There is no interface "lo".
    "--deselect=tests/enrich/test_resolver.py::test_servers_are_told_to_c_ares_as_it_wants_them",
    # What takes long here and says nothing about Windows.
    *("--ignore=tests/packets/test_any_bytes.py", "--ignore=tests/packets/test_internet_vectors.py"),
    "--ignore=tests/render/test_hostile_sources.py",
]


def test_what_concerns_no_kernel(lab: WineLab, tmp_path: Path) -> None:
    finished = lab.run([*PYTEST, f"--basetemp={lab.path(tmp_path / 'windows')}", *QUICK])
    assert passed(finished) > 1000
