"""Why traces end: what the engine decides, and a result says.

It stands apart from results, which nobody needs before the first trace is over.
"""

from __future__ import annotations

from enum import StrEnum


class StopReason(StrEnum):
    """Why a trace ended."""

    DESTINATION_REACHED = "destination_reached"
    MAX_TTL = "max_ttl"
    UNREACHABLE = "unreachable"
    GAP_LIMIT = "gap_limit"
    LOOP = "loop"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
