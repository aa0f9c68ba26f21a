"""A cursor into a document that somebody else may have written: typed access that knows its path.

It knows kinds of values, not the fields of any document. Every complaint is a ``ConfigError`` whose
``field`` is the path from the root, such as ``hops[3].probes[0].rtt_ms``.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from traceprobe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from enum import StrEnum
    from ipaddress import IPv4Address, IPv6Address

    MemberT = TypeVar("MemberT", bound=StrEnum)
ValueT = TypeVar("ValueT")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_HEXADECIMAL: Final = re.compile(r"([0-9a-f]{2})*", re.ASCII)
_NS_PER_MS: Final = 1_000_000
_NS_PER_SECOND: Final = 1_000_000_000

_LONGEST: Final = 2**51 / _NS_PER_MS
"""26 days of milliseconds; beyond it, a double is not exact to the nanosecond."""

_ROUNDING: Final = 1e-6
"""How far a derived number may be off: the last place that milliseconds are written to."""

_SHOWN: Final = 80
"""How much of a wrong string an error repeats."""


class Reader:
    """One JSON object of a document, and where it stands."""

    def __init__(self, fields: Mapping[str, object], path: str) -> None:
        self._fields = fields
        self._path = path

    @classmethod
    def of(cls, document: object, path: str = "") -> Reader:
        """Start reading; ``document`` is checked to be an object."""
        if not isinstance(document, Mapping):
            _refuse(path or "document", document, "a JSON object")
        return cls(document, path)

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _value(self, key: str) -> object:
        try:
            return self._fields[key]
        except KeyError:
            _refuse(self._name(key), None, "present, and is missing")

    def inside(self, key: str) -> Reader:
        """The object that a field holds."""
        return Reader.of(self._value(key), self._name(key))

    def each(self, key: str) -> Iterator[Reader]:
        """The objects of a list."""
        for index, item in enumerate(self._list(key)):
            yield Reader.of(item, f"{self._name(key)}[{index}]")

    def _list(self, key: str) -> list[object] | tuple[object, ...]:
        value = self._value(key)
        if not isinstance(value, list | tuple):
            _refuse(self._name(key), value, "a list")
        return value

    def optional(self, read: Callable[[str], ValueT], key: str) -> ValueT | None:
        """What ``read`` makes of a field, or None if it is null."""
        return None if self._value(key) is None else read(key)

    def text(self, key: str) -> str:
        """A string."""
        value = self._value(key)
        if not isinstance(value, str):
            _refuse(self._name(key), value, "a string")
        return value

    def whole_or_text(self, key: str) -> int | str:
        """An integer of 0 or more, or a string."""
        value = self._value(key)
        return value if isinstance(value, str) else _whole(self._name(key), value, 0)

    def hexadecimal(self, key: str) -> bytes:
        """Bytes, written as pairs of hexadecimal digits without anything between them."""
        value = self._value(key)
        if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
            _refuse(self._name(key), value, "pairs of hexadecimal digits")
        return bytes.fromhex(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            _refuse(self._name(key), value, "true or false")
        return value

    def whole(self, key: str, low: int, high: int | None = None) -> int:
        """An integer within its bounds, both included."""
        return _whole(self._name(key), self._value(key), low, high)

    def wholes(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """A list of integers, each within the bounds."""
        return tuple(
            _whole(f"{self._name(key)}[{index}]", item, low, high)
            for index, item in enumerate(self._list(key))
        )

    def optional_whole(self, key: str, low: int, high: int) -> int | None:
        """The same, or None if it is null."""
        return None if self._value(key) is None else self.whole(key, low, high)

    def counts(self, key: str) -> dict[str, int]:
        """An object of counters."""
        fields = self.inside(key)._fields
        return {name: _whole(f"{self._name(key)}.{name}", value, 0) for name, value in fields.items()}

    def constant(self, key: str, expected: int) -> None:
        """An integer that has to be this one."""
        value = self._value(key)
        if type(value) is not int or value != expected:
            _refuse(self._name(key), value, f"{expected}, the version that this traceprobe reads")

    def nanoseconds(self, key: str) -> int:
        """Milliseconds of a duration, as nanoseconds."""
        return self._duration(key, 0.0, "0 or more")

    def seconds(self, key: str) -> float:
        """Milliseconds of a measured difference, which may be negative, as seconds."""
        return self._duration(key, -_LONGEST, "at most 26 days either way") / _NS_PER_SECOND

    def _duration(self, key: str, low: float, bound: str) -> int:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= _LONGEST:
            _refuse(self._name(key), value, f"a number of milliseconds, {bound}")
        return round(value * _NS_PER_MS)

    def timestamp(self, key: str) -> int:
        """A moment in UTC, as nanoseconds since the epoch."""
        value = self._value(key)
        try:
            if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
                raise ValueError(value)
            moment = datetime.fromisoformat(value)
        except ValueError:
            _refuse(self._name(key), value, "a time like '2026-11-22T10:00:00.000000Z'")
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000

    def address(self, key: str) -> IPv4Address | IPv6Address:
        """An IP address."""
        value = self._value(key)
        try:
            if not isinstance(value, str):
                raise ValueError(value)
            return ipaddress.ip_address(value)
        except ValueError:
            _refuse(self._name(key), value, "an IPv4 or IPv6 address")

    def member(self, key: str, kind: type[MemberT]) -> MemberT:
        """One of the words of an enumeration."""
        value = self._value(key)
        try:
            if not isinstance(value, str):
                raise ValueError(value)
            return kind(value)
        except ValueError:
            _refuse(self._name(key), value, "one of " + ", ".join(repr(member.value) for member in kind))

    def optional_member(self, key: str, kind: type[MemberT]) -> MemberT | None:
        """The same, or None if it is null."""
        return None if self._value(key) is None else self.member(key, kind)

    def agrees(self, key: str, expected: object) -> None:
        """A field that has to say what follows from the rest of the document."""
        value = self._value(key)
        if not _equal(value, expected):
            _refuse(self._name(key), value, f"{expected!r}, going by the rest of the document")


def _whole(path: str, value: object, low: int, high: int | None = None) -> int:
    if type(value) is not int or value < low or (high is not None and value > high):
        bound = (
            f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
        )
        _refuse(path, value, bound)
    return value


def _equal(value: object, expected: object) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and _equal(value[key], wanted) for key, wanted in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(expected)
            and all(map(_equal, value, expected))
        )
    if isinstance(expected, float):
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isclose(value, expected, rel_tol=1e-9, abs_tol=_ROUNDING)
        )
    return type(value) is type(expected) and value == expected


def _refuse(path: str, value: object, bound: str) -> NoReturn:
    if isinstance(value, Mapping | list | tuple):
        value = type(value).__name__  # a whole document would drown the message
    elif isinstance(value, str) and len(value) > _SHOWN:
        value = value[:_SHOWN]
    raise ConfigError(path, value, bound)
