"""The corpus: where fuzzing begins. Written by ``python -m tests.fuzz --write-corpus`` and committed.

It is made of packets that the project has on file: the golden ones, those of the simulated internet, what
kernels were measured to hand out, and probes of codecs with the answers to them. One file for each target,
a line of hexadecimal digits for each input, so that a change can be read.
"""

from __future__ import annotations

import json
import struct
import tempfile
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bsd.records import derived, measured
from tests.enrich.files import GEOLITE_ASN, GEOLITE_CITY, IPINFO, SNAPSHOT, write_database
from tests.fuzz.__main__ import LONGEST
from tests.fuzz.codecs import PORTS, sent
from tests.fuzz.messages import HOST, armed
from tests.fuzz.targets import BSD_SYSTEMS, TARGETS, TRANSACTION
from tests.packets import golden
from tests.render.samples import ALL
from tests.sockets.wire import ALL_KINDS, SOURCE_PORT, address, datagram
from traceprobe.config import AddressFamily, FlowStrategy, Protocol
from traceprobe.enrich._dns_answers import QUESTIONS
from traceprobe.ffi.bsd import CONTROL_HEADER as BSD_CONTROL_HEADER
from traceprobe.ffi.bsd import abi_for, aligned
from traceprobe.ffi.linux import (
    CONTROL_HEADER,
    EXTENDED_ERROR,
    IP_RECVERR,
    IP_TTL,
    IPV6_HOPLIMIT,
    IPV6_RECVERR,
    SO_EE_ORIGIN_TIMESTAMPING,
    SO_TIMESTAMPING,
    TIMESPEC,
)
from traceprobe.packets import IpProtocol, build_icmp_error, build_ipv4, build_ipv6, build_udp
from traceprobe.testing._forge import set_checksum

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME: Final = Path(__file__).parent / "corpus"
VECTORS: Final = Path(__file__).parents[1] / "packets" / "internet_vectors.json"
MOST: Final = 80
"""Inputs for a target: enough to show every shape, few enough to read."""


def corpus(target: str) -> list[bytes]:
    """The committed inputs of a target."""
    text = (HOME / f"{target}.txt").read_text(encoding="ascii")
    return [bytes.fromhex(line) for line in text.splitlines() if not line.startswith("#")]


def add(target: str, inputs: list[bytes], why: str) -> None:
    """Append inputs, such as one that has found something, with a line that says what they are."""
    path = HOME / f"{target}.txt"
    lines = [f"# {why}", *(data.hex() for data in inputs)]
    with path.open("a", encoding="ascii", newline="\n") as file:
        file.write("\n".join(lines) + "\n")


