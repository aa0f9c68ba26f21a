"""Topologies as JSON documents, both ways.

A document mirrors the classes of :mod:`traceprobe.testing.topology`: one object for each, its fields by
name, those at their default left out. In a list of hops, ``null`` is a silent router, a string a plain
router's address, an object with ``branches`` a balancer, one with ``routers`` a loop, any other a router.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, TypeVar

import attrs

from traceprobe.errors import ConfigError
from traceprobe.model import ExtensionObject, InterfaceInformation, MplsLabel
from traceprobe.testing import _checks
from traceprobe.testing.topology import (
    Balanced,
    Fault,
    HopLike,
    Loop,
    Path,
    RateLimit,
    RouteChange,
    Router,
    Target,
    Topology,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Model = TypeVar("_Model")


def to_document(topology: Topology) -> dict[str, object]:
    """Write a topology down."""
    return _object(topology)


def from_document(document: object) -> Topology:
    """Read a topology; a ConfigError names the place, such as ``paths[0].hops[2].loss``."""
    return _read(
        Topology,
        document,
        "",
        {
            "paths": _each(_path),
            "sources": _plain_list,
            "names": _names,
            "denied": _plain_list,
        },
    )


# --- writing -------------------------------------------------------------------------------------------


def _object(instance: object) -> dict[str, object]:
    document: dict[str, object] = {}
    for field in attrs.fields(type(instance)):  # type: ignore[arg-type]
        value = getattr(instance, field.name)
        if value != _default(field):
            document[field.name] = _value(value)
    return document


def _default(field: attrs.Attribute[object]) -> object:
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return default.factory()  # type: ignore[attr-defined]
    return default


def _value(value: object) -> object:
    if isinstance(value, Router):
        return _router_document(value)
    if attrs.has(type(value)):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(key): _value(element) for key, element in value.items()}
    if isinstance(value, frozenset):
        return sorted(str(element) for element in value)
    if isinstance(value, tuple):
        return [_value(element) for element in value]
    if isinstance(value, IPv4Address | IPv6Address):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value.value if isinstance(value, Enum) else value


def _router_document(router: Router) -> object:
    document = _object(router)
    if document == {"silent": True}:
        return None
    if set(document) == {"addresses"} and len(router.addresses) == 1:
        return str(router.addresses[0])
    return document


# --- reading -------------------------------------------------------------------------------------------


def _read(
    kind: type[_Model],
    document: object,
    where: str,
    readers: Mapping[str, Callable[[object, str], object]] | None = None,
) -> _Model:
    fields = {field.name for field in attrs.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(document, Mapping):
        raise ConfigError(
            where or "topology", document, f"an object with some of {', '.join(sorted(fields))}"
        )
    values: dict[str, object] = {}
    for name, value in document.items():
        place = f"{where}.{name}" if where else str(name)
        if name not in fields:
            raise ConfigError(place, value, f"left out: there are only {', '.join(sorted(fields))}")
        reader = (readers or {}).get(name)
        values[name] = value if reader is None else reader(value, place)
    required = {
        field.name
        for field in attrs.fields(kind)  # type: ignore[arg-type]
        if field.default is attrs.NOTHING
    }
    for name in sorted(required - set(values)):
        raise ConfigError(f"{where}.{name}" if where else name, None, "given")
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(
            f"{where}.{error.field}" if where else error.field, error.value, error.bound
        ) from None


def _each(read: Callable[[object, str], object]) -> Callable[[object, str], list[object]]:
    def read_list(value: object, where: str) -> list[object]:
        return [read(one, f"{where}[{index}]") for index, one in enumerate(_plain_list(value, where))]

    return read_list


def _plain_list(value: object, where: str) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ConfigError(where, value, "a list")
    return list(value)


def _names(value: object, where: str) -> object:
    if not isinstance(value, Mapping):
        raise ConfigError(where, value, "an object: addresses by name")
    return value


def _path(value: object, where: str) -> Path:
    return _read(Path, value, where, {"target": _target, "hops": _each(_hop), "changes": _each(_change)})


def _change(value: object, where: str) -> RouteChange:
    return _read(RouteChange, value, where, {"hops": _each(_hop)})


def _target(value: object, where: str) -> Target:
    if isinstance(value, str):
        return Target(_checks.to_address(value, where))
    return _read(Target, value, where, _RESPONDER_READERS)


def _router(value: object, where: str) -> Router:
    if value is None:
        return Router(silent=True)
    if isinstance(value, str):
        return Router(_checks.to_address(value, where))
    return _read(Router, value, where, _RESPONDER_READERS)


def _hop(value: object, where: str) -> HopLike:
    if isinstance(value, Mapping) and "branches" in value:
        return _read(Balanced, value, where, {"branches": _each(_each(_router))})
    if isinstance(value, Mapping) and "routers" in value:
        return _read(Loop, value, where, {"routers": _each(_router)})
    return _router(value, where)


def _fault(value: object, where: str) -> Fault:
    return _read(Fault, {"kind": value} if isinstance(value, str) else value, where)


def _rate_limit(value: object, where: str) -> RateLimit | None:
    return None if value is None else _read(RateLimit, value, where)


def _label(value: object, where: str) -> object:
    return _read(MplsLabel, value, where) if isinstance(value, Mapping) else value


def _interface(value: object, where: str) -> InterfaceInformation:
    return _read(InterfaceInformation, value, where)


def _extension(value: object, where: str) -> ExtensionObject:
    return _read(ExtensionObject, value, where, {"payload": _hexadecimal})


def _hexadecimal(value: object, where: str) -> bytes:
    try:
        if not isinstance(value, str):
            raise ValueError(value)
        return bytes.fromhex(value)
    except ValueError:
        raise ConfigError(where, value, "pairs of hexadecimal digits") from None


_RESPONDER_READERS: Mapping[str, Callable[[object, str], object]] = {
    "faults": _each(_fault),
    "rate_limit": _rate_limit,
    "mpls": _each(_label),
    "interfaces": _each(_interface),
    "extensions": _each(_extension),
}
