"""Validators and converters of the topology model; each refusal is a ConfigError with field, value, bound.

What configuration fields need too is in :mod:`traceprobe._bounds`. Knows nothing of the model's classes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, TypeAlias

from traceprobe.errors import ConfigError

if TYPE_CHECKING:
    from enum import StrEnum
    from typing import TypeVar

    import attrs

    from traceprobe._bounds import Validator

    _Word = TypeVar("_Word", bound=StrEnum)

Address: TypeAlias = IPv4Address | IPv6Address
AddressLike: TypeAlias = IPv4Address | IPv6Address | str


def to_address(value: object, field: str = "address") -> Address:
    """Accept an address object or its text.

    Raises:
        ConfigError: It is neither, or the address has a zone (``%eth0``), which no packet carries.
    """
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigError(field, value, "an IPv4 or IPv6 address") from None
    if not isinstance(address, IPv4Address | IPv6Address):
        raise ConfigError(field, value, "an IPv4 or IPv6 address")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ConfigError(field, value, "an address without a zone")
    return address


def to_addresses(value: AddressLike | Iterable[AddressLike] | None) -> tuple[Address, ...]:
    """Accept one address, none, or at most one of each family."""
    if value is None:
        return ()
    given = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    addresses = tuple(to_address(one, "addresses") for one in given)
    if len({address.version for address in addresses}) != len(addresses):
        raise ConfigError("addresses", value, "at most one address of each family")
    return addresses


def to_word(kind: type[_Word], field: str, value: object) -> _Word:
    """Accept a member of an enumeration or its value."""
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        choices = ", ".join(repr(member.value) for member in kind)
        raise ConfigError(field, value, f"one of {choices}") from None


def share(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    """A probability."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(attribute.name, value, "a share from 0.0 to 1.0")


def name(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401
    """A host name, or None. Any text: hostile names are worth simulating."""
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError(attribute.name, value, "a non-empty string, or None")


def instances(kind: type | tuple[type, ...], words: str, *, at_least: int = 0) -> Validator:
    """A tuple whose elements are all of some class."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401
        for index, element in enumerate(value):
            if not isinstance(element, kind):
                raise ConfigError(f"{attribute.name}[{index}]", element, words)
        if len(value) < at_least:
            raise ConfigError(attribute.name, value, f"at least {at_least} of: {words}")

    return check


def instance(kind: type, words: str) -> Validator:
    """A value of some class, or None."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401
        if value is not None and not isinstance(value, kind):
            raise ConfigError(attribute.name, value, f"{words}, or None")

    return check