def write(*targets: str) -> None:
    """Make the corpus of some targets anew; of all, if none is named. Additions to it are lost."""
    HOME.mkdir(exist_ok=True)
    for target in targets or TARGETS:
        (HOME / f"{target}.txt").unlink(missing_ok=True)
        inputs = list(dict.fromkeys(MAKERS[target]()))
        step = max(1, -(-len(inputs) // MOST))
        add(target, inputs[::step][:MOST], "made of packets on file; see seeds.py")


def _vectors() -> list[bytes]:
    vectors = json.loads(VECTORS.read_text(encoding="ascii"))
    return [bytes.fromhex(vector["answer"]) for vector in vectors]


def _datagrams() -> list[bytes]:
    return [*golden.DATAGRAMS.values(), *_vectors()[::6]]


def _payloads() -> list[bytes]:
    return [data[20 if data[0] >> 4 == 4 else 40 :] for data in _datagrams()]


def _transport() -> list[bytes]:
    segments = [segment for kind in ALL_KINDS for segment in armed(*kind).segments.values()]
    return [*segments[::3], *_payloads()[:20]]


def _quotes() -> list[bytes]:
    return [data[8:] for data in _payloads()]


def _extensions() -> list[bytes]:
    return [data[-size:] for data in (golden.TE4_MPLS, golden.TE4_MPLS_LEGACY) for size in (8, 12, 16)] + [
        vector[vector.rindex(b"\x20\x00") :] for vector in _vectors() if b"\x20\x00" in vector[48:]
    ]


def _codecs() -> Iterator[bytes]:
    for number, (family, protocol, flow) in enumerate(ALL_KINDS):
        out = armed(family, protocol, flow)
        version = int(family)
        for probe, segment in list(out.segments.items())[::3]:
            destination = out.destinations[probe]
            sender = (int(destination) - int(address(family, HOST))) << 4
            sent = datagram(out.codec, segment, destination)
            for quoted in (sent, sent[: out.codec.header_size + 8]):
                error = build_icmp_error(version, type=11 if version == 4 else 3, code=0, quoted=quoted)
                yield bytes([number, sender]) + error
            if protocol is Protocol.ICMP:
                yield bytes([number, sender, 0 if version == 4 else 129]) + segment[1:]
            elif protocol is Protocol.UDP:
                port = int.from_bytes(segment[2:4], "big")
                answer = build_udp(destination, address(family, 1), port, SOURCE_PORT, segment[8:])
                yield bytes([number, sender | 1]) + answer
            else:
                source_port, port, sequence = struct.unpack("!HHI", segment[:8])
                fields = struct.pack(
                    "!HHIIBBHHH", port, source_port, 7, sequence + 1 & 0xFFFFFFFF, 0x50, 0x12, 9, 0, 0
                )
                yield bytes([number, sender | 2]) + fields


def _hidden() -> Iterator[bytes]:
    for family in AddressFamily:
        flag = 1 if family is AddressFamily.IPV4 else 0
        for protocol, flow in ((Protocol.ICMP, FlowStrategy.PARIS), (Protocol.UDP, FlowStrategy.CLASSIC)):
            for segment in list(armed(family, protocol, flow).segments.values())[:2]:
                quote = segment if protocol is Protocol.ICMP else segment[8:]
                yield bytes([flag | 2, 0]) + segment[2:4] + quote
                yield bytes([flag, 1]) + segment[2:4] + quote[:8]


def _linux_control() -> Iterator[bytes]:
    def message(level: int, kind: int, data: bytes) -> bytes:
        size = CONTROL_HEADER.size + len(data)
        return (CONTROL_HEADER.pack(size, level, kind) + data).ljust(-(-size // 8) * 8, b"\0")

    stamps = TIMESPEC.pack(1_700_000_000, 5) + bytes(2 * TIMESPEC.size)
    stamp = message(1, SO_TIMESTAMPING, stamps)
    ttl = message(0, IP_TTL, struct.pack("=i", 63))
    offender = struct.pack("=H2s4s8x", 2, bytes(2), bytes([198, 51, 100, 1]))
    error = message(0, IP_RECVERR, EXTENDED_ERROR.pack(113, 2, 11, 0, 0, 0, 100) + offender)
    own = message(
        0, IP_RECVERR, EXTENDED_ERROR.pack(42, SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, 0, 7) + bytes(16)
    )
    yield from (stamp, ttl, error, stamp + own, stamp + ttl + error, error[:-4])
    # A TTL that ran out, as both families tell it.
    yield stamp + ttl + message(0, IP_RECVERR, EXTENDED_ERROR.pack(113, 2, 11, 0, 0, 0, 0) + offender)
    offender6 = struct.pack("=H2s4s16sI", 10, bytes(2), bytes(4), b"\x20\x01\x0d\xb8" + bytes(12), 3)
    error6 = message(41, IPV6_RECVERR, EXTENDED_ERROR.pack(113, 3, 3, 0, 0, 0, 0) + offender6)
    yield stamp + message(41, IPV6_HOPLIMIT, struct.pack("=i", 63)) + error6


def _error_queue() -> Iterator[bytes]:
    for vector in _vectors()[::5]:
        message = vector[20 if vector[0] >> 4 == 4 else 40 :]
        yield bytes(4) + message[36:]
        yield (100).to_bytes(4, "little") + message[36:]


def _bsd() -> Iterator[bytes]:
    for system in BSD_SYSTEMS:
        records = measured(system) if system in {"freebsd", "netbsd"} else derived(system)
        abi = abi_for(system, "amd64")
        header = aligned(BSD_CONTROL_HEADER.size, abi.control_alignment)
        for record in records[::6]:
            yield record.data
            laid_out = b""
            for level, kind, data in record.control:
                start = BSD_CONTROL_HEADER.pack(header + len(data), level, kind).ljust(header, b"\0")
                laid_out += start + data.ljust(aligned(len(data), abi.control_alignment), b"\0")
            yield laid_out


def _documents() -> list[bytes]:
    return [result.to_json().encode("ascii") for name, result in ALL.items() if name != "many_queries"]


def _texts() -> list[bytes]:
    return [
        b"3561 | 216.88.0.0/14 | US | arin | 1998-09-25\n3356 3561 | 8.0.0.0/9 | US | arin | 1992-12-01",
        b"15169 | 2001:4860::/32 | US | arin | 2005-03-14",
        b"15169 | US | arin | 2000-03-30 | EXAMPLE, US",
        b" | | | |\n0 | 0.0.0.0/0 | | | \xff\xfe",
    ]


def _names() -> list[bytes]:
    hostile = "\x1b[2J\u202egpj.exe\u2066 =SUM(1) <script>\r\n\x00 \ud800 e" + "\u0301" * 9
    return [b"gateway.example", hostile.encode("utf-8", "surrogatepass"), ("a" * 255).encode()]


def _stun() -> Iterator[bytes]:
    cookie = bytes.fromhex("2112a442")
    attributes = (
        bytes.fromhex("00200008 0001 1234") + bytes([192 ^ 0x21, 0 ^ 0x12, 2 ^ 0xA4, 9 ^ 0x42]),
        bytes.fromhex("00010008 0001 1234 c0000209"),
        bytes.fromhex("00010014 0002 1234 20010db8000000000000000000000009"),
        bytes.fromhex("00090008 00000414 77686174"),
        b"",
    )
    for kind in (b"\x01\x01", b"\x01\x11", b"\x00\x01"):
        for attribute in attributes:
            yield kind + len(attribute).to_bytes(2, "big") + cookie + TRANSACTION + attribute


def _snapshots() -> list[bytes]:
    compact = json.dumps(SNAPSHOT, separators=(",", ":")).encode()
    lists = json.dumps({kind: listed["data"] for kind, listed in SNAPSHOT.items()}).encode()
    return [compact, lists, b'{"ix":[],"ixlan":[],"ixpfx":[]}']


def _databases() -> list[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.mmdb")
        for records, kind in ((GEOLITE_ASN, "GeoLite2-ASN"), (GEOLITE_CITY, "City"), (IPINFO, "ipinfo")):
            ipv4_only = {prefix: record for prefix, record in records.items() if ":" not in prefix}
            for version, wanted in ((4, ipv4_only), (6, records)):
                write_database(path, wanted, kind=kind, ip_version=version)
                found.append(path.read_bytes())
    return found


def _dns_answers() -> Iterator[bytes]:
    name, text = b"\xc0\x0c", b"15169 | 192.0.2.0/24 | US | arin |"
    records = {
        "PTR": b"\x07gateway\x07example\x00",
        "TXT": bytes([len(text)]) + text,
        "hostile": b"\x0c\x1b[2J\xe2\x80\xae=1\r\n\x00\xc0\x0c",
    }
    for kind, other in (("PTR", "PTR"), ("TXT", "TXT"), ("PTR", "hostile"), ("TXT", "hostile")):
        what = QUESTIONS["PTR" if kind == "PTR" else "TXT"]
        data = records[other]
        record = name + what + (3600).to_bytes(4) + len(data).to_bytes(2) + data
        alias = name + b"\x00\x05\x00\x01" + (60).to_bytes(4) + b"\x00\x02\xc0\x0c"
        first = bytes([kind == "PTR"])
        for count, section in ((1, record), (2, 2 * record), (1, alias), (2, alias + record), (0, b"")):
            yield first + b"\x81\x80" + count.to_bytes(2) + bytes(4) + section
        yield first + b"\x81\x83\x00\x00\x00\x01\x00\x00" + b"\xc0\x0c\x00\x06\x00\x01" + bytes(4) + bytes(2)
        yield first + b"\x81\x82" + bytes(6)


def _arguments() -> list[bytes]:
    lines = (
        "www.example.net",
        "trace -4 -T -p 443 --flow dublin -m 20 -q 2 -w 1.5 example.com",
        "demo --json --public-address --own-address 192.0.2.1 --resolver tls://[2001:db8::53]:853",
        "-6 -U -f 3 -N 10 -z 0.1 --dscp AF41 --ecn 1 --payload-pattern 00ff --mark 0x10 -- -x",
        "doctor -I --json",
        "--tos 256 x",
        "-w -1 -q nan -p 99999999999999999999 x",
        "example.com --asn-db a.mmdb --ixp-db b.json -n --csv --packet-size 1500 -F --source-port 0",
        "--max-tll=3 example.com",
        "--fast --overall-timeout inf -s fe80::1%eth0 -i lo --flow-label 0xfffff x",
        "example.com second third",
    )
    return ["\n".join(line.split(" ")).encode() for line in lines]


def _servers() -> list[bytes]:
    names = (
        "192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53", "2001:db8::53", "fe80::1%eth0",
        "tls://dns.example", "tls://192.0.2.53:853", "https://dns.example/dns-query",
        "https://[2001:db8::53]:8443/dns-query{?dns}", "https://user@dns.example/", "quic://dns.example",
    )  # fmt: skip
    return [name.encode() for name in names]


def _topologies() -> list[bytes]:
    folder = Path(__file__).parents[1] / "rigs"
    written = [path.read_bytes() for path in sorted(folder.rglob("*.json"))]
    hop = {"addresses": ["192.0.2.1"], "loss": 0.5, "faults": [{"kind": "late", "delay": 1.0}]}
    diamond = {"branches": [[hop], ["192.0.2.2", None]], "per": "packet"}
    path = {"target": {"addresses": ["192.0.2.9"]}, "hops": [hop, None, diamond, {"routers": ["192.0.2.3"]}]}
    names = {"a.example": ["192.0.2.9"]}
    made = {"paths": [path], "sources": ["192.0.2.77"], "names": names, "denied": ["tcp"]}
    short = [text for text in written if len(text) < LONGEST]
    return [json.dumps(made, separators=(",", ":")).encode(), b'{"paths":[]}', *short]


def _windows() -> Iterator[bytes]:
    yield struct.pack("<H2s4s8x", 2, b"\x01\xbb", bytes([192, 0, 2, 9])).ljust(96, b"\0")
    yield struct.pack("<H2s4x16sI", 23, b"\x01\xbb", b"\x20\x01\x0d\xb8" + bytes(12), 3).ljust(96, b"\0")
    # Address, status, round trip, size of the data, padding, where the data is (256 is the start), options.
    where = struct.pack("<H6x", 296)
    reply = struct.pack("<4sIIHH8sB", bytes([192, 0, 2, 1]), 11013, 7, 20, 0, where, 64)
    yield reply.ljust(96, b"x")
    reply = struct.pack("<HI16sIIIH", 0, 0, b"\x20\x01\x0d\xb8" + bytes(12), 0, 0, 7, 0)
    yield reply.ljust(94, b"y") + b"\x60\0"
    rule = "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=1|ICMP4=11:*|Name=x|"
    yield rule.encode("utf-16-le")


def _system_codecs() -> Iterator[bytes]:
    for family in AddressFamily:
        flag, version = (1, 4) if family is AddressFamily.IPV4 else (0, 6)
        out = sent(family)
        connections = [
            struct.pack("!HHI", port, out.connects.default_port, 1).ljust(20, b"\0") for port in PORTS
        ]
        for segment, protocol in [(each, 17) for each in out.segments.values()] + [
            (c, 6) for c in connections
        ]:
            quoted = datagram(out.datagrams, segment, address(family, HOST), protocol=protocol)
            for shown in (quoted, quoted[: out.datagrams.header_size + 8]):
                yield bytes([flag]) + build_icmp_error(version, type=11 if flag else 3, code=0, quoted=shown)
        # A checksum that nobody has filled in yet.
        unfinished = next(iter(out.segments.values()))
        unfinished = unfinished[:6] + b"\x12\x34" + unfinished[8:]
        quoted = datagram(out.datagrams, unfinished, address(family, HOST), protocol=17)
        yield bytes([flag]) + build_icmp_error(version, type=11 if flag else 3, code=0, quoted=quoted)


def _received() -> Iterator[bytes]:
    for seed in _codecs():
        family = ALL_KINDS[seed[0]][0]
        here, there = address(family, 1), address(family, HOST + seed[1] // 16)
        number = {0: 1 if family is AddressFamily.IPV4 else 58, 1: 17, 2: 6}[seed[1] & 3]
        if isinstance(here, IPv4Address):
            assert isinstance(there, IPv4Address)
            whole = build_ipv4(seed[2:], source=there, destination=here, protocol=number, ttl=60)
        else:
            assert isinstance(there, IPv6Address)
            whole = build_ipv6(seed[2:], source=there, destination=here, next_header=number, hop_limit=60)
        segment = bytearray(seed[2:])
        set_checksum(segment, IpProtocol(number), there, here)
        yield seed[:1] + whole[: len(whole) - len(segment)] + segment


MAKERS: Final = {
    "datagrams": _datagrams,
    "icmp": _payloads,
    "transport": _transport,
    "quotes": _quotes,
    "extension": _extensions,
    "codecs": _codecs,
    "hidden_headers": _hidden,
    "linux_control": _linux_control,
    "error_queue": _error_queue,
    "bsd": _bsd,
    "document": _documents,
    "texts": _texts,
    "names": _names,
    "stun": _stun,
    "snapshot": _snapshots,
    "database": _databases,
    "dns_answers": _dns_answers,
    "arguments": _arguments,
    "servers": _servers,
    "topology": _topologies,
    "windows": _windows,
    "system_codecs": _system_codecs,
    "received": _received,
}
