"""How stations of the simulated internet differ from plain ones: what their ICMP errors carry and show.

A topology says who answers where; a manner says what else the answer holds: extension objects (RFC 4884)
and what the path did to the probe that is quoted. Objects are put together in here byte by byte, with
nothing of traceprobe's. ``manner.c`` reads what :meth:`Manner.words` writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MPLS_CLASS, _MPLS_STACK = 1, 1
_INTERFACE_CLASS = 2
_ROLES = {"incoming": 0, "sub_ip": 1, "outgoing": 2, "next_hop": 3}
_HAS_INDEX, _HAS_ADDRESS, _HAS_NAME, _HAS_MTU = 8, 4, 2, 1
_FAMILIES = {4: 1, 6: 2}
"""Address family numbers of IANA."""


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An interface information object (RFC 5837 section 4)."""

    role: str = "incoming"
    index: int | None = None
    address: str | None = None
    name: str | None = None
    mtu: int | None = None

    def object(self) -> bytes:
        """The object as it is on the wire."""
        kind, payload = _ROLES[self.role] << 6, b""
        if self.index is not None:
            kind, payload = kind | _HAS_INDEX, payload + struct.pack("!I", self.index)
        if self.address is not None:
            address = ip_address(self.address)
            kind |= _HAS_ADDRESS
            payload += struct.pack("!HH", _FAMILIES[address.version], 0) + address.packed
        if self.name is not None:
            name = self.name.encode()
            name += bytes(-(len(name) + 1) % 4)
            kind, payload = kind | _HAS_NAME, payload + bytes([len(name) + 1]) + name
        if self.mtu is not None:
            kind, payload = kind | _HAS_MTU, payload + struct.pack("!I", self.mtu)
        return extension_object(_INTERFACE_CLASS, kind, payload)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A translator (NAT) on the path before the station.

    ``back`` says what it does to the quote on the way back: ``none`` leaves it translated, ``addresses``
    translates address and port but leaves the checksum of the transport header.
    """

    source: str
    port: int | None = None
    """Source port, or identifier of an echo request; None keeps it."""
    back: str = "none"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one station answers. What is None is as it would be anyway."""

    mpls: tuple[tuple[int, int, int, int], ...] = ()
    """Label, traffic class, bottom of stack and TTL of each entry (RFC 4950)."""
    interfaces: tuple[Interface, ...] = ()
    objects: tuple[tuple[int, int, str], ...] = ()
    """Class, kind and payload in hexadecimal of other extension objects."""
    form: str = "compliant"
    """``legacy`` leaves the length of the quote out (RFC 4884 section 5)."""
    spoil: str = "nothing"
    """What is wrong with the extension: ``checksum``, ``version``, ``object``; or ``no_checksum``."""
    refusal: tuple[int, int, int] | None = None
    """Type, code and last four header bytes of the ICMP error that answers what should pass."""
    traffic_class: int | None = None
    label: int | None = None
    """Flow label (IPv6) or identification (IPv4)."""
    dont_fragment: bool | None = None
    total_length: int | None = None
    ip_checksum_wrong: bool = False
    translation: Translation | None = None
    patches: tuple[tuple[int, str], ...] = ()
    """Offset in the transport header and bytes in hexadecimal that stand there instead."""
    checksum_stale: bool = False
    """The transport checksum does not follow the patches."""
    bursts: tuple[float, int] | None = None
    """Share of the probes with which a burst of losses begins, and how many probes it takes."""
    forwards_zero: bool = False
    """It sends on what comes with a TTL of 1, so that the next station gets a TTL of 0."""
    tcp: Mapping[int, str] | None = None
    """What each TCP port does: ``open``, ``silent``, ``prohibited``; the others are closed. A router only
    holds back. A target without this knows no TCP."""
    udp: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Manner:
        """Read a manner as a scenario file has it."""
        values = dict(document)
        for name in ("mpls", "objects", "patches"):
            values[name] = tuple(tuple(one) for one in values.get(name, ()))
        values["interfaces"] = tuple(Interface(**one) for one in values.get("interfaces", ()))
        if "bursts" in values:
            values["bursts"] = tuple(values["bursts"])
        if "refusal" in values:
            values["refusal"] = tuple(values["refusal"])
        if "translation" in values:
            values["translation"] = Translation(**values["translation"])
        for name in ("tcp", "udp"):
            if name in values:
                values[name] = {int(port): policy for port, policy in values[name].items()}
        return cls(**values)

    def extension_objects(self) -> bytes:
        """All extension objects, one after the other."""
        stack = b"".join(
            struct.pack("!I", label << 12 | traffic_class << 9 | bottom << 8 | ttl)
            for label, traffic_class, bottom, ttl in self.mpls
        )
        data = extension_object(_MPLS_CLASS, _MPLS_STACK, stack) if stack else b""
        data += b"".join(interface.object() for interface in self.interfaces)
        return data + b"".join(
            extension_object(number, kind, bytes.fromhex(payload)) for number, kind, payload in self.objects
        )

    def words(self) -> str:
        """What ``manner.c`` reads."""
        words: list[object] = []
        objects = self.extension_objects()
        if objects:
            words += ["objects", objects.hex(), "form", self.form, "spoil", self.spoil]
        if self.refusal is not None:
            words += ["refusal", *self.refusal]
        if self.bursts is not None:
            words += ["bursts", *self.bursts]
        for name in ("traffic_class", "label", "dont_fragment", "total_length"):
            value = getattr(self, name)
            if value is not None:
                words += [name, int(value)]
        for name in ("ip_checksum_wrong", "checksum_stale", "forwards_zero"):
            if getattr(self, name):
                words.append(name)
        if self.translation is not None:
            seen = {"none": "whole", "addresses": "checksum"}[self.translation.back]
            port = -1 if self.translation.port is None else self.translation.port
            words += ["translated", seen, self.translation.source, port]
        for offset, data in self.patches:
            words += ["patch", offset, data]
        for name, ports in (("tcp", self.tcp), ("udp", self.udp or None)):
            if ports is not None:
                words += [name, len(ports), *(word for port in ports.items() for word in port)]
        return " ".join(map(str, [*words, "."]))


def extension_object(number: int, kind: int, payload: bytes) -> bytes:
    """An extension object: length, class, kind (RFC 4884 section 8) and payload."""
    return struct.pack("!HBB", 4 + len(payload), number, kind) + payload
