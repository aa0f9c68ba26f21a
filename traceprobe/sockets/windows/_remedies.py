"""What would help on this Windows machine: commands that can be pasted, exact for this very process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from traceprobe.config import AddressFamily

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_COMMAND: Final = 300

# What routers and hosts answer probes with: unreachable and time exceeded; for IPv6 also that a packet is too
# big and that a header makes no sense (RFC 792, RFC 4443).
_ANSWERS: Final = {
    AddressFamily.IPV4: ("ICMPv4", (3, 11)),
    AddressFamily.IPV6: ("ICMPv6", (1, 2, 3, 4)),
}


def administrator_remedies() -> tuple[str, ...]:
    """Run this program once more with the rights of an administrator (PowerShell)."""
    arguments = ", ".join(_quoted(argument) for argument in sys.orig_argv[1:])
    command = f"Start-Process -Verb RunAs -FilePath {_quoted(sys.executable)}"
    if arguments and len(command) + len(arguments) <= _LONGEST_COMMAND:
        command += f" -ArgumentList {arguments}"
    return (f"in PowerShell: {command}", "run it from a terminal that was opened with 'Run as administrator'")


def firewall_remedies(family: AddressFamily) -> tuple[str, ...]:
    """Let what routers answer through the firewall of Windows (PowerShell, or netsh), as administrator."""
    protocol, types = _ANSWERS[family]
    rule = f"traceprobe {protocol} answers"
    listed = ",".join(str(number) for number in types)
    shell = f"New-NetFirewallRule -DisplayName '{rule}' -Direction Inbound -Action Allow"
    return (
        f"in PowerShell, as administrator: {shell} -Protocol {protocol} -IcmpType {listed}",
        *(
            f'as administrator: netsh advfirewall firewall add rule name="{rule} {number}" dir=in '
            f"action=allow protocol={protocol.lower()}:{number},any"
            for number in types
        ),
    )


def lets_answers_in(rules: Sequence[str], family: AddressFamily) -> bool:
    """Whether some rule of the firewall lets time-exceeded messages in.

    Args:
        rules: The rules as the registry holds them, such as
            ``v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=1|ICMP4=11:*|Name=…|``.
        family: Of the messages.
    """
    number, field, kind = ("1", "icmp4", "11") if family is AddressFamily.IPV4 else ("58", "icmp6", "3")
    for rule in rules:
        parts = [part.partition("=") for part in rule.split("|")]
        values = {name.lower(): value.lower() for name, _, value in parts if name.lower() != field}
        if (values.get("action"), values.get("active"), values.get("dir")) != ("allow", "true", "in"):
            continue
        if values.get("app") or values.get("ra4") or values.get("ra6"):
            continue  # only for a program, or for some hosts
        if values.get("protocol") not in {number, None}:
            continue
        types = {value.partition(":")[0] for name, _, value in parts if name.lower() == field}
        if not types or kind in types or "*" in types:
            return True
    return False


def _quoted(text: str) -> str:
    """A string that PowerShell takes as it is."""
    return "'" + text.replace("'", "''") + "'"
