"""The options of the command line: what they take, and how they are explained.

The words of the enumerations stand here once more, so that ``--help`` doesn't load the configuration.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from traceprobe._version import __version__
from traceprobe.cli._names import COMMANDS as COMMANDS
from traceprobe.cli._names import FIELDS as FIELDS
from traceprobe.cli._names import SPELLINGS as SPELLINGS
from traceprobe.cli._values import code_point, decimal, digits, is_negative, numeral, octet, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsWrite

FLOWS: Final = ("paris", "classic", "dublin")
MODES: Final = (
    "linux_raw",
    "linux_ping",
    "linux_udp",
    "linux_tcp",
    "bsd_raw",
    "darwin_dgram",
    "windows_icmp",
    "windows_raw",
)
SHELLS: Final = ("bash", "zsh", "tcsh", "fish", "powershell")

ELSEWHERE: Final = {
    "-a": "--source",
    "-C": "--csv",
    "-c": "--queries",
    "-d": "--verbose",
    "-j": "--json",
    "-l": "--packet-size",
    "-P": "--port",
    "-Q": "--tos",
    "-t": "--tos",
    "-u": "--udp",
    "-V": "--version",
    "--address": "--source",
    "--first": "--first-ttl",
    "--hops": "--max-ttl",
    "--max-hops": "--max-ttl",
    "--max-unknown": "--gap-limit",
    "--no-dns": "--numeric",
    "--psize": "--packet-size",
    "--report-cycles": "--queries",
    "--sim-queries": "--max-in-flight",
    "--wait": "--timeout",
}
"""What traceroute(8), tracepath(8) and mtr(8) call an option that has another name here."""

FILES: Final = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""How each shell completes the name of a file, in the words of shtab."""

_USAGE: Final = """\
traceprobe [trace] TARGET [option ...]
       traceprobe doctor [-4 | -6] [-I | -U | -T] [--json]
       traceprobe demo [TARGET] [option ...]"""

_DESCRIPTION: Final = "See the path that packets take to TARGET, a host name or an IP address."

_EPILOG: Final = """\
commands, where the first word is one of them:
  trace   trace the path to TARGET; the word is only needed if TARGET is one too
  doctor  say which ways of probing are open here, and what would open the rest
  demo    trace through a network that is in memory only, anywhere, as anyone

exit status: 0 destination reached, 1 not reached, 2 wrong usage, 3 no usable
  socket, 4 name not resolved, 5 other failure, 130 interrupted
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and takes negative numbers for values, not for options."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        from traceprobe.render.sanitize import clean_line

        # argparse quotes some of what it was given as it is.
        self.exit(2, f"traceprobe: error: {clean_line(message)}\ntry: traceprobe --help\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print; unlike argparse, don't hush it up if that fails."""
        stream = sys.stderr if file is None else file
        if message and stream is not None:
            stream.write(message)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse a command line.

        ``-4`` and ``-6`` make argparse take every negative number for an option, so ``-w -1`` is joined
        to ``-w-1`` first: the configuration is to say what is wrong with it.
        """
        valued = {
            name
            for action in self._actions
            if action.nargs is None and action.option_strings
            for name in action.option_strings
        }
        self._refuse_unknown_options(arguments)
        joined: list[str] = []
        for argument in arguments:
            if joined and "--" not in joined and joined[-1] in valued and is_negative(argument):
                name = joined.pop()
                argument = f"{name}={argument}" if name.startswith("--") else name + argument
            joined.append(argument)
        return self.parse_args(joined)

    def _refuse_unknown_options(self, arguments: Sequence[str]) -> None:
        """Name the option that was meant; argparse only lists all that it can't make out."""
        known = self._option_string_actions
        for argument in arguments[: arguments.index("--") if "--" in arguments else None]:
            name = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
            if len(name) > 1 and name.startswith("-") and name not in known and not is_negative(argument):
                import difflib

                near = [ELSEWHERE[name]] if ELSEWHERE.get(name) in known else []
                if not near and name.startswith("--"):
                    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
                self.error(f"unknown option {name!r}" + (f"; the nearest is {near[0]}" if near else ""))


