"""Opens and configures sockets of the BSDs and macOS: options of a trace, buffers, stamps, addresses.

Whatever the kernel refuses is told in terms of the configuration: which field, which value, what would
have been accepted. Nothing is ignored silently: what a system has no option for is refused.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from struct import Struct
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily, Mode
from traceprobe.errors import ConfigError, NoUsableSocketError, PrivilegeError, UnsupportedOption
from traceprobe.model import TimestampSource
from traceprobe.packets import Icmpv6Type
from traceprobe.sockets._modes import source_address, traffic_class
from traceprobe.sockets.bsd._names import family_number, python_name
from traceprobe.sockets.bsd._remedies import low_port_remedies, raw_remedies
from traceprobe.sockets.bsd._systems import TtlMethod

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.config import TracerouteConfig
    from traceprobe.sockets.bsd._kernel import Kernel, KernelSocket
    from traceprobe.sockets.bsd._systems import BsdSystem

_UNUSED_PORT: Final = 9  # discard (RFC 863); connecting a UDP socket sends nothing
_SMALLEST_BUFFER: Final = 4096
_PASSED: Final = Struct("=8I")
_ERRORS: Final = (
    Icmpv6Type.DESTINATION_UNREACHABLE,
    Icmpv6Type.PACKET_TOO_BIG,
    Icmpv6Type.TIME_EXCEEDED,
    Icmpv6Type.PARAMETER_PROBLEM,
)

REPLY_COST: Final = 4096
"""Bytes of receive buffer that a waiting reply is charged with where it costs most: a cluster for its data
and small buffers for its address and control messages (mbuf(9))."""


class Opener:
    """Opens the sockets of one way of probing.

    Args:
        kernel: The kernel.
        system: How it behaves.
        family: Address family of all sockets.
        config: The configuration that they honour.
        mode: The way of probing, for messages.
    """

    def __init__(
        self, kernel: Kernel, system: BsdSystem, family: AddressFamily, config: TracerouteConfig, mode: Mode
    ) -> None:
        self.kernel = kernel
        self.system = system
        self.family = family
        self.config = config
        self.mode = mode
        self.abi = kernel.abi

    def open(self, kind: int, protocol: int, *, configured: bool = True) -> KernelSocket:
        """Open a socket and apply the options of the configuration.

        Args:
            kind: Type of the socket, by the system's number.
            protocol: Protocol number.
            configured: Whether it sends probes, so that the options of the configuration are its own.

        Raises:
            PrivilegeError: The process must not.
            NoUsableSocketError: This machine has no such sockets, or there is no descriptor left.
            UnsupportedOption: An option can't be honoured.
            ConfigError: An option can't be used on this machine.
        """
        abi = self.abi
        try:
            opened = self.kernel.open(family_number(abi, self.family), kind, protocol)
        except OSError as error:
            raise self._refused(error, kind) from None
        try:
            if self.family is AddressFamily.IPV6 and kind != abi.sock_raw and protocol != abi.ipproto_icmpv6:
                opened.setsockopt(abi.ipproto_ipv6, abi.ipv6_v6only, 1)
            if configured:
                self._configure(opened, kind, protocol)
        except BaseException:
            opened.close()
            raise
        return opened

    def _refused(self, error: OSError, kind: int) -> NoUsableSocketError:
        abi = self.abi
        if error.errno in {abi.eperm, abi.eacces}:
            what = "raw sockets need root" if kind == abi.sock_raw else "this process must not open sockets"
            return PrivilegeError(
                f"{what}, and {self.system.title} refuses this process",
                remedies=raw_remedies(self.system),
            )
        if error.errno in {abi.eafnosupport, abi.eprotonosupport}:
            return NoUsableSocketError(f"this machine has no such sockets for IPv{self.family.value}")
        return NoUsableSocketError(f"the socket can't be opened: {error.strerror}")

    # --- options of the configuration ---------------------------------------------------------------------

    def _configure(self, opened: KernelSocket, kind: int, protocol: int) -> None:
        config, abi = self.config, self.abi
        ipv4 = self.family is AddressFamily.IPV4
        restricted = kind == abi.sock_dgram and protocol in {abi.ipproto_icmp, abi.ipproto_icmpv6}
        if config.interface is not None:
            self._bind_to_interface(opened, config.interface)
        if config.dscp is not None or config.ecn is not None:
            level, option = (abi.ipproto_ip, abi.ip_tos) if ipv4 else (abi.ipproto_ipv6, abi.ipv6_tclass)
            opened.setsockopt(level, option, traffic_class(config))
        if config.dont_fragment is not None:
            self._set_dont_fragment(opened, kind, restricted=restricted, wanted=config.dont_fragment)

    def _bind_to_interface(self, opened: KernelSocket, name: str) -> None:
        abi = self.abi
        level, option = (
            (abi.ipproto_ip, abi.ip_bound_if)
            if self.family is AddressFamily.IPV4
            else (abi.ipproto_ipv6, abi.ipv6_bound_if)
        )
        if option is None:
            raise self._unsupported(
                "interface", name, "give the interface's address as source, and a route that leads there"
            )
        known = {known: index for index, known in socket.if_nameindex()}
        if name not in known:
            raise ConfigError("interface", name, f"an interface of this machine: {', '.join(known)}")
        opened.setsockopt(level, option, known[name])

    def _set_dont_fragment(self, opened: KernelSocket, kind: int, *, restricted: bool, wanted: bool) -> None:
        abi = self.abi
        if self.family is AddressFamily.IPV4:
            if kind == abi.sock_raw and self.system.raw_ttl[self.family] is TtlMethod.HEADER:
                return  # goes into the header
            if abi.ip_dontfrag is not None:
                opened.setsockopt(abi.ipproto_ip, abi.ip_dontfrag, int(wanted))
                return
        elif not restricted:
            opened.setsockopt(abi.ipproto_ipv6, abi.ipv6_dontfrag, int(wanted))
            return
        if wanted:
            raise self._unsupported(
                "dont_fragment", wanted, f"leave it out: {self.system.title} has no option for it here"
            )

    def _unsupported(self, option: str, value: object, remedy: str) -> UnsupportedOption:
        return UnsupportedOption(option, value, mode=self.mode.value, remedy=remedy)

    # --- addresses ------------------------------------------------------------------------------------------

    def bind(self, opened: KernelSocket, port: int = 0) -> int:
        """Bind a socket to the source address of the configuration and a port.

        Args:
            opened: The socket.
            port: Port to bind to; 0 lets the kernel choose.

        Returns:
            The port that it has now.

        Raises:
            ConfigError: The source address is not of this machine, or the port is taken.
            FamilyMismatchError: The source address is of the other family.
            PrivilegeError: The port is reserved to root.
        """
        config, abi = self.config, self.abi
        try:
            name = python_name(source_address(self.family, config), self.family, port)
        except OSError:
            names = ", ".join(name for _, name in socket.if_nameindex())
            raise ConfigError(
                "source", config.source, f"an address on one of the interfaces {names}"
            ) from None
        try:
            opened.bind(name)
        except OSError as error:
            if error.errno in {abi.eacces, abi.eperm}:
                raise PrivilegeError(
                    f"source_port={port}: ports this low are reserved to root",
                    remedies=low_port_remedies(self.system),
                ) from None
            if error.errno == abi.eaddrinuse:
                raise ConfigError("source_port", port, "a port that no other socket has taken") from None
            raise ConfigError(
                "source", config.source, f"an address of this machine ({error.strerror})"
            ) from None
        return int(opened.getsockname()[1])

    def find_source(self, destination: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
        """Ask the routing table for the source address towards a destination; sends nothing.

        Raises:
            OSError: There is no way to the destination.
        """
        abi = self.abi
        asker = self.kernel.open(family_number(abi, self.family), abi.sock_dgram, abi.ipproto_udp)
        try:
            if self.config.interface is not None:
                self._bind_to_interface(asker, self.config.interface)
            code = asker.connect_ex(python_name(destination, self.family, _UNUSED_PORT))
            if code:
                raise OSError(code, "no route")
            found = str(asker.getsockname()[0]).partition("%")[0]
        finally:
            asker.close()
        if self.family is AddressFamily.IPV4:
            return ipaddress.IPv4Address(found)
        address = ipaddress.IPv6Address(found)
        zone = destination.scope_id if isinstance(destination, ipaddress.IPv6Address) else None
        return ipaddress.IPv6Address(f"{found}%{zone}") if zone and address.is_link_local else address

    # --- receiving ------------------------------------------------------------------------------------------

    def size_buffer(self, opened: KernelSocket) -> int:
        """Ask for the receive buffer of the configuration; these kernels refuse what is too much.

        Returns:
            The bytes that were granted.
        """
        abi = self.abi
        wanted = self.config.receive_buffer
        while wanted >= _SMALLEST_BUFFER:
            try:
                opened.setsockopt(abi.sol_socket, abi.so_rcvbuf, wanted)
            except OSError:
                wanted //= 2
                continue
            break
        return opened.getsockopt(abi.sol_socket, abi.so_rcvbuf)

    def ask_for_stamps(self, opened: KernelSocket) -> TimestampSource:
        """Have the arrival of whatever comes stamped, in nanoseconds where the system can.

        Returns:
            The best source of round-trip times that the socket has now.
        """
        abi = self.abi
        try:
            opened.setsockopt(abi.sol_socket, abi.so_timestamp, 1)
        except OSError:
            return TimestampSource.USER
        if abi.so_ts_clock is not None and abi.so_ts_realtime is not None:
            with contextlib.suppress(OSError):  # microseconds then
                opened.setsockopt(abi.sol_socket, abi.so_ts_clock, abi.so_ts_realtime)
        return TimestampSource.KERNEL_RX

    def ask_for_ttl(self, opened: KernelSocket) -> None:
        """Have the TTL or hop limit of whatever arrives told."""
        abi = self.abi
        if self.family is AddressFamily.IPV4:
            opened.setsockopt(abi.ipproto_ip, abi.ip_recvttl, 1)
        else:
            opened.setsockopt(abi.ipproto_ipv6, abi.ipv6_recvhoplimit, 1)

    def filter_icmp(self, opened: KernelSocket, *, echo: bool) -> None:
        """Let only errors through, and echo replies if those are wanted; IPv4 has no such filter."""
        if self.family is AddressFamily.IPV6:
            wanted = (*_ERRORS, Icmpv6Type.ECHO_REPLY) if echo else _ERRORS
            opened.setsockopt(self.abi.ipproto_icmpv6, self.abi.icmp6_filter, passing(*wanted))


def passing(*types: int) -> bytes:
    """Value of ``ICMP6_FILTER`` (RFC 3542 section 3.2) that lets some types through: their bits are set."""
    words = [0] * 8
    for number in types:
        words[number >> 5] |= 1 << (number & 31)
    return _PASSED.pack(*words)
