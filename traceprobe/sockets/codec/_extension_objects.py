"""The objects of ICMP extension structures (RFC 4884 section 7), in the model's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traceprobe.errors import PacketError
from traceprobe.model import ExtensionObject, InterfaceInformation, InterfaceRole, MplsLabel
from traceprobe.packets import InterfaceObjectRole, parse_extensions

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROLES: Final[Mapping[InterfaceObjectRole, InterfaceRole]] = {
    InterfaceObjectRole.INCOMING: InterfaceRole.INCOMING,
    InterfaceObjectRole.SUB_IP: InterfaceRole.SUB_IP,
    InterfaceObjectRole.OUTGOING: InterfaceRole.OUTGOING,
    InterfaceObjectRole.NEXT_HOP: InterfaceRole.NEXT_HOP,
}


def read_objects(
    structure: memoryview,
) -> tuple[tuple[MplsLabel, ...], tuple[InterfaceInformation, ...], tuple[ExtensionObject, ...]]:
    """Read the objects of a structure that is not empty; one that makes no sense holds none.

    Returns:
        Label stack entries, interfaces, and what has no meaning here.
    """
    try:
        found = parse_extensions(structure)
    except PacketError:
        return (), (), ()
    return (
        tuple(MplsLabel(*entry) for entry in found.mpls),
        tuple(
            InterfaceInformation(_ROLES[entry.role], entry.if_index, entry.address, entry.name, entry.mtu)
            for entry in found.interfaces
        ),
        tuple(ExtensionObject(*entry) for entry in found.unknown),
    )