class _PrintCompletion(argparse.Action):
    """Writes a completion script for a shell and ends."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """Needs ``shtab``, which is no dependency of the package."""
        del namespace
        try:
            import shtab
        except ImportError:
            parser.error(f"{option_string} needs the package shtab: python -m pip install shtab")
        print(shtab.complete(_completion_parser(), shell=str(values)))
        parser.exit(0)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Turn a command line into a namespace with a ``command``.

    Raises:
        SystemExit: Something is wrong with it (2), or all that was asked for has been printed (0).
    """
    command = arguments[0] if arguments and arguments[0] in COMMANDS else None
    rest = arguments if command is None else arguments[1:]
    parser = _parser(command or "trace")
    namespace = parser.parse(rest)
    namespace.command = command or "trace"
    if getattr(namespace, "tos", None) is not None:
        for part in ("dscp", "ecn"):
            if getattr(namespace, part) is not None:
                parser.error(f"argument --{part}: not allowed with argument --tos, which holds it")
    return namespace


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Names the value of an option once: ``-p, --port PORT``."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=80)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        value = "" if action.nargs == 0 else f" {action.metavar}"
        return ", ".join(action.option_strings) + value


def _parser(command: str) -> Parser:
    parser = Parser(
        prog="traceprobe" if command == "trace" else f"traceprobe {command}",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    if command == "doctor":
        _add_way_options(parser.add_argument_group("how to probe"))
        output = parser.add_argument_group("what to print")
        output.add_argument("--json", action="store_true", help="the report as a JSON document")
        _add_general_options(output)
    else:
        # The description says what it is.
        nargs = None if command == "trace" else "?"
        parser.add_argument("target", metavar="TARGET", nargs=nargs, help=argparse.SUPPRESS)
        _add_trace_options(parser)
    return parser


def _completion_parser() -> argparse.ArgumentParser:
    """One parser with the commands below it, which is what shtab knows; it is never parsed with."""
    parser = argparse.ArgumentParser(prog="traceprobe", add_help=False)
    _add_trace_options(parser)
    commands = parser.add_subparsers()
    parsers = [parser]
    for name in COMMANDS:
        command = commands.add_parser(name, add_help=False, help=name)
        for action in _parser(name)._actions:
            command._add_action(action)
        parsers.append(command)
    for action in (action for each in parsers for action in each._actions):
        if action.metavar == "FILE":
            action.complete = FILES  # type: ignore[attr-defined]  # where shtab looks for it
    return parser


def _add_general_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-h", "--help", action="help", help="show this and end")
    group.add_argument(
        "--version", action="version", version=f"traceprobe {__version__}", help="print the version and end"
    )
    group.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"for {', '.join(SHELLS[:-1])} or {SHELLS[-1]}",
    )


def _add_way_options(group: argparse._ArgumentGroup) -> None:
    family = group.add_mutually_exclusive_group()
    for version in (4, 6):
        family.add_argument(
            f"-{version}",
            dest="family",
            action="store_const",
            const=version,
            help=f"IPv{version} only",
        )
    protocol = group.add_mutually_exclusive_group()
    for letter, name, what in (
        ("-I", "icmp", "ICMP echo requests"),
        ("-U", "udp", "UDP datagrams"),
        ("-T", "tcp", "TCP segments"),
    ):
        protocol.add_argument(
            letter, f"--{name}", dest="protocol", action="store_const", const=name, help=f"probe with {what}"
        )


def _add_lookup_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-n", "--numeric", action="store_true", help="look up no host names")
    networks = group.add_mutually_exclusive_group()
    networks.add_argument("--no-asn", action="store_true", help="look up no autonomous systems")
    networks.add_argument(
        "--asn-db",
        action="append",
        metavar="FILE",
        help="read networks and places here, ask nobody",
    )
    group.add_argument("--ixp-db", metavar="FILE", help="PeeringDB snapshot to find exchanges in")
    group.add_argument(
        "--public-address", action="store_true", help="ask a STUN server who connects this machine"
    )
    group.add_argument(
        "--own-address", action="append", metavar="ADDRESS", help="public address of this machine"
    )
    group.add_argument(
        "--resolver",
        action="append",
        metavar="SERVER",
        help="DNS server to ask: ADDRESS[:PORT], or a URL",
    )


