"""Whether the firewall of Windows drops what routers answer to raw sockets, as the registry tells.

It lets in what belongs to a connection that it knows, and an ICMP error from a router belongs to none. Echo
requests of ``iphlpapi`` are not concerned: their answers come through another door.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from traceprobe.sockets.windows._remedies import firewall_remedies, lets_answers_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceprobe.config import AddressFamily

_POLICY: Final = r"SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy"
_GROUP_POLICY: Final = r"SOFTWARE\Policies\Microsoft\WindowsFirewall"
_PROFILES: Final = ("DomainProfile", "StandardProfile", "PublicProfile")
_RULES: Final = "FirewallRules"
_CAVEAT: Final = (
    "usable, but no rule of the firewall lets the answers of routers in, so that they may never arrive"
)


class Registry(Protocol):
    """Reads the registry of the local machine."""

    def __call__(self, key: str) -> Mapping[str, object]:
        """The values of a key; none if there is no such key, or it may not be read."""
        ...


def firewall_caveat(family: AddressFamily, registry: Registry) -> tuple[str, tuple[str, ...]] | None:
    """What stands in the way of answers, and what would let them in; None for nothing that is known.

    Args:
        family: Of the answers.
        registry: Reads the registry.
    """
    enabled = [registry(rf"{_POLICY}\{profile}").get("EnableFirewall") for profile in _PROFILES]
    if not any(enabled):
        return None
    rules = [
        value
        for policy in (_POLICY, _GROUP_POLICY)
        for value in registry(rf"{policy}\{_RULES}").values()
        if isinstance(value, str)
    ]
    return None if lets_answers_in(rules, family) else (_CAVEAT, firewall_remedies(family))


def read_registry(key: str) -> Mapping[str, object]:
    """See :class:`Registry`; only on Windows."""
    # By its name, because type checkers know the module on Windows only.
    winreg: Any = importlib.import_module("winreg")
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return dict(_values(winreg, opened))
    except OSError:
        return {}


def _values(winreg: Any, opened: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - as above
    _, count, _ = winreg.QueryInfoKey(opened)
    for place in range(count):
        name, value, _ = winreg.EnumValue(opened, place)
        yield name, value
