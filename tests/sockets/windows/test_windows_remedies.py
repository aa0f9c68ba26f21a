"""Numbers of Windows become errors with words; what would help is exact, and can be pasted."""

from __future__ import annotations

import errno
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from traceprobe.cli._doctor import _page
from traceprobe.config import AddressFamily, Mode, Protocol
from traceprobe.ffi import windows
from traceprobe.sockets import ModeStatus
from traceprobe.sockets import factory as factory_module
from traceprobe.sockets._platform import ModeEntry, platform_caveat
from traceprobe.sockets.factory import ProbeSocketFactory
from traceprobe.sockets.windows._firewall import firewall_caveat
from traceprobe.sockets.windows._names import ANY_NAME, pack_name, unpack_name, with_port
from traceprobe.sockets.windows._remedies import (
    administrator_remedies,
    firewall_remedies,
    lets_answers_in,
)
from traceprobe.sockets.windows._status import failure_of, meaning_of

if TYPE_CHECKING:
    from collections.abc import Mapping

IPV4, IPV6 = AddressFamily.IPV4, AddressFamily.IPV6

PING = (
    "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=1|Profile=Private|ICMP4=8:*|App=System|"
    "Name=@FirewallAPI.dll,-28543|"
)
EXPIRED4 = "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=1|ICMP4=3:*|ICMP4=11:*|Name=answers|"
EXPIRED6 = "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=58|ICMP6=3:*|Name=answers|"
POLICY = r"SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy"


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        (windows.ERROR_NETWORK_UNREACHABLE, errno.ENETUNREACH, "there is no route (Windows error 1231)"),
        (windows.IP_GENERAL_FAILURE, errno.EIO, "it could not be sent (Windows error 11050)"),
        (windows.WSAENOBUFS, errno.ENOBUFS, "no resources left (Windows error 10055)"),
        (windows.STATUS_NO_MEMORY, errno.ENOMEM, "too many requests are pending (Windows error 0xc0000017)"),
        (4242, errno.EIO, "it could not be sent (Windows error 4242)"),
    ],
)
def test_errors_say_what_happened_and_how_windows_calls_it(code: int, number: int, words: str) -> None:
    error = failure_of(code, "192.0.2.9")
    assert error.code == number
    assert "192.0.2.9" in str(error)
    assert words in str(error)


def test_the_same_number_means_something_else_for_ipv6() -> None:
    forbidden = windows.IP_DEST_PROT_UNREACHABLE
    four, six = meaning_of(IPV4, forbidden), meaning_of(IPV6, forbidden)
    assert four is not None
    assert six is not None
    assert (four.kind, four.icmp_code) == ("protocol_unreachable", 2)
    assert (six.kind, six.icmp_code) == ("unreachable", 1)
    assert meaning_of(IPV4, windows.IP_REQ_TIMED_OUT) is None


# --- socket addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", [IPv4Address("192.0.2.9"), IPv6Address("2001:db8::9"), IPv6Address("fe80::1%3")]
)
def test_socket_addresses_there_and_back(address: IPv4Address | IPv6Address) -> None:
    packed = with_port(pack_name(address), 33434)
    assert len(packed) == (16 if address.version == 4 else 28)
    found = unpack_name(packed)
    assert found is not None
    assert (int(found[0]), found[1]) == (int(address), 33434)
    assert int.from_bytes(packed[:2], "little") == (2 if address.version == 4 else 23)


def test_what_is_no_socket_address() -> None:
    assert unpack_name(b"") is None
    assert unpack_name(bytes(28)) is None
    assert unpack_name(ANY_NAME[6][:20]) is None


# --- remedies -----------------------------------------------------------------------------------------------


def test_the_program_runs_once_more_as_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", r"C:\Program Files\it's\python.exe")
    monkeypatch.setattr(sys, "orig_argv", ["python.exe", "-m", "traceprobe", "-U", "example.com"])
    command, words = administrator_remedies()
    assert command == (
        r"in PowerShell: Start-Process -Verb RunAs -FilePath 'C:\Program Files\it''s\python.exe' "
        "-ArgumentList '-m', 'traceprobe', '-U', 'example.com'"
    )
    assert "Run as administrator" in words
    monkeypatch.setattr(sys, "orig_argv", ["python.exe", "x" * 400])
    assert "-ArgumentList" not in administrator_remedies()[0]


