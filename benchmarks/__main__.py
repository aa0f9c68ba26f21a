"""The measurements: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import history
from benchmarks.goals import verdicts
from benchmarks.report import goals_text, header, section_text, to_markdown
from benchmarks.traces import LOOPS, MODES, available_loops, measure_world, traceprobe_row
from benchmarks.worlds import WORLDS, Entry, InternetWorld, missing_worlds
from tests.rigs.namespaces import RigError
from tests.rigs.remote import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCHEMA = 2
OTHERS = ("busy", "costs", "crowds", "many", "receiving", "start", "first-probe")
SECTIONS = (*(entry.name for entry in WORLDS), *OTHERS)
WITHOUT_NAMESPACES = ("loopback", "start")
"""What can be measured on systems on which no network can be built; the first one tells nothing elsewhere."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Returns:
        1 if ``--check`` is on and a goal is missed, 2 if nothing can be measured here, 3 if measuring failed.
    """
    options = _parse(arguments)
    loops = available_loops(options.loops)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": {
            "system": platform.system(),
            "kernel": platform.release(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "repetitions": options.repetitions,
        "sections": {},
    }
    print(header(document), flush=True)
    for name in options.only:
        missing, measure = _section(name, options, loops)
        print(f"{name} ...", file=sys.stderr, flush=True)
        document["sections"][name] = {"error": missing} if missing is not None else _attempt(measure)
        print("\n" + section_text(name, document["sections"][name]), flush=True)
    judged = verdicts(document["sections"])
    document["goals"] = [verdict.to_dict() for verdict in judged]
    if options.check:
        print("\n" + goals_text(judged))
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.markdown is not None:
        options.markdown.write_text(to_markdown(document, judged) + "\n", encoding="utf-8")
    if options.history is not None:
        history.append(options.history, document)
    if all("error" in section for section in document["sections"].values()):
        return 2
    if any("failed" in section for section in document["sections"].values()):
        return 3
    return int(options.check and not all(verdict.met for verdict in judged))


def _attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure a section; one that fails must not take the others with it."""
    try:
        return measure()
    except (RemoteError, RigError, RuntimeError) as error:
        traceback.print_exc()
        return {"error": f"failed: {str(error).splitlines()[0]}", "failed": True}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure traceprobe beside its peers.",
        epilog=f"Sections: {', '.join(SECTIONS)}.",
    )
    parser.add_argument("-n", "--repetitions", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument(
        "--only",
        default=[name for name in SECTIONS if name != "loopback"]
        if sys.platform == "linux"
        else list(WITHOUT_NAMESPACES),
        type=_words,
        metavar="SECTIONS",
        help="some of the sections, separated by commas; default: all that the system has",
    )
    parser.add_argument("--loops", default=list(LOOPS), help=f"default: {','.join(LOOPS)}", type=_words)
    parser.add_argument("--modes", default=list(MODES), help=f"default: {','.join(MODES)}", type=_words)
    parser.add_argument("--no-peers", action="store_true", help="traceprobe only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables there, with the goals"
    )
    parser.add_argument("--history", type=Path, metavar="FILE", help="add the medians to this file")
    parser.add_argument(
        "--check", action="store_true", help="name each goal, met or missed; exit with 1 if one is missed"
    )
    options = parser.parse_args(arguments)
    for given, known in ((options.only, SECTIONS), (options.loops, LOOPS), (options.modes, MODES)):
        if unknown := set(given) - set(known):
            parser.error(f"there are only {', '.join(known)}, not {', '.join(sorted(unknown))}")
    if options.repetitions < 1:
        parser.error("at least one repetition is needed")
    return options


def _words(text: str) -> list[str]:
    return text.split(",")


def _section(
    name: str, options: argparse.Namespace, loops: list[str]
) -> tuple[str | None, Callable[[], dict[str, Any]]]:
    """Why a section can't be measured here, or None; and what measures it."""
    count = options.repetitions
    for entry in WORLDS:
        if entry.name == name:
            return missing_worlds(name), partial(_world, entry, options, loops)
    missing = None if name == "start" else missing_worlds("tun")
    if name == "busy":
        return missing, partial(_busy, loops, count)
    if name == "costs":
        from benchmarks.costs import measure_costs

        return missing, partial(measure_costs, loops=loops, repetitions=count)
    if name in {"start", "first-probe"}:
        from benchmarks.start import measure_first_probe, measure_start

        return missing, partial(measure_start if name == "start" else measure_first_probe, repetitions=count)
    from benchmarks.crowds import CROWD_MODES, measure_crowds, measure_many_probes, measure_receiving

    modes = [mode for mode in CROWD_MODES if mode in options.modes] or list(CROWD_MODES[:1])
    return missing, {
        "crowds": partial(measure_crowds, loops=loops, modes=modes, repetitions=count),
        "many": partial(measure_many_probes, loops=loops, repetitions=count),
        "receiving": partial(measure_receiving, repetitions=count),
    }[name]


def _world(entry: Entry, options: argparse.Namespace, loops: list[str]) -> dict[str, Any]:
    with entry.build() as world:
        measured = measure_world(
            world,
            loops=loops,
            modes=options.modes,
            repetitions=options.repetitions,
            peers=not options.no_peers,
        )
    return {**measured, "title": entry.title}


def _busy(loops: Sequence[str], repetitions: int) -> dict[str, Any]:
    """Round-trip times while a Python thread computes."""
    with InternetWorld("thirty_hops", "") as world:
        rows = [traceprobe_row(world, loop, "raw", repetitions, busy=True) for loop in loops]
    return {"title": "Beside a Python thread that computes", "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
