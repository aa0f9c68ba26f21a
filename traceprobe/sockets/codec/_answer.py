"""What a message says about the probe that it answers: everything in a reply but who, when and how fast.

Sockets that see whole messages, and those that get them piecemeal from an error queue or another interface
of the kernel, come to the same values here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from traceprobe.config import AddressFamily
from traceprobe.model import ReplyKind
from traceprobe.packets import EchoMessage, IcmpError
from traceprobe.sockets.codec._kinds import error_kind
from traceprobe.sockets.codec._refusal import Refusal

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Change, ExtensionObject, InterfaceInformation, MplsLabel, ProbeId
    from traceprobe.packets import IcmpOther, TcpSegment, UdpDatagram
    from traceprobe.sockets.codec._ledger import ProbeCodec

_ECHO_REPLY_TYPE: Final = {AddressFamily.IPV4: 0, AddressFamily.IPV6: 129}


class ExtensionValues(NamedTuple):
    """What an extension structure says, in the model's words."""

    mpls: tuple[MplsLabel, ...] = ()
    interfaces: tuple[InterfaceInformation, ...] = ()
    extensions: tuple[ExtensionObject, ...] = ()


NO_EXTENSION: Final = ExtensionValues()


class Answer(NamedTuple):
    """What a message says about a probe; the fields are those of :class:`~traceprobe.model.Reply`."""

    probe_id: ProbeId
    kind: ReplyKind
    icmp_type: int | None = None
    icmp_code: int | None = None
    quoted_ttl: int | None = None
    mtu: int | None = None
    extension: ExtensionValues = NO_EXTENSION
    changes: tuple[Change, ...] = ()


def read_extension(structure: memoryview) -> ExtensionValues:
    """Read an extension structure (RFC 4884 section 7); one that makes no sense says nothing.

    Args:
        structure: From its header on, possibly empty, such as ``IcmpError.extension`` or what
            :func:`traceprobe.packets.find_extension` found.
    """
    if not len(structure):
        return NO_EXTENSION
    # Few routers add anything, so that what reads it is loaded when the first one does.
    from traceprobe.sockets.codec._extension_objects import read_objects

    return ExtensionValues(*read_objects(structure))


def read_answer(
    codec: ProbeCodec,
    message: EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment,
    sender: IPv4Address | IPv6Address,
) -> Answer | Refusal:
    """Find the probe that a whole message answers, and read what it says.

    Args:
        codec: Knows the probes.
        message: The message, parsed; its checksum was verified by whoever parsed it.
        sender: Source address of the datagram that brought it.

    Returns:
        The answer, or why it is none.
    """
    outcome = codec.resolve(message, sender)
    if isinstance(outcome, Refusal):
        return outcome
    family = codec.family
    if isinstance(message, IcmpError):
        kind = error_kind(family, message.type, message.code)
        if kind is None:
            return Refusal.UNEXPECTED
        quoted = message.quoted
        expired = kind is ReplyKind.TIME_EXCEEDED
        return Answer(
            outcome,
            kind,
            message.type,
            message.code,
            quoted.ttl,
            message.mtu,
            read_extension(message.extension),
            codec.changes(outcome, quoted, time_exceeded=expired),
        )
    if isinstance(message, EchoMessage):
        return Answer(outcome, ReplyKind.ECHO_REPLY, _ECHO_REPLY_TYPE[family], 0)
    kind = codec.kind_of(message)
    return Refusal.UNEXPECTED if kind is None else Answer(outcome, kind)
