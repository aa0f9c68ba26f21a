"""Exit statuses: a promise to scripts, the same for every command."""

from __future__ import annotations

from enum import IntEnum

from traceprobe.errors import ConfigError, NameResolutionError, NoUsableSocketError, UsageError


class ExitStatus(IntEnum):
    """What the program tells the shell."""

    REACHED = 0
    NOT_REACHED = 1
    USAGE = 2
    NO_SOCKET = 3
    NOT_RESOLVED = 4
    FAILURE = 5
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells report it."""


def status_of(error: Exception) -> ExitStatus:
    """The status that an error ends the program with."""
    # ConfigError covers UnsupportedOption and FamilyMismatchError; NoUsableSocketError the lack of privilege.
    if isinstance(error, ConfigError | UsageError):
        return ExitStatus.USAGE
    if isinstance(error, NoUsableSocketError):
        return ExitStatus.NO_SOCKET
    if isinstance(error, NameResolutionError):
        return ExitStatus.NOT_RESOLVED
    return ExitStatus.FAILURE
