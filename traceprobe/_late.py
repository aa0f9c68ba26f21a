"""Names that a package hands out, and imports only when somebody asks for one of them (PEP 562).

What stands between the start of a program and its first probe is imports. Whatever a probe doesn't need to
leave is named like everything else, and loaded when it is used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def import_when_asked(package: str, home_of: Mapping[str, str]) -> Callable[[str], object]:
    """Make the ``__getattr__`` of a package.

    Args:
        package: Its ``__name__``.
        home_of: The module that each name is defined in.
    """

    def get(name: str) -> object:
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import importlib

        value: object = getattr(importlib.import_module(home), name)
        setattr(sys.modules[package], name, value)  # it is asked for once
        return value

    return get