def _add_trace_options(parser: argparse.ArgumentParser) -> None:
    way = parser.add_argument_group("how to probe (default: the best way that is open)")
    _add_way_options(way)
    way.add_argument("-p", "--port", type=whole, metavar="PORT", help="destination port (UDP 33434, TCP 80)")
    way.add_argument(
        "--flow", choices=FLOWS, metavar="STRATEGY", help="paris (constant), classic or dublin (varied)"
    )
    way.add_argument("--mode", choices=MODES, metavar="MODE", help="one of those that the doctor lists")
    way.add_argument("-s", "--source", metavar="ADDRESS", help="source address")
    way.add_argument("-i", "--interface", metavar="NAME", help="network interface")

    _add_header_options(parser.add_argument_group("what probes look like"))

    amount = parser.add_argument_group("how much and how fast")
    amount.add_argument("-f", "--first-ttl", type=whole, metavar="TTL", help="nearest hop (1)")
    amount.add_argument("-m", "--max-ttl", type=whole, metavar="TTL", help="farthest hop (30)")
    amount.add_argument("-q", "--queries", type=whole, metavar="N", help="probes per hop (3)")
    amount.add_argument("--retries", type=whole, metavar="N", help="more probes to a silent hop (0)")
    amount.add_argument(
        "--gap-limit", type=whole, metavar="N", help="end after N silent hops in a row (none)"
    )
    amount.add_argument(
        "--past-loops",
        dest="stop_on_loop",
        action="store_const",
        const=False,
        help="go on where the path runs in a loop",
    )
    amount.add_argument(
        "-w", "--timeout", type=decimal, metavar="SECONDS", help="longest wait for a reply (5)"
    )
    amount.add_argument(
        "--overall-timeout", type=decimal, metavar="SECONDS", help="for the whole trace (none)"
    )
    amount.add_argument(
        "-N", "--max-in-flight", type=whole, metavar="N", help="most probes outstanding at once (all)"
    )
    amount.add_argument(
        "-z", "--send-interval", type=decimal, metavar="SECONDS", help="between two probes (0: all at once)"
    )
    patience = amount.add_mutually_exclusive_group()
    patience.add_argument("--fast", action="store_true", help="don't wait long for silent hops")
    patience.add_argument("--patient", action="store_true", help="wait long for slow routers")

    _add_lookup_options(parser.add_argument_group("what to look up (default: names and networks)"))

    output = parser.add_argument_group("what to print (default: a line for each hop, once it is known)")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the result as one JSON document")
    form.add_argument("--ndjson", action="store_true", help="each event as a line of JSON, as it happens")
    form.add_argument("--csv", action="store_true", help="comma-separated values, a row for each probe")
    form.add_argument("-r", "--report", action="store_true", help="a line of figures per hop, as mtr -r does")
    form.add_argument("--report-wide", action="store_true", help="the same with whole names, as mtr -rw does")
    form.add_argument("-v", "--verbose", action="store_true", help="all that is known, and why it was so")
    _add_general_options(output)


def _add_header_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--packet-size", type=whole, metavar="BYTES", help="of a probe, IP header included (60, IPv6 80)"
    )
    group.add_argument(
        "--source-port", "--sport", type=whole, metavar="PORT", help="source port of UDP and TCP"
    )
    group.add_argument(
        "-F", "--dont-fragment", action="store_const", const=True, help="refuse to be cut into fragments"
    )
    group.add_argument(
        "--dscp", type=code_point, metavar="VALUE", help="differentiated services: 0 to 63, EF, AF41"
    )
    group.add_argument("--ecn", type=numeral, metavar="BITS", help="congestion notification: 0 to 3")
    group.add_argument("--tos", type=octet, metavar="BYTE", help="DSCP and ECN in one byte: 0 to 255")
    group.add_argument("--flow-label", type=numeral, metavar="LABEL", help="of IPv6: 0 to 0xfffff")
    group.add_argument("--payload-pattern", type=digits, metavar="HEX", help="what probes are filled with")
    group.add_argument("--mark", type=numeral, metavar="MARK", help="firewall mark (Linux)")
    group.add_argument(
        "--receive-all", action="store_const", const=True, help="see all packets of the interface (Windows)"
    )
