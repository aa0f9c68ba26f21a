"""The forger of the simulated internet: what it sends is wrong where it should be, and right everywhere else.

The bytes are read by hand; nothing of traceprobe's has a share in them.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from tests.kernel import plain
from tests.kernel.hostile import ROUTERS, TARGETS
from tests.rigs.capture import Capture
from tests.rigs.namespaces import RigError
from tests.rigs.tun.forgeries import FORGERS, kinds_of
from tests.rigs.tun.forgery import DATA, RST, TARGET, Edit, Forgery, add, cut, flip, insert, noise, put
from tests.rigs.tun.simulated import DEVICE
from tests.rigs.tun.vectors import probe as scapy_probe
from traceprobe.testing.topology import Path, Router, Target, Topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rigs.tun import SimulatedInternet
    from tests.rigs.tun.log import Log

pytestmark = pytest.mark.tun

both_versions = pytest.mark.parametrize("version", [4, 6])
every_protocol = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp"])

HEADER = {4: 20, 6: 40}
EXPIRED = {4: 11, 6: 3}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def throw(
    internet: SimulatedInternet, version: int, *forgeries: Forgery, protocol: str = "udp", ttl: int = 2
) -> tuple[bytes, list[bytes], Log]:
    """One probe, what came back for it in the order of arrival, and the log."""
    pytest.importorskip("scapy.layers.inet")
    target = TARGETS[version].format(9)
    routers = [Router(ROUTERS[version].format(number)) for number in range(1, 4)]
    internet.load(Topology(paths=[Path(Target(target), routers)]), forgeries={target: forgeries})
    datagram = scapy_probe(protocol, target, ttl)
    with Capture(internet.namespace, DEVICE) as capture:
        with internet.namespace.socket(FAMILY[version], socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
            sender.sendto(datagram, (target, 0))
            log = internet.log()
        came = [frame.datagram for frame in capture.frames() if not frame.outgoing]
    return datagram, came, log


def message_of(datagram: bytes) -> bytes:
    return datagram[HEADER[datagram[0] >> 4] :]


def sender_of(datagram: bytes) -> str:
    version = datagram[0] >> 4
    return socket.inet_ntop(FAMILY[version], datagram[12:16] if version == 4 else datagram[8:24])


def checksum_of(datagram: bytes) -> int:
    """0 if the checksum of the transport header is right."""
    message = message_of(datagram)
    if datagram[0] >> 4 == 4:
        number, addresses = datagram[9], datagram[12:20]
    else:
        number, addresses = datagram[6], datagram[8:40]
    pseudo = b"" if number == 1 else addresses + struct.pack("!HH", number, len(message))
    return plain.checksum(pseudo + message)


@both_versions
@every_protocol
def test_an_unedited_forgery_is_the_truth_from_elsewhere(
    internet: SimulatedInternet, version: int, protocol: str
) -> None:
    forger = FORGERS[version]
    _, (before, true), log = throw(
        internet, version, Forgery(form=EXPIRED[version], forger=forger, share=0.5), protocol=protocol
    )
    assert (sender_of(before), sender_of(true)) == (forger, ROUTERS[version].format(2))
    assert checksum_of(before) == checksum_of(true) == 0
    # The checksum of ICMPv6 covers the addresses.
    assert message_of(before)[:2] + message_of(before)[4:] == message_of(true)[:2] + message_of(true)[4:]
    (forged,), (answer,) = log.forgeries, log.replies
    assert (forged.forgery, answer.forgery) == (1, 0)
    assert str(forged.address) == forger
    (sent,) = log.probes
    assert (sent.replies, sent.forgeries) == ([answer], [forged])
    assert forged.due_ns - sent.monotonic_ns == (answer.due_ns - sent.monotonic_ns) // 2


@both_versions
@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("message", 4, "01020304"), lambda truth: truth[:4] + b"\1\2\3\4" + truth[8:]),
        (flip("header", 0, "ff"), lambda truth: truth[:8] + bytes([truth[8] ^ 0xFF]) + truth[9:]),
        (insert("message", 8, "aabb"), lambda truth: truth[:8] + b"\xaa\xbb" + truth[8:]),
        (cut("message", 12), lambda truth: truth[:12]),
    ],
    ids=["set", "xor", "insert", "cut"],
)
def test_each_edit_does_what_it_says_and_nothing_else(
    internet: SimulatedInternet, version: int, edit: Edit, expected: Callable[[bytes], bytes]
) -> None:
    _, (forged, true), _ = throw(internet, version, Forgery(form=EXPIRED[version], edits=(edit,), share=0.5))
    assert checksum_of(forged) == 0
    seen, wanted = message_of(forged), expected(message_of(true))
    assert seen[:2] + seen[4:] == wanted[:2] + wanted[4:]


@both_versions
def test_words_are_added_to_where_the_transport_header_is_quoted(
    internet: SimulatedInternet, version: int
) -> None:
    edits = (add("quoted", 2, 1), add("quoted", 0, -1))
    _, (forged, true), _ = throw(internet, version, Forgery(form=EXPIRED[version], edits=edits, share=0.5))
    at = 8 + HEADER[version]
    source, port = struct.unpack_from("!HH", message_of(true), at)
    assert struct.unpack_from("!HH", message_of(forged), at) == (source - 1, port + 1)
    assert message_of(forged)[at + 4 :] == message_of(true)[at + 4 :]


@both_versions
def test_noise_is_noise_and_the_checksum_follows(internet: SimulatedInternet, version: int) -> None:
    some = Forgery(form=EXPIRED[version], edits=(noise("quoted", 8),), share=0.5)
    _, (forged, true), _ = throw(internet, version, some)
    at = 8 + HEADER[version] + 8
    assert message_of(forged)[4:at] == message_of(true)[4:at]
    garbage = message_of(forged)[at:]
    assert len(garbage) == len(message_of(true)[at:]) == 32
    assert sum(one == other for one, other in zip(garbage, message_of(true)[at:], strict=True)) < 8
    assert checksum_of(forged) == 0


@both_versions
def test_what_is_edited_afterwards_spoils_the_checksum(internet: SimulatedInternet, version: int) -> None:
    some = Forgery(form=EXPIRED[version], edits=(flip("after", 2, "5555"),), share=0.5)
    _, (forged, true), _ = throw(internet, version, some)
    assert checksum_of(forged) != 0
    assert message_of(forged)[4:] == message_of(true)[4:]


@both_versions
def test_segments_data_and_echo_replies_are_forged_as_well(internet: SimulatedInternet, version: int) -> None:
    target = TARGETS[version].format(9)
    sent, (segment, _), _ = throw(
        internet,
        version,
        Forgery(form=RST, forger=TARGET, edits=(add("message", 10, 1),), share=0.5),
        protocol="tcp",
    )
    assert sender_of(segment) == target
    (number,) = struct.unpack_from("!I", message_of(sent), 4)
    assert struct.unpack_from("!I", message_of(segment), 8) == (number + 2,)
    assert checksum_of(segment) == 0
    sent, (data, _), _ = throw(internet, version, Forgery(form=DATA, forger=TARGET, share=0.5))
    assert message_of(data)[:4] == message_of(sent)[2:4] + message_of(sent)[:2]
    form = 0 if version == 4 else 129
    sent, (reply, _), _ = throw(
        internet, version, Forgery(form=form, forger=TARGET, share=0.5), protocol="icmp"
    )
    assert message_of(reply)[4:] == message_of(sent)[4:]
    assert checksum_of(reply) == 0


def test_who_forges_is_bound_to_a_path_a_family_and_ttls(internet: SimulatedInternet) -> None:
    some = Forgery(form=11, ttls=(3, 3), share=0.5)
    assert len(throw(internet, 4, some, ttl=2)[1]) == 1
    assert len(throw(internet, 4, some, ttl=3)[1]) == 2
    with pytest.raises(ValueError, match="no path leads to"):
        internet.load(Topology(), forgeries={"203.0.113.1": [some]})


def test_a_malformed_forgery_is_refused(internet: SimulatedInternet) -> None:
    with pytest.raises(RigError, match="two bytes have to go with noise"):
        throw(internet, 4, Forgery(form=11, edits=(Edit("message", "noise", 0, b"\0"),)))
    with pytest.raises(RigError, match="sideways is none of the words"):
        throw(internet, 4, Forgery(form=11, edits=(Edit("sideways", "set", 0, b"\0"),)))


@both_versions
@every_protocol
def test_every_kind_leaves_as_it_is_meant_to(version: int, protocol: str) -> None:
    kinds = kinds_of(protocol, version)
    assert len(kinds) >= 70
    for kind in kinds.values():
        for forgery in kind.timed():
            assert forgery.words(version).split()[0] == str(forgery.ttls[0])
