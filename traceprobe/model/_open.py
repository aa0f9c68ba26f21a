"""Lets frozen values be built in place, field by field, where there is one for every probe of every trace."""

from __future__ import annotations

from typing import Any


def open_kind_of(kind: type) -> Any:  # noqa: ANN401 - there to be assigned to, which a frozen class forbids
    """A subclass of a frozen attrs class with slots whose instances take any field, and begin without one.

    Who has stored each field makes it what it is to be by ``value.__class__ = kind``, before it is handed on.
    A subclass that adds nothing is what an object can leave for its base at the least cost.
    """
    plain = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(kind.__name__, (kind,), {"__slots__": (), "__doc__": kind.__doc__, **plain})
