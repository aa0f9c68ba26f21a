"""A trace whose receive buffer overflows, called through ``Namespace.call``; with plain values."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traceprobe
from tests.kernel.holdings import holdings
from tests.kernel.inside_faults import FaultyFactory
from traceprobe.packets import build_icmp_echo, build_tcp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceprobe import TraceOptions
    from traceprobe.config import AddressFamily, TracerouteConfig
    from traceprobe.sockets import AsyncProbeSocket

_RST_ACK = 0x14
_PORT = 80


class _Overflowing(FaultyFactory):
    """Fills the buffers of the first socket with what is none of its answers, before a certain probe."""

    def __init__(self, target: str, at: int, datagrams: int) -> None:
        super().__init__([(at, self._pour)], None)
        self._target = target
        self._datagrams = datagrams
        self.opened: Any = None

    async def open(self, config: TracerouteConfig, family: AddressFamily) -> AsyncProbeSocket:
        self.opened = await super().open(config, family)
        result: AsyncProbeSocket = self.opened
        return result

    def _pour(self) -> None:
        mode, protocol = self.opened.capabilities.mode, self.opened.capabilities.protocol.value
        is_six = ":" in self._target
        family = socket.AF_INET6 if is_six else socket.AF_INET
        here = ip_address(self._target)
        if protocol == "udp":
            receiver = self.opened._opened if mode == "linux_udp" else self.opened._transport.holder
            port = receiver.getsockname()[1]
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                self._send(sender, b"none of your answers", port)
            return
        if protocol == "tcp":
            port = self.opened._transport.holder.getsockname()[1]
            segment = build_tcp(
                here, here, _PORT, port, sequence=0, acknowledgement=1, flags=_RST_ACK, window=0
            )
            with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as sender:
                self._send(sender, segment, 0)
            return
        identifier = (
            self.opened._opened.getsockname()[1] if mode == "linux_ping" else self.opened._codec.identifier
        )
        reply = build_icmp_echo(
            6 if is_six else 4,
            identifier=identifier,
            sequence=0,
            payload=bytes(64),
            request=False,
            source=here if is_six else None,
            destination=here if is_six else None,
        )
        with socket.socket(
            family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if is_six else socket.IPPROTO_ICMP
        ) as sender:
            self._send(sender, reply, 0)

    def _send(self, sender: socket.socket, data: bytes, port: int) -> None:
        for _ in range(self._datagrams):
            sender.sendto(data, (self._target, port))

    def kernel_count(self) -> int:
        """What the kernel says that it has dropped on the way to what the socket reads."""
        if hasattr(self.opened, "_opened"):
            receivers: Sequence[socket.socket] = [self.opened._opened]
        else:
            transport = self.opened._transport
            receivers = [self.opened._icmp, *([] if transport is None else transport[:2])]
        inodes = {str(os.fstat(receiver.fileno()).st_ino) for receiver in receivers}
        total = 0
        for table in ("raw", "raw6", "udp", "udp6", "icmp", "icmp6"):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    total += int(fields[-1])
        return total


async def overflow(target: str, options: TraceOptions, at: int, datagrams: int) -> dict[str, Any]:
    """Trace with one tracer, twice; in the first trace the buffer overflows.

    Returns:
        Both ``documents``, what the ``kernel`` says that it has dropped since the socket was opened, as it
        stood after each; and what the process held ``before`` and ``after`` the tracer.
    """
    documents, kernel = [], []
    # What is loaded only for a document is no leak.
    (await traceprobe.trace_async(target, **options)).to_dict()
    before = holdings()
    factory = _Overflowing(target, at, datagrams)
    async with traceprobe.Tracer(socket_factory=factory, **options) as tracer:
        for _ in range(2):
            documents.append((await tracer.trace(target)).to_dict())
            kernel.append(factory.kernel_count())
    del tracer, factory
    after = holdings()
    return {"documents": documents, "kernel": kernel, "before": before, "after": after}
