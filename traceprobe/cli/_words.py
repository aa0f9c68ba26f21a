"""Errors of the configuration in the words of the command line: options by their names, nothing said twice.

The library speaks of fields (``max_ttl=300``), whoever typed a command of options (``--max-ttl 300``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from traceprobe.cli._names import SPELLINGS
from traceprobe.errors import UnsupportedOption

if TYPE_CHECKING:
    from traceprobe.errors import ConfigError

__all__ = ["in_options", "option_error"]

_LONGEST_VALUE: Final = 60

_FIELD: Final = re.compile(r"\b(?:" + "|".join(name for name in SPELLINGS if "_" in name) + r")\b")
_CHOICE: Final = re.compile(
    r"\b(?:mode '(?P<mode>\w+)'|protocol '(?P<protocol>\w+)'|family (?P<family>[46]))"
)
_PYTHON: Final = (
    (re.compile(r"^None for (?=\w)"), "left out for "),
    (re.compile(r", or None$|, as a non-empty string$|; empty for those of the system$"), ""),
    (re.compile(r"^a tuple of servers, each "), ""),
    (re.compile(r"^a tuple of IPv4 and IPv6 addresses$"), "an IPv4 or IPv6 address"),
    (re.compile(r"^non-empty bytes"), "pairs of hexadecimal digits, at least one"),
    (re.compile(r"'(\w+)'"), r"\1"),
)
"""What only makes sense in Python, and what to say instead."""


def option_error(error: ConfigError) -> str:
    """``--max-ttl 300: must be a whole number from 1 to 255``."""
    if error.field in {"protocol", "family"} and error.value is not None:
        subject = f"-{error.value}" if error.field == "family" else f"--{error.value}"
    else:
        subject = f"{SPELLINGS[error.field]}{_value(error.value)}"
    if isinstance(error, UnsupportedOption):
        where = "this installation" if error.mode is None else f"mode {error.mode}"
        return f"{subject}: {where} has no support for it; {in_options(error.remedy)}"
    return f"{subject}: must be {in_options(error.bound)}"


def _value(value: object) -> str:
    """What was typed behind the option: nothing for those that take no value."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, tuple):
        return " " + " ".join(map(str, value))
    text = value.hex() if isinstance(value, bytes) else str(value)
    if len(text) > _LONGEST_VALUE:
        text = text[: _LONGEST_VALUE - 3] + "..."
    return f" {text}" if text and " " not in text else f" {text!r}"


def in_options(text: str) -> str:
    """Fields and choices as they are written on the command line."""
    text = _CHOICE.sub(_written, text)
    for pattern, instead in _PYTHON:
        text = pattern.sub(instead, text)
    return _FIELD.sub(lambda found: SPELLINGS[found[0]], text)


def _written(choice: re.Match[str]) -> str:
    if choice["mode"]:
        return f"--mode {choice['mode']}"
    return f"--{choice['protocol']}" if choice["protocol"] else f"-{choice['family']}"
