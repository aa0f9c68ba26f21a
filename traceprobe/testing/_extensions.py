"""What simulated routers put into the extension structures of their ICMP errors (RFC 4884): checked, encoded.

Values are the model's, so that what a router is told to say can be compared with what a trace heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.errors import ConfigError
from traceprobe.model import ExtensionObject, InterfaceInformation, InterfaceRole, MplsLabel
from traceprobe.packets import (
    InterfaceObject,
    InterfaceObjectRole,
    LabelStackEntry,
    UnknownObject,
    build_extensions,
)
from traceprobe.testing import _checks

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROLES: Final = {
    InterfaceRole.INCOMING: InterfaceObjectRole.INCOMING,
    InterfaceRole.SUB_IP: InterfaceObjectRole.SUB_IP,
    InterfaceRole.OUTGOING: InterfaceObjectRole.OUTGOING,
    InterfaceRole.NEXT_HOP: InterfaceObjectRole.NEXT_HOP,
}
_LABEL_BITS: Final = {"label": 20, "tc": 3, "s": 1, "ttl": 8}
_OBJECT_BITS: Final = {"class_num": 8, "c_type": 8}
_INTERFACE_BITS: Final = {"index": 32, "mtu": 32}
_LONGEST_NAME: Final = 63
"""RFC 5837 section 4.3, without the octet that holds the length."""
_LONGEST_PAYLOAD: Final = 255


def to_labels(value: Iterable[MplsLabel | int]) -> tuple[MplsLabel, ...]:
    """A label stack; a number stands for a label, the last one at the bottom.

    Raises:
        ConfigError: A value does not fit into its bits.
    """
    given = _sequence(value, "mpls", "a sequence of labels")
    labels = []
    for index, one in enumerate(given):
        where = f"mpls[{index}]"
        if isinstance(one, int) and not isinstance(one, bool):
            one = MplsLabel(one, tc=0, s=int(index == len(given) - 1), ttl=1)
        if not isinstance(one, MplsLabel):
            raise ConfigError(where, one, "an MplsLabel, or the number of a label")
        _check(one, where, _LABEL_BITS)
        labels.append(one)
    return tuple(labels)


def to_interfaces(value: Iterable[InterfaceInformation]) -> tuple[InterfaceInformation, ...]:
    """Interface information; roles and addresses may be text.

    Raises:
        ConfigError: A value can't be encoded.
    """
    interfaces = []
    for index, one in enumerate(_sequence(value, "interfaces", "a sequence of interfaces")):
        where = f"interfaces[{index}]"
        if not isinstance(one, InterfaceInformation):
            raise ConfigError(where, one, "an InterfaceInformation")
        _check(one, where, _INTERFACE_BITS)
        name: object = one.name
        if name is not None and not (isinstance(name, str) and len(name.encode()) <= _LONGEST_NAME):
            raise ConfigError(f"{where}.name", one.name, f"text of at most {_LONGEST_NAME} bytes, or None")
        role = _checks.to_word(InterfaceRole, f"{where}.role", one.role)
        address = None if one.address is None else _checks.to_address(one.address, f"{where}.address")
        interfaces.append(attrs.evolve(one, role=role, address=address))
    return tuple(interfaces)


def to_objects(value: Iterable[ExtensionObject]) -> tuple[ExtensionObject, ...]:
    """Objects of any kind.

    Raises:
        ConfigError: A value can't be encoded.
    """
    objects = []
    for index, one in enumerate(_sequence(value, "extensions", "a sequence of extension objects")):
        where = f"extensions[{index}]"
        if not isinstance(one, ExtensionObject):
            raise ConfigError(where, one, "an ExtensionObject")
        _check(one, where, _OBJECT_BITS)
        payload: object = one.payload
        if not (isinstance(payload, bytes) and len(payload) <= _LONGEST_PAYLOAD):
            raise ConfigError(f"{where}.payload", one.payload, f"at most {_LONGEST_PAYLOAD} bytes")
        objects.append(one)
    return tuple(objects)


def _sequence(value: object, field: str, words: str) -> list[object]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ConfigError(field, value, words)
    return list(value)


def _check(instance: object, where: str, widths: dict[str, int]) -> None:
    for name, bits in widths.items():
        value = getattr(instance, name)
        if value is None and bits == 32:
            continue
        if type(value) is not int or value < 0 or value >> bits:
            raise ConfigError(f"{where}.{name}", value, f"a whole number of {bits} bits")


def encode(
    mpls: Sequence[MplsLabel],
    interfaces: Sequence[InterfaceInformation],
    objects: Sequence[ExtensionObject],
) -> bytes:
    """The extension structure of a station's ICMP errors; empty if it has nothing to say."""
    if not (mpls or interfaces or objects):
        return b""
    return build_extensions(
        mpls=(LabelStackEntry(one.label, one.tc, one.s, one.ttl) for one in mpls),
        interfaces=(
            InterfaceObject(_ROLES[one.role], one.index, one.address, one.name, one.mtu) for one in interfaces
        ),
        unknown=(UnknownObject(one.class_num, one.c_type, one.payload) for one in objects),
    )
