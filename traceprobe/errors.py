"""Every exception that traceprobe raises, and nothing else.

What the network does is data (see :mod:`traceprobe.model`); an exception means that the job could
not be done. Each one names the value, the bound and the remedy, in its text and as attributes, and
also derives from the built-in exception that callers already catch for this kind of failure.
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AbiError",
    "BusyError",
    "ClosedError",
    "ConfigError",
    "DataFileError",
    "FamilyMismatchError",
    "NameResolutionError",
    "NoUsableSocketError",
    "PacketError",
    "PrivilegeError",
    "ResolverError",
    "SendError",
    "TraceprobeError",
    "UnsupportedOption",
    "UsageError",
]


def _plain(text: str) -> str:
    """A line with escapes for what a terminal would obey: errors quote what others have written."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class TraceprobeError(Exception):
    """The root of everything that traceprobe raises on purpose."""


class ConfigError(TraceprobeError, ValueError):
    """A value of the configuration can't be used.

    Attributes:
        field: Name of the configuration field.
        value: The value that was given.
        bound: What would have been accepted, in words.
    """

    def __init__(self, field: str, value: object, bound: str) -> None:
        shown = value.value if isinstance(value, Enum) else value
        super().__init__(f"{_plain(field)}={shown!r}: must be {bound}")
        self.field = field
        self.value = value
        self.bound = bound

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.field, self.value, self.bound)


class FamilyMismatchError(ConfigError):
    """The target, source address or mode belongs to another address family than the one asked for."""


class UnsupportedOption(ConfigError):  # noqa: N818 - the settled public name of the contract
    """An option that the mode in use can't honour. Nothing is ever silently ignored.

    Attributes:
        option: Name of the configuration field (also ``field``).
        mode: The mode that can't honour it, or None if no mode can yet.
        remedy: Which mode can, or what to leave out.
    """

    def __init__(self, option: str, value: object, *, mode: str | None, remedy: str) -> None:
        where = f"mode {mode!r}" if mode is not None else "this installation"
        super().__init__(option, value, f"left at its default: {where} has no support for it; {remedy}")
        self.option = option
        self.mode = mode
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return _unsupported, (self.option, self.value, self.mode, self.remedy)


def _unsupported(option: str, value: object, mode: str | None, remedy: str) -> UnsupportedOption:
    return UnsupportedOption(option, value, mode=mode, remedy=remedy)


class UsageError(TraceprobeError, RuntimeError):
    """The API was used in a way that can't work, such as iterating a trace that was not entered."""


class BusyError(UsageError):
    """A second task called something that only one task may use at a time."""


class ClosedError(UsageError):
    """The socket, tracer or trace has been closed."""


class NameResolutionError(TraceprobeError, OSError):
    """The target's name has no address (of the family asked for).

    Attributes:
        target: The name that was looked up.
        reason: What the system's resolver said.
    """

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"cannot resolve {target!r}: {_plain(reason)}")
        self.target = target
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.target, self.reason)


class ResolverError(TraceprobeError, OSError):
    """A DNS question could not be answered. That there is no such name is an answer.

    Attributes:
        question: The name that was asked for.
        reason: Why there is no answer.
    """

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(_plain(f"{question}: {reason}"))
        self.question = question
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.question, self.reason)


