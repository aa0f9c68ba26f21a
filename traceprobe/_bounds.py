"""The checks that configuration fields are made of; a refusal names the field, the value and the bound.

Most functions here make a check for a field, or are one; they know no field by name. Checks are metadata of
the fields, and :func:`check_fields` makes them all: attrs would write a call of each validator into an
``__init__`` that has to be compiled before the first probe.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import attr

from traceprobe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    Validator = Callable[[object, attr.Attribute[Any], Any], None]

_Member = TypeVar("_Member", bound="Enum")

_MOST: Final = 10**9
"""Thirty years in seconds: what is within stays within 64 bits when it is counted in nanoseconds."""


_CHECK: Final = "check"
"""Where the metadata of a field hold its check."""


def checked_by(check: Validator) -> dict[str, Validator]:
    """The metadata of a field that is to be checked."""
    return {_CHECK: check}


def check_fields(value: attr.AttrsInstance) -> None:
    """Check all fields of a value, in their order.

    Raises:
        ConfigError: One is out of its bounds.
    """
    for field in attr.fields(type(value)):
        check: Validator | None = field.metadata.get(_CHECK)
        if check is not None:
            check(value, field, getattr(value, field.name))


def optional(check: Validator) -> Validator:
    """What a check lets through, or None."""

    def check_unless_none(value: object, attribute: attr.Attribute[Any], given: Any) -> None:  # noqa: ANN401
        if given is not None:
            check(value, attribute, given)

    return check_unless_none


def whole(low: int, high: int | None = None, *, optional: bool = False) -> Validator:
    """A whole number within bounds; a bool is none."""
    bound = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    if optional:
        bound += ", or None"

    def check(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
        if value is None and optional:
            return
        if type(value) is not int or value < low or (high is not None and value > high):
            raise ConfigError(attribute.name, value, bound)

    return check


def seconds(*, zero: bool = False, optional: bool = False) -> Validator:
    """A duration, as a number of seconds."""
    return number("seconds", zero=zero, optional=optional)


def number(unit: str, *, zero: bool = False, optional: bool = False) -> Validator:
    """A number of something, 0 or more, or more than 0."""
    bound = f"a finite number of {unit}, {'0 or more' if zero else 'greater than 0'}, at most {_MOST:,}"
    if optional:
        bound += ", or None"

    def check(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
        if value is None and optional:
            return
        if not _is_number(value) or not 0 <= value <= _MOST or (value == 0 and not zero):
            raise ConfigError(attribute.name, value, bound)

    return check


def factor(low: float) -> Validator:
    """What something else is multiplied by."""
    bound = f"a finite number from {low:g} to {_MOST:,}"

    def check(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
        if not _is_number(value) or not low <= value <= _MOST:
            raise ConfigError(attribute.name, value, bound)

    return check


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def flag(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    """True or False, and nothing like it."""
    if not isinstance(value, bool):
        raise ConfigError(attribute.name, value, "True or False")


def text(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    """A name that C can hold, or None."""
    if value is not None and (not isinstance(value, str) or not value or "\0" in value):
        raise ConfigError(attribute.name, value, "a non-empty string without NUL bytes, or None")


def pattern(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    """Some bytes, or None."""
    if value is not None and (not isinstance(value, bytes) or not value):
        raise ConfigError(attribute.name, value, "non-empty bytes, or None")


def instance(kind: type, words: str) -> Validator:
    """An object of one class."""

    def check(_: object, attribute: attr.Attribute[Any], value: Any) -> None:  # noqa: ANN401
        if not isinstance(value, kind):
            raise ConfigError(attribute.name, value, words)

    return check


def choice(kind: type[_Member], field: str, value: object) -> _Member | None:
    """Accept a member, its value or None, so that ``protocol="udp"`` works."""
    if value is None or isinstance(value, kind):
        return value
    bound = f"one of {', '.join(repr(member.value) for member in kind)}, or None"
    if isinstance(value, bool):
        raise ConfigError(field, value, bound)
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(field, value, bound) from None
