"""Frozen classes that are cheap to define: ``attrs.frozen``, but for methods that all of them share.

attrs writes ``__eq__``, ``__hash__`` and ``__repr__`` anew for each class and has the interpreter compile
them: half of what such a class costs when it is imported, and there are dozens of them between the start of
the program and its first probe. Here all have the same three functions, which do what those of attrs do.
Whatever a class defines itself, it keeps.

What is loaded before the first probe takes ``attr``, the older name of the same library: ``attrs`` would
load half a dozen modules more, in which there are but names.
"""

from __future__ import annotations

import functools
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import attr

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["frozen"]


@functools.cache
def _compared(kind: type[Any]) -> Callable[[object], object]:
    return attrgetter(*(field.name for field in attr.fields(kind) if field.eq))


@functools.cache
def _hashed(kind: type[Any]) -> Callable[[object], object]:
    fields = attr.fields(kind)
    return attrgetter(*(each.name for each in fields if (each.eq if each.hash is None else each.hash)))


def _is_equal(self: object, other: object) -> object:
    """Whether both are of the same class, and equal in all fields that are compared."""
    kind: Any = self.__class__
    values = _compared(kind)
    return values(self) == values(other) if other.__class__ is kind else NotImplemented


def _number(self: object) -> int:
    """A number that is the same for equal values."""
    kind: Any = self.__class__
    return hash((kind, _hashed(kind)(self)))


def _show(self: object) -> str:
    """The class and its fields, as one would write them to build the value."""
    kind: Any = self.__class__
    fields = (f"{each.name}={getattr(self, each.name)!r}" for each in attr.fields(kind) if each.repr)
    return f"{kind.__qualname__.rpartition('>.')[2]}({', '.join(fields)})"


_SHARED: Final = {"__eq__": _is_equal, "__hash__": _number, "__repr__": _show}


def _frozen(kind: type[Any] | None = None, /, **options: Any) -> Any:  # noqa: ANN401 - checkers see that of attrs
    """Define a frozen class with the options of :func:`attrs.frozen`."""
    if kind is None:
        return functools.partial(_frozen, **options)
    for name, method in _SHARED.items():
        if name not in vars(kind):
            setattr(kind, name, method)  # attrs writes no method that it finds in a class
    return attr.frozen(kind, **options)


if TYPE_CHECKING:
    from attrs import frozen as frozen  # the same, as far as can be seen from outside
else:
    frozen = _frozen
