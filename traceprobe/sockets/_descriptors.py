"""How many descriptors the process has left, for ways of probing that take one for each probe; POSIX only."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import Final

_LISTING: Final = "/dev/fd"
_KEPT_FREE: Final = 16
"""Descriptors left to everybody else in the process: event loops, look-ups, files."""
_UNBOUNDED: Final = 1 << 20


def free_descriptors() -> int:
    """Descriptors that the process may open beside those it has (``RLIMIT_NOFILE``), at least 1."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        limit = _UNBOUNDED
    # FreeBSD without fdescfs(5) lists the first three only, and a jail may have no listing at all: the number
    # that the next descriptor gets says how many there are at least.
    with open(os.devnull, "rb") as lowest:
        known = lowest.fileno()
    with suppress(OSError):
        known = max(known, len(os.listdir(_LISTING)))
    return max(1, limit - known - _KEPT_FREE)
