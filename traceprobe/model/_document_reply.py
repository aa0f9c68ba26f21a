"""What replies carry beyond who and when, as plain values, and back: its part of the JSON contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.model._extension_objects import (
    ExtensionObject,
    InterfaceInformation,
    InterfaceRole,
    MplsLabel,
)
from traceprobe.model._reply import Change, ChangedField

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.model._document_reader import Reader
    from traceprobe.model._document_types import (
        ChangeDocument,
        ExtensionDocument,
        InterfaceDocument,
        MplsDocument,
    )


def mpls_to_document(stack: Iterable[MplsLabel]) -> list[MplsDocument]:
    """A label stack, as it stands in ``mpls``."""
    return [{"label": entry.label, "tc": entry.tc, "s": entry.s, "ttl": entry.ttl} for entry in stack]


def interfaces_to_document(interfaces: Iterable[InterfaceInformation]) -> list[InterfaceDocument]:
    """Interface information, as it stands in ``interfaces``."""
    return [
        {
            "role": interface.role.value,
            "index": interface.index,
            "address": None if interface.address is None else str(interface.address),
            "name": interface.name,
            "mtu": interface.mtu,
        }
        for interface in interfaces
    ]


def extensions_to_document(extensions: Iterable[ExtensionObject]) -> list[ExtensionDocument]:
    """Undecoded objects, as they stand in ``extensions``."""
    return [
        {"class_num": each.class_num, "c_type": each.c_type, "payload": each.payload.hex()}
        for each in extensions
    ]


def changes_to_document(changes: Iterable[Change]) -> list[ChangeDocument]:
    """What the path changed, as it stands in ``changes``."""
    return [{"field": each.field.value, "sent": each.sent, "seen": each.seen} for each in changes]


def mpls_from(reader: Reader) -> MplsLabel:
    """Read one entry of a label stack."""
    return MplsLabel(
        label=reader.whole("label", 0, 0xFFFFF),
        tc=reader.whole("tc", 0, 7),
        s=reader.whole("s", 0, 1),
        ttl=reader.whole("ttl", 0, 0xFF),
    )


def interface_from(reader: Reader) -> InterfaceInformation:
    """Read what is told about one interface."""
    return InterfaceInformation(
        role=reader.member("role", InterfaceRole),
        index=reader.optional_whole("index", 0, 0xFFFFFFFF),
        address=reader.optional(reader.address, "address"),
        name=reader.optional(reader.text, "name"),
        mtu=reader.optional_whole("mtu", 0, 0xFFFFFFFF),
    )


def extension_from(reader: Reader) -> ExtensionObject:
    """Read one undecoded object."""
    return ExtensionObject(
        class_num=reader.whole("class_num", 0, 0xFF),
        c_type=reader.whole("c_type", 0, 0xFF),
        payload=reader.hexadecimal("payload"),
    )


def change_from(reader: Reader) -> Change:
    """Read one change."""
    return Change(
        field=reader.member("field", ChangedField),
        sent=reader.whole_or_text("sent"),
        seen=reader.whole_or_text("seen"),
    )
