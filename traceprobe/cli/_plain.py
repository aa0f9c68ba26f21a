"""Understands plain command lines by themselves, which most are: a target, and options that all know.

``argparse`` and what it brings along take as long to load as a router needs to answer. It is left to deal
with everything else: other commands, rarer options, other ways of writing them, and all that is wrong.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from traceprobe.cli._names import COMMANDS
from traceprobe.cli._values import decimal, whole

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

FLAGS: Final[dict[str, tuple[str, object]]] = {
    "-4": ("family", 4),
    "-6": ("family", 6),
    "-I": ("protocol", "icmp"),
    "--icmp": ("protocol", "icmp"),
    "-U": ("protocol", "udp"),
    "--udp": ("protocol", "udp"),
    "-T": ("protocol", "tcp"),
    "--tcp": ("protocol", "tcp"),
    "-n": ("numeric", True),
    "--numeric": ("numeric", True),
    "--no-asn": ("no_asn", True),
    "--fast": ("fast", True),
    "--patient": ("patient", True),
    "--json": ("json", True),
    "--ndjson": ("ndjson", True),
    "--csv": ("csv", True),
    "-r": ("report", True),
    "--report": ("report", True),
    "--report-wide": ("report_wide", True),
    "-v": ("verbose", True),
    "--verbose": ("verbose", True),
}
"""Options that take no value: what they set, and to what."""

VALUES: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "-f": ("first_ttl", whole),
    "--first-ttl": ("first_ttl", whole),
    "-m": ("max_ttl", whole),
    "--max-ttl": ("max_ttl", whole),
    "-p": ("port", whole),
    "--port": ("port", whole),
    "-q": ("queries", whole),
    "--queries": ("queries", whole),
    "-s": ("source", str),
    "--source": ("source", str),
    "-i": ("interface", str),
    "--interface": ("interface", str),
    "-w": ("timeout", decimal),
    "--timeout": ("timeout", decimal),
}
"""Options that take a value: what they set, and what makes it of the word."""

_OFF: Final = frozenset({
    "numeric",
    "no_asn",
    "public_address",
    "fast",
    "patient",
    "json",
    "ndjson",
    "csv",
    "report",
    "report_wide",
    "verbose",
})
"""What is False unless it is asked for."""

_NONE: Final = frozenset({
    "asn_db",
    "dont_fragment",
    "dscp",
    "ecn",
    "family",
    "first_ttl",
    "flow",
    "flow_label",
    "gap_limit",
    "interface",
    "ixp_db",
    "mark",
    "max_in_flight",
    "max_ttl",
    "mode",
    "overall_timeout",
    "own_address",
    "packet_size",
    "payload_pattern",
    "port",
    "print_completion",
    "protocol",
    "queries",
    "receive_all",
    "resolver",
    "retries",
    "send_interval",
    "source",
    "source_port",
    "stop_on_loop",
    "timeout",
    "tos",
})
"""What nobody has said anything about unless it is given."""

_ONE_OF: Final = (
    frozenset({"fast", "patient"}),
    frozenset({"json", "ndjson", "csv", "report", "report_wide", "verbose"}),
)
"""Options of which one excludes the others."""


def parse_plainly(arguments: Sequence[str]) -> argparse.Namespace | None:
    """What the parser would make of a command line; None if it had better be asked."""
    given: dict[str, object] = {}
    words = iter(arguments)
    for word in words:
        if word in FLAGS:
            name, value = FLAGS[word]
        elif word in VALUES:
            name, read = VALUES[word]
            text = next(words, "-")
            if not text or text.startswith("-"):
                return None
            value = read(text)
        elif not word or word.startswith("-"):
            return None
        else:
            name, value = "target", word
        if name in given:
            return None
        given[name] = value
    if "target" not in given or arguments[0] in COMMANDS:
        return None
    if any(len(group & given.keys()) > 1 for group in _ONE_OF):
        return None
    options = {**dict.fromkeys(_OFF, False), **dict.fromkeys(_NONE), **given, "command": "trace"}
    return cast("argparse.Namespace", SimpleNamespace(**options))
