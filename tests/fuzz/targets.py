"""What is fuzzed: one function for each reader of bytes that strangers may have written.

Each takes any bytes. It returns if they were read, or refused with the error that the reader documents;
whatever else gets out of it is a finding.
"""

from __future__ import annotations

import tempfile
from functools import cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from tests.fuzz.codecs import received, system_codecs
from tests.fuzz.local import arguments, dns_answers, servers, topology, windows
from tests.fuzz.messages import fuzz_codecs, fuzz_hidden_headers
from traceprobe.config import AddressFamily
from traceprobe.enrich._cymru import announcements, name_in
from traceprobe.enrich._database import DatabaseEnricher
from traceprobe.enrich._exchange import ExchangeEnricher
from traceprobe.enrich._exchange import _read as read_snapshot
from traceprobe.enrich._stun import BindingRequest, StunRefusedError
from traceprobe.errors import ConfigError, DataFileError, PacketError
from traceprobe.ffi.bsd import abi_for
from traceprobe.model import (
    ExtensionObject,
    InterfaceInformation,
    TraceResult,
)
from traceprobe.packets import (
    IcmpError,
    IPAddress,
    find_extension,
    parse_extensions,
    parse_icmp,
    parse_ip,
    parse_quoted,
    parse_quoted_tcp,
    parse_tcp,
    parse_tcp_options,
    parse_udp,
)
from traceprobe.render.csv import result_to_csv
from traceprobe.render.html import result_to_html
from traceprobe.render.sanitize import LONGEST_NAME, clean_line, clean_name, clean_text
from traceprobe.render.text import result_to_text
from traceprobe.sockets.bsd._control import ControlReader
from traceprobe.sockets.bsd._names import unpack_name as unpack_bsd_name
from traceprobe.sockets.bsd._receive import decode_icmp
from traceprobe.sockets.codec import connection_changes, read_extension
from traceprobe.sockets.linux._control import (
    CONTROL_SIZE,
    ExtendedError,
    read_arrival,
    read_arrival_with_ttl,
    read_arrivals,
    read_control,
    read_expiry,
    read_stamp_columns,
    read_stamps,
)
from traceprobe.sockets.linux._drops import read_drops
from traceprobe.sockets.linux._errqueue import IP_HEADER, split_quote
from traceprobe.sockets.linux._sockaddr import unpack_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from traceprobe.ffi.bsd import BsdAbi

ValueT = TypeVar("ValueT")
Target: TypeAlias = "Callable[[bytes], None]"

