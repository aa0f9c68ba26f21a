"""Writes the public interface down as text: every name, every signature, every field and value.

The text is kept in ``public_api.txt``, so that no change to it goes unnoticed. After a change that is meant::

    python -m tests.house.public_api

Annotations are taken as they are written, so that the text is the same on every Python version.
"""

from __future__ import annotations

import enum
import importlib
import inspect
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT: Final = Path(__file__).with_name("public_api.txt")
MODULES: Final = ("traceprobe", "traceprobe.schema", "traceprobe.testing")


def describe() -> str:
    """The whole public interface."""
    lines: list[str] = []
    for name in MODULES:
        module = importlib.import_module(name)
        lines.append(f"# {name}")
        for public in sorted(module.__all__):
            lines.extend(_value(public, getattr(module, public)))
        lines.append("")
    return "\n".join(lines)


def _value(name: str, value: object) -> Iterator[str]:
    if name == "__version__":
        yield name
    elif isinstance(value, type):
        yield from _class(name, value)
    elif inspect.isfunction(value):
        yield _function(name, value)
    elif get_args(value):
        yield f"{name} = {' | '.join(argument.__name__ for argument in get_args(value))}"
    else:
        yield f"{name} = {type(value).__name__}"


def _function(name: str, function: object) -> str:
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    try:
        signature = str(inspect.signature(function))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        signature = "(...)"
    return f"{prefix}{name}{signature.replace(chr(39), '')}"


def _class(name: str, kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    if issubclass(kind, enum.Enum):
        yield from (f"    {choice.name} = {choice.value!r}" for choice in kind)
        return
    own = [member for base in reversed(kind.__mro__) if _is_ours(base) for member in vars(base).items()]
    members = dict(own)
    if attrs.has(kind):
        for field in attrs.fields(kind):
            default = "" if field.default is attrs.NOTHING else f" = {_default(field.default)}"
            yield f"    {field.name}: {_annotation(field.type)}{default}"
    else:
        for annotated, annotation in inspect.get_annotations(kind).items():
            if not annotated.startswith("_"):
                yield f"    {annotated}: {_annotation(annotation)}"
        if getattr(members.get("__init__"), "__module__", "typing") != "typing":
            yield "    " + _function("__init__", members["__init__"])
    fields = {field.name for field in attrs.fields(kind)} if attrs.has(kind) else set()
    for member, value in sorted(members.items()):
        if not member.startswith("_") and member not in fields:
            yield from (f"    {line}" for line in _member(member, value))


def _is_ours(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "traceprobe"


def _member(name: str, value: object) -> Iterator[str]:
    if isinstance(value, classmethod | staticmethod):
        yield f"@{type(value).__name__} {_function(name, value.__func__)}"
    elif isinstance(value, property):
        yield f"@property {_function(name, value.fget)}"
    elif inspect.isfunction(value):
        yield _function(name, value)
    elif isinstance(value, cached_property):
        yield f"@property {_function(name, value.func)}"


def _annotation(annotation: object) -> str:
    if isinstance(annotation, type):
        return annotation.__name__
    return str(getattr(annotation, "__forward_arg__", annotation))


def _default(default: object) -> str:
    factory = getattr(default, "factory", None)
    return f"{factory.__name__}()" if factory is not None else repr(default)


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(), encoding="utf-8")
