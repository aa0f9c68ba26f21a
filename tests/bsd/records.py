"""Reads what kernels were measured to hand out, and derives the same of kernels that were only read about."""

from __future__ import annotations

import re
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).parent / "measured"
FILES = {"freebsd": "freebsd-12.1.txt", "netbsd": "netbsd-7.99.txt", "linux": "linux.txt"}

_HOST, _TARGET = ip_address("10.0.1.1"), ip_address("10.0.3.2")
_HOST6, _TARGET6 = ip_address("fd00:1::1"), ip_address("fd00:3::2")
_RAW4 = re.compile(
    r"raw: (?P<size>\d+) bytes from (?P<sender>\S+) first=45 IPhdr: ip_len bytes (?P<length>\w{4}) "
    r"ip_off bytes (?P<fragment>\w{4}) ttl=(?P<ttl>\d+) p=1; icmp type=(?P<type>\d+) code=(?P<code>\d+)"
    r"(?: quoted: len=(?P<quoted>\d+) ip_len bytes (?P<quoted_length>\w{4}) "
    r"ip_off (?P<quoted_fragment>\w{4}) ttl=(?P<quoted_ttl>\d+) p=(?P<protocol>\d+) "
    r"l4=(?P<transport>\w{8}))?$"
)
_RAW6 = re.compile(
    r"raw6: (?P<size>\d+) bytes from (?P<sender>\S+) first=\w\w icmp6 type=(?P<type>\d+) code=(?P<code>\d+)"
    r"(?: quoted len=(?P<quoted>\d+) hlim=(?P<quoted_ttl>\d+) nh=(?P<protocol>\d+))?$"
)
_CONTROL = re.compile(r"cmsg level=(\d+) type=(\d+) datalen=(\d+) bytes=(\w*)$")


class Message(NamedTuple):
    """One control message."""

    level: int
    kind: int
    data: bytes


class Record(NamedTuple):
    """One datagram that a raw socket received, and what was said of it."""

    system: str
    test: str
    version: int
    sender: str
    data: bytes
    type: int
    code: int
    ttl: int | None
    """TTL by the IP header, which only IPv4 shows."""
    quoted_ttl: int | None
    protocol: int | None
    transport: bytes
    """What was noted of the quoted transport header."""
    control: tuple[Message, ...]

    def __str__(self) -> str:
        return f"{self.system}-{self.test}-{self.type}"


def measured(system: str) -> list[Record]:
    """All datagrams that one kernel was measured to hand out."""
    records: list[Record] = []
    test = ""
    for line in (HOME / FILES[system]).read_text(encoding="ascii").splitlines():
        if not line.startswith(" "):
            test = line.split()[0]
        found = line.strip()
        if (match := _RAW4.match(found)) is not None:
            records.append(_ipv4(system, test, match))
        elif (match := _RAW6.match(found)) is not None:
            records.append(_ipv6(system, test, match))
        elif (match := _CONTROL.match(found)) is not None:
            level, kind, size, data = match.groups()
            message = Message(int(level), int(kind), bytes.fromhex(data))
            assert len(message.data) in {int(size), 24}, "long ones were noted as far as 24 bytes"
            records[-1] = records[-1]._replace(control=(*records[-1].control, message))
    return records


def _ipv4(system: str, test: str, match: re.Match[str]) -> Record:
    noted = match.groupdict()
    size, kind, code, ttl = (int(noted[name]) for name in ("size", "type", "code", "ttl"))
    sender = ip_address(noted["sender"])
    header = struct.pack(
        "!BB2sH2sBBH4s4s",
        0x45,
        0,
        bytes.fromhex(noted["length"]),
        0,
        bytes.fromhex(noted["fragment"]),
        ttl,
        1,
        0,
        sender.packed,
        _HOST.packed,
    )
    body = bytes((kind, code)) + bytes(6)
    transport = b""
    if noted["quoted"] is not None:
        assert int(noted["quoted"]) + len(header) + len(body) == size
        transport = bytes.fromhex(noted["transport"])
        body += struct.pack(
            "!BB2sH2sBBH4s4s",
            0x45,
            0,
            bytes.fromhex(noted["quoted_length"]),
            0,
            bytes.fromhex(noted["quoted_fragment"]),
            int(noted["quoted_ttl"]),
            int(noted["protocol"]),
            0,
            _HOST.packed,
            _TARGET.packed,
        )
        body += transport
    data = (header + body).ljust(size, b"\x5a")
    quoted_ttl = None if noted["quoted_ttl"] is None else int(noted["quoted_ttl"])
    protocol = None if noted["protocol"] is None else int(noted["protocol"])
    return Record(
        system, test, 4, noted["sender"], data, kind, code, ttl, quoted_ttl, protocol, transport, ()
    )


def _ipv6(system: str, test: str, match: re.Match[str]) -> Record:
    noted = match.groupdict()
    size, kind, code = (int(noted[name]) for name in ("size", "type", "code"))
    data = bytes((kind, code)) + bytes(6)
    quoted_ttl = protocol = None
    if noted["quoted"] is not None:
        quoted_ttl, protocol = int(noted["quoted_ttl"]), int(noted["protocol"])
        length = int(noted["quoted"]) - 40
        data += struct.pack(
            "!IHBB16s16s", 6 << 28, length, protocol, quoted_ttl, _HOST6.packed, _TARGET6.packed
        )
    data = data.ljust(size, b"\x5a")
    return Record(system, test, 6, noted["sender"], data, kind, code, None, quoted_ttl, protocol, b"", ())


def derived(system: str) -> list[Record]:
    """What a kernel that nobody ran would have handed out, by its source; see ``docs/bsd.md``."""
    return [_derive(system, record) for record in measured("freebsd") if record.test != "T12"]


def _derive(system: str, record: Record) -> Record:
    stamp, ttl = {"openbsd": (4, 31), "dragonfly": (2, 65), "darwin": (2, 24)}[system]
    control = []
    for level, kind, data in record.control:
        if (level, kind) == (0xFFFF, 2):
            # macOS counts microseconds in four bytes; what follows is whatever it is.
            tail = b"\x29\x7f\x00\x00" if system == "darwin" else data[12:]
            control.append(Message(level, stamp, data[:12] + tail))
        elif (level, kind) == (0, 65):
            control.append(Message(level, ttl, data))
        elif level == 41:
            control.append(Message(level, kind, data))
    seen = bytearray(record.data)
    if record.version == 4 and system in {"darwin", "dragonfly"}:
        seen[2:4] = struct.pack("=H", len(seen) - 20)  # ip_input: host order, less the header
    if record.version == 4 and system == "darwin" and record.quoted_ttl is not None:
        seen[30:32] = seen[31], seen[30]  # icmp_input: the quoted length too
    return record._replace(system=f"derived-{system}", data=bytes(seen), control=tuple(control))