BSD_SYSTEMS: Final = ("freebsd", "netbsd", "openbsd", "dragonfly", "darwin")
TRANSACTION: Final = b"twelve bytes"
ASKED: Final = (IPv4Address("8.8.8.8"), IPv6Address("2001:4860::1"))
ADDRESSES: Final[dict[int, tuple[IPAddress, IPAddress]]] = {
    4: (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
    6: (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
}


def datagrams(data: bytes) -> None:
    """Whole IP datagrams, and all that is in them."""
    for verify, ignore_length in ((False, False), (True, False), (False, True)):
        try:
            datagram = parse_ip(data, verify=verify, ignore_length=ignore_length)
        except PacketError as error:
            _check(error, data)
            continue
        assert 0 <= datagram.ttl <= 255
        assert len(datagram.payload) < len(data)
        for parse in (partial(parse_icmp, datagram.version), parse_udp, parse_tcp):
            _refused_or_read(parse, bytes(datagram.payload))


def icmp(data: bytes) -> None:
    """ICMP messages of both families, their quotes and extensions."""
    for version in (4, 6):
        for verify in (False, True):
            try:
                message = parse_icmp(version, data, pseudo=ADDRESSES[version], verify=verify)
            except PacketError as error:
                _check(error, data)
                continue
            if isinstance(message, IcmpError):
                assert len(message.extension) + len(message.quoted.transport) <= len(data)
                _refused_or_read(parse_quoted_tcp, bytes(message.quoted.transport))
                extension(bytes(message.extension))


def transport(data: bytes) -> None:
    """UDP and TCP, whole and as quoted."""
    for version in (4, 6):
        for pseudo in (None, ADDRESSES[version]):
            for quoted in (False, True):
                _refused_or_read(partial(parse_udp, quoted=quoted, pseudo=pseudo), data)
            _refused_or_read(partial(parse_tcp, pseudo=pseudo), data)
    _refused_or_read(parse_quoted_tcp, data)
    _refused_or_read(parse_tcp_options, data)
    assert len(connection_changes(memoryview(data))) <= 1


def quotes(data: bytes) -> None:
    """Quoted datagrams, cut anywhere."""
    for version in (4, 6):
        try:
            quoted = parse_quoted(version, data)
        except PacketError as error:
            _check(error, data)
            continue
        assert 0 <= quoted.ttl <= 255
        assert len(quoted.transport) < len(data)


def extension(data: bytes) -> None:
    """Extension structures: labels, interfaces, and what nobody knows."""
    _refused_or_read(parse_extensions, data)
    values = read_extension(memoryview(data))
    assert all(0 <= label.label < 1 << 20 for label in values.mpls)
    assert all(isinstance(entry, InterfaceInformation) for entry in values.interfaces)
    assert all(isinstance(entry, ExtensionObject) for entry in values.extensions)
    for entry in values.interfaces:
        for clean in (clean_name, clean_text):
            assert clean(entry.name or "").isprintable()


def linux_control(data: bytes) -> None:
    """Control messages, stamps and socket addresses as Linux lays them out."""
    control = read_control(memoryview(data))
    if control.error is not None and control.error.offender is not None:
        assert control.error.offender.version in ADDRESSES
    slot = memoryview(data[:CONTROL_SIZE].ljust(CONTROL_SIZE, b"\0"))
    (stamp,) = read_stamps(slot, [(min(len(data), CONTROL_SIZE), 0)])
    assert stamp is None or 0 <= stamp[0] < 1 << 32
    columns = read_stamp_columns(slot, [min(len(data), CONTROL_SIZE)])
    assert columns is None or [stamp] == list(zip(*columns, strict=True))
    arrival = read_arrival(memoryview(data), 0, len(data))
    assert arrival is None or isinstance(arrival, int)
    assert read_arrivals(slot, CONTROL_SIZE, [len(data)]) == [read_arrival(slot, 0, len(data))]
    told = read_arrival_with_ttl(memoryview(data), 0, len(data))
    assert told is None or told == read_control(memoryview(data))[:2]
    expiry = read_expiry(memoryview(data), 0, len(data))
    if expiry is not None:
        # What is read in a hurry is what is read at leisure.
        stamp_ns, ttl, packed, _ = expiry
        assert (control.stamp_ns, control.ttl) == (stamp_ns, ttl)
        assert control.error is not None
        assert control.error.offender is not None
        assert control.error.offender.packed == packed
    assert 0 <= read_drops(memoryview(data), 0, len(data)) < 1 << 32
    unpack_name(memoryview(data))


def error_queue(data: bytes) -> None:
    """Entries of error queues: four bytes that the kernel says of the extension, then what it shows."""
    word, shown = int.from_bytes(data[:4], "little"), data[4:]
    error = ExtendedError(2, 11, 0, 0, word, None)
    for family, version in ((AddressFamily.IPV4, 4), (AddressFamily.IPV6, 6)):
        for transport_size in (0, 8):
            hidden = IP_HEADER[family] + transport_size
            quote, structure = split_quote(family, memoryview(shown), hidden, error)
            assert bytes(quote) + bytes(structure) == shown
            read_extension(structure)
            find_extension(version, memoryview(shown), hidden, quoted_length=word & 0xFFFF)


def bsd(data: bytes) -> None:
    """What the raw sockets of BSDs hand out: messages, control messages and socket addresses."""
    for family in AddressFamily:
        try:
            decode_icmp(family, memoryview(data))
        except PacketError as error:
            _check(error, data)
    for reader, abi in _bsd_readers():
        control = reader.read(memoryview(data))
        assert control.ttl is None or -(1 << 31) <= control.ttl < 1 << 31
        unpack_bsd_name(abi, memoryview(data))


def document(data: bytes) -> None:
    """Results as JSON that somebody else may have written; one that is taken can be shown and written."""
    try:
        result = TraceResult.from_json(data)
    except ConfigError:
        return
    again = TraceResult.from_json(result.to_json())
    assert again == result
    for page in (result_to_text(result), str(result)):
        assert all(line.isprintable() for line in page.split("\n"))
    assert "<script" not in result_to_html(result).lower()
    result_to_csv(result).encode("utf-8")


def texts(data: bytes) -> None:
    """Answers of a name server: each line is a string of a TXT record."""
    strings = data.split(b"\n")
    for asked in ASKED:
        for found in announcements(strings, asked):
            assert asked in found.prefix
            assert found.origins
            assert all(0 <= origin <= 0xFFFFFFFF for origin in found.origins)
    name = name_in(strings)
    assert name is None or name


def names(data: bytes) -> None:
    """Whatever a name says, no terminal obeys it."""
    for text in (data.decode("utf-8", "surrogateescape"), data.decode("utf-16-le", "replace")):
        for clean in (clean_name, clean_text):
            cleaned = clean(text)
            assert cleaned.isprintable()
            assert len(cleaned) <= LONGEST_NAME
            assert clean(cleaned) == cleaned
        assert clean_line(text).isprintable()
        assert " " not in clean_name(text)


def stun(data: bytes) -> None:
    """Answers to a request whose transaction is known, so that all of an answer is read."""
    for version in (4, 6):
        try:
            found = BindingRequest(version, TRANSACTION).mapped_address(data)
        except StunRefusedError:
            continue
        assert found is None or found.version == version


def snapshot(data: bytes) -> None:
    """Snapshots of PeeringDB."""
    path = _file(data, ".json")
    try:
        enricher = ExchangeEnricher(read_snapshot(path))
    except DataFileError:
        return
    for address in ("80.249.208.1", "2001:7f8:1::1"):
        _drive(enricher.enrich(ip_address(address)))


def database(data: bytes) -> None:
    """Files in MaxMind's format."""
    path = _file(data, ".mmdb")
    try:
        opened = DatabaseEnricher._open(path)
    except DataFileError:
        return
    try:
        for asked in ASKED:
            try:
                _drive(opened.enrich(asked))
            except DataFileError:
                continue
    finally:
        _drive(opened.aclose())


def everything(data: bytes) -> None:
    """All targets in turn, chosen by the first byte: what a short run can do."""
    if data:
        list(TARGETS.values())[data[0] % len(TARGETS)](data[1:])


def _refused_or_read(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except PacketError as error:
        _check(error, data)


def _check(error: PacketError, data: bytes) -> None:
    """A refusal says why, and where."""
    assert error.reason
    assert 0 <= error.offset <= len(data)


def _drive(coroutine: Coroutine[Any, Any, ValueT]) -> ValueT:
    """The outcome of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        outcome: ValueT = stop.value
        return outcome
    raise AssertionError("it waits for something")


@cache
def _bsd_readers() -> tuple[tuple[ControlReader, BsdAbi], ...]:
    abis = [abi_for(system, "amd64") for system in BSD_SYSTEMS]
    return tuple((ControlReader(abi), abi) for abi in abis)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="traceprobe-fuzz-")


def _file(data: bytes, suffix: str) -> str:
    """A file with this content; the one before it is gone, whoever still has it mapped."""
    path = Path(_folder().name, f"input{suffix}")
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return str(path)


TARGETS: Final[Mapping[str, Target]] = {
    "datagrams": datagrams,
    "icmp": icmp,
    "transport": transport,
    "quotes": quotes,
    "extension": extension,
    "codecs": fuzz_codecs,
    "hidden_headers": fuzz_hidden_headers,
    "linux_control": linux_control,
    "error_queue": error_queue,
    "bsd": bsd,
    "document": document,
    "texts": texts,
    "names": names,
    "stun": stun,
    "snapshot": snapshot,
    "database": database,
    "dns_answers": dns_answers,
    "arguments": arguments,
    "servers": servers,
    "topology": topology,
    "windows": windows,
    "system_codecs": system_codecs,
    "received": received,
}
