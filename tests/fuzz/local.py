"""More that is fuzzed: answers of name servers, buffers of Windows, and what people and files say.

Targets as those of ``tests.fuzz.targets``; see there.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final

import dns.exception

from traceprobe import TracerouteConfig
from traceprobe._enrichment_config import NameServer
from traceprobe.cli._main import _words
from traceprobe.cli._parser import parse
from traceprobe.cli._plain import parse_plainly
from traceprobe.cli._trace import lookups_of, options_of
from traceprobe.config import AddressFamily
from traceprobe.enrich._cymru import announcements, name_in
from traceprobe.enrich._dns_answers import QUESTIONS, FailureResponseError, read_pointers, read_texts
from traceprobe.enrich._dns_servers import is_answer
from traceprobe.errors import ConfigError
from traceprobe.ffi.windows import ffi
from traceprobe.render.sanitize import clean_name
from traceprobe.sockets.windows._echo import _read_ipv4, _read_ipv6
from traceprobe.sockets.windows._names import NAME_SIZE, unpack_name, with_port
from traceprobe.sockets.windows._remedies import lets_answers_in
from traceprobe.testing import Topology

if TYPE_CHECKING:
    from traceprobe.enrich._dns_answers import Kind

ASKED_NAMES: Final = {
    "PTR": b"\x019\x012\x010\x03192\x07in-addr\x04arpa\x00",
    "TXT": b"\x07AS64500\x03asn\x05cymru\x03com\x00",
}
ASKED_ADDRESS: Final = IPv4Address("192.0.2.9")
QUERY_NUMBER: Final = b"\x12\x34"
FURTHEST: Final = 64
"""Arguments of a command line."""
ROOM: Final = 96
"""Bytes of a buffer for a reply, its structure included."""
PAYLOAD: Final = 20


def query(kind: Kind) -> bytes:
    """A question as it is sent."""
    return QUERY_NUMBER + b"\x01\x00\x00\x01" + bytes(6) + ASKED_NAMES[kind] + QUESTIONS[kind]


def dns_answers(data: bytes) -> None:
    """First byte: what was asked for, and whether the question is repeated; then flags, counts and the rest.

    Whether a message is an answer at all is judged before it is read, as the client does it.
    """
    if len(data) < 10:
        return
    kind: Kind = "PTR" if data[0] & 1 else "TXT"
    asked = query(kind)
    if data[0] & 2:
        answer = QUERY_NUMBER + data[1:]
    else:
        head = bytes([data[1] & 0x87 | 0x80]) + data[2:3] + b"\x00\x01" + data[3:9]
        answer = QUERY_NUMBER + head + asked[12:] + data[9:]
    if not is_answer(asked, answer):
        return
    try:
        records = read_pointers(answer) if kind == "PTR" else read_texts(answer)
    except (FailureResponseError, dns.exception.DNSException):
        return
    assert records.ttl is None or 0 <= records.ttl < 1 << 32
    for value in records.values:
        if isinstance(value, str):
            assert clean_name(value).isprintable()
        else:
            name_in([value])
            announcements([value], ASKED_ADDRESS)


def arguments(data: bytes) -> None:
    """Command lines, a word in each line: they end in a configuration, or in words that no terminal obeys."""
    words = data.decode("utf-8", "surrogateescape").split("\n")[:FURTHEST]
    if any(word.startswith("--print-completion") for word in words):
        return  # a page that another package writes
    said = io.StringIO()
    status: object = None
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            namespace = parse(words)
        except SystemExit as ending:
            namespace, status = None, ending.code
    plain = parse_plainly(words)
    assert plain is None or (namespace is not None and vars(plain) == vars(namespace))
    if namespace is None:
        assert status in {0, 2}
        _check_words(said.getvalue())
        return
    if namespace.command == "doctor":
        return
    try:
        options = options_of(namespace)
        options["enrichment"] = lookups_of(namespace)
        TracerouteConfig().with_options(options)
    except ConfigError as error:
        _check_words(_words(error))


def servers(data: bytes) -> None:
    """DNS servers as a configuration names them."""
    text = data.decode("utf-8", "replace")
    try:
        server = NameServer.parse(text)
    except ValueError:
        return
    assert server.host
    assert 0 <= server.port <= 65535
    assert server.host.isprintable()


def topology(data: bytes) -> None:
    """Scenarios of simulated networks, as JSON."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        found = Topology.from_dict(document)
    except ConfigError:
        return
    assert Topology.from_dict(found.to_dict()) == found


def windows(data: bytes) -> None:
    """Buffers that the ICMP functions of Windows fill, socket addresses of Winsock, rules of its firewall.

    The kernel writes the structure; where its pointer leads is up to the fuzzer, from the buffer's start on.
    """
    name = data[:NAME_SIZE]
    found = unpack_name(name)
    if found is not None:
        assert 0 <= found[1] <= 0xFFFF
        renamed = unpack_name(with_port(name, 443))
        assert renamed is not None
        assert renamed[1] == 443
    filled = data[:ROOM].ljust(ROOM, b"\0")
    reply: Any = ffi.new("char[]", ROOM)
    ffi.memmove(reply, filled, ROOM)
    structure: Any = ffi.cast("struct icmp_echo_reply *", reply)
    offset = int.from_bytes(filled[16:18], "little") - 256
    structure.data = ffi.cast("void *", int(ffi.cast("uintptr_t", reply)) + offset)
    answer = _read_ipv4(1, reply, ROOM)
    assert answer.payload is None or answer.payload in bytes(ffi.buffer(reply, ROOM))
    information = int.from_bytes(filled[-2:], "little")
    answer = _read_ipv6(1, reply, min(information, ROOM), PAYLOAD)
    assert answer.payload is None or len(answer.payload) == PAYLOAD
    rules = data.decode("utf-16-le", "replace").split("\n")
    for family in AddressFamily:
        assert lets_answers_in(rules, family) in {True, False}


def _check_words(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), text
