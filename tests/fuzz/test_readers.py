"""No reader of bytes or text is forgotten: each has a target, and the corpus of that target gets to it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.fuzz.seeds import corpus
from tests.fuzz.targets import TARGETS
from tests.house.package import modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

READS: Final = re.compile(
    r"_{0,2}(announcements|clean|decode|find_extension|from_(dict|document|json)|is_answer|joined|lets_answers_in"
    r"|mapped_address|name_in|parse|plain_data|read|resolve|split|unpack)(?![a-z])"
)
"""How the names of functions begin that make sense of bytes or text."""

READERS: Final = {
    "_enrichment_config.NameServer.parse": "servers",
    "_enrichment_config._split_port": "servers",
    "cli._parser.Parser.parse": "arguments",
    "cli._parser.parse": "arguments",
    "cli._plain.parse_plainly": "arguments",
    "enrich._cymru.announcements": "texts",
    "enrich._cymru.name_in": "texts",
    "enrich._dns_answers._joined": "dns_answers",
    "enrich._dns_answers._plain_data": "dns_answers",
    "enrich._dns_answers._read_all": "dns_answers",
    "enrich._dns_answers.read_pointers": "dns_answers",
    "enrich._dns_answers.read_texts": "dns_answers",
    "enrich._dns_servers.is_answer": "dns_answers",
    "enrich._exchange._parse": "snapshot",
    "enrich._exchange._read": "snapshot",
    "enrich._stun.BindingRequest.mapped_address": "stun",
    "model._document.from_document": "document",
    "model._result.TraceResult.from_dict": "document",
    "model._result.TraceResult.from_json": "document",
    "packets._extension_place.find_extension": "error_queue",
    "packets._extensions.parse_extensions": "extension",
    "packets._icmp._parse_error": "icmp",
    "packets._icmp.parse_icmp": "icmp",
    "packets._ip._parse_ipv4": "datagrams",
    "packets._ip._parse_ipv6": "datagrams",
    "packets._ip.parse_ip": "datagrams",
    "packets._quote.parse_quoted": "quotes",
    "packets._quote.parse_quoted_ipv4": "quotes",
    "packets._quote.parse_quoted_ipv6": "quotes",
    "packets._tcp.parse_quoted_tcp": "transport",
    "packets._tcp.parse_tcp": "transport",
    "packets._tcp.parse_tcp_options": "transport",
    "packets._udp.parse_udp": "transport",
    "render.sanitize._clean": "names",
    "render.sanitize.clean_line": "names",
    "render.sanitize.clean_name": "names",
    "render.sanitize.clean_text": "names",
    "sockets._connects.ConnectCodec.resolve": "system_codecs",
    "sockets.bsd._control.ControlReader.read": "bsd",
    "sockets.bsd._names.unpack_name": "bsd",
    "sockets.bsd._receive.decode_icmp": "bsd",
    "sockets.codec._answer.read_answer": "codecs",
    "sockets.codec._answer.read_extension": "extension",
    "sockets.codec._extension_objects.read_objects": "extension",
    "sockets.codec._icmp.IcmpCodec.resolve": "codecs",
    "sockets.codec._icmp.IcmpCodec.resolve_echo": "codecs",
    "sockets.codec._icmp.IcmpCodec.resolve_quote": "hidden_headers",
    "sockets.codec._tcp.TcpCodec.resolve": "codecs",
    "sockets.codec._tcp.TcpCodec._resolve_segment": "codecs",
    "sockets.codec._tcp.TcpCodec.resolve_quote": "codecs",
    "sockets.codec._udp.UdpCodec._resolve_quote": "codecs",
    "sockets.codec._udp.UdpCodec.resolve": "codecs",
    "sockets.codec._udp.UdpCodec.resolve_answer": "codecs",
    "sockets.codec._udp.UdpCodec.resolve_payload": "hidden_headers",
    "sockets.codec._udp_token.TokenUdpCodec.resolve_answer": "hidden_headers",
    "sockets.codec._udp_token.TokenUdpCodec.resolve_quoted_payload": "hidden_headers",
    "sockets.linux._control.read_arrival": "linux_control",
    "sockets.linux._control.read_arrival_with_ttl": "linux_control",
    "sockets.linux._control.read_arrivals": "linux_control",
    "sockets.linux._control.read_control": "linux_control",
    "sockets.linux._control.read_expiry": "linux_control",
    "sockets.linux._control.read_stamp_columns": "linux_control",
    "sockets.linux._control.read_stamps": "linux_control",
    "sockets.linux._drops.read_drops": "linux_control",
    "sockets.linux._errqueue.split_quote": "error_queue",
    "sockets.linux._sockaddr.unpack_name": "linux_control",
    "sockets.windows._datagrams.SystemUdpCodec._resolve_quote": "system_codecs",
    "sockets.windows._echo._read_ipv4": "windows",
    "sockets.windows._echo._read_ipv6": "windows",
    "sockets.windows._names.unpack_name": "windows",
    "sockets.windows._remedies.lets_answers_in": "windows",
    "testing._reading._parse": "received",
    "testing._reading.read_reply": "received",
    "testing._scenario._read": "topology",
    "testing._scenario.from_document": "topology",
    "testing.topology.Topology.from_dict": "topology",
}
"""Each reader, and the target that it is read by."""

OTHERS: Final = {
    "enrich._special._read": "tables that come with the package",
    "render.rich.RichWriter._joined": "puts spans together that are clean by then",
    "sockets._connects.ConnectCodec.read_ticket": "what the codec itself has written",
    "sockets._timestamps.read_clocks": "the clocks",
    "sockets.codec._ledger.ProbeCodec.resolve": "abstract",
    "sockets.linux._errqueue.ErrorQueueSocket._resolve_error": "abstract",
    "sockets.linux._handshakes.Handshakes.read": "replies, which are no bytes any more",
    "sockets.linux.ping.LinuxPingSocket._resolve_error": "asks IcmpCodec.resolve_quote",
    "sockets.linux.udp.LinuxUdpSocket._resolve_error": "asks TokenUdpCodec.resolve_quoted_payload",
    "sockets.windows._echo.EchoHandle._read": "calls Windows, then _read_ipv4 or _read_ipv6",
    "sockets.windows._firewall.read_registry": "the interface of Windows",
    "testing.topology._split": "a list of hops in a program",
}
"""What only sounds like one, and what it does."""


def functions() -> Iterator[str]:
    """The functions of the package that seem to read something."""
    for module in modules():
        home = module.name.removeprefix("traceprobe.")
        for node in module.tree.body:
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            for function in node.body if isinstance(node, ast.ClassDef) else [node]:
                if isinstance(function, ast.FunctionDef) and READS.match(function.name):
                    yield f"{home}.{owner}{function.name}"


def test_every_reader_is_known() -> None:
    assert set(functions()) == READERS.keys() | OTHERS.keys()
    assert set(READERS.values()) <= TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_gets_to_the_readers(target: str) -> None:
    wanted = {reader for reader, its_target in READERS.items() if its_target == target}
    called: set[tuple[str, int]] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for data in corpus(target):
            TARGETS[target](data)
    finally:
        sys.setprofile(before)
    missed = {reader for reader in wanted if place_of(reader) not in called}
    assert missed == set()


def place_of(reader: str) -> tuple[str, int]:
    """File and line of a function."""
    for module in modules():
        home = f"{module.name.removeprefix('traceprobe.')}."
        if reader.startswith(home):
            *owner, name = reader.removeprefix(home).split(".")
            found: Any = importlib.import_module(module.name)
            for part in (*owner, name):
                found = inspect.getattr_static(found, part)
            code = inspect.unwrap(getattr(found, "__func__", found)).__code__
            return code.co_filename, code.co_firstlineno
    raise LookupError(reader)
