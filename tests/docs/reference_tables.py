"""Writes the tables of the reference that follow from the code: configuration, exceptions, JSON documents.

Run ``python -m tests.docs.reference_tables`` after a change of those; a test compares. What a field takes is
written down nowhere here: each field is given something that it can't take, and says so itself.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import attrs

from tests.house.package import ROOT
from traceprobe import EnrichmentConfig, TimingConfig, TracerouteConfig, errors
from traceprobe.cli._exit import status_of
from traceprobe.cli._parser import SPELLINGS
from traceprobe.errors import ConfigError, TraceprobeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

REFERENCE: Final = ROOT / "docs" / "reference"
_CONFIGS: Final = (TracerouteConfig, TimingConfig, EnrichmentConfig)
_UNITS: Final = {"packet_size": "bytes", "receive_buffer": "bytes"}


class _Unsuitable:
    """What no field takes."""

    def __repr__(self) -> str:
        return "unsuitable"


# --- fields of the configuration ---------------------------------------------------------------------


def field_tables() -> str:
    """A table for each class of the configuration."""
    return "\n".join(_section(config) for config in _CONFIGS)


def _section(config: type[attrs.AttrsInstance]) -> str:
    meanings = dict(_field_docstrings(config))
    defaults = config()
    rows = (
        (
            f"`{field.name}`",
            _unit(config, field.name),
            _shown(getattr(defaults, field.name)),
            bound_of(config, field.name).replace("|", "\\|"),
            _in_table(meanings[field.name]),
            f"`{SPELLINGS[field.name]}`" if field.name in SPELLINGS else "",
        )
        for field in attrs.fields(config)
    )
    title = f"### Fields of `{config.__name__}`\n\n"
    return title + _table(("field", "unit", "default", "takes", "meaning", "option"), rows)


def bound_of(config: type[attrs.AttrsInstance], name: str) -> str:
    """What a field takes, in the words in which it refuses anything else."""
    # typing sees that nothing fits
    make: Callable[..., object] = config
    try:
        make(**{name: _Unsuitable()})
    except ConfigError as error:
        return error.bound
    raise AssertionError(f"{config.__name__}.{name} takes anything")


def _unit(config: type[attrs.AttrsInstance], name: str) -> str:
    bound = bound_of(config, name)
    if "packets per second" in bound:
        return "packets per second"
    if "number of seconds" in bound:
        return "seconds"
    return "factor" if name.endswith("_factor") else _UNITS.get(name, "")


def _shown(value: object) -> str:
    if attrs.has(type(value)):
        return f"`{type(value).__name__}()`"
    return f"`{value!r}`"


def _field_docstrings(config: type) -> Iterator[tuple[str, str]]:
    """The first sentences of the strings below the fields."""
    tree = ast.parse(inspect.getsource(config))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    yield field.target.id, words


def _in_table(text: str) -> str:
    """One paragraph as one cell; roles and literals of reStructuredText become those of Markdown."""
    words = " ".join(text.split("\n\n", 1)[0].split())
    words = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", words)
    return words.replace("``", "`").replace("|", "\\|")


# --- exceptions --------------------------------------------------------------------------------------


def error_table() -> str:
    """Each exception, what else it is, and the exit status of the program that it ends."""
    return _table(
        ("exception", "is also", "exit status", "meaning"),
        (
            (
                f"`{kind.__name__}`",
                ", ".join(f"`{base.__name__}`" for base in _bases(kind)),
                str(int(status_of(_made(kind)))),
                _in_table(kind.__doc__ or ""),
            )
            for kind in map(vars(errors).__getitem__, _by_depth())
        ),
    )


def _by_depth() -> list[str]:
    """The names of the exceptions, each right below what it derives from."""

    def lineage(name: str) -> list[str]:
        ours = [base.__name__ for base in vars(errors)[name].__mro__ if issubclass(base, TraceprobeError)]
        return ours[::-1]

    return sorted(errors.__all__, key=lineage)


def _bases(kind: type[TraceprobeError]) -> Iterable[type]:
    return [base for base in kind.__mro__[1:] if base not in {Exception, BaseException, object}]


def _made(kind: type[TraceprobeError]) -> TraceprobeError:
    """One of a kind, without the arguments that it would be raised with."""
    return kind.__new__(kind)


# --- the JSON document -------------------------------------------------------------------------------


def schema_tables() -> str:
    """What the schema demands of each object of a document."""
    from traceprobe.schema import trace_schema

    schema: dict[str, Any] = dict(trace_schema())
    objects = {"result": schema, **schema["$defs"]}
    parts = []
    for name, part in objects.items():
        members = _members(part)
        rows = ((f"`{member}`", _type(what), _meaning(what)) for member, what in members.items())
        said = _meaning(part)
        parts += [f"## `{name}`\n", *([f"{fill(said, 125)}\n"] if said and name != "result" else [])]
        parts.append(
            _table(("member", "type", "meaning"), rows)
            if members
            else f"{fill(f'Type: {_type(part)}', 125)}\n"
        )
    return "\n".join(parts)


def _members(part: dict[str, Any]) -> dict[str, Any]:
    """The members of an object, which may be one that can be null, or stand in a list."""
    if "properties" in part:
        found: dict[str, Any] = part["properties"]
        return found
    for inner in (*part.get("anyOf", ()), part.get("items", {})):
        if "properties" in inner:
            return _members(inner)
    return {}


def _meaning(what: dict[str, Any]) -> str:
    return _in_table(what.get("description", ""))


def _type(what: dict[str, Any]) -> str:
    """A type of JSON in words."""
    if "$ref" in what:
        return f"`{what['$ref'].rpartition('/')[2]}`"
    if "const" in what:
        return f"`{what['const']}`"
    if "enum" in what:
        return ", ".join("null" if value is None else f"`{value}`" for value in what["enum"])
    for union in ("anyOf", "oneOf"):
        if union in what:
            return " or ".join(_type(part) for part in what[union])
    kind = what.get("type", "anything")
    names = kind if isinstance(kind, list) else [kind]
    words = " or ".join(names)
    if "items" in what:
        words = words.replace("array", f"array of {_type(what['items'])}")
    if "maximum" in what:
        words += f", {what.get('minimum', '')} to {what['maximum']}"
    elif "minimum" in what:
        words += f", at least {what['minimum']}"
    if "properties" in what:
        words += f" of {', '.join(f'`{member}`' for member in what['properties'])}"
    return words + (f" ({what['format']})" if "format" in what else "")


# --- pages -------------------------------------------------------------------------------------------


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


TABLES: Final[dict[str, tuple[Path, Callable[[], str]]]] = {
    "fields": (REFERENCE / "configuration.md", field_tables),
    "errors": (REFERENCE / "errors.md", error_table),
    "schema": (REFERENCE / "schema.md", schema_tables),
}


def with_table(name: str, text: str) -> str:
    """A page's text with a fresh table between its marks."""
    marks = re.compile(rf"(<!-- begin {name} -->\n).*(<!-- end {name} -->)", re.DOTALL)
    return marks.sub(lambda found: f"{found[1]}\n{TABLES[name][1]()}\n{found[2]}", text)


if __name__ == "__main__":
    for name, (page, _) in TABLES.items():
        page.write_text(with_table(name, page.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
