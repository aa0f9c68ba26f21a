"""Layouts of C structures: as cffi computes them here, against those that are known.

A system that lays structures out otherwise is refused instead of being read wrongly. Which structures there
are is known to the module of each system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from traceprobe.errors import AbiError

if TYPE_CHECKING:
    from collections.abc import Iterable

StructLayout: TypeAlias = tuple[int, Mapping[str, int]]
"""Size of a structure in bytes, and the offset of each field."""


def declared_layouts(ffi: Any, names: Iterable[str]) -> dict[str, StructLayout]:  # noqa: ANN401 - a module of cffi
    """The layouts that structures have in this process, computed by cffi from their declarations."""
    layouts: dict[str, StructLayout] = {}
    for name in names:
        kind = ffi.typeof(f"struct {name}")
        layouts[name] = (ffi.sizeof(kind), {field: place.offset for field, place in kind.fields})
    return layouts


def check_layouts(layouts: Mapping[str, StructLayout], known: Mapping[str, StructLayout]) -> None:
    """Compare layouts with those that are known.

    Raises:
        AbiError: One of them is another.
    """
    for name, (size, fields) in known.items():
        if layouts[name] != (size, fields):
            found_size, found_fields = layouts[name]
            raise AbiError(
                f"struct {name} has an unknown layout on this system: {found_size} bytes, "
                f"{dict(found_fields)}; known are {size} bytes, {dict(fields)}"
            )
