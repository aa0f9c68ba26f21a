"""A network of its own for the thread that runs a test: loopback, and a TUN device that leads to the test.

What probes look like on the wire is read from the device; what routers would answer is put together out of
that and written to it, so that the kernel itself decides which socket gets it. No packet can leave the
machine: the namespace has no other interfaces.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.rigs.namespaces import program
from traceprobe.packets import (
    IPDatagram,
    build_icmp_error,
    build_ipv4,
    build_ipv6,
    parse_ip,
)

if TYPE_CHECKING:
    from types import TracebackType

DEVICE = "sink"
SOURCE4, SOURCE6 = "192.0.2.1", "2001:db8::1"
SILENT4, SILENT6 = "192.0.2.9", "2001:db8::9"
"""Destinations behind the device: nobody is there."""
LINK_LOCAL = "fe80::1"

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000  # <linux/if_tun.h>

_SETUP = f"""\
link set lo up
link set {DEVICE} addrgenmode none
link set {DEVICE} up
address add {SOURCE4}/24 dev {DEVICE}
address add {SOURCE6}/64 dev {DEVICE} nodad
address add {LINK_LOCAL}/64 dev {DEVICE} nodad
route add blackhole 198.51.100.0/26
route add unreachable 198.51.100.64/26
route add prohibit 198.51.100.128/26
"""

_SYSCTLS = {
    "ipv4/ping_group_range": "0 2147483647",
    "ipv4/icmp_ratelimit": "0",
    "ipv4/icmp_msgs_per_sec": "1000000",
    "ipv4/icmp_msgs_burst": "1000000",
    "ipv6/icmp/ratelimit": "0",
    "ipv4/conf/all/rp_filter": "0",
    f"ipv4/conf/{DEVICE}/rp_filter": "0",
    f"ipv6/conf/{DEVICE}/router_solicitations": "0",
}


class OwnNetwork:
    """Puts the calling thread into a fresh network namespace; a context manager."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, before)
            libc = ctypes.CDLL(None, use_errno=True)
            _check(libc.unshare(_CLONE_NEWNET))
            stack.callback(lambda: _check(libc.setns(before, _CLONE_NEWNET)))
            self.device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, self.device)
            request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(self.device, _TUNSETIFF, request)
            self.ip(*_SETUP.splitlines())
            # Without a queue a datagram is at the device when the system call that sent it returns.
            subprocess.run([program("tc"), "qdisc", "replace", "dev", DEVICE, "root", "noqueue"], check=True)
            for name, value in _SYSCTLS.items():
                self.write_sysctl(name, value)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def ip(self, *commands: str) -> None:
        """Run commands of the ``ip`` program."""
        subprocess.run([program("ip"), "-batch", "-"], input="\n".join(commands), text=True, check=True)

    def nft(self, rules: str) -> None:
        """Add rules of nftables."""
        subprocess.run([program("nft"), "-f", "-"], input=rules, text=True, check=True)

    def write_sysctl(self, name: str, value: str) -> None:
        """Set a kernel parameter of the namespace, by its path under /proc/sys/net."""
        # Which namespace the files show depends on the thread that opens them.
        Path("/proc/sys/net", name).write_text(value, encoding="ascii")


class Wire:
    """One IP version's view of the device.

    Args:
        network: The network; what has been sent before is thrown away.
        version: IP version, 4 or 6.
    """

    def __init__(self, network: OwnNetwork, version: int) -> None:
        self.version = version
        self.source = ip_address(SOURCE4 if version == 4 else SOURCE6)
        self._device = network.device
        self.sent()

    def sent(self) -> list[bytes]:
        """The datagrams of this IP version that have left since the last call, multicasts left out."""
        found: list[bytes] = []
        while True:
            try:
                data = os.read(self._device, 65536)
            except BlockingIOError:
                return found
            if data[0] >> 4 == self.version and not parse_ip(data).destination.is_multicast:
                found.append(data)

    def parsed(self) -> list[IPDatagram]:
        """The same, parsed."""
        return [parse_ip(data) for data in self.sent()]

    def inject(
        self,
        payload: bytes,
        *,
        protocol: int | None = None,
        sender: str | None = None,
        to: str | None = None,
        ttl: int = 61,
    ) -> None:
        """Let a datagram arrive at this machine."""
        if self.version == 4:
            source = IPv4Address(sender or "203.0.113.7")
            target = IPv4Address(to or SOURCE4)
            data = build_ipv4(
                payload,
                source=source,
                destination=target,
                protocol=1 if protocol is None else protocol,
                ttl=ttl,
            )
        else:
            source6 = IPv6Address(sender or "2001:db8:7::7")
            target6 = IPv6Address(to or SOURCE6)
            data = build_ipv6(
                payload,
                source=source6,
                destination=target6,
                next_header=58 if protocol is None else protocol,
                hop_limit=ttl,
            )
        os.write(self._device, data)

    def inject_error(
        self,
        quote: bytes,
        *,
        icmp_type: int | None = None,
        code: int = 0,
        rest: int = 0,
        extension: bytes = b"",
        sender: str | None = None,
        spoil: bool = False,
    ) -> None:
        """Let an ICMP error arrive; time exceeded, unless something else is asked for."""
        default_type, default_sender = (11, "203.0.113.7") if self.version == 4 else (3, "2001:db8:7::7")
        router = ip_address(sender or default_sender)
        message = build_icmp_error(
            self.version,
            type=default_type if icmp_type is None else icmp_type,
            code=code,
            rest=rest,
            quoted=quote,
            extension=extension,
            source=router if self.version == 6 else None,
            destination=self.source if self.version == 6 else None,
        )
        if spoil:
            message = message[:2] + bytes([message[2] ^ 0xFF]) + message[3:]
        self.inject(message, sender=str(router))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
