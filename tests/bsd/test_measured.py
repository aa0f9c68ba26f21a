"""What kernels were measured to hand out is decoded right, each system's bytes by its own decoder."""

from __future__ import annotations

import re
import struct
from ipaddress import ip_address

import pytest

from tests.bsd.records import FILES, HOME, Record, derived, measured
from traceprobe.config import AddressFamily
from traceprobe.errors import PacketError
from traceprobe.ffi.bsd import CONTROL_HEADER, BsdAbi, abi_for, aligned
from traceprobe.packets import EchoMessage, IcmpError
from traceprobe.sockets.bsd._control import Control, ControlReader
from traceprobe.sockets.bsd._receive import decode_icmp

SYSTEMS = ("freebsd", "netbsd")
RECORDS = [record for system in SYSTEMS for record in measured(system)]
DERIVED = [record for system in ("openbsd", "dragonfly", "darwin") for record in derived(system)]
EVERY_RECORD = pytest.mark.parametrize("record", [*RECORDS, *DERIVED], ids=str)


def abi_of(record: Record) -> BsdAbi:
    return abi_for(record.system.removeprefix("derived-"), "amd64")


def control_of(record: Record, abi: BsdAbi) -> bytes:
    """The control messages as that system lays them out in memory."""
    header = aligned(CONTROL_HEADER.size, abi.control_alignment)
    laid_out = b""
    for level, kind, data in record.control:
        start = CONTROL_HEADER.pack(header + len(data), level, kind).ljust(header, b"\xcc")
        laid_out += start + data.ljust(aligned(len(data), abi.control_alignment), b"\xcc")
    return laid_out


def read(record: Record) -> Control:
    abi = abi_of(record)
    return ControlReader(abi).read(memoryview(control_of(record, abi)))


def test_nothing_that_was_measured_is_left_out() -> None:
    counts = {system: len(measured(system)) for system in FILES}
    assert counts == {"freebsd": 24, "netbsd": 18, "linux": 23}
    for system, name in FILES.items():
        text = (HOME / name).read_text(encoding="ascii")
        assert len(re.findall(r"raw6?: \d+ bytes from", text)) == counts[system]
        messages = sum(len(record.control) for record in measured(system))
        assert text.count("cmsg level=") == messages
    assert all(record.control for record in [*RECORDS, *DERIVED])


@EVERY_RECORD
def test_every_datagram_is_decoded(record: Record) -> None:
    family = AddressFamily(record.version)
    decoded = decode_icmp(family, memoryview(record.data))
    assert decoded.ttl == record.ttl
    message = decoded.message
    if record.quoted_ttl is None:
        assert isinstance(message, EchoMessage)
        assert not message.is_request
        return
    assert isinstance(message, IcmpError)
    assert (message.type, message.code) == (record.type, record.code)
    quoted = message.quoted
    assert (quoted.ttl, quoted.protocol) == (record.quoted_ttl, record.protocol)
    assert quoted.destination == ip_address("10.0.3.2" if record.version == 4 else "fd00:3::2")
    assert bytes(quoted.transport[: len(record.transport)]) == record.transport
    assert len(quoted.transport) == len(record.data) - 48  # IP, ICMP and quoted IP header
    assert quoted.fragment_offset == 0


@EVERY_RECORD
def test_every_ttl_is_read(record: Record) -> None:
    found = read(record).ttl
    assert found is not None
    assert found in {62, 64, 253, 255}
    assert record.ttl in {None, found}, "the header and the control message agree"


@EVERY_RECORD
def test_every_stamp_is_read(record: Record) -> None:
    (stamp,) = (message for message in record.control if message.level == 0xFFFF)
    found = read(record).stamp_ns
    seconds, low = struct.unpack("=qI", stamp.data[:12])
    if record.system == "freebsd" and stamp.kind in {4, 6}:
        assert found is None  # bintime and the monotonic clock, which nobody asks for
    elif record.system == "freebsd" and stamp.kind == 5:
        assert found == seconds * 10**9 + low
    else:
        assert low < 10**6
        assert found == seconds * 10**9 + low * 1000


def test_the_clocks_of_freebsd_agree() -> None:
    """Four datagrams within two seconds: stamped in microseconds, bintime, nanoseconds, monotonic time."""
    stamps = [read(record).stamp_ns for record in measured("freebsd") if record.test == "T12"]
    assert len(stamps) == 4
    micro, bintime, nano, monotonic = stamps
    assert bintime is monotonic is None
    assert micro is not None
    assert nano is not None
    assert 0 < nano - micro < 2 * 10**9
    assert nano % 1000 != 0


def test_the_rubbish_behind_the_microseconds_of_netbsd_is_not_read() -> None:
    polluted = [
        record
        for record in measured("netbsd")
        if any(message.level == 0xFFFF and any(message.data[12:]) for message in record.control)
    ]
    assert len(polluted) == 4
    for record in polluted:
        stamp = read(record).stamp_ns
        assert stamp is not None
        assert stamp // 10**9 == struct.unpack("=q", record.control[0].data[:8])[0]


def test_control_messages_cut_short_anywhere_are_no_error() -> None:
    for record in (RECORDS[0], RECORDS[-1], DERIVED[0], DERIVED[-1]):
        abi = abi_of(record)
        whole = control_of(record, abi)
        reader = ControlReader(abi)
        full = reader.read(memoryview(whole))
        for cut in range(len(whole)):
            part = reader.read(memoryview(whole[:cut]))
            assert part.ttl in {None, full.ttl}
            assert part.stamp_ns in {None, full.stamp_ns}
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= 0xFF
            reader.read(memoryview(damaged))


@pytest.mark.parametrize("record", measured("linux"), ids=str)
def test_the_control_measurement_is_decoded_by_the_decoder_of_linux(record: Record) -> None:
    from traceprobe.sockets.linux._control import read_control

    laid_out = b""
    for level, kind, data in record.control:
        laid_out += struct.pack("=Qii", 16 + len(data), level, kind) + data.ljust(
            -(-len(data) // 8) * 8, b"\0"
        )
    found = read_control(memoryview(laid_out)).ttl
    assert found in {62, 64}
    assert record.ttl in {None, found}


@pytest.mark.parametrize("record", [RECORDS[0], RECORDS[-1], DERIVED[-1]], ids=str)
def test_datagrams_cut_or_damaged_anywhere_are_decoded_or_refused(record: Record) -> None:
    family = AddressFamily(record.version)
    damaged = [record.data[:cut] for cut in range(len(record.data))]
    for place in range(len(record.data)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(record.data)
            changed[place] ^= change
            damaged.append(bytes(changed))
    refused = 0
    for data in damaged:
        try:
            decode_icmp(family, memoryview(data))
        except PacketError:
            refused += 1
    assert 0 < refused < len(damaged)
