"""UDP probes without privileges: an ordinary UDP socket and its error queue. Works on every Linux.

The error queue names the destination port of the probe that an ICMP error is about, even if a router
quotes no more than eight bytes. So by default the port is the identifier, and the flow varies with every
probe: that finds every hop.

A constant flow can be asked for. Then the payload tells the probes apart, and the hops of routers that
quote none of it are shown only where one probe alone can be meant (with one probe in flight, say); the
others are counted as ambiguous.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from traceprobe.config import FlowStrategy, Mode
from traceprobe.model import ReplyKind
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets.codec import Refusal, TokenUdpCodec, UdpCodec
from traceprobe.sockets.linux import _options as options
from traceprobe.sockets.linux._errqueue import ErrorQueueSocket
from traceprobe.sockets.linux._labels import prepare_flow_labels
from traceprobe.sockets.linux._sockaddr import unpack_name, with_port
from traceprobe.sockets.linux._socket import codec_options, linux_capabilities

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import AddressFamily, Protocol, TracerouteConfig
    from traceprobe.ffi.linux_arena import ReceivedMessage
    from traceprobe.loops import Clock
    from traceprobe.model import Change, ProbeId
    from traceprobe.sockets._timestamps import ClockReading
    from traceprobe.sockets.linux._control import Control
    from traceprobe.sockets.linux._send import Batch

_PORT: Final = slice(2, 4)
_HEADER_SIZE: Final = 8


class LinuxUdpSocket(ErrorQueueSocket[UdpCodec]):
    """Probes through an ordinary UDP socket; see :class:`~traceprobe.sockets.AsyncProbeSocket`."""

    _hidden_transport = _HEADER_SIZE

    def _pack(self, batch: Batch, segments: list[bytes], name: bytes) -> None:
        # The kernel writes the header; where a probe goes stands in its socket address.
        batch.data.extend([segment[_HEADER_SIZE:] for segment in segments])
        batch.names.extend([with_port(name, segment[_PORT]) for segment in segments])

    def _resolve_error(
        self,
        destination: IPv4Address | IPv6Address,
        port: int,
        quote: memoryview,
        sender: IPv4Address | IPv6Address,
        now: ClockReading,
    ) -> ProbeId | Refusal:
        codec = self._codec
        if isinstance(codec, TokenUdpCodec):
            return codec.resolve_quoted_payload(destination, port, quote, sender, now.monotonic_ns)
        return codec.resolve_payload(destination, port, quote)

    def _take_note(self, probe: ProbeId, quote: memoryview, sender: IPv4Address | IPv6Address) -> None:
        if isinstance(self._codec, TokenUdpCodec):
            self._codec.take_note(probe, quote, sender)

    def _recognise(self, destination: bytes, port: int, quote: bytes) -> ProbeId | None:
        return self._codec.recognise_payload(destination, port, quote)

    def _changes(self, probe: ProbeId, quote: memoryview) -> tuple[Change, ...]:
        return self._codec.payload_changes(probe, quote)

    def _data_came(self, message: ReceivedMessage, control: Control, now: ClockReading) -> None:
        name = unpack_name(message.name)
        if name is None:
            self._refuse(Refusal.MALFORMED)
            return
        sender, port = name
        outcome = self._codec.resolve_answer(sender, port, message.data)
        self._answered(outcome, ReplyKind.UDP_DATA, sender, control.stamp_ns, now, reply_ttl=control.ttl)


def open_linux_udp(
    config: TracerouteConfig, family: AddressFamily, protocol: Protocol, clock: Clock
) -> LinuxUdpSocket:
    """Open the socket of this mode.

    Raises:
        PrivilegeError: The process must not set an option.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    facts = facts_of(Mode.LINUX_UDP, protocol)
    facts.check(config, family)
    flow = facts.choose_flow(config)
    with ExitStack() as stack:
        opened = stack.enter_context(options.open_socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP))
        options.configure(opened, family, config)
        source_port = options.bind(opened, family, config, config.source_port or 0)
        granted = options.size_buffer(opened, config.receive_buffer)
        stamps = options.ask_for_stamps(opened)
        options.ask_for_errors(opened, family)
        options.ask_for_ttl(opened, family)
        labelled = prepare_flow_labels(opened, family, config, flow)
        kind = UdpCodec if flow is FlowStrategy.CLASSIC else TokenUdpCodec
        codec = kind(family, flow, source_port=source_port, **codec_options(config, labelled=labelled))
        if config.packet_size is not None:
            codec.check_size(config.packet_size)
        capabilities = linux_capabilities(facts, codec, timestamps=stamps, buffer=granted)
        udp = LinuxUdpSocket(config, codec, capabilities, clock, opened)
        stack.pop_all()
    return udp
