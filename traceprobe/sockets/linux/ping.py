"""Ping sockets of Linux: ICMP echo probes without privileges, where the administrator has opened them.

``SOCK_DGRAM`` with ``IPPROTO_ICMP`` (icmp(7)). The kernel owns the ICMP identifier and the checksum; echo
replies come as data, ICMP errors through the error queue, which shows the quoted ICMP message but not the
IP header in front of it.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily, Mode
from traceprobe.errors import ConfigError, PacketError
from traceprobe.model import ReplyKind
from traceprobe.packets import EchoMessage, parse_icmp
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets.codec import IcmpCodec, Refusal
from traceprobe.sockets.linux import _options as options
from traceprobe.sockets.linux._errqueue import ErrorQueueSocket
from traceprobe.sockets.linux._labels import prepare_flow_labels
from traceprobe.sockets.linux._sockaddr import unpack_name
from traceprobe.sockets.linux._socket import codec_options, linux_capabilities

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import Protocol, TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import Change, ProbeId
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.linux._control import Control

_LAST_IDENTIFIER: Final = 0xFFFF
_CHOICES: Final = 16
"""Identifiers that are tried before the kernel is left to choose: others may hold nearly all."""
_ICMP: Final = {AddressFamily.IPV4: socket.IPPROTO_ICMP, AddressFamily.IPV6: socket.IPPROTO_ICMPV6}


class LinuxPingSocket(ErrorQueueSocket[IcmpCodec]):
    """Probes through a ping socket; see :class:`~traceprobe.sockets.AsyncProbeSocket`."""

    _hidden_transport = 0

    def _resolve_error(
        self,
        destination: IPv4Address | IPv6Address,
        port: int,
        quote: memoryview,
        sender: IPv4Address | IPv6Address,
        now: ClockReading,
    ) -> ProbeId | Refusal:
        del port, sender, now  # ICMP has no ports
        return self._codec.resolve_quote(destination, quote)

    def _recognise(self, destination: bytes, port: int, quote: bytes) -> ProbeId | None:
        del port  # as above
        return self._codec.recognise_quote(destination, quote)

    def _changes(self, probe: ProbeId, quote: memoryview) -> tuple[Change, ...]:
        return self._codec.transport_changes(probe, quote)

    def _data_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(message.name)
        try:
            parsed = parse_icmp(self._family, message.data)
        except PacketError:
            parsed = None
        if name is None or not isinstance(parsed, EchoMessage):
            self._refuse(Refusal.MALFORMED)
            return
        self._answered(
            self._codec.resolve(parsed, name[0]),
            ReplyKind.ECHO_REPLY,
            name[0],
            control.stamp_ns,
            now,
            icmp_type=message.data[0],
            icmp_code=0,
            reply_ttl=control.ttl,
        )


def _bind_by_chance(opened: socket.socket, family: AddressFamily, config: TracerouteConfig) -> int:
    """Bind to an identifier that nobody can guess: the kernel, if left to choose, counts them up.

    Returns:
        The identifier.
    """
    chance = SystemRandom()
    for _ in range(_CHOICES):
        try:
            return options.bind(opened, family, config, chance.randint(1, _LAST_IDENTIFIER))
        except ConfigError as error:
            if error.field != "source_port":
                raise
    return options.bind(opened, family, config)


def open_linux_ping(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> LinuxPingSocket:
    """Open the socket of this mode.

    Raises:
        PrivilegeError: Ping sockets are not open to this process, or it must not set an option.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    facts = facts_of(Mode.LINUX_PING, protocol)
    facts.check(config, family)
    flow = facts.choose_flow(config)
    with ExitStack() as stack:
        opened = stack.enter_context(options.open_socket(family, socket.SOCK_DGRAM, _ICMP[family]))
        options.configure(opened, family, config)
        identifier = _bind_by_chance(opened, family, config)
        granted = options.size_buffer(opened, config.receive_buffer)
        stamps = options.ask_for_stamps(opened)
        options.ask_for_errors(opened, family)
        options.ask_for_ttl(opened, family)
        labelled = prepare_flow_labels(opened, family, config, flow)
        codec = IcmpCodec(family, flow, identifier=identifier, **codec_options(config, labelled=labelled))
        if config.packet_size is not None:
            codec.check_size(config.packet_size)
        capabilities = linux_capabilities(facts, codec, timestamps=stamps, buffer=granted)
        ping = LinuxPingSocket(config, codec, capabilities, clock, opened)
        stack.pop_all()
    return ping
