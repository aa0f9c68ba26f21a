"""From a command line to an exit status: parses, runs the command, and says in words what went wrong.

Whatever traceprobe raises on purpose ends in one or a few lines on standard error. Anything else is a
fault of the program, and shows its traceback.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from traceprobe.cli._console import OutputError, Results, complain, give_up_output, speak_utf8, writing
from traceprobe.cli._names import COMMANDS, SPELLINGS
from traceprobe.cli._plain import parse_plainly
from traceprobe.errors import ConfigError, NameResolutionError, NoUsableSocketError, TraceprobeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["run"]


def run(arguments: Sequence[str] | None) -> int:
    """Run the program; see :func:`traceprobe.cli.main`."""
    speak_utf8()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except (KeyboardInterrupt, TraceprobeError, OutputError, BrokenPipeError) as error:
        return _say(error)


def _say(error: BaseException) -> int:
    """Say what went wrong, as far as there is anything to say, and how to end because of it."""
    from traceprobe.cli._exit import ExitStatus, status_of

    if isinstance(error, KeyboardInterrupt):
        complain("interrupted")
        return ExitStatus.INTERRUPTED
    if isinstance(error, TraceprobeError):
        complain(f"error: {_words(error)}")
        return status_of(error)
    give_up_output()
    if isinstance(error, OutputError):
        complain(f"error: {error}")
    return ExitStatus.FAILURE


def _run(arguments: list[str]) -> int:
    namespace = parse_plainly(arguments)
    if namespace is not None:
        return _command(namespace)
    from traceprobe.cli._parser import parse

    with writing():  # a help text may be all there is to write
        try:
            namespace = parse(arguments)
        except SystemExit as ending:
            if sys.stdout is not None:
                sys.stdout.flush()
            from traceprobe.cli._exit import ExitStatus

            return ending.code if isinstance(ending.code, int) else ExitStatus.USAGE
    return _command(namespace)


def _command(namespace: argparse.Namespace) -> int:
    if namespace.command == "doctor":
        from traceprobe.cli._doctor import examine

        return examine(namespace, Results())
    if namespace.command == "demo":
        from traceprobe.cli._demo import demonstrate

        return demonstrate(namespace, Results())
    from traceprobe.cli._trace import trace_and_print

    try:
        return trace_and_print(namespace, namespace.target, Results())
    except NameResolutionError as error:
        families = "IPv4 and IPv6" if namespace.family is None else f"IPv{namespace.family}"
        error.add_note(f"tried: the system's resolver, for {families} addresses")
        if error.target in COMMANDS:
            error.add_note(f"for the command, write it first: traceprobe {error.target}")
        raise


def _words(error: TraceprobeError) -> str:
    """The text of an error and of its notes, safe to show: it may quote what somebody typed or sent."""
    from traceprobe.render.sanitize import clean_line

    # "[Errno 101]" means nothing to people; the words that follow it do.
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    if isinstance(error, ConfigError) and error.field in SPELLINGS:
        from traceprobe.cli._words import option_error

        text = option_error(error)
    if isinstance(error, NoUsableSocketError):
        from traceprobe.cli._words import in_options

        text = "\n".join(map(in_options, text.splitlines()))
    lines = [*text.splitlines(), *getattr(error, "__notes__", ())]
    return "\n".join(map(clean_line, lines))
