"""Reads what goes over an interface of a namespace, beside the kernel, and writes it down for others.

A packet socket (packet(7)) sees a frame when it is handed to the driver, with all checksums done that the
driver does not do itself; a TUN device does none, and veth pairs are told so by the rigs.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.rigs.namespaces import Namespace

# <linux/if_ether.h>, <linux/if_packet.h>, <linux/if_arp.h>, <asm-generic/socket.h>.
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_ARPHRD_ETHER = 1
_SO_RCVBUFFORCE = 33
_BUFFER = 64 << 20

# https://www.tcpdump.org/linktypes.html; the format is draft-ietf-opsawg-pcap.
_LINKTYPE_RAW = 101
_PCAP_HEADER = struct.Struct("=IHHiIII")
_PCAP_RECORD = struct.Struct("=IIII")
_PCAP_MAGIC = 0xA1B2C3D4
_ETHERNET_HEADER = 14


@dataclass(frozen=True)
class Frame:
    """One frame."""

    outgoing: bool
    datagram: bytes
    """From the IP header on."""


class Capture:
    """Frames of one interface from now on; a context manager.

    Args:
        namespace: Where the interface is.
        device: Its name.
    """

    def __init__(self, namespace: Namespace, device: str) -> None:
        self._namespace = namespace
        self._device = device
        self._frames: list[Frame] = []

    def __enter__(self) -> Self:
        self._socket = self._namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((self._device, _ETH_P_ALL))
        self._socket.setblocking(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def frames(self) -> list[Frame]:
        """All IP datagrams so far, in the order of their going by."""
        while True:
            try:
                data, (_, _, packet_type, hardware, _) = self._socket.recvfrom(65536)
            except BlockingIOError:
                return list(self._frames)
            datagram = data[_ETHERNET_HEADER:] if hardware == _ARPHRD_ETHER else data
            if datagram and datagram[0] >> 4 in {4, 6}:
                self._frames.append(Frame(packet_type == _PACKET_OUTGOING, datagram))

    def sent(self) -> list[bytes]:
        """The IP datagrams that left by the interface."""
        return [frame.datagram for frame in self.frames() if frame.outgoing]


def write_pcap(path: Path, datagrams: list[bytes]) -> None:
    """Write IP datagrams down as a capture file."""
    with path.open("wb") as file:
        file.write(_PCAP_HEADER.pack(_PCAP_MAGIC, 2, 4, 0, 0, 65535, _LINKTYPE_RAW))
        for number, datagram in enumerate(datagrams):
            file.write(_PCAP_RECORD.pack(number, 0, len(datagram), len(datagram)) + datagram)
