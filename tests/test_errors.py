"""The exceptions: one root, the built-in kinds that callers catch, remedies, and survival of pickling."""

from __future__ import annotations

import errno
import inspect
import pickle
from copy import copy, deepcopy

import pytest

from traceprobe import errors
from traceprobe.errors import (
    AbiError,
    BusyError,
    ClosedError,
    ConfigError,
    DataFileError,
    FamilyMismatchError,
    NameResolutionError,
    NoUsableSocketError,
    PacketError,
    PrivilegeError,
    ResolverError,
    SendError,
    TraceprobeError,
    UnsupportedOption,
    UsageError,
)

# One of each, with its attributes, the built-in kind that callers catch, and what its text must name.
EXAMPLES: list[tuple[TraceprobeError, dict[str, object], type[Exception], list[str]]] = [
    (TraceprobeError("text"), {}, Exception, ["text"]),
    (
        ConfigError("max_ttl", 0, "at least 1"),
        {"field": "max_ttl", "value": 0, "bound": "at least 1"},
        ValueError,
        ["max_ttl=0", "at least 1"],
    ),
    (
        FamilyMismatchError("source", "::1", "an IPv4 address"),
        {"field": "source", "value": "::1", "bound": "an IPv4 address"},
        ValueError,
        ["source='::1'", "an IPv4 address"],
    ),
    (
        UnsupportedOption("dscp", 8, mode="windows_icmp", remedy="choose windows_raw"),
        {
            "option": "dscp",
            "field": "dscp",
            "value": 8,
            "mode": "windows_icmp",
            "remedy": "choose windows_raw",
        },
        ValueError,
        ["dscp=8", "windows_icmp", "choose windows_raw"],
    ),
    (
        UnsupportedOption("mode", "bsd_raw", mode=None, remedy="leave it out"),
        {"option": "mode", "mode": None, "remedy": "leave it out"},
        ValueError,
        ["mode='bsd_raw'", "this installation", "leave it out"],
    ),
    (UsageError("enter it first"), {}, RuntimeError, ["enter it first"]),
    (BusyError("another task"), {}, RuntimeError, ["another task"]),
    (ClosedError("closed"), {}, RuntimeError, ["closed"]),
    (
        NameResolutionError("nowhere.example", "Name or service not known"),
        {"target": "nowhere.example", "reason": "Name or service not known"},
        OSError,
        ["nowhere.example", "Name or service not known"],
    ),
    (
        ResolverError("name.example", "refused"),
        {"question": "name.example", "reason": "refused"},
        OSError,
        ["name.example", "refused"],
    ),
    (
        DataFileError("asn.mmdb", "no such file"),
        {"path": "asn.mmdb", "reason": "no such file"},
        OSError,
        ["asn.mmdb", "no such file"],
    ),
    (
        NoUsableSocketError("nothing left", reasons=["linux_raw: no"], remedies=["do this"]),
        {"message": "nothing left", "reasons": ("linux_raw: no",), "remedies": ("do this",)},
        OSError,
        ["nothing left", "linux_raw: no", "do this"],
    ),
    (
        PrivilegeError("not allowed", reasons=["a: x", "b: y"], remedies=["one", "two"]),
        {"message": "not allowed", "reasons": ("a: x", "b: y"), "remedies": ("one", "two")},
        PermissionError,
        ["not allowed", "a: x", "b: y", "one", "two"],
    ),
    (NoUsableSocketError("bare"), {"reasons": (), "remedies": ()}, OSError, ["bare"]),
    (
        SendError(errno.ENETUNREACH),
        {"code": errno.ENETUNREACH, "errno": errno.ENETUNREACH, "detail": ""},
        OSError,
        ["unreachable"],
    ),
    (
        SendError(errno.EPERM, "a firewall forbids it"),
        {"code": errno.EPERM, "errno": errno.EPERM, "detail": "a firewall forbids it"},
        OSError,
        ["a firewall forbids it", "look at the rules"],
    ),
    (SendError(errno.ENOBUFS), {"remedy": errors._QUEUE_FULL}, OSError, ["packets_per_second"]),
    (SendError(errno.EINTR), {"remedy": None}, OSError, []),
    (SendError(10051), {"code": 10051}, OSError, ["Network is unreachable"]),  # WSAENETUNREACH of Windows
    (
        PacketError("too short", 7),
        {"reason": "too short", "offset": 7},
        ValueError,
        ["too short", "byte 7"],
    ),
    (AbiError("unknown layout"), {}, OSError, ["unknown layout"]),
]

EVERY_EXAMPLE = pytest.mark.parametrize(
    ("error", "attributes", "kind", "names"),
    EXAMPLES,
    ids=[f"{type(example[0]).__name__}{number}" for number, example in enumerate(EXAMPLES)],
)


def test_every_error_has_an_example() -> None:
    declared = {
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert declared == {type(example[0]) for example in EXAMPLES}
    assert {kind.__name__ for kind in declared} == set(errors.__all__)


@EVERY_EXAMPLE
def test_kind_text_and_attributes(
    error: TraceprobeError, attributes: dict[str, object], kind: type[Exception], names: list[str]
) -> None:
    assert isinstance(error, TraceprobeError)
    assert isinstance(error, kind)
    for name, value in attributes.items():
        assert getattr(error, name) == value
    for name in names:
        assert name in str(error)


@EVERY_EXAMPLE
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything(
    error: TraceprobeError,
    attributes: dict[str, object],
    kind: type[Exception],
    names: list[str],
    protocol: int,
) -> None:
    returned = pickle.loads(pickle.dumps(error, protocol))
    assert type(returned) is type(error)
    assert str(returned) == str(error)
    assert repr(returned) == repr(error)
    for name, value in attributes.items():
        assert getattr(returned, name) == value


@EVERY_EXAMPLE
def test_copying_keeps_everything(
    error: TraceprobeError, attributes: dict[str, object], kind: type[Exception], names: list[str]
) -> None:
    for returned in (copy(error), deepcopy(error)):
        assert type(returned) is type(error)
        assert str(returned) == str(error)


def test_errors_can_be_told_apart() -> None:
    with pytest.raises(PermissionError):
        raise PrivilegeError("no")
    assert not isinstance(NoUsableSocketError("no"), PermissionError)
    assert issubclass(BusyError, UsageError)
    assert issubclass(ClosedError, UsageError)
    assert not issubclass(PacketError, ConfigError)