def test_the_rule_that_lets_answers_in_can_be_pasted() -> None:
    shell, *netsh = firewall_remedies(IPV4)
    assert shell == (
        "in PowerShell, as administrator: New-NetFirewallRule -DisplayName 'traceprobe ICMPv4 answers' "
        "-Direction Inbound -Action Allow -Protocol ICMPv4 -IcmpType 3,11"
    )
    assert netsh[1] == (
        'as administrator: netsh advfirewall firewall add rule name="traceprobe ICMPv4 answers 11" dir=in '
        "action=allow protocol=icmpv4:11,any"
    )
    assert "-Protocol ICMPv6 -IcmpType 1,2,3,4" in firewall_remedies(IPV6)[0]


@pytest.mark.parametrize(
    ("rule", "family", "enough"),
    [
        (EXPIRED4, IPV4, True),
        (EXPIRED6, IPV6, True),
        (EXPIRED4, IPV6, False),
        (EXPIRED6, IPV4, False),
        (PING, IPV4, False),
        ("v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=1|Name=all ICMP|", IPV4, True),
        ("v2.31|Action=Allow|Active=TRUE|Dir=In|Name=everything|", IPV6, True),
        (EXPIRED4.replace("Allow", "Block"), IPV4, False),
        (EXPIRED4.replace("TRUE", "FALSE"), IPV4, False),
        (EXPIRED4.replace("Dir=In", "Dir=Out"), IPV4, False),
        (EXPIRED4 + "App=C:\\other.exe|", IPV4, False),
        (EXPIRED4 + "RA4=192.0.2.1|", IPV4, False),
        ("", IPV4, False),
    ],
)
def test_which_rules_are_enough(rule: str, family: AddressFamily, enough: bool) -> None:
    assert lets_answers_in([rule], family) is enough
    assert lets_answers_in([PING, rule], family) is enough


class FakeRegistry:
    """A registry that holds what a test put into it."""

    def __init__(self, enabled: int, *rules: object) -> None:
        self._keys: dict[str, dict[str, object]] = {
            rf"{POLICY}\PublicProfile": {"EnableFirewall": enabled},
            rf"{POLICY}\FirewallRules": {str(number): rule for number, rule in enumerate(rules)},
        }

    def __call__(self, key: str) -> Mapping[str, object]:
        return self._keys.get(key, {})


def test_a_firewall_without_a_rule_is_a_caveat() -> None:
    assert firewall_caveat(IPV4, FakeRegistry(0)) is None
    assert firewall_caveat(IPV4, FakeRegistry(1, PING, EXPIRED4)) is None
    for rules in ((), (PING,), (PING, EXPIRED6, 7)):
        caveat = firewall_caveat(IPV4, FakeRegistry(1, *rules))
        assert caveat is not None
        reason, remedies = caveat
        assert "no rule of the firewall lets the answers of routers in" in reason
        assert remedies == firewall_remedies(IPV4)


def test_there_is_no_caveat_where_no_windows_is() -> None:
    if sys.platform != "win32":
        assert platform_caveat(Mode.WINDOWS_RAW, IPV4) is None
    assert platform_caveat(Mode.WINDOWS_ICMP, IPV4) is None


def test_the_report_tells_what_may_be_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        def close_now(self) -> None: ...

    def open_it(*_: object) -> Opened:
        return Opened()

    entry = ModeEntry(Mode.WINDOWS_RAW, Protocol.UDP, open_it)  # type: ignore[arg-type]
    monkeypatch.setattr(factory_module, "platform_modes", lambda: (entry,))
    monkeypatch.setattr(
        factory_module,
        "platform_caveat",
        lambda _, family: firewall_caveat(family, FakeRegistry(1, EXPIRED6)),
    )
    four, six = ProbeSocketFactory().report().statuses
    assert four.usable
    assert four.remedies == firewall_remedies(IPV4)
    assert str(four).startswith("windows_raw (udp, IPv4): usable, but no rule of the firewall")
    assert six == ModeStatus(Mode.WINDOWS_RAW, Protocol.UDP, IPV6, usable=True)
    page = ["".join(text for text, _ in line) for line in _page((four, six))]
    row = next(line for line in page if line.lstrip().startswith("windows_raw"))
    assert row.split() == ["windows_raw", "UDP", "open", "(1)", "open"]
    assert any("New-NetFirewallRule" in line for line in page)
