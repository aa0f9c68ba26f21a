"""Puts the sockets of a way of probing together: which descriptors there are, and what is asked of them.

The two ways differ in the kind of the ICMP socket and in who writes the headers of UDP probes, and in
nothing else.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import attrs

from traceprobe.config import AddressFamily, Mode, Protocol
from traceprobe.errors import NoUsableSocketError, TraceprobeError
from traceprobe.sockets._catalogue import facts_of
from traceprobe.sockets._connects import ConnectCodec
from traceprobe.sockets._descriptors import free_descriptors
from traceprobe.sockets._modes import quarantine_ns
from traceprobe.sockets.bsd._options import REPLY_COST, Opener
from traceprobe.sockets.bsd._socket import BsdProbeSocket
from traceprobe.sockets.bsd._systems import TtlMethod
from traceprobe.sockets.bsd._tcp import BsdTcpSocket
from traceprobe.sockets.bsd._udp import BsdUdpSocket
from traceprobe.sockets.codec import IcmpCodec, UdpCodec

if TYPE_CHECKING:
    from traceprobe.config import TracerouteConfig
    from traceprobe.loops import Clock
    from traceprobe.sockets._built_in import BuiltInSocket
    from traceprobe.sockets._catalogue import ModeFacts
    from traceprobe.sockets.bsd._kernel import Kernel, KernelSocket
    from traceprobe.sockets.bsd._systems import BsdSystem
    from traceprobe.sockets.protocol import SocketCapabilities


def open_bsd_socket(
    kernel: Kernel,
    system: BsdSystem,
    mode: Mode,
    config: TracerouteConfig,
    family: AddressFamily,
    protocol: Protocol,
    clock: Clock,
) -> BuiltInSocket:
    """Open the sockets of a way of probing.

    Args:
        kernel: The kernel to open them with.
        system: How it behaves.
        mode: ``BSD_RAW`` or ``DARWIN_DGRAM``.
        config: The configuration that they honour.
        family: Address family.
        protocol: What the probes are made of.
        clock: Times replies.

    Raises:
        PrivilegeError: The process must not open such sockets, or must not set an option.
        NoUsableSocketError: This machine has no such sockets.
        UnsupportedOption: An option can't be honoured.
        ConfigError: An option can't be used on this machine.
    """
    facts = facts_of(mode, protocol)
    facts.check(config, family)
    opener = Opener(kernel, system, family, config, mode)
    with ExitStack() as stack:
        try:
            parts = _Parts(opener, facts, clock, stack)
            opened: BuiltInSocket
            if protocol is Protocol.UDP:
                opened = parts.udp()
            elif protocol is Protocol.TCP:
                opened = parts.tcp()
            else:
                opened = parts.icmp()
        except TraceprobeError:
            raise
        except OSError as error:
            reason = f"{system.title} refuses what such sockets need: {error.strerror}"
            raise NoUsableSocketError(reason) from error
        stack.pop_all()
    return opened


class _Parts:
    """The sockets that are open so far; closed if not all of them can be had."""

    def __init__(self, opener: Opener, facts: ModeFacts, clock: Clock, stack: ExitStack) -> None:
        self._opener = opener
        self._facts = facts
        self._flow = facts.choose_flow(opener.config)
        self._clock = clock
        self._stack = stack
        self._raw = opener.mode is Mode.BSD_RAW
        abi = opener.abi
        number = abi.ipproto_icmp if opener.family is AddressFamily.IPV4 else abi.ipproto_icmpv6
        sends = facts.protocol is Protocol.ICMP
        self._icmp_number = number
        self._icmp = self._open(abi.sock_raw if self._raw else abi.sock_dgram, number, configured=sends)
        if opener.config.source is not None and sends:
            opener.bind(self._icmp)
        self._granted = opener.size_buffer(self._icmp)
        self._stamps = opener.ask_for_stamps(self._icmp)
        opener.ask_for_ttl(self._icmp)
        opener.filter_icmp(self._icmp, echo=sends)

    def icmp(self) -> BsdProbeSocket[IcmpCodec]:
        """ICMP probes leave by the socket that hears the answers."""
        opener, config = self._opener, self._opener.config
        codec = IcmpCodec(
            opener.family,
            self._flow,
            quarantine_ns=quarantine_ns(config),
            payload_pattern=config.payload_pattern,
        )
        method = self._method()
        if method is TtlMethod.HEADER:
            self._icmp.setsockopt(opener.abi.ipproto_ip, opener.abi.ip_hdrincl, 1)
        return BsdProbeSocket(
            opener,
            codec,
            self._capabilities(codec),
            self._clock,
            icmp=self._icmp,
            outgoing=self._icmp,
            method=method,
            protocol=self._icmp_number,
        )

    def udp(self) -> BsdUdpSocket:
        """UDP probes leave by a raw socket, or by the one that has the source port."""
        opener, config, abi = self._opener, self._opener.config, self._opener.abi
        raw = None
        method = self._method()
        if self._raw:
            raw = self._open(abi.sock_raw, abi.ipproto_udp)
            if config.source is not None:
                opener.bind(raw)
            if method is TtlMethod.HEADER:
                raw.setsockopt(abi.ipproto_ip, abi.ip_hdrincl, 1)
        holder = self._open(abi.sock_dgram, abi.ipproto_udp, configured=raw is None)
        source_port = opener.bind(holder, config.source_port or 0)
        opener.size_buffer(holder)
        opener.ask_for_stamps(holder)
        opener.ask_for_ttl(holder)
        codec = UdpCodec(
            opener.family,
            self._flow,
            source_port=source_port,
            quarantine_ns=quarantine_ns(config),
            payload_pattern=config.payload_pattern,
        )
        gathering = self._stack.enter_context(closing(opener.kernel.gather()))
        gathering.watch(self._icmp.fileno())
        gathering.watch(holder.fileno())
        return BsdUdpSocket(
            opener,
            codec,
            self._capabilities(codec),
            self._clock,
            icmp=self._icmp,
            holder=holder,
            raw=raw,
            method=method,
            gathering=gathering,
        )

    def tcp(self) -> BsdTcpSocket:
        """Connections leave by a socket of their own each, which is opened when it is needed."""
        opener = self._opener
        abi = opener.abi
        with closing(opener.open(abi.sock_stream, abi.ipproto_tcp)) as tried:
            opener.bind(tried)  # what can't be had is told now
        codec = ConnectCodec(opener.family, quarantine_ns=quarantine_ns(opener.config))
        gathering = self._stack.enter_context(closing(opener.kernel.gather()))
        gathering.watch(self._icmp.fileno())
        capabilities = self._capabilities(codec)
        window = min(capabilities.max_in_flight, free_descriptors())
        return BsdTcpSocket(
            opener,
            codec,
            attrs.evolve(capabilities, max_in_flight=window),
            self._clock,
            icmp=self._icmp,
            gathering=gathering,
        )

    def _open(self, kind: int, protocol: int, *, configured: bool = True) -> KernelSocket:
        return self._stack.enter_context(closing(self._opener.open(kind, protocol, configured=configured)))

    def _method(self) -> TtlMethod:
        """How the TTL of probes is set."""
        system = self._opener.system
        return (system.raw_ttl if self._raw else system.dgram_ttl)[self._opener.family]

    def _capabilities(self, codec: IcmpCodec | UdpCodec | ConnectCodec) -> SocketCapabilities:
        if self._opener.config.packet_size is not None:
            codec.check_size(self._opener.config.packet_size)
        return self._facts.capabilities(
            codec.family,
            codec.flow,
            timestamps=self._stamps,
            max_in_flight=max(1, min(self._granted // REPLY_COST, codec.capacity)),
            default_port=None if isinstance(codec, IcmpCodec) else codec.default_port,
        )