class DataFileError(TraceprobeError, OSError):
    """A file that look-ups were to be made in can't be used.

    Attributes:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(_plain(f"{path}: {reason}"))
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.reason)


class NoUsableSocketError(TraceprobeError, OSError):
    """No way of probing is left on this machine for what was asked.

    Attributes:
        reasons: One line for each mode that was tried: its name and why it refused.
        remedies: Commands or options that would help, best first; exact for this machine.
    """

    def __init__(self, message: str, *, reasons: Sequence[str] = (), remedies: Sequence[str] = ()) -> None:
        lines = [message, *(f"  {reason}" for reason in reasons)]
        if remedies:
            lines += ["to mend it, one of:", *(f"  {remedy}" for remedy in remedies)]
        super().__init__("\n".join(map(_plain, lines)))
        self.message = message
        self.reasons: tuple[str, ...] = tuple(reasons)
        self.remedies: tuple[str, ...] = tuple(remedies)

    def __reduce__(self) -> tuple[object, ...]:
        return _no_usable_socket, (type(self), self.message, self.reasons, self.remedies)


class PrivilegeError(NoUsableSocketError, PermissionError):
    """What was asked needs a privilege that the process does not have; ``remedies`` says how to get it."""


def _no_usable_socket(
    kind: type[NoUsableSocketError], message: str, reasons: Sequence[str], remedies: Sequence[str]
) -> NoUsableSocketError:
    return kind(message, reasons=reasons, remedies=remedies)


_WINSOCK_WORDS = {
    10013: "Permission denied",
    10022: "Invalid argument",
    10040: "Message too long",
    10047: "Address family not supported",
    10048: "Address already in use",
    10049: "Cannot assign requested address",
    10050: "Network is down",
    10051: "Network is unreachable",
    10055: "No buffer space available",
    10060: "Connection timed out",
    10061: "Connection refused",
    10064: "Host is down",
    10065: "No route to host",
}
"""What the C library of Windows has no words for: the error numbers of its sockets (Winsock error codes)."""


_FIREWALL = "look at the rules of this machine's firewall"
_TOO_BIG = "choose a smaller packet_size"
_NO_ROUTE = "look at this machine's routing table"
_SOURCE_GONE = "choose a source address that this machine has, or none"
_INTERFACE_DOWN = "bring the interface up, or choose another one"
_QUEUE_FULL = "send less at once: packets_per_second, send_interval or max_in_flight"
_NO_DESCRIPTOR = "raise the limit of open files (ulimit -n), or lower max_in_flight"
_SEND_REMEDIES = {
    errno.EPERM: _FIREWALL,
    errno.EACCES: f"{_FIREWALL}, and at its routing table",
    errno.EMSGSIZE: _TOO_BIG,
    errno.ENETUNREACH: _NO_ROUTE,
    errno.EHOSTUNREACH: _NO_ROUTE,
    errno.EINVAL: f"{_NO_ROUTE}, and choose a source address that it has, or none",
    errno.EADDRNOTAVAIL: _SOURCE_GONE,
    errno.ENETDOWN: _INTERFACE_DOWN,
    errno.ENODEV: _INTERFACE_DOWN,
    errno.ENXIO: _INTERFACE_DOWN,
    errno.ENOBUFS: _QUEUE_FULL,
    errno.EMFILE: _NO_DESCRIPTOR,
    errno.ENFILE: _NO_DESCRIPTOR,
    10013: _FIREWALL,
    10040: _TOO_BIG,
    10049: _SOURCE_GONE,
    10050: _INTERFACE_DOWN,
    10051: _NO_ROUTE,
    10055: _QUEUE_FULL,
    10065: _NO_ROUTE,
}
"""What helps, by error number of the C library or of Winsock."""


class SendError(TraceprobeError, OSError):
    """The kernel refused to send.

    As data it stands in :class:`~traceprobe.model.SentProbe`; it is raised when not a single probe of
    a trace could be sent.

    Attributes:
        code: The error number of the system call (also ``errno``).
        detail: Where the probe was to go, or what else is known; empty if nothing is.
        remedy: What would help, if that follows from the number.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        words = _WINSOCK_WORDS.get(code) or os.strerror(code)
        remedy = _SEND_REMEDIES.get(code)
        super().__init__(
            code,
            words + (f": {_plain(detail)}" if detail else "") + (f"; {remedy}" if remedy is not None else ""),
        )
        self.code = code
        self.detail = detail
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.detail)


class PacketError(TraceprobeError, ValueError):
    """Bytes that are no packet of the expected kind.

    Attributes:
        reason: What is wrong with them.
        offset: Byte offset at which it is wrong.
    """

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(f"{_plain(reason)} (at byte {offset})")
        self.reason = reason
        self.offset = offset

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.offset)


class AbiError(TraceprobeError, OSError):
    """The C library of this system lays out its structures in a way that traceprobe doesn't know."""
